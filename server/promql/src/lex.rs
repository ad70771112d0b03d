//! Text to tokens, with Prometheus' own lexical errors.

mod token;

pub(crate) use token::{Keyword, Kind, Preprocessor, Token, quote};

use crate::ast::{BinaryOp, Span};
use token::{keyword, quote_char};

/// A lexical error, before it knows its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LexError {
    pub(crate) at: usize,
    pub(crate) message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Statements,
    /// Right after `[`.
    DurationStart,
}

/// Yields one token at a time; after an error there is nothing more to read.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    start: usize,
    paren_depth: usize,
    brace_open: bool,
    bracket_open: bool,
    got_colon: bool,
    got_duration: bool,
    state: State,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a str) -> Self {
        Self {
            input,
            pos: 0,
            start: 0,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
            state: State::Statements,
        }
    }

    pub(crate) fn next_token(&mut self) -> Result<Token<'a>, LexError> {
        self.skip_blank();
        self.start = self.pos;
        if self.brace_open {
            return self.inside_braces();
        }
        if self.state == State::DurationStart {
            return self.duration_expression();
        }
        self.statement()
    }

    /// Where the next token starts if it follows at once, comments and space skipped.
    fn skip_blank(&mut self) {
        while let Some(c) = self.peek() {
            if matches!(c, ' ' | '\t' | '\n' | '\r') {
                self.bump();
            } else if c == '#' && self.state == State::Statements {
                while self.peek().is_some_and(|it| it != '\n' && it != '\r') {
                    self.bump();
                }
            } else {
                return;
            }
        }
    }

    fn rest(&self) -> &'a str {
        self.input.get(self.pos..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.is(valid);
        if found {
            self.bump();
        }
        found
    }

    fn is(&self, valid: &str) -> bool {
        self.peek().is_some_and(|it| valid.contains(it))
    }

    fn text(&self) -> &'a str {
        self.input.get(self.start..self.pos).unwrap_or_default()
    }

    fn emit(&self, kind: Kind) -> Token<'a> {
        Token { kind, span: Span { start: self.start, end: self.pos }, text: self.text() }
    }

    fn error(&self, message: impl Into<String>) -> LexError {
        LexError { at: self.start, message: message.into() }
    }

    fn statement(&mut self) -> Result<Token<'a>, LexError> {
        let Some(c) = self.bump() else {
            return self.end_of_input();
        };
        let op = |it| Ok(Kind::Operator(it));
        let kind = match c {
            ',' => Ok(Kind::Comma),
            '*' => op(BinaryOp::Mul),
            '/' => op(BinaryOp::Div),
            '%' => op(BinaryOp::Mod),
            '+' => op(BinaryOp::Add),
            '-' => op(BinaryOp::Sub),
            '^' => op(BinaryOp::Pow),
            '@' => Ok(Kind::At),
            '=' | '!' | '<' | '>' => self.comparison(c),
            '0'..='9' => return self.number_or_duration(),
            '.' if self.peek().is_some_and(|it| it.is_ascii_digit()) => {
                return self.number_or_duration();
            }
            '"' | '\'' => return self.quoted(c),
            '`' => return self.raw(),
            '(' => {
                self.paren_depth += 1;
                Ok(Kind::LeftParen)
            }
            ')' => self.right_paren(),
            '{' => {
                self.brace_open = true;
                Ok(Kind::LeftBrace)
            }
            '[' => self.left_bracket(),
            ']' => self.right_bracket(),
            'a'..='z' | 'A'..='Z' | '_' | ':' => return self.word_or_colon(c),
            _ => Err(self.error(format!("unexpected character: {}", quote_char(Some(c))))),
        }?;
        Ok(self.emit(kind))
    }

    fn end_of_input(&self) -> Result<Token<'a>, LexError> {
        if self.paren_depth != 0 {
            return Err(self.error("unclosed left parenthesis"));
        }
        if self.bracket_open {
            return Err(self.error("unclosed left bracket"));
        }
        Ok(self.emit(Kind::Eof))
    }

    fn comparison(&mut self, c: char) -> Result<Kind, LexError> {
        let next = self.peek();
        let (kind, takes_next) = match (c, next) {
            ('=', Some('=')) => (Kind::Operator(BinaryOp::Equal), true),
            ('=', Some('~')) => {
                return Err(
                    self.error(format!("unexpected character after '=': {}", quote_char(next)))
                );
            }
            ('=', _) => (Kind::Equal, false),
            ('!', Some('=')) => (Kind::Operator(BinaryOp::NotEqual), true),
            ('!', _) => {
                return Err(
                    self.error(format!("unexpected character after '!': {}", quote_char(next)))
                );
            }
            ('<', Some('=')) => (Kind::Operator(BinaryOp::LessEqual), true),
            ('<', Some('/')) => (Kind::Operator(BinaryOp::TrimUpper), true),
            ('<', _) => (Kind::Operator(BinaryOp::Less), false),
            (_, Some('=')) => (Kind::Operator(BinaryOp::GreaterEqual), true),
            (_, Some('/')) => (Kind::Operator(BinaryOp::TrimLower), true),
            _ => (Kind::Operator(BinaryOp::Greater), false),
        };
        if takes_next {
            self.bump();
        }
        Ok(kind)
    }

    fn right_paren(&mut self) -> Result<Kind, LexError> {
        match self.paren_depth.checked_sub(1) {
            Some(depth) => {
                self.paren_depth = depth;
                Ok(Kind::RightParen)
            }
            None => Err(self.error("unexpected right parenthesis ')'")),
        }
    }

    fn left_bracket(&mut self) -> Result<Kind, LexError> {
        if self.bracket_open {
            return Err(self.error("unexpected left bracket '['"));
        }
        self.got_colon = false;
        self.got_duration = false;
        self.bracket_open = true;
        self.state = State::DurationStart;
        Ok(Kind::LeftBracket)
    }

    fn right_bracket(&mut self) -> Result<Kind, LexError> {
        if !self.bracket_open {
            return Err(self.error("unexpected right bracket ']'"));
        }
        self.bracket_open = false;
        self.state = State::Statements;
        Ok(Kind::RightBracket)
    }

    fn word_or_colon(&mut self, first: char) -> Result<Token<'a>, LexError> {
        if !self.bracket_open {
            return Ok(self.keyword_or_identifier());
        }
        if first == ':' {
            if self.got_colon {
                return Err(self.error("unexpected colon ':'"));
            }
            self.got_colon = true;
            return Ok(self.emit(Kind::Colon));
        }
        let after_first = self.pos;
        self.take_word();
        if let Some(token) = self.duration_keyword() {
            return Ok(token);
        }
        self.pos = after_first;
        Err(self.error(format!("unexpected character: {}, expected ':'", quote_char(Some(first)))))
    }

    fn take_word(&mut self) {
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
    }

    /// `step`, `range`, `min_of`, `max_of` in brackets.
    fn duration_keyword(&self) -> Option<Token<'a>> {
        let kind = match self.text().to_ascii_lowercase().as_str() {
            "step" => Kind::Preprocessor(Preprocessor::Step),
            "range" => Kind::Preprocessor(Preprocessor::Range),
            "min_of" | "max_of" => Kind::Identifier,
            _ => return None,
        };
        Some(self.emit(kind))
    }

    fn duration_expression(&mut self) -> Result<Token<'a>, LexError> {
        let Some(c) = self.bump() else {
            return Err(self.error("unexpected end of input in duration expression"));
        };
        let op = |it| Ok(Kind::Operator(it));
        let kind = match c {
            ']' => self.right_bracket(),
            ':' if !self.got_duration => {
                Err(self.error("unexpected colon before duration in duration expression"))
            }
            ':' if self.got_colon => {
                Err(self.error("unexpected repeated colon in duration expression"))
            }
            ':' => {
                self.got_colon = true;
                Ok(Kind::Colon)
            }
            '(' => {
                self.paren_depth += 1;
                Ok(Kind::LeftParen)
            }
            ')' => self.right_paren(),
            ',' => Ok(Kind::Comma),
            '+' => op(BinaryOp::Add),
            '-' => op(BinaryOp::Sub),
            '*' => op(BinaryOp::Mul),
            '/' => op(BinaryOp::Div),
            '%' => op(BinaryOp::Mod),
            '^' => op(BinaryOp::Pow),
            '0'..='9' => return self.bracket_number(),
            '.' if self.peek().is_some_and(|it| it.is_ascii_digit()) => {
                return self.bracket_number();
            }
            c if c.is_ascii_alphabetic() => {
                self.take_word();
                if let Some(token) = self.duration_keyword() {
                    self.got_duration = true;
                    return Ok(token);
                }
                Err(self.error(format!(
                    "unexpected character in duration expression: {}",
                    quote_char(Some(c))
                )))
            }
            c => Err(self.error(format!(
                "unexpected character in duration expression: {}",
                quote_char(Some(c))
            ))),
        }?;
        Ok(self.emit(kind))
    }

    fn bracket_number(&mut self) -> Result<Token<'a>, LexError> {
        self.got_duration = true;
        self.state = State::Statements;
        self.number_or_duration()
    }

    fn inside_braces(&mut self) -> Result<Token<'a>, LexError> {
        let Some(c) = self.bump() else {
            return Err(self.error("unexpected end of input inside braces"));
        };
        let kind = match c {
            ',' => Kind::Comma,
            '"' | '\'' => return self.quoted(c),
            '`' => return self.raw(),
            '=' if self.accept("~") => Kind::EqualRegex,
            '=' => Kind::Equal,
            '!' => match self.bump() {
                Some('~') => Kind::NotRegex,
                Some('=') => Kind::Operator(BinaryOp::NotEqual),
                other => {
                    return Err(self.error(format!(
                        "unexpected character after '!' inside braces: {}",
                        quote_char(other)
                    )));
                }
            },
            '{' => return Err(self.error("unexpected left brace '{'")),
            '}' => {
                self.brace_open = false;
                Kind::RightBrace
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                self.take_word();
                Kind::Identifier
            }
            _ => {
                return Err(self.error(format!(
                    "unexpected character inside braces: {}",
                    quote_char(Some(c))
                )));
            }
        };
        Ok(self.emit(kind))
    }

    fn keyword_or_identifier(&mut self) -> Token<'a> {
        while self.peek().is_some_and(|it| is_alphanumeric(it) || it == ':') {
            self.bump();
        }
        let word = self.text();
        let kind = match keyword(&word.to_ascii_lowercase()) {
            // `fill` is a name as long as no parenthesis follows.
            Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.rest().trim_start().starts_with('(') =>
            {
                Kind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        };
        self.emit(kind)
    }

    fn quoted(&mut self, open: char) -> Result<Token<'a>, LexError> {
        loop {
            match self.bump() {
                Some('\\') => self.escape(open)?,
                Some('\u{fffd}') => return Err(self.error("invalid UTF-8 rune")),
                None | Some('\n') => return Err(self.error("unterminated quoted string")),
                Some(c) if c == open => return Ok(self.emit(Kind::String)),
                Some(_) => {}
            }
        }
    }

    fn raw(&mut self) -> Result<Token<'a>, LexError> {
        loop {
            match self.bump() {
                Some('\u{fffd}') => return Err(self.error("invalid UTF-8 rune")),
                None => return Err(self.error("unterminated raw string")),
                Some('`') => return Ok(self.emit(Kind::String)),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, open: char) -> Result<(), LexError> {
        let (n_digits, base, max, first) = match self.bump() {
            None => return Err(self.error("escape sequence not terminated")),
            Some(c) if c == open || "abfnrtv\\".contains(c) => return Ok(()),
            Some(c @ '0'..='7') => (3, 8, 255, Some(c)),
            Some('x') => (2, 16, 255, self.bump()),
            Some('u') => (4, 16, 0x0010_ffff, self.bump()),
            Some('U') => (8, 16, 0x0010_ffff, self.bump()),
            Some(c) => {
                return Err(
                    self.error(format!("unknown escape sequence U+{:04X} '{c}'", u32::from(c)))
                );
            }
        };
        let mut value: u32 = 0;
        let mut current = first;
        for i in 0..n_digits {
            let Some(c) = current else {
                return Err(self.error("escape sequence not terminated"));
            };
            let Some(digit) = c.to_digit(base) else {
                return Err(self.error(format!(
                    "illegal character U+{:04X} '{c}' in escape sequence",
                    u32::from(c)
                )));
            };
            value = value.wrapping_mul(base).wrapping_add(digit);
            if i + 1 < n_digits {
                current = self.bump();
            }
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return Err(self.error("escape sequence is an invalid Unicode code point"));
        }
        Ok(())
    }

    fn number_or_duration(&mut self) -> Result<Token<'a>, LexError> {
        self.pos = self.start;
        if self.scan_number() {
            return Ok(self.emit(Kind::Number));
        }
        if self.scan_duration_rest() {
            return Ok(self.emit(Kind::Duration));
        }
        Err(self.error(format!("bad number or duration syntax: {}", quote(self.text()))))
    }

    /// Takes what may be a number; whether it is one is for the parser to say.
    fn scan_number(&mut self) -> bool {
        let mut digits = "0123456789";
        if self.accept("0") && self.accept("xX") {
            self.accept("_");
            digits = "0123456789abcdefABCDEF";
        }
        let is_hex = digits.len() > 10;
        self.accept(".");
        self.accept(digits);
        let (mut has_dot, mut has_exponent) = (false, false);
        while self.is(digits) || self.is("._eE") {
            if self.accept(".") {
                if has_dot || self.accept("_.") || is_hex {
                    return false;
                }
                has_dot = true;
            } else if !is_hex && self.accept("eE") {
                if has_exponent {
                    return false;
                }
                has_exponent = true;
                self.accept("+-");
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept("_") {
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else {
                while self.accept(digits) {}
            }
        }
        self.pos > self.start && !self.peek().is_some_and(is_alphanumeric)
    }

    fn scan_duration_rest(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        self.accept("s");
        while self.accept("0123456789") {
            while self.accept("0123456789") {}
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        if self.peek().is_some_and(is_alphanumeric) {
            self.bump();
            return false;
        }
        true
    }
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}
