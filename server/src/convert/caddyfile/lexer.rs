//! A Caddyfile's text as tokens, by the rules of Caddy's own lexer.

use std::sync::Arc;

use super::SyntaxError;

/// A word, or what stands between quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) at: At,
    /// `"{"` is text, `{` opens a block.
    pub(super) is_quoted: bool,
    /// The first of its line, as far as arguments go: a backslash before the end of a line joins two.
    pub(super) starts_line: bool,
}

/// Where a token stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    pub(super) file: Arc<str>,
    pub(super) line: usize,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Token {
    pub(super) fn is(&self, text: &str) -> bool {
        !self.is_quoted && self.text == text
    }
}

/// More than any file that people write; an import can double what it imports.
pub(super) const TOKENS_MAX: usize = 200_000;

pub(super) fn tokens(file: &Arc<str>, text: &str) -> Result<Vec<Token>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lexer = Lexer {
        chars: text.chars().peekable(),
        file: Arc::clone(file),
        line: 1,
        starts_line: true,
        tokens: Vec::new(),
    };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    file: Arc<str>,
    line: usize,
    starts_line: bool,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), SyntaxError> {
        while let Some(c) = self.chars.next() {
            match c {
                '\n' => self.end_line(),
                '\\' if matches!(self.chars.peek(), Some('\n' | '\r')) => self.join_lines(),
                '#' => self.comment(),
                '"' => self.quoted()?,
                '`' => self.raw()?,
                c if c.is_whitespace() => {}
                c => self.word(c)?,
            }
            if self.tokens.len() > TOKENS_MAX {
                return Err(SyntaxError::TooLong(self.at(self.line)));
            }
        }
        Ok(())
    }

    fn at(&self, line: usize) -> At {
        At { file: Arc::clone(&self.file), line }
    }

    fn end_line(&mut self) {
        self.line += 1;
        self.starts_line = true;
    }

    fn join_lines(&mut self) {
        while self.chars.next_if_eq(&'\r').is_some() {}
        if self.chars.next_if_eq(&'\n').is_some() {
            self.line += 1;
        }
    }

    fn comment(&mut self) {
        while self.chars.next_if(|c| *c != '\n').is_some() {}
    }

    fn push(&mut self, text: String, line: usize, is_quoted: bool) {
        let starts_line = std::mem::take(&mut self.starts_line);
        self.tokens.push(Token { text, at: self.at(line), is_quoted, starts_line });
    }

    /// Up to the closing quote; only a quote can be escaped.
    fn quoted(&mut self) -> Result<(), SyntaxError> {
        let line = self.line;
        let mut text = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                '"' => {
                    self.push(text, line, true);
                    return Ok(());
                }
                '\\' if self.chars.next_if_eq(&'"').is_some() => text.push('"'),
                c => {
                    self.line += usize::from(c == '\n');
                    text.push(c);
                }
            }
        }
        Err(SyntaxError::Unclosed { at: self.at(line), what: "the quote" })
    }

    fn raw(&mut self) -> Result<(), SyntaxError> {
        let line = self.line;
        let mut text = String::new();
        for c in self.chars.by_ref() {
            if c == '`' {
                self.push(text, line, true);
                return Ok(());
            }
            self.line += usize::from(c == '\n');
            text.push(c);
        }
        Err(SyntaxError::Unclosed { at: self.at(line), what: "the backtick" })
    }

    fn word(&mut self, first: char) -> Result<(), SyntaxError> {
        let line = self.line;
        let mut text = String::new();
        let mut is_escaped = first == '\\' && self.chars.next_if_eq(&'<').is_some();
        text.push(if is_escaped { '<' } else { first });
        while let Some(c) = self.chars.next_if(|c| !c.is_whitespace()) {
            // The end of a line may be escaped within a word, too.
            if c == '\\' && matches!(self.chars.peek(), Some('\n' | '\r')) {
                self.push(text, line, false);
                self.join_lines();
                return Ok(());
            }
            text.push(c);
            is_escaped |= text.len() == 2 && text != "<<";
        }
        match text.strip_prefix("<<") {
            Some(marker) if !is_escaped && is_marker(marker) => {
                let marker = marker.to_owned();
                self.heredoc(&marker, line)
            }
            _word => {
                self.push(text, line, false);
                Ok(())
            }
        }
    }

    /// Lines up to the marker; what stands before the marker is cut off from each of them.
    fn heredoc(&mut self, marker: &str, line: usize) -> Result<(), SyntaxError> {
        while self.chars.next_if(|c| *c != '\n').is_some() {}
        self.chars.next();
        self.line += 1;
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut text = String::new();
            let mut has_end = false;
            while let Some(c) = self.chars.next() {
                has_end = c == '\n';
                if has_end {
                    break;
                }
                text.push(c);
                let Some(padding) = text.strip_suffix(marker) else { continue };
                if padding.chars().all(char::is_whitespace) {
                    let cut = |it: &String| it.strip_prefix(padding).map(str::to_owned);
                    let is_blank = |it: &String| it.trim().is_empty();
                    let cut: Option<Vec<String>> = lines
                        .iter()
                        .map(|it| cut(it).or_else(|| is_blank(it).then(String::new)))
                        .collect();
                    let Some(cut) = cut else {
                        return Err(SyntaxError::Heredoc { at: self.at(line) });
                    };
                    self.push(cut.join("\n"), line, true);
                    return Ok(());
                }
            }
            if !has_end {
                let what = "the heredoc";
                return Err(SyntaxError::Unclosed { at: self.at(line), what });
            }
            self.line += 1;
            lines.push(text.replace('\r', ""));
        }
    }
}

