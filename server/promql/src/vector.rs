//! Loops over step-vectors that know no query language: aggregation, ranking, arithmetic, matching.
//! PromQL and LogQL metric queries share them.

mod aggregate;
mod aggregate_mixed;
mod binary;
mod cell;
mod grouping;
mod hash;
mod matching;
mod rank;
mod set;

use std::{collections::HashMap, sync::Arc};

use skep_proto::{Labels, names::METRIC_NAME};

use crate::matrix::Row;

pub use aggregate::{Accumulator, Aggregation, aggregate, count_values};
pub use aggregate_mixed::aggregate_mixed;
pub use binary::{ScalarSide, apply_op, compare, drops_name, scalar_scalar, vector_scalar};
pub use grouping::group_labels;
pub use matching::vector_vector;
pub use rank::{Ranking, rank};
pub use set::set_operation;

pub(crate) use cell::{Cell, Operand};

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
    /// The name in quotes, as Go writes them.
    #[error("invalid label name {0}")]
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
        if !row.has_values() {
            continue;
        }
        let next = merged.len();
        let idx = *seen.entry(Arc::clone(&row.labels)).or_insert(next);
        match merged.get_mut(idx) {
            None => merged.push(row),
            Some(held) => merge(held, &row)?,
        }
    }
    Ok(merged)
}

fn merge(held: &mut Row, new: &Row) -> Result<(), VectorError> {
    for step_idx in 0..new.values.len() {
        match (Cell::at(new, step_idx), held.is_present(step_idx)) {
            (None, _) => {}
            (Some(value), false) => value.put(held, step_idx),
            (Some(_), true) => return Err(VectorError::SameLabels),
        }
    }
    Ok(())
}

/// Rows whose values are no longer what the metric's name says.
pub fn marked(mut rows: Vec<Row>) -> Vec<Row> {
    for row in &mut rows {
        row.drops_name = true;
    }
    rows
}

/// Takes name, type and unit from the marked rows.
///
/// # Errors
/// Rows that become equal, both with a value at one step.
pub fn without_names(mut rows: Vec<Row>) -> Result<Vec<Row>, VectorError> {
    for row in rows.iter_mut().filter(|it| it.drops_name) {
        row.drops_name = false;
        if row.labels.iter().any(|(name, _)| is_metadata(name)) {
            row.labels = Arc::new(without_metadata(&row.labels));
        }
    }
    merge_same_labels(rows)
}

/// The labels that say what a metric measures.
fn is_metadata(label: &str) -> bool {
    [METRIC_NAME, "__type__", "__unit__"].contains(&label)
}

pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    labels.keep(|it| !is_metadata(it))
}
