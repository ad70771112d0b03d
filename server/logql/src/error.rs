//! Why a query cannot be parsed or run, in Loki's words.

use skep_promql::StorageError;

use crate::lex::Position;

/// A query that is no LogQL. Prints as Loki answers it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", place(*line, *col))]
pub struct ParseError {
    line: usize,
    col: usize,
    message: String,
}

fn place(line: usize, col: usize) -> String {
    if line == 0 && col == 0 {
        return "parse error : ".to_owned();
    }
    format!("parse error at line {line}, col {col}: ")
}

impl ParseError {
    /// An error of meaning rather than of syntax: Loki gives it no place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { line: 0, col: 0, message: message.into() }
    }

    pub(crate) fn at(at: Position, message: impl Into<String>) -> Self {
        Self { line: at.line, col: at.col, message: message.into() }
    }
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A stage failed on a line of a metric query, which must not answer as if it had not.
    #[error(
        "pipeline error: '{kind}' for series: '{labels}'.\nUse a label filter to intentionally \
         skip this error. (e.g | __error__!=\"{kind}\").\nTo skip all potential errors you can \
         match empty errors.(e.g __error__=\"\")\nThe label filter can also be specified after \
         unwrap. (e.g | unwrap latency | __error__=\"\" )\n"
    )]
    Pipeline { kind: String, labels: String },
    #[error(
        "maximum number of series ({0}) reached for a single query; consider reducing query cardinality by adding more specific stream selectors, reducing the time range, or aggregating results with functions like sum(), count() or topk()"
    )]
    Series(usize),
    /// Operands that do not fit each other, with promql's text.
    #[error("{0}")]
    Matching(String),
    /// A request that makes no sense for this query.
    #[error("{0}")]
    BadRequest(String),
    #[error(transparent)]
    Storage(#[from] StorageError),
}
