//! One condition on one label, as both query languages write it: `name op "value"`.

use std::fmt;

use regex::Regex;

use crate::{
    Labels,
    escape::write_quoted,
    go_regex::{self, PatternError},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

/// A compiled matcher. Regular expressions are anchored at both ends and `.` matches a newline,
/// as in Prometheus.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<Regex>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum MatcherError {
    #[error("error parsing regexp: {pattern}")]
    Regex { pattern: String, source: Box<PatternError> },
}

impl Matcher {
    /// # Errors
    /// A pattern that is no regular expression.
    pub fn new(
        name: impl Into<String>,
        op: MatchOp,
        value: impl Into<String>,
    ) -> Result<Self, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(compile(&value)?),
        };
        Ok(Self { name, op, value, regex })
    }

    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn op(&self) -> MatchOp {
        self.op
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label value satisfies the condition; an absent label counts as empty.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => value == self.value,
            (MatchOp::NotEqual, _) => value != self.value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => false,
        }
    }

    /// Whether a series without this label can match.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name))
    }
}

fn compile(pattern: &str) -> Result<Regex, MatcherError> {
    let refuse = |source: PatternError| MatcherError::Regex {
        pattern: pattern.to_owned(),
        source: Box::new(source),
    };
    // Translated alone, or an error in it could be hidden by what is put around it.
    let translated = go_regex::translate(pattern).map_err(|error| refuse(error.into()))?;
    go_regex::build(&format!("^(?s:{translated})$")).map_err(|error| refuse(error.into()))
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for MatchOp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        })
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.name, self.op)?;
        write_quoted(out, &self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(op: MatchOp, value: &str, yes: &[&str], no: &[&str]) {
        let matcher = Matcher::new("a", op, value).unwrap();
        for it in yes {
            assert!(matcher.matches(it), "{matcher} should take {it:?}");
        }
        for it in no {
            assert!(!matcher.matches(it), "{matcher} should refuse {it:?}");
        }
    }

    #[test]
    fn patterns_are_anchored_and_span_lines() {
        check(MatchOp::Regex, "a|b", &["a", "b"], &["ab", "xa", ""]);
        check(MatchOp::Regex, "a.*", &["a\nb"], &["ba"]);
        check(MatchOp::NotRegex, "a.+", &["a", ""], &["ab"]);
    }

    #[test]
    fn an_absent_label_is_empty() {
        check(MatchOp::Equal, "", &[""], &["a"]);
        check(MatchOp::NotEqual, "a", &["", "b"], &["a"]);
    }
}
