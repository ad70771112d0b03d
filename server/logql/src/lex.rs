//! Query text to tokens, with the positions Loki reports in its errors.
//!
//! Loki's lexer sits on Go's `text/scanner`, and its error positions show it: a token that took
//! more than the scanner's first bite (`>=`, `5m`, `[5m]`) is reported with line 0.

use std::ops::Range;

use skep_proto::{go_units as units, unquote};

use crate::{
    ast::{RangeOp, VectorOp},
    error::ParseError,
};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tok {
    End,
    Ident(String),
    Text(String),
    Number(String),
    /// Nanoseconds.
    Duration(i64),
    Bytes(u64),
    /// `[5m]`, in nanoseconds.
    Range(i64),
    /// `--strict`, `--keep-empty`.
    Flag(String),
    RangeOp(RangeOp),
    VectorOp(VectorOp),
    Func(Func),
    Sym(Sym),
}

impl Tok {
    /// What Loki calls the token in an error.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::End => "$end",
            Self::Ident(_) => "IDENTIFIER",
            Self::Text(_) => "STRING",
            Self::Number(_) => "NUMBER",
            Self::Duration(_) => "DURATION",
            Self::Bytes(_) => "BYTES",
            Self::Range(_) => "RANGE",
            Self::Flag(_) => "PARSER_FLAG",
            Self::RangeOp(op) => op.as_str(),
            Self::VectorOp(op) => op.as_str(),
            Self::Func(func) => func.as_str(),
            Self::Sym(sym) => sym.as_str(),
        }
    }
}

macro_rules! symbols {
    ($($variant:ident = $text:literal,)+) => {
        /// Punctuation and reserved words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Sym {
            $($variant,)+
        }

        impl Sym {
            const ALL: &[Self] = &[$(Self::$variant,)+];

            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

symbols! {
    Comma = ",", Dot = ".", OpenBrace = "{", CloseBrace = "}", Equal = "=", NotEqual = "!=",
    Regex = "=~", NotRegex = "!~", PipeExact = "|=", PipeMatch = "|~", PipePattern = "|>",
    NotPattern = "!>", Pipe = "|", OpenParen = "(", CloseParen = ")", By = "by",
    Without = "without", Bool = "bool", CloseBracket = "]", Offset = "offset", On = "on",
    Ignoring = "ignoring", GroupLeft = "group_left", GroupRight = "group_right",
    Unwrap = "unwrap", LabelReplace = "label_replace", Or = "or", And = "and",
    Unless = "unless", Add = "+", Sub = "-", Mul = "*", Div = "/", Mod = "%", Pow = "^",
    Compare = "==", Greater = ">", GreaterOrEqual = ">=", Less = "<", LessOrEqual = "<=",
    Json = "json", Regexp = "regexp", Logfmt = "logfmt", Unpack = "unpack",
    Pattern = "pattern", LabelFormat = "label_format", LineFormat = "line_format",
    Decolorize = "decolorize", Drop = "drop", Keep = "keep", Variants = "variants", Of = "of",
}

/// Words that are only reserved where a parenthesis or a grouping follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Func {
    Vector,
    Bytes,
    Duration,
    DurationSeconds,
    Ip,
}

impl Func {
    const ALL: &[Self] =
        &[Self::Vector, Self::Bytes, Self::Duration, Self::DurationSeconds, Self::Ip];

    fn as_str(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::DurationSeconds => "duration_seconds",
            Self::Ip => "ip",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) tok: Tok,
    pub(crate) at: Position,
    pub(crate) span: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) col: usize,
}

