//! `a.b[0]["c d"]`: where in a JSON line a value lies.

use super::json::{Value, next_token, read_value, unescape};
use crate::error::ParseError;

#[derive(Debug, Clone)]
pub(super) struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Member(String),
    Element(usize),
}

impl JsonPath {
    pub(super) fn parse(text: &str) -> Result<Self, ParseError> {
        Self::read(text)
            .map(|steps| Self { steps })
            .ok_or_else(|| ParseError::new(format!("cannot parse expression [{text}]")))
    }

    fn read(text: &str) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                if let Some(quoted) = inner.strip_prefix('"') {
                    let end = quoted.find("\"]")?;
                    steps.push(Step::Member(unescape(quoted.get(..end)?)?.into_owned()));
                    rest = quoted.get(end + 2..)?;
                } else {
                    let end = inner.find(']')?;
                    steps.push(Step::Element(inner.get(..end)?.trim().parse().ok()?));
                    rest = inner.get(end + 1..)?;
                }
                continue;
            }
            if !steps.is_empty() {
                rest = rest.strip_prefix('.')?;
            }
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let name = rest.get(..end)?;
            let is_name = |c: char| c == '_' || c == '-' || c.is_alphanumeric();
            if name.is_empty() || !name.chars().all(is_name) {
                return None;
            }
            steps.push(Step::Member(name.to_owned()));
            rest = rest.get(end..)?;
        }
        (!steps.is_empty()).then_some(steps)
    }

    /// The value at this path; an error is a value that is there but cannot be read. What lies
    /// behind it does not have to be JSON.
    pub(super) fn find<'l>(&self, line: &'l str) -> Result<Option<Value<'l>>, &'static str> {
        let mut at = 0;
        for step in &self.steps {
            let found = next_token(line, at).and_then(|at| match step {
                Step::Member(name) => member(line, at, name),
                Step::Element(index) => element(line, at, *index),
            });
            match found {
                Some(value) => at = value,
                None => return Ok(None),
            }
        }
        read_value(line, at).map(|(value, _)| Some(value))
    }
}

/// Where the value of a member starts, in the object that opens at `open`.
fn member(text: &str, open: usize, name: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = (bytes.get(open) == Some(&b'{')).then_some(open + 1)?;
    loop {
        let start = next_token(text, at).filter(|it| bytes.get(*it) == Some(&b'"'))?;
        let (key, after) = read_value(text, start).ok()?;
        let colon = next_token(text, after).filter(|it| bytes.get(*it) == Some(&b':'))?;
        if let Value::Text(raw) = key
            && unescape(raw).is_some_and(|it| it == name)
        {
            return Some(colon + 1);
        }
        at = behind_comma(text, colon + 1)?;
    }
}

/// Where an element starts, in the array that opens at `open`.
fn element(text: &str, open: usize, index: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = (bytes.get(open) == Some(&b'[')).then_some(open + 1)?;
    for _ in 0..index {
        at = behind_comma(text, at)?;
    }
    next_token(text, at).filter(|it| bytes.get(*it) != Some(&b']'))
}

/// Skips the value at `at` and the comma behind it.
fn behind_comma(text: &str, at: usize) -> Option<usize> {
    let (_, after) = read_value(text, at).ok()?;
    let comma = next_token(text, after)?;
    (text.as_bytes().get(comma) == Some(&b',')).then_some(comma + 1)
}
