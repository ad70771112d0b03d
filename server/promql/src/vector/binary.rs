//! Arithmetic and comparison of values, and of a vector with a scalar.

use crate::{
    Matrix,
    annotations::Notes,
    ast::BinaryOp,
    matrix::{Row, is_absent},
    vector::{
        cell::{Cell, Operand},
        marked,
    },
    window::at_step,
};

/// Whether results of the operator are no longer what the metric's name says.
pub fn drops_name(op: BinaryOp, return_bool: bool) -> bool {
    return_bool || changes_meaning(op)
}

/// Arithmetic makes something else of a metric.
pub(crate) fn changes_meaning(op: BinaryOp) -> bool {
    !(op.is_comparison() || op.is_set() || op.is_trim())
}

/// The value of an arithmetic operator; NaN for others.
pub fn apply_op(op: BinaryOp, lhs: f64, rhs: f64) -> f64 {
    match op {
        BinaryOp::Add => lhs + rhs,
        BinaryOp::Sub => lhs - rhs,
        BinaryOp::Mul => lhs * rhs,
        BinaryOp::Div => lhs / rhs,
        BinaryOp::Mod => lhs % rhs,
        BinaryOp::Pow => lhs.powf(rhs),
        BinaryOp::Atan2 => lhs.atan2(rhs),
        _ => f64::NAN,
    }
}

/// Whether a comparison holds; false for other operators.
#[expect(clippy::float_cmp, reason = "`==` of the language is exact")]
pub fn compare(op: BinaryOp, lhs: f64, rhs: f64) -> bool {
    match op {
        BinaryOp::Equal => lhs == rhs,
        BinaryOp::NotEqual => lhs != rhs,
        BinaryOp::Less => lhs < rhs,
        BinaryOp::LessEqual => lhs <= rhs,
        BinaryOp::Greater => lhs > rhs,
        BinaryOp::GreaterEqual => lhs >= rhs,
        _ => false,
    }
}

/// Scalars compare to 0 or 1.
pub fn scalar_scalar(op: BinaryOp, lhs: &[f64], rhs: &[f64]) -> Vec<f64> {
    let of = |lhs: &f64, rhs: &f64| {
        if op.is_comparison() {
            if compare(op, *lhs, *rhs) { 1.0 } else { 0.0 }
        } else {
            apply_op(op, *lhs, *rhs)
        }
    };
    lhs.iter().zip(rhs).map(|(lhs, rhs)| of(lhs, rhs)).collect()
}

/// Applies `vector op scalar`, or `scalar op vector` where `scalar_first`; a filter keeps the
/// vector's value. The scalar has one value a step, or one for all.
pub fn vector_scalar(
    op: BinaryOp,
    return_bool: bool,
    vector: Matrix,
    scalar: &[f64],
    scalar_first: ScalarSide,
    notes: &mut Notes,
) -> Matrix {
    let Matrix { grid, mut rows } = vector;
    let mut apply = Apply { op, return_bool, scalar, scalar_first, notes };
    for row in &mut rows {
        for (step_idx, value) in row.values.iter_mut().enumerate() {
            if !is_absent(*value) {
                *value = apply.at(step_idx, value).unwrap_or_else(crate::absent);
            }
        }
        if let Some(histograms) = row.histograms.take() {
            for (step_idx, histogram) in histograms.into_iter().enumerate() {
                let Some(result) =
                    histogram.and_then(|it| apply.at(step_idx, &Cell::Histogram(it)))
                else {
                    continue;
                };
                result.put(row, step_idx);
            }
        }
    }
    let rows = rows.into_iter().filter(Row::has_values).collect();
    let rows = if drops_name(op, return_bool) { marked(rows) } else { rows };
    Matrix { grid, rows }
}

struct Apply<'a> {
    op: BinaryOp,
    return_bool: bool,
    scalar: &'a [f64],
    scalar_first: ScalarSide,
    notes: &'a mut Notes,
}

impl Apply<'_> {
    fn at<T: Operand>(&mut self, step_idx: usize, value: &T) -> Option<T> {
        let scalar = T::of(at_step(self.scalar, step_idx));
        let sides = match self.scalar_first {
            ScalarSide::Left => [&scalar, value],
            ScalarSide::Right => [value, &scalar],
        };
        T::combine(self.op, self.return_bool, sides, value, self.notes)
    }
}

/// Where the scalar of [`vector_scalar`] stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarSide {
    Left,
    Right,
}
