//! `and`, `or`, `unless`: rows of one side by whether the other has a match, step by step.

use std::collections::HashMap;

use skep_proto::Labels;

use crate::{
    Matrix,
    ast::{BinaryOp, Matching},
    matrix::Row,
    vector::{VectorError, matching::signature, merge_same_labels},
};

/// Which steps of each signature hold a value.
struct Presence(HashMap<Labels, Vec<bool>>);

impl Presence {
    fn of(rows: &[Row], matching: &Matching, n_steps: usize) -> Self {
        let mut steps: HashMap<Labels, Vec<bool>> = HashMap::new();
        for row in rows {
            let present = steps
                .entry(signature(&row.labels, matching))
                .or_insert_with(|| vec![false; n_steps]);
            for (step_idx, present) in present.iter_mut().enumerate() {
                *present |= row.is_present(step_idx);
            }
        }
        Self(steps)
    }

    /// Blanks the values of a row where the signature's presence is not as wanted.
    fn keep(&self, mut row: Row, matching: &Matching, wanted: bool) -> Row {
        let present = self.0.get(&signature(&row.labels, matching));
        for step_idx in 0..row.values.len() {
            let is_present = present.and_then(|it| it.get(step_idx)).copied().unwrap_or(false);
            if is_present != wanted {
                row.blank(step_idx);
            }
        }
        row.tidied()
    }
}

/// # Errors
/// `or` of rows with equal labels that the matching labels tell apart.
pub fn set_operation(
    op: BinaryOp,
    matching: &Matching,
    lhs: Matrix,
    rhs: Matrix,
) -> Result<Matrix, VectorError> {
    let grid = lhs.grid;
    let rows = if op == BinaryOp::Or {
        let present = Presence::of(&lhs.rows, matching, grid.n_steps());
        let added = rhs.rows.into_iter().map(|it| present.keep(it, matching, false));
        let rows = lhs.rows.into_iter().chain(added).collect();
        merge_same_labels(rows)?
    } else {
        let present = Presence::of(&rhs.rows, matching, grid.n_steps());
        let wanted = op == BinaryOp::And;
        lhs.rows.into_iter().map(|it| present.keep(it, matching, wanted)).collect()
    };
    Ok(Matrix { grid, rows: rows.into_iter().filter(Row::has_values).collect() })
}