/// The tokens up to the end or to the first error; the last token is always [`Tok::End`].
pub(crate) fn lex(text: &str) -> (Vec<Token>, Option<ParseError>) {
    let mut lexer = Lexer { text, at: 0, line: 1, col: 1 };
    let mut tokens = Vec::new();
    loop {
        match lexer.next_token() {
            Ok(token) => {
                let is_end = token.tok == Tok::End;
                tokens.push(token);
                if is_end {
                    return (tokens, None);
                }
            }
            Err(error) => {
                let at = Position { line: lexer.line, col: lexer.col };
                let span = lexer.at..lexer.at;
                tokens.push(Token { tok: Tok::End, at, span });
                return (tokens, Some(error));
            }
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    col: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            (self.line, self.col) = (self.line + 1, 1);
        } else {
            self.col += 1;
        }
        Some(c)
    }

    fn bump_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&keep) {
            self.bump();
        }
    }

    fn next_token(&mut self) -> Result<Token, ParseError> {
        self.skip_blanks()?;
        let start = self.at;
        let mut at = Position { line: self.line, col: self.col };
        let Some(c) = self.bump() else {
            return Ok(Token { tok: Tok::End, at, span: start..start });
        };
        let tok = match c {
            '"' | '`' | '\'' => self.quoted(c, start, at)?,
            '[' => {
                at.line = 0;
                self.range(at)?
            }
            '0'..='9' => self.number(start, &mut at)?,
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.number(start, &mut at)?
            }
            '-' => self.minus(start, &mut at),
            c if c == '_' || c.is_alphabetic() => self.word(start),
            c => self.punctuation(c, &mut at),
        };
        Ok(Token { tok, at, span: start..self.at })
    }

    /// Blanks, `# …`, `// …` and `/* … */`.
    fn skip_blanks(&mut self) -> Result<(), ParseError> {
        loop {
            self.bump_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            let rest = self.rest();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.bump_while(|c| c != '\n');
            } else if rest.starts_with("/*") {
                let at = Position { line: self.line, col: self.col };
                let end =
                    rest.find("*/").ok_or_else(|| ParseError::at(at, "comment not terminated"))?;
                let stop = self.at + end + 2;
                while self.at < stop {
                    self.bump();
                }
            } else {
                return Ok(());
            }
        }
    }

    fn quoted(&mut self, quote: char, start: usize, at: Position) -> Result<Tok, ParseError> {
        loop {
            match self.bump() {
                None => return Err(ParseError::at(at, "literal not terminated")),
                Some('\n') if quote != '`' => {
                    return Err(ParseError::at(at, "literal not terminated"));
                }
                Some('\\') if quote != '`' => {
                    self.bump();
                }
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let inner = text.get(1..text.len() - 1).unwrap_or_default();
        match quote {
            // Go drops carriage returns from raw strings.
            '`' => Ok(Tok::Text(inner.replace('\r', ""))),
            '"' => unquote(inner)
                .map(Tok::Text)
                .ok_or_else(|| ParseError::at(at, "invalid char escape")),
            _ => Ok(Tok::Ident(text.to_owned())),
        }
    }

    fn range(&mut self, at: Position) -> Result<Tok, ParseError> {
        let start = self.at;
        self.bump_while(|c| c != ']');
        let text = self.text.get(start..self.at).unwrap_or_default();
        if self.bump().is_none() {
            return Err(ParseError::at(at, "missing closing ']' in duration"));
        }
        units::parse_prometheus_duration(text)
            .map(Tok::Range)
            .map_err(|message| ParseError::at(at, message))
    }

    fn number(&mut self, start: usize, at: &mut Position) -> Result<Tok, ParseError> {
        let rest = self.text.get(start..).unwrap_or_default();
        if rest.starts_with("0x") || rest.starts_with("0X") {
            self.bump();
            self.bump_while(|c| c.is_ascii_hexdigit() || c == '_');
        } else {
            self.bump_while(|c| c.is_ascii_digit() || c == '_' || c == '.');
            let exponent = self.rest();
            let signed = exponent.get(1..).unwrap_or_default().trim_start_matches(['+', '-']);
            if exponent.starts_with(['e', 'E']) && signed.starts_with(|c: char| c.is_ascii_digit())
            {
                self.bump();
                self.bump();
                self.bump_while(|c| c.is_ascii_digit());
            }
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if text.matches('.').count() > 1 {
            return Err(ParseError::at(*at, "invalid number"));
        }
        if let Some(duration) = self.suffixed(start, is_duration_char, parse_duration) {
            at.line = 0;
            return Ok(Tok::Duration(duration));
        }
        if let Some(bytes) = self.suffixed(start, is_bytes_char, units::parse_bytes) {
            at.line = 0;
            return Ok(Tok::Bytes(bytes));
        }
        Ok(Tok::Number(text.to_owned()))
    }

    /// Goes on over `keep` and takes all of it if it reads as a value.
    fn suffixed<T>(
        &mut self,
        start: usize,
        keep: fn(char) -> bool,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let rest = self.rest();
        let n_more =
            rest.find(|c: char| !c.is_numeric() && c != '.' && !keep(c)).unwrap_or(rest.len());
        if n_more == 0 {
            return None;
        }
        let value = parse(self.text.get(start..self.at + n_more)?)?;
        let stop = self.at + n_more;
        while self.at < stop {
            self.bump();
        }
        Some(value)
    }

    fn minus(&mut self, start: usize, at: &mut Position) -> Tok {
        for flag in ["strict", "keep-empty"] {
            let rest = self.rest().strip_prefix('-').unwrap_or_default();
            let after = rest.get(flag.len()..).unwrap_or_default();
            if rest.starts_with(flag)
                && !after.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_')
            {
                at.line = 0;
                let stop = self.at + 1 + flag.len();
                while self.at < stop {
                    self.bump();
                }
                return Tok::Flag(format!("--{flag}"));
            }
        }
        match self.suffixed(start, is_duration_char, parse_duration) {
            Some(duration) => {
                at.line = 0;
                Tok::Duration(duration)
            }
            None => Tok::Sym(Sym::Sub),
        }
    }

    fn word(&mut self, start: usize) -> Tok {
        self.bump_while(|c| c == '_' || c.is_alphanumeric());
        let text = self.text.get(start..self.at).unwrap_or_default();
        let lower = text.to_lowercase();
        if let Some(tok) = function(&lower) {
            return if self.is_called() { tok } else { Tok::Ident(text.to_owned()) };
        }
        match Sym::ALL.iter().find(|it| it.as_str() == lower) {
            Some(sym) => Tok::Sym(*sym),
            None => Tok::Ident(text.to_owned()),
        }
    }

    /// Whether `(`, `by (` or `without (` follows: else a function's name is a label.
    fn is_called(&self) -> bool {
        let rest = self.rest().trim_start();
        if rest.starts_with('(') {
            return true;
        }
        ["by", "without"].iter().any(|word| {
            rest.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word))
                && rest.get(word.len()..).unwrap_or_default().trim_start().starts_with('(')
        })
    }

    fn punctuation(&mut self, c: char, at: &mut Position) -> Tok {
        let find = |text: &str| Sym::ALL.iter().copied().find(|it| it.as_str() == text);
        if let Some(next) = self.peek()
            && let Some(sym) = find(&format!("{c}{next}"))
        {
            self.bump();
            at.line = 0;
            return Tok::Sym(sym);
        }
        match find(c.encode_utf8(&mut [0; 4])) {
            Some(sym) => Tok::Sym(sym),
            None => Tok::Ident(c.to_string()),
        }
    }
}

fn function(lower: &str) -> Option<Tok> {
    let range = || RangeOp::ALL.iter().find(|it| it.as_str() == lower).copied().map(Tok::RangeOp);
    let vector =
        || VectorOp::ALL.iter().find(|it| it.as_str() == lower).copied().map(Tok::VectorOp);
    let func = || Func::ALL.iter().find(|it| it.as_str() == lower).copied().map(Tok::Func);
    range().or_else(vector).or_else(func)
}

fn is_duration_char(c: char) -> bool {
    matches!(c, 'n' | 'u' | 'µ' | 'm' | 's' | 'h' | 'd' | 'w' | 'y')
}

fn is_bytes_char(c: char) -> bool {
    matches!(c, 'B' | 'i' | 'k' | 'K' | 'M' | 'G' | 'T' | 'P')
}

fn parse_duration(text: &str) -> Option<i64> {
    units::parse_go_duration(text).or_else(|| units::parse_prometheus_duration(text).ok())
}