fn is_marker(text: &str) -> bool {
    let is_ok = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.chars().all(is_ok)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Expect) {
        let shown = match tokens(&Arc::from("f"), text) {
            Err(error) => format!("error: {error}"),
            Ok(tokens) => tokens
                .iter()
                .map(|it| {
                    let quote = if it.is_quoted { "'" } else { "" };
                    let line =
                        if it.starts_line { format!("{}: ", it.at.line) } else { String::new() };
                    format!("{line}{quote}{}{quote}", it.text.escape_debug())
                })
                .collect::<Vec<_>>()
                .join(" | "),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn words_are_parted_by_space_and_comments_begin_at_a_word() {
        check("a b#c # d\n\te", &expect!["1: a | b#c | 2: e"]);
        check("\u{feff}a {\r\n}\r\n", &expect!["1: a | { | 2: }"]);
    }

    #[test]
    fn quotes_hold_anything_and_only_quotes_are_escaped() {
        check(r#"a "b \"c\" \n" `d"e\`"#, &expect![[r#"1: a | 'b \"c\" \\n' | 'd\"e\\'"#]]);
        check("a \"x\ny\" b\nc", &expect![[r"1: a | 'x\ny' | b | 3: c"]]);
        check("a \"b", &expect!["error: f:1: the quote is never closed"]);
    }

    #[test]
    fn a_backslash_joins_lines() {
        check("a \\\n b\\\n c\nd", &expect!["1: a | b | c | 4: d"]);
    }

    #[test]
    fn a_heredoc_loses_the_indentation_of_its_end() {
        check(
            "respond <<HTML\n  <p>\n    x\n  HTML 200\nb",
            &expect![[r"1: respond | '<p>\n  x' | 200 | 5: b"]],
        );
        check("a <<X\nb", &expect!["error: f:1: the heredoc is never closed"]);
        check(
            "a <<X\nb\n  X",
            &expect![
                "error: f:1: a line of the heredoc is indented less than its end; indent all lines alike"
            ],
        );
        check("a \\<<X\nb", &expect!["1: a | <<X | 2: b"]);
    }
}
