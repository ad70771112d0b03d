//! Log lines through the stages of a query.

pub(crate) mod pattern;
