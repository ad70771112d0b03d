//! Template text to tokens, as Go's `text/template` cuts it.

use crate::go_text::quote;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Why the text cannot be cut; ends the tokens.
    Error,
    End,
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Bool,
    Nil,
    Dot,
    Field,
    Variable,
    Identifier,
    Keyword,
    Number,
    Char,
    Quoted,
    RawText,
    LeftParen,
    RightParen,
    Pipe,
    Assign,
    Declare,
    /// Punctuation, such as a comma.
    Mark,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) line: usize,
    pub(super) text: String,
}

impl Token {
    /// How Go shows the token in an error.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Keyword | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                format!("{}...", quote(&head))
            }
            _ => quote(&self.text),
        }
    }
}

const KEYWORDS: &[&str] =
    &["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// All tokens; the last is an end or an error.
pub(super) fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, start: 0, line: 1, start_line: 1, tokens: Vec::new() };
    if let Err(message) = lexer.run() {
        lexer.tokens.push(Token {
            kind: Kind::Error,
            at: lexer.start,
            line: lexer.start_line,
            text: message,
        });
    }
    lexer.tokens
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    start: usize,
    line: usize,
    start_line: usize,
    tokens: Vec<Token>,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, n_bytes: usize) {
        let skipped = self.rest().get(..n_bytes).unwrap_or_default();
        self.line += skipped.matches('\n').count();
        self.at += n_bytes;
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.skip(rest.find(|c| !keep(c)).unwrap_or(rest.len()));
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.text.get(self.start..self.at).unwrap_or_default().to_owned();
        self.tokens.push(Token { kind, at: self.start, line: self.start_line, text });
        self.ignore();
    }

    fn ignore(&mut self) {
        (self.start, self.start_line) = (self.at, self.line);
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let rest = self.rest();
            let Some(found) = rest.find("{{") else {
                self.skip(rest.len());
                if self.at > self.start {
                    self.emit(Kind::Text);
                }
                self.emit(Kind::End);
                return Ok(());
            };
            let before = rest.get(..found).unwrap_or_default();
            let trims = has_left_trim(rest.get(found + 2..).unwrap_or_default());
            let kept = if trims { before.trim_end_matches(is_space) } else { before };
            self.skip(kept.len());
            if self.at > self.start {
                self.emit(Kind::Text);
            }
            self.skip(before.len() - kept.len());
            self.ignore();
            self.delimiter(trims)?;
        }
    }

    /// `{{`, `{{- ` or a comment, then an action.
    fn delimiter(&mut self, trims: bool) -> Result<(), String> {
        let n_marker = if trims { 2 } else { 0 };
        if self.rest().get(2 + n_marker..).is_some_and(|it| it.starts_with("/*")) {
            self.skip(2 + n_marker);
            let Some(end) = self.rest().find("*/") else {
                return Err("unclosed comment".to_owned());
            };
            self.skip(end + 2);
            let Some((n_trim, trims_after)) = self.at_right_delim() else {
                return Err("comment ends before closing delimiter".to_owned());
            };
            self.skip(n_trim + 2);
            if trims_after {
                self.skip_while(is_space);
            }
            self.ignore();
            return Ok(());
        }
        self.skip(2);
        self.emit(Kind::LeftDelim);
        self.skip(n_marker);
        self.ignore();
        self.action()
    }

    /// Whether `}}` or ` -}}` is next: how long the trim marker is, and whether there is one.
    fn at_right_delim(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        if rest.starts_with(is_space) && rest.get(1..).is_some_and(|it| it.starts_with("-}}")) {
            return Some((2, true));
        }
        rest.starts_with("}}").then_some((0, false))
    }

    fn action(&mut self) -> Result<(), String> {
        let mut depth = 0usize;
        loop {
            if let Some((n_trim, trims)) = self.at_right_delim() {
                if depth > 0 {
                    return Err("unclosed left paren".to_owned());
                }
                self.skip(n_trim);
                self.ignore();
                self.skip(2);
                self.emit(Kind::RightDelim);
                if trims {
                    self.skip_while(is_space);
                    self.ignore();
                }
                return Ok(());
            }
            let Some(c) = self.next() else { return Err("unclosed action".to_owned()) };
            match c {
                c if is_space(c) => self.space(),
                '=' => self.emit(Kind::Assign),
                ':' => {
                    if self.next() != Some('=') {
                        return Err("expected :=".to_owned());
                    }
                    self.emit(Kind::Declare);
                }
                '|' => self.emit(Kind::Pipe),
                '"' => self.quoted()?,
                '`' => self.raw()?,
                '\'' => self.character()?,
                '$' => self.name(Kind::Variable)?,
                '.' if !self.peek().is_some_and(|it| it.is_ascii_digit()) => {
                    self.name(Kind::Field)?;
                }
                '.' | '+' | '-' | '0'..='9' => self.number()?,
                c if c == '_' || c.is_alphanumeric() => self.identifier()?,
                '(' => {
                    self.emit(Kind::LeftParen);
                    depth += 1;
                }
                ')' => {
                    depth = depth.checked_sub(1).ok_or("unexpected right paren")?;
                    self.emit(Kind::RightParen);
                }
                c if c.is_ascii_graphic() => self.emit(Kind::Mark),
                c => return Err(format!("unrecognized character in action: {}", unicode(c))),
            }
        }
    }

    fn space(&mut self) {
        // A blank that belongs to ` -}}` is left to it.
        while self.peek().is_some_and(is_space) && self.at_right_delim().is_none() {
            self.next();
        }
        self.emit(Kind::Space);
    }

    fn quoted(&mut self) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') if !matches!(self.peek(), None | Some('\n')) => {
                    self.next();
                }
                None | Some('\n' | '\\') => return Err("unterminated quoted string".to_owned()),
                Some('"') => break,
                Some(_) => {}
            }
        }
        self.emit(Kind::Quoted);
        Ok(())
    }

    fn raw(&mut self) -> Result<(), String> {
        let Some(end) = self.rest().find('`') else {
            return Err("unterminated raw quoted string".to_owned());
        };
        self.skip(end + 1);
        self.emit(Kind::RawText);
        Ok(())
    }

    fn character(&mut self) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') if !matches!(self.peek(), None | Some('\n')) => {
                    self.next();
                }
                None | Some('\n' | '\\') => {
                    return Err("unterminated character constant".to_owned());
                }
                Some('\'') => break,
                Some(_) => {}
            }
        }
        self.emit(Kind::Char);
        Ok(())
    }

    /// `$x` or `.x`, whose first byte is taken already.
    fn name(&mut self, kind: Kind) -> Result<(), String> {
        if self.at_terminator() {
            self.emit(if kind == Kind::Variable { kind } else { Kind::Dot });
            return Ok(());
        }
        self.skip_while(|c| c == '_' || c.is_alphanumeric());
        self.check_terminator()?;
        self.emit(kind);
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), String> {
        self.skip_while(|c| c == '_' || c.is_alphanumeric());
        self.check_terminator()?;
        let word = self.text.get(self.start..self.at).unwrap_or_default();
        self.emit(match word {
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            word if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Identifier,
        });
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        self.at = self.start;
        if matches!(self.peek(), Some('+' | '-')) {
            self.skip(1);
        }
        let rest = self.rest().to_ascii_lowercase();
        let digits: fn(char) -> bool = match rest.get(..2) {
            Some("0x") => |c| c.is_ascii_hexdigit() || c == '_',
            Some("0o") => |c| matches!(c, '0'..='7' | '_'),
            Some("0b") => |c| matches!(c, '0' | '1' | '_'),
            _ => |c| c.is_ascii_digit() || c == '_',
        };
        let is_decimal = !matches!(rest.get(..2), Some("0x" | "0o" | "0b"));
        if !is_decimal {
            self.skip(2);
        }
        self.skip_while(digits);
        if self.peek() == Some('.') {
            self.skip(1);
            self.skip_while(digits);
        }
        if is_decimal && matches!(self.peek(), Some('e' | 'E')) {
            self.skip(1);
            if matches!(self.peek(), Some('+' | '-')) {
                self.skip(1);
            }
            self.skip_while(|c| c.is_ascii_digit() || c == '_');
        }
        if self.peek().is_some_and(|c| c == '_' || c.is_alphanumeric()) {
            self.next();
            let text = self.text.get(self.start..self.at).unwrap_or_default();
            return Err(format!("bad number syntax: {}", quote(text)));
        }
        self.emit(Kind::Number);
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) => {
                is_space(c)
                    || matches!(c, '.' | ',' | '|' | ':' | ')' | '(')
                    || self.rest().starts_with("}}")
            }
        }
    }

    fn check_terminator(&self) -> Result<(), String> {
        if self.at_terminator() {
            return Ok(());
        }
        Err(format!("bad character {}", unicode(self.peek().unwrap_or(' '))))
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn has_left_trim(after: &str) -> bool {
    after.strip_prefix('-').is_some_and(|it| it.starts_with(is_space))
}

/// `U+0023 '#'`
fn unicode(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}
