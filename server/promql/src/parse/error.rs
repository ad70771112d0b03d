//! A mistake in a query text, told with line and column as Prometheus does.

use std::fmt;

use crate::ast::Span;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    pub message: String,
    pub span: Span,
    position: String,
}

impl ParseError {
    pub(crate) fn new(query: &str, span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), span, position: position(query, span.start) }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: parse error: {}", self.position, self.message)
    }
}

impl std::error::Error for ParseError {}

/// `line:column`, both from 1, columns in bytes.
pub(crate) fn position(query: &str, at: usize) -> String {
    if query.is_empty() {
        return "unknown position".to_owned();
    }
    let Some(before) = query.get(..at) else {
        return "invalid position".to_owned();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |it| it + 1) + 1;
    format!("{line}:{column}")
}
