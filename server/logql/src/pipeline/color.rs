//! `| decolorize`: ANSI escape sequences are cut out.

use std::borrow::Cow;

use super::{Line, RunStage};

#[derive(Debug)]
pub(super) struct DecolorizeStage;

impl DecolorizeStage {
    pub(super) fn new() -> Self {
        Self
    }
}

impl RunStage for DecolorizeStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        if line.text.contains(['\u{1b}', '\u{9b}']) {
            let plain = decolorize(&line.text);
            line.text = Cow::Owned(plain);
        }
        true
    }
}

/// Cuts control sequences (`ESC [ … letter`) and titles (`ESC ] … BEL`).
fn decolorize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\u{1b}', '\u{9b}']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match sequence_len(from) {
            Some(len) => rest = from.get(len..).unwrap_or_default(),
            None => {
                let len = from.chars().next().map_or(1, char::len_utf8);
                out.push_str(from.get(..len).unwrap_or_default());
                rest = from.get(len..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

/// How long the escape sequence at the start of `text` is.
fn sequence_len(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    while chars.next_if(|(_, c)| "[]()#;?".contains(*c)).is_some() {}
    let parameters = chars.clone();
    while chars.next_if(|(_, c)| c.is_ascii_digit() || *c == ';').is_some() {}
    if let Some((at, c)) = chars.next()
        && (c.is_ascii_alphabetic() || "=><~".contains(c))
    {
        return Some(at + 1);
    }
    // A title ends with a bell.
    let mut title = parameters;
    title
        .find(|(_, c)| !c.is_ascii_alphanumeric() && *c != ';')
        .filter(|(_, c)| *c == '\u{7}')
        .map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_cut_and_text_stays() {
        assert_eq!(decolorize("\u{1b}[31;1mred\u{1b}[0m and \u{1b}[Kplain"), "red and plain");
        assert_eq!(decolorize("no colour"), "no colour");
        assert_eq!(decolorize("\u{1b}"), "\u{1b}");
    }
}
