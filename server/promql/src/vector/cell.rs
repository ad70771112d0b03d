//! What stands at one step of a row: a float, or a float or histogram. Operators are written once
//! for both, so that rows without histograms cost nothing more.

use std::sync::Arc;

use skep_proto::{NativeHistogram, ResetHint};

use crate::{
    annotations::{Note, Notes, Operation},
    ast::BinaryOp,
    matrix::{Row, absent, is_absent},
    native::{Added, Histogram, MixedSchemas, Side, trim},
    vector::binary::{apply_op, compare},
};

/// A value an operator can take.
pub(crate) trait Operand: Clone {
    fn of(value: f64) -> Self;
    fn at(row: &Row, step_idx: usize) -> Option<Self>;
    fn put(self, row: &mut Row, step_idx: usize);
    /// The result of both sides, and of a comparison whether it holds; nothing where the operator
    /// knows no such sides.
    fn apply(op: BinaryOp, lhs: &Self, rhs: &Self, notes: &mut Notes) -> Applied<Self>;

    /// What is left of both sides once a comparison has filtered or become 0 or 1.
    fn combine(
        op: BinaryOp,
        return_bool: bool,
        [lhs, rhs]: [&Self; 2],
        kept: &Self,
        notes: &mut Notes,
    ) -> Option<Self> {
        match (Self::apply(op, lhs, rhs, notes), return_bool) {
            (Applied::Value(it), _) => Some(it),
            (Applied::Holds(true), false) => Some(kept.clone()),
            (Applied::Holds(holds), true) => Some(Self::of(if holds { 1.0 } else { 0.0 })),
            (Applied::Holds(false), false) | (Applied::Nothing, _) => None,
        }
    }
}

pub(crate) enum Applied<T> {
    Value(T),
    Holds(bool),
    Nothing,
}

impl Operand for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn at(row: &Row, step_idx: usize) -> Option<Self> {
        row.values.get(step_idx).copied().filter(|it| !is_absent(*it))
    }

    fn put(self, row: &mut Row, step_idx: usize) {
        if let Some(slot) = row.values.get_mut(step_idx) {
            *slot = self;
        }
    }

    fn apply(op: BinaryOp, lhs: &Self, rhs: &Self, notes: &mut Notes) -> Applied<Self> {
        if op.is_comparison() {
            return Applied::Holds(compare(op, *lhs, *rhs));
        }
        if op.is_trim() {
            notes.insert(Note::NoOperator { lhs: "float", op, rhs: "float" });
            return Applied::Nothing;
        }
        Applied::Value(apply_op(op, *lhs, *rhs))
    }
}

/// A float or a native histogram.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Float(f64),
    Histogram(Arc<NativeHistogram>),
}

impl Operand for Cell {
    fn of(value: f64) -> Self {
        Self::Float(value)
    }

    fn at(row: &Row, step_idx: usize) -> Option<Self> {
        f64::at(row, step_idx)
            .map(Self::Float)
            .or_else(|| row.histogram(step_idx).map(|it| Self::Histogram(Arc::clone(it))))
    }

    fn put(self, row: &mut Row, step_idx: usize) {
        match self {
            Self::Float(value) => {
                row.blank(step_idx);
                value.put(row, step_idx);
            }
            Self::Histogram(it) => {
                let n_steps = row.values.len();
                if let Some(slot) = row.values.get_mut(step_idx) {
                    *slot = absent();
                }
                let histograms = row.histograms.get_or_insert_with(|| vec![None; n_steps]);
                if let Some(slot) = histograms.get_mut(step_idx) {
                    *slot = Some(it);
                }
            }
        }
    }

    fn apply(op: BinaryOp, lhs: &Self, rhs: &Self, notes: &mut Notes) -> Applied<Self> {
        let value = match (lhs, rhs) {
            (Self::Float(lhs), Self::Float(rhs)) => {
                return match f64::apply(op, lhs, rhs, notes) {
                    Applied::Value(it) => Applied::Value(Self::Float(it)),
                    Applied::Holds(it) => Applied::Holds(it),
                    Applied::Nothing => Applied::Nothing,
                };
            }
            (Self::Histogram(lhs), Self::Histogram(rhs)) => return both(op, lhs, rhs, notes),
            (Self::Float(factor), Self::Histogram(it)) => scaled(op, it, *factor, "float", notes),
            (Self::Histogram(it), Self::Float(factor)) => {
                scaled(op, it, *factor, "histogram", notes)
            }
        };
        value.map_or(Applied::Nothing, |it| Applied::Value(Self::Histogram(Arc::new(it.build()))))
    }
}

/// A histogram and a number, the left one of which is of the kind `lhs`.
fn scaled(
    op: BinaryOp,
    histogram: &NativeHistogram,
    factor: f64,
    lhs: &'static str,
    notes: &mut Notes,
) -> Option<Histogram> {
    let mut result = Histogram::from(histogram);
    match (op, lhs) {
        (BinaryOp::Mul, _) => result.scale(factor),
        (BinaryOp::Div, "histogram") => result.divide(factor),
        (BinaryOp::TrimUpper, "histogram") => return Some(trim(&result, factor, Side::Below)),
        (BinaryOp::TrimLower, "histogram") => return Some(trim(&result, factor, Side::Above)),
        _ => {
            let rhs = if lhs == "float" { "histogram" } else { "float" };
            notes.insert(Note::NoOperator { lhs, op, rhs });
            return None;
        }
    }
    result.compact();
    Some(result)
}

fn both(
    op: BinaryOp,
    lhs: &Arc<NativeHistogram>,
    rhs: &Arc<NativeHistogram>,
    notes: &mut Notes,
) -> Applied<Cell> {
    let (mut left, right) = (Histogram::from(&**lhs), Histogram::from(&**rhs));
    let (added, operation) = match op {
        BinaryOp::Add => (left.add(&right), Operation::Addition),
        BinaryOp::Sub => {
            let added = left.sub(&right);
            left.hint = ResetHint::Gauge;
            (added, Operation::Subtraction)
        }
        BinaryOp::Equal => return Applied::Holds(left.is_same(&right)),
        BinaryOp::NotEqual => return Applied::Holds(!left.is_same(&right)),
        _ => {
            notes.insert(Note::NoOperator { lhs: "histogram", op, rhs: "histogram" });
            return Applied::Nothing;
        }
    };
    match added {
        Err(MixedSchemas) => {
            notes.insert(Note::NoCommonLayout(op));
            return Applied::Nothing;
        }
        // Where one side began anew and the other did not, their sum means nothing.
        Ok(Added { is_collision: true, .. }) => {
            notes.insert(Note::ResetCollision(operation));
            return Applied::Nothing;
        }
        Ok(Added { is_reconciled, .. }) => {
            if is_reconciled {
                notes.insert(Note::Reconciled(operation));
            }
        }
    }
    left.compact();
    Applied::Value(Cell::Histogram(Arc::new(left.build())))
}
