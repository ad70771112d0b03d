//! A line cut into words and what stands between them; put together again it is the line.

/// Words of a line that are looked at; what follows is one part that differs.
const N_WORDS_MAX: usize = 80;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Blanks and punctuation.
    Between(String),
    Word(String),
    /// A word with digits, which tell lines apart more often than not: its text as long as all
    /// lines have the same.
    Number(Option<String>),
    /// The end of a long line, or from where on it would read as a capture in a pattern.
    Rest,
}

impl Piece {
    pub(super) fn is_word(&self) -> bool {
        !matches!(self, Self::Between(_))
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Between(text) | Self::Word(text) => Some(text),
            Self::Number(text) => text.as_deref(),
            Self::Rest => None,
        }
    }

    /// Adds what tells shapes apart.
    pub(super) fn push_key(&self, key: &mut String) {
        match self {
            Self::Between(text) | Self::Word(text) => key.push_str(text),
            // No line is cut so that a word and its neighbour could be taken for these.
            Self::Number(_) => key.push('\0'),
            Self::Rest => key.push('\u{1}'),
        }
    }

    /// Another line of the shape has this here.
    pub(super) fn meet(&mut self, other: &Self) {
        if let (Self::Number(held), Self::Number(text)) = (self, other)
            && held.is_some()
            && held != text
        {
            *held = None;
        }
    }
}

pub(super) fn cut(line: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = line;
    let mut n_words = 0;
    while let Some(first) = rest.chars().next() {
        if starts_with_capture(rest) {
            pieces.push(Piece::Rest);
            break;
        }
        let is_word = is_of_word(rest, first);
        if is_word && n_words == N_WORDS_MAX {
            pieces.push(Piece::Rest);
            break;
        }
        let end = rest
            .char_indices()
            .skip(1)
            .find(|&(at, c)| {
                let tail = rest.get(at..).unwrap_or_default();
                is_of_word(tail, c) != is_word || starts_with_capture(tail)
            })
            .map_or(rest.len(), |(at, _)| at);
        let (text, after) = rest.split_at(end);
        let owned = text.to_owned();
        pieces.push(match is_word {
            false => Piece::Between(owned),
            true if text.bytes().any(|it| it.is_ascii_digit()) => Piece::Number(Some(owned)),
            true => Piece::Word(owned),
        });
        n_words += usize::from(is_word);
        rest = after;
    }
    pieces
}

/// Whether `c`, the first of `text`, belongs to a word. A colon does inside of one: times,
/// addresses.
fn is_of_word(text: &str, c: char) -> bool {
    match c {
        ':' => {
            let next = text.get(1..).and_then(|it| it.chars().next());
            next.is_some_and(|it| it.is_ascii_alphanumeric())
        }
        _ => c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '%' | '+' | '@' | '~'),
    }
}

/// Whether a text like `<name>` stands at the start, which a pattern would read as a capture.
fn starts_with_capture(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('<') else { return false };
    let name = inner.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    name.len() < inner.len() && name.starts_with('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let texts: Vec<_> = cut(line)
            .iter()
            .map(|it| match it {
                Piece::Between(text) => format!("'{text}'"),
                Piece::Word(text) => text.clone(),
                Piece::Number(text) => format!("#{}", text.as_deref().unwrap_or_default()),
                Piece::Rest => "*".to_owned(),
            })
            .collect();
        texts.join(" ")
    }

    #[test]
    fn lines_are_cut_at_blanks_and_punctuation() {
        assert_eq!(
            shown("GET /a/b?id=3 took 5ms: done"),
            "GET ' ' /a/b '?' id '=' #3 ' ' took ' ' #5ms ': ' done"
        );
        assert_eq!(
            shown(r#"{"ts":"01:02:03","n":-4}"#),
            r#"'{"' ts '":"' #01:02:03 '","' n '":' #-4 '}'"#
        );
        assert_eq!(shown("from <addr> é"), "from ' ' *");
        assert_eq!(shown(" < 5"), "' < ' #5");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn a_long_line_ends_in_a_part_that_differs() {
        let pieces = cut(&"word ".repeat(500));
        assert_eq!(pieces.len(), 2 * N_WORDS_MAX + 1);
        assert_eq!(pieces.last(), Some(&Piece::Rest));
    }
}
