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

    /// The value at this path; an error is JSON that cannot be read on the way there.
    pub(super) fn find<'l>(&self, line: &'l str) -> Result<Option<Value<'l>>, &'static str> {
        let (mut value, _) = read_value(line, 0)?;
        for step in &self.steps {
            let found = match (step, value) {
                (Step::Member(name), Value::Object(text)) => member(text, name)?,
                (Step::Element(index), Value::Array(text)) => element(text, *index)?,
                _ => None,
            };
            match found {
                Some(inner) => value = inner,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }
}

fn member<'l>(object: &'l str, name: &str) -> Result<Option<Value<'l>>, &'static str> {
    let mut at = 1;
    while let Some(start) = next_token(object, at) {
        if object.as_bytes().get(start) != Some(&b'"') {
            return Ok(None);
        }
        let (key, after) = read_value(object, start)?;
        let Some(colon) = next_token(object, after) else { return Ok(None) };
        let (value, after) = read_value(object, colon + 1)?;
        if let Value::Text(raw) = key
            && unescape(raw).is_some_and(|it| it == name)
        {
            return Ok(Some(value));
        }
        match next_token(object, after) {
            Some(comma) => at = comma + 1,
            None => return Ok(None),
        }
    }
    Ok(None)
}

fn element(array: &str, index: usize) -> Result<Option<Value<'_>>, &'static str> {
    let mut at = 1;
    let mut n = 0;
    while let Some(start) = next_token(array, at) {
        if array.as_bytes().get(start) == Some(&b']') {
            return Ok(None);
        }
        let (value, after) = read_value(array, start)?;
        if n == index {
            return Ok(Some(value));
        }
        n += 1;
        match next_token(array, after) {
            Some(comma) => at = comma + 1,
            None => return Ok(None),
        }
    }
    Ok(None)
}
