//! Float arithmetic on decimal digits, so that 0.1 + 0.2 is 0.3.

use super::{Value, cast::to_float};

/// Digits behind the point of a quotient.
const DIVISION_DIGITS: i32 = 16;

/// `m × 10^e`
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    m: i128,
    e: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    Div,
}

impl Decimal {
    /// The shortest decimal number that reads as this float.
    fn of(value: f64) -> Result<Self, String> {
        if !value.is_finite() {
            return Err(format!(
                "Cannot create a Decimal from {}",
                crate::go_units::go_float_g(value)
            ));
        }
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let m = format!("{whole}{decimals}").parse().unwrap_or(0);
        let n_decimals = i32::try_from(decimals.len()).unwrap_or(0);
        Ok(Self { m, e: exponent.parse().unwrap_or(0) - n_decimals })
    }

    fn to_f64(self) -> f64 {
        format!("{}e{}", self.m, self.e).parse().unwrap_or(f64::NAN)
    }

    /// The mantissas of two numbers at the smaller of their exponents.
    fn aligned(self, other: Self) -> Option<(i128, i128, i32)> {
        let e = self.e.min(other.e);
        Some((scaled(self.m, self.e - e)?, scaled(other.m, other.e - e)?, e))
    }
}

fn scaled(m: i128, by: i32) -> Option<i128> {
    if m == 0 {
        return Some(0);
    }
    m.checked_mul(10i128.checked_pow(u32::try_from(by).ok()?)?)
}

impl Op {
    /// None where the result does not fit.
    fn exact(self, left: Decimal, right: Decimal) -> Option<Decimal> {
        match self {
            Self::Add => {
                let (left, right, e) = left.aligned(right)?;
                Some(Decimal { m: left.checked_add(right)?, e })
            }
            Self::Sub => Self::Add.exact(left, Decimal { m: -right.m, e: right.e }),
            Self::Mul => Some(Decimal { m: left.m.checked_mul(right.m)?, e: left.e + right.e }),
            Self::Div => quotient(left, right),
        }
    }

    fn of_floats(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Sub => left - right,
            Self::Mul => left * right,
            Self::Div => left / right,
        }
    }
}

/// To sixteen digits behind the point, a half rounded away from zero.
fn quotient(left: Decimal, right: Decimal) -> Option<Decimal> {
    let shift = DIVISION_DIGITS + left.e - right.e;
    let (n, d) = if shift >= 0 {
        (scaled(left.m, shift)?, right.m)
    } else {
        (left.m, scaled(right.m, -shift)?)
    };
    let (quotient, rest) = (n.checked_div(d)?, n.checked_rem(d)?.unsigned_abs());
    let is_up = rest >= d.unsigned_abs() - rest;
    let away = if (n < 0) == (d < 0) { 1 } else { -1 };
    Some(Decimal { m: quotient + if is_up { away } else { 0 }, e: -DIVISION_DIGITS })
}

/// All arguments joined by an operator. What does not fit 38 digits is joined as floats.
pub(super) fn fold<'v>(first: f64, args: &[Value<'v>], op: Op) -> Result<Value<'v>, String> {
    let mut total = first;
    let mut left = Decimal::of(first)?;
    for arg in args {
        let value = to_float(Some(arg));
        let right = Decimal::of(value)?;
        if op == Op::Div && right.m == 0 {
            return Err("decimal division by 0".to_owned());
        }
        if let Some(exact) = op.exact(left, right) {
            (left, total) = (exact, exact.to_f64());
        } else {
            total = op.of_floats(total, value);
            left = Decimal::of(total)?;
        }
    }
    Ok(Value::Float(total))
}

pub(super) fn fold_rest<'v>(args: &[Value<'v>], op: Op) -> Result<Value<'v>, String> {
    fold(to_float(args.first()), args.get(1..).unwrap_or_default(), op)
}
