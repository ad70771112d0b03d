//! Selectors: a name, braces, matchers, and the strings inside.

use skep_proto::{MatchOp, Matcher, MatcherError, go_regex::PatternError, names::METRIC_NAME};

use super::{ParseError, Parser};
use crate::{
    ast::{BinaryOp, Modifiers, Span, VectorSelector},
    lex::{Kind, Token},
};

impl Parser<'_> {
    pub(super) fn selector(&mut self) -> Result<VectorSelector, ParseError> {
        let start = self.token.span;
        let mut name = None;
        if self.token.kind != Kind::LeftBrace {
            if !self.is_metric_name() {
                return Err(self.unexpected("", ""));
            }
            name = Some(self.advance()?.text.to_owned());
        }
        let mut matchers = Vec::new();
        if self.token.kind == Kind::LeftBrace {
            matchers = self.matchers()?;
        }
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        let span = Span { start: start.start, end: self.last_end };
        Ok(VectorSelector {
            name,
            matchers,
            modifiers: Modifiers::default(),
            may_match_all: false,
            span,
        })
    }

    fn matchers(&mut self) -> Result<Vec<Matcher>, ParseError> {
        self.expect(Kind::LeftBrace)?;
        let mut matchers = Vec::new();
        while self.token.kind != Kind::RightBrace {
            matchers.push(self.matcher()?);
            match self.token.kind {
                Kind::Comma => drop(self.advance()?),
                Kind::RightBrace => {}
                _ => return Err(self.unexpected("label matching", "\",\" or \"}\"")),
            }
        }
        self.advance()?;
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<Matcher, ParseError> {
        let label = self.token;
        let name = match label.kind {
            Kind::Identifier => self.advance()?.text.to_owned(),
            Kind::String => {
                let token = self.advance()?;
                self.unquote(token)?
            }
            _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
        };
        let op = match self.token.kind {
            Kind::Equal => MatchOp::Equal,
            Kind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::EqualRegex => MatchOp::Regex,
            Kind::NotRegex => MatchOp::NotRegex,
            // A quoted name alone is the metric's.
            Kind::Comma | Kind::RightBrace if label.kind == Kind::String => {
                return Ok(Matcher::equal(METRIC_NAME, name));
            }
            _ if label.kind == Kind::String => {
                return Err(self.unexpected("label matching", "\",\" or \"}\""));
            }
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.advance()?;
        if self.token.kind != Kind::String {
            return Err(self.unexpected("label matching", "string"));
        }
        let value = self.advance()?;
        let span = label.span.to(value.span);
        Matcher::new(name, op, self.unquote(value)?)
            .map_err(|error| self.error_at(span, regex_error(&error)))
    }

    /// The value of a string token.
    pub(super) fn unquote(&self, token: Token<'_>) -> Result<String, ParseError> {
        Ok(String::from_utf8_lossy(&self.unquote_bytes(token)?).into_owned())
    }

    pub(super) fn unquote_bytes(&self, token: Token<'_>) -> Result<Vec<u8>, ParseError> {
        let mut chars = token.text.chars();
        let open = chars.next();
        chars.next_back();
        let body = chars.as_str();
        if open == Some('`') {
            // As in Go, a raw string keeps no carriage return.
            return Ok(body.replace('\r', "").into_bytes());
        }
        unescape(body).ok_or_else(|| {
            self.error_at(token.span, format!("error unquoting string {}", token.text))
        })
    }
}

/// Resolves the escapes of a string body; the lexer has checked them.
fn unescape(body: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            push_char(&mut out, c);
            continue;
        }
        let escaped = chars.next()?;
        match escaped {
            'a' => out.push(0x07),
            'b' => out.push(0x08),
            'f' => out.push(0x0c),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(0x0b),
            '0'..='7' => {
                let mut value = escaped.to_digit(8)?;
                for _ in 0..2 {
                    value = value * 8 + chars.next()?.to_digit(8)?;
                }
                out.push(u8::try_from(value).ok()?);
            }
            'x' => out.push(u8::try_from(hex(&mut chars, 2)?).ok()?),
            'u' => push_char(&mut out, char::from_u32(hex(&mut chars, 4)?)?),
            'U' => push_char(&mut out, char::from_u32(hex(&mut chars, 8)?)?),
            other => push_char(&mut out, other),
        }
    }
    Some(out)
}

fn hex(chars: &mut std::str::Chars<'_>, n_digits: usize) -> Option<u32> {
    (0..n_digits).try_fold(0, |value, _| Some(value * 16 + chars.next()?.to_digit(16)?))
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Go's words for what is wrong with a pattern, where there is an equal.
fn regex_error(error: &MatcherError) -> String {
    let MatcherError::Regex { pattern, source } = error;
    if let PatternError::Go(error) = source.as_ref() {
        return error.to_string();
    }
    let text = source.to_string();
    let why = if text.contains("unclosed group") {
        "missing closing )"
    } else if text.contains("unopened group") {
        "unexpected )"
    } else if text.contains("unclosed character class") {
        "missing closing ]"
    } else if text.contains("repetition operator missing expression") {
        "missing argument to repetition operator"
    } else if text.contains("look-around") {
        "invalid or unsupported Perl syntax"
    } else if text.contains("escape") {
        "invalid escape sequence"
    } else {
        return format!("error parsing regexp: {pattern}");
    };
    format!("error parsing regexp: {why}: `{pattern}`")
}
