//! Loops over step-vectors that know no query language: aggregation, ranking, arithmetic, matching.
//! PromQL and LogQL metric queries share them.

mod aggregate;
mod binary;
mod grouping;
mod matching;
mod rank;
mod set;

use std::{collections::HashMap, sync::Arc};

use skep_proto::Labels;

use crate::matrix::{Row, is_absent};

pub use aggregate::{Accumulator, Aggregation, aggregate, count_values};
pub use binary::{ScalarSide, apply_op, compare, drops_name, scalar_scalar, vector_scalar};
pub use grouping::group_labels;
pub use matching::vector_vector;
pub use rank::{Ranking, rank};
pub use set::set_operation;

/// What Prometheus calls an execution error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VectorError {
    #[error("vector cannot contain metrics with the same labelset")]
    SameLabels,
    #[error(
        "found duplicate series for the match group {group} on the {side} hand-side of the \
         operation: [{first}, {second}];many-to-many matching not allowed: matching labels must \
         be unique on one side"
    )]
    ManyToMany { group: String, side: &'static str, first: String, second: String },
    #[error(
        "multiple matches for labels: many-to-one matching must be explicit \
         (group_left/group_right)"
    )]
    ManyToOne,
    #[error("multiple matches for labels: grouping labels must ensure unique matches")]
    NotUnique,
    #[error("Parameter value is NaN")]
    ParamNan,
    #[error("Scalar value {0} overflows int64")]
    ParamOverflow(String),
    #[error("Scalar value {0} underflows int64")]
    ParamUnderflow(String),
    #[error("Ratio value is NaN")]
    RatioNan,
    #[error("invalid label name {0:?}")]
    LabelName(String),
}

/// Makes one row of those with equal labels, where no step has two values.
///
/// # Errors
/// Two values at one step.
pub fn merge_same_labels(rows: Vec<Row>) -> Result<Vec<Row>, VectorError> {
    let mut seen: HashMap<Arc<Labels>, usize> = HashMap::with_capacity(rows.len());
    let mut merged: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        if row.values.iter().all(|it| is_absent(*it)) {
            continue;
        }
        let next = merged.len();
        let idx = *seen.entry(Arc::clone(&row.labels)).or_insert(next);
        match merged.get_mut(idx) {
            None => merged.push(row),
            Some(held) => {
                for (held, new) in held.values.iter_mut().zip(row.values) {
                    match (is_absent(*held), is_absent(new)) {
                        (_, true) => {}
                        (true, false) => *held = new,
                        (false, false) => return Err(VectorError::SameLabels),
                    }
                }
            }
        }
    }
    Ok(merged)
}

/// Takes the metric name from every row.
///
/// # Errors
/// Rows that only their names told apart, both with a value at one step.
pub fn without_names(mut rows: Vec<Row>) -> Result<Vec<Row>, VectorError> {
    for row in &mut rows {
        if !row.labels.metric_name().is_empty() {
            row.labels = Arc::new(row.labels.without_name());
        }
    }
    merge_same_labels(rows)
}

/// Whether a row has a value at any step.
pub fn has_values(row: &Row) -> bool {
    row.values.iter().any(|it| !is_absent(*it))
}
