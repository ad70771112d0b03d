//! Patterns compiled as Go would, and Go's words for those that are none.

use regex::Regex;
use regex_syntax::ast::{ErrorKind, parse::Parser as RegexParser};

use super::PatternError;

/// # Errors
/// Go's message for a bad pattern.
pub fn compile_or_say(pattern: &str) -> Result<Regex, String> {
    super::compile(pattern).map_err(|error| explain(pattern, pattern, &error))
}

/// `shown` is what Go saw of the pattern.
pub fn explain(pattern: &str, shown: &str, error: &PatternError) -> String {
    let error = match error {
        PatternError::Go(error) => return error.to_string(),
        PatternError::Rust(error) => error,
    };
    let what = match RegexParser::new().parse(pattern) {
        Err(error) => match error.kind() {
            ErrorKind::GroupUnclosed => "missing closing )".to_owned(),
            ErrorKind::GroupUnopened => "unexpected )".to_owned(),
            ErrorKind::ClassUnclosed => {
                let part = shown.get(error.span().start.offset..).unwrap_or(shown);
                return format!("error parsing regexp: missing closing ]: `{part}`");
            }
            ErrorKind::ClassRangeInvalid => {
                let span = error.span();
                let part = pattern.get(span.start.offset..span.end.offset).unwrap_or(shown);
                return format!("error parsing regexp: invalid character class range: `{part}`");
            }
            ErrorKind::RepetitionMissing => {
                return format!(
                    "error parsing regexp: missing argument to repetition operator: `{}`",
                    pattern.get(error.span().start.offset..error.span().end.offset).unwrap_or("*")
                );
            }
            ErrorKind::EscapeUnrecognized => {
                let span = error.span();
                let part = pattern.get(span.start.offset..span.end.offset).unwrap_or(shown);
                return format!("error parsing regexp: invalid escape sequence: `{part}`");
            }
            ErrorKind::EscapeUnexpectedEof => {
                return "error parsing regexp: trailing backslash at end of expression: ``"
                    .to_owned();
            }
            ErrorKind::GroupNameDuplicate { .. } => {
                let span = error.span();
                let part = pattern.get(span.start.offset..span.end.offset).unwrap_or(shown);
                return format!("error parsing regexp: duplicate capture group name: `{part}`");
            }
            other => other.to_string(),
        },
        Ok(_) => error.to_string(),
    };
    format!("error parsing regexp: {what}: `{shown}`")
}
