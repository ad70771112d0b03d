//! Operators between vectors and literals, by promql's loops.

use skep_promql::{
    Matrix,
    annotations::Notes,
    ast::{BinaryOp as PromOp, Cardinality, Matching as PromMatching},
    vector::{ScalarSide, set_operation, vector_scalar, vector_vector},
};

use super::{Value, matching_error};
use crate::{
    ast::{Binary, BinaryOp, GroupSide},
    error::QueryError,
    parse::fold,
};

pub(super) fn apply(binary: &Binary, left: Value, right: Value) -> Result<Value, QueryError> {
    let (op, is_bool) = (prom_op(binary.op), binary.return_bool);
    // Logs have no histograms, of which alone there would be something to tell.
    let notes = &mut Notes::new();
    match (left, right) {
        (Value::Scalar(left), Value::Scalar(right)) => {
            return Ok(Value::Scalar(fold(binary.op, left, right)));
        }
        (Value::Matrix(left), Value::Scalar(right)) => {
            let right = divisor(binary.op, right);
            Ok(vector_scalar(op, is_bool, left, &[right], ScalarSide::Right, notes))
        }
        (Value::Scalar(left), Value::Matrix(right)) => {
            let right = divisors(binary.op, right);
            Ok(vector_scalar(op, is_bool, right, &[left], ScalarSide::Left, notes))
        }
        (Value::Matrix(left), Value::Matrix(right)) if binary.op.is_set() => {
            set_operation(op, &matching(binary), left, right)
        }
        (Value::Matrix(left), Value::Matrix(right)) => {
            let right = divisors(binary.op, right);
            vector_vector(op, is_bool, &matching(binary), &left, &right, notes)
        }
        (Value::Streams(_), _) | (_, Value::Streams(_)) => {
            return Err(QueryError::BadRequest("an operand is a log query".to_owned()));
        }
    }
    .map(Value::Matrix)
    .map_err(matching_error)
}

/// In Loki a division by zero has no value: NaN, not an infinity.
fn divisor(op: BinaryOp, value: f64) -> f64 {
    if op == BinaryOp::Div && value == 0.0 { f64::NAN } else { value }
}

fn divisors(op: BinaryOp, mut matrix: Matrix) -> Matrix {
    if op == BinaryOp::Div {
        for value in matrix.rows.iter_mut().flat_map(|it| &mut it.values) {
            *value = divisor(op, *value);
        }
    }
    matrix
}

fn matching(binary: &Binary) -> PromMatching {
    let Some(matching) = &binary.matching else { return PromMatching::default() };
    let card = match matching.group.as_ref().map(|it| it.side) {
        None => Cardinality::OneToOne,
        Some(GroupSide::Left) => Cardinality::ManyToOne,
        Some(GroupSide::Right) => Cardinality::OneToMany,
    };
    PromMatching {
        on: matching.on,
        labels: matching.labels.clone(),
        card,
        include: matching.group.as_ref().map(|it| it.include.clone()).unwrap_or_default(),
        ..PromMatching::default()
    }
}

fn prom_op(op: BinaryOp) -> PromOp {
    match op {
        BinaryOp::Or => PromOp::Or,
        BinaryOp::And => PromOp::And,
        BinaryOp::Unless => PromOp::Unless,
        BinaryOp::Add => PromOp::Add,
        BinaryOp::Sub => PromOp::Sub,
        BinaryOp::Mul => PromOp::Mul,
        BinaryOp::Div => PromOp::Div,
        BinaryOp::Mod => PromOp::Mod,
        BinaryOp::Pow => PromOp::Pow,
        BinaryOp::Equal => PromOp::Equal,
        BinaryOp::NotEqual => PromOp::NotEqual,
        BinaryOp::Greater => PromOp::Greater,
        BinaryOp::GreaterOrEqual => PromOp::GreaterEqual,
        BinaryOp::Less => PromOp::Less,
        BinaryOp::LessOrEqual => PromOp::LessEqual,
    }
}
