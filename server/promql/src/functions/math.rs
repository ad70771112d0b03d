//! Functions of one value, and of one value with scalars.

use std::f64::consts::PI;

pub(crate) fn degrees(value: f64) -> f64 {
    value * 180.0 / PI
}

pub(crate) fn radians(value: f64) -> f64 {
    value * PI / 180.0
}

/// The standard library's overflows near the largest float.
pub(crate) fn acosh(value: f64) -> f64 {
    const BIG: f64 = 268_435_456.0;
    if value > BIG { value.ln() + std::f64::consts::LN_2 } else { value.acosh() }
}

/// Zero and NaN stay what they are.
pub(crate) fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// NaN of either makes NaN, as Go's `math.Max` and `math.Min`.
fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

pub(crate) fn min_of(a: f64, b: f64) -> f64 {
    min(a, b)
}

pub(crate) fn max_of(a: f64, b: f64) -> f64 {
    max(a, b)
}

pub(crate) fn clamp(value: f64, params: &[f64]) -> f64 {
    let &[low, high] = params else {
        return value;
    };
    max(low, min(high, value))
}

pub(crate) fn clamp_min(value: f64, params: &[f64]) -> f64 {
    params.first().map_or(value, |low| max(*low, value))
}

pub(crate) fn clamp_max(value: f64, params: &[f64]) -> f64 {
    params.first().map_or(value, |high| min(*high, value))
}

/// Halves go up.
pub(crate) fn round(value: f64, params: &[f64]) -> f64 {
    // The inverse keeps multiples like 0.1 exact.
    let inverse = 1.0 / params.first().copied().unwrap_or(1.0);
    (value * inverse + 0.5).floor() / inverse
}
