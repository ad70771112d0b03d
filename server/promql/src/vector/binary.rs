//! Arithmetic and comparison of values, and of a vector with a scalar.

use crate::{
    Matrix,
    ast::BinaryOp,
    matrix::{Row, absent, is_absent},
    vector::{VectorError, has_values, without_names},
    window::at_step,
};

/// Whether results of the operator are no longer what the metric's name says.
pub fn drops_name(op: BinaryOp, return_bool: bool) -> bool {
    return_bool || !(op.is_comparison() || op.is_set() || op.is_trim())
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

/// The value at one step of two sides that both have one: absent where a comparison filters it.
/// `kept` is what a filter lets through.
pub(crate) fn combine(op: BinaryOp, return_bool: bool, lhs: f64, rhs: f64, kept: f64) -> f64 {
    if !op.is_comparison() {
        return apply_op(op, lhs, rhs);
    }
    match (compare(op, lhs, rhs), return_bool) {
        (true, true) => 1.0,
        (false, true) => 0.0,
        (true, false) => kept,
        (false, false) => absent(),
    }
}

/// Scalars compare to 0 or 1.
pub fn scalar_scalar(op: BinaryOp, lhs: &[f64], rhs: &[f64]) -> Vec<f64> {
    lhs.iter().zip(rhs).map(|(&lhs, &rhs)| combine(op, true, lhs, rhs, lhs)).collect()
}

/// Applies `vector op scalar`, or `scalar op vector` where `scalar_first`; a filter keeps the
/// vector's value. The scalar has one value a step, or one for all.
///
/// # Errors
/// Rows that only their dropped names told apart.
pub fn vector_scalar(
    op: BinaryOp,
    return_bool: bool,
    vector: Matrix,
    scalar: &[f64],
    scalar_first: ScalarSide,
) -> Result<Matrix, VectorError> {
    let Matrix { grid, mut rows } = vector;
    for row in &mut rows {
        for (step_idx, value) in row.values.iter_mut().enumerate() {
            if is_absent(*value) {
                continue;
            }
            let scalar = at_step(scalar, step_idx);
            *value = match scalar_first {
                ScalarSide::Left => combine(op, return_bool, scalar, *value, *value),
                ScalarSide::Right => combine(op, return_bool, *value, scalar, *value),
            };
        }
    }
    let rows: Vec<Row> = rows.into_iter().filter(has_values).collect();
    let rows = if drops_name(op, return_bool) { without_names(rows)? } else { rows };
    Ok(Matrix { grid, rows })
}

/// Where the scalar of [`vector_scalar`] stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarSide {
    Left,
    Right,
}
