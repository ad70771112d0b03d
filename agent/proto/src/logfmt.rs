//! Lines of `key=value` pairs, as go-logfmt reads them.

use std::borrow::Cow;

use crate::unquote;

/// Reads `key=value key="quoted value"` pairs of one line.
#[derive(Debug)]
pub struct Decoder<'l> {
    line: &'l str,
    at: usize,
}

impl<'l> Decoder<'l> {
    pub fn new(line: &'l str) -> Self {
        Self { line, at: 0 }
    }

    /// The next key and its value. After an error the rest of the word is skipped.
    ///
    /// # Errors
    /// What is wrong at this place, as go-logfmt says it.
    pub fn next_pair(&mut self) -> Option<Result<(&'l str, Cow<'l, str>), String>> {
        let bytes = self.line.as_bytes();
        let rest = bytes.get(self.at..)?;
        self.at += rest.iter().position(|it| *it > b' ')?;
        let start = self.at;
        let rest = bytes.get(start..)?;
        let n_key = rest.iter().position(|it| matches!(it, b'=' | b'"') || *it <= b' ');
        self.at = start + n_key.unwrap_or(rest.len());
        let key = self.line.get(start..self.at)?;
        match bytes.get(self.at) {
            Some(b'=') if key.is_empty() => return Some(Err(self.unexpected('='))),
            Some(b'=') => self.at += 1,
            Some(b'"') => return Some(Err(self.unexpected('"'))),
            _ => return Some(Ok((key, Cow::Borrowed("")))),
        }
        if key.contains('\u{fffd}') {
            return Some(Err(self.error("invalid key")));
        }
        Some(match bytes.get(self.at) {
            Some(b'"') => self.quoted().map(|value| (key, value)),
            _ => self.plain().map(|value| (key, value)),
        })
    }

    fn plain(&mut self) -> Result<Cow<'l, str>, String> {
        let start = self.at;
        let rest = self.line.as_bytes().get(start..).unwrap_or_default();
        let end = rest.iter().position(|it| matches!(it, b'=' | b'"') || *it <= b' ');
        self.at = start + end.unwrap_or(rest.len());
        match end.and_then(|it| rest.get(it)) {
            Some(b'=') => Err(self.unexpected('=')),
            Some(b'"') => Err(self.unexpected('"')),
            _ => Ok(Cow::Borrowed(self.line.get(start..self.at).unwrap_or_default())),
        }
    }

    fn quoted(&mut self) -> Result<Cow<'l, str>, String> {
        let bytes = self.line.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        loop {
            let found = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default());
            let Some(found) = found else {
                self.at = bytes.len();
                return Err(self.error("unterminated quoted value"));
            };
            at += found;
            if bytes.get(at) == Some(&b'"') {
                break;
            }
            at += 2;
        }
        self.at = at + 1;
        let raw = self.line.get(start..at).unwrap_or_default();
        if !raw.contains('\\') {
            return Ok(Cow::Borrowed(raw));
        }
        unquote(raw).map(Cow::Owned).ok_or_else(|| self.error("invalid quoted value"))
    }

    fn unexpected(&mut self, c: char) -> String {
        let error = self.error(&format!("unexpected '{c}'"));
        let rest = self.line.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|it| *it <= b' ').unwrap_or(rest.len());
        error
    }

    fn error(&self, what: &str) -> String {
        format!("logfmt syntax error at pos {} : {what}", self.at + 1)
    }
}
