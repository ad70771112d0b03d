//! Lengths of time that depend on the query's step and range.

use skep_proto::TimestampMs;

use super::{Eval, EvalError};
use crate::ast::{At, BinaryOp, DurationExpr, Length, Modifiers};

impl Eval<'_> {
    pub(super) fn length_ms(&self, length: &Length) -> Result<i64, EvalError> {
        match length {
            Length::Millis(it) => Ok(*it),
            Length::Expr(it) => millis(self.duration(it)?),
        }
    }

    /// A range or a step.
    pub(super) fn positive_ms(&self, length: &Length) -> Result<i64, EvalError> {
        let found = self.length_ms(length)?;
        if found <= 0 {
            return Err(EvalError::BadQuery("duration must be greater than 0".to_owned()));
        }
        Ok(found)
    }

    /// The point in time `@` names.
    pub(super) fn at_time(&self, modifiers: &Modifiers) -> Option<TimestampMs> {
        modifiers.at.map(|it| match it {
            At::Time(it) => it,
            At::Start => self.outer.start(),
            At::End => self.outer.end(),
        })
    }

    pub(super) fn step_seconds(&self) -> f64 {
        if self.options.is_instant {
            return 0.0;
        }
        super::seconds(TimestampMs(self.outer.step_ms()))
    }

    pub(super) fn range_seconds(&self) -> f64 {
        super::seconds(TimestampMs(self.outer.end().0.saturating_sub(self.outer.start().0)))
    }

    fn duration(&self, expr: &DurationExpr) -> Result<f64, EvalError> {
        Ok(match expr {
            DurationExpr::Literal(it) => it.value,
            DurationExpr::Negative(it, _) => -self.duration(it)?,
            DurationExpr::Paren(it, _) => self.duration(it)?,
            DurationExpr::Step(_) => self.step_seconds(),
            DurationExpr::Range(_) => self.range_seconds(),
            DurationExpr::MinOf(a, b, _) => self.duration(a)?.min(self.duration(b)?),
            DurationExpr::MaxOf(a, b, _) => self.duration(a)?.max(self.duration(b)?),
            DurationExpr::Binary { op, lhs, rhs } => {
                let (lhs, rhs) = (self.duration(lhs)?, self.duration(rhs)?);
                match op {
                    BinaryOp::Div if rhs == 0.0 => {
                        return Err(EvalError::BadQuery("division by zero".to_owned()));
                    }
                    BinaryOp::Mod if rhs == 0.0 => {
                        return Err(EvalError::BadQuery("modulo by zero".to_owned()));
                    }
                    op => crate::vector::apply_op(*op, lhs, rhs),
                }
            }
        })
    }
}

fn millis(seconds: f64) -> Result<i64, EvalError> {
    /// What 63 bits of nanoseconds hold, in seconds.
    const SECONDS_MAX: f64 = 9_223_372_036.0;
    if !seconds.is_finite() || seconds.abs() > SECONDS_MAX {
        return Err(EvalError::BadQuery("duration is out of range".to_owned()));
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    let millis = (seconds * 1000.0).round() as i64;
    Ok(millis)
}
