//! Least squares (`deriv`, `predict_linear`) and double exponential smoothing.

use super::{Slice, rate::seconds};
use crate::kahan::Kahan;

/// Slope per second and value at `origin`.
fn linear_regression(slice: &Slice<'_>, origin: i64) -> Option<(f64, f64)> {
    let (_, first) = slice.first()?;
    #[expect(clippy::float_cmp, reason = "a constant series is told by exact equality")]
    let is_constant = slice.values.iter().all(|it| *it == first);
    let (mut sum_x, mut sum_y) = (Kahan::default(), Kahan::default());
    let (mut sum_xy, mut sum_x2) = (Kahan::default(), Kahan::default());
    for (&ts, &y) in slice.ts.iter().zip(slice.values) {
        let x = seconds(ts - origin);
        sum_x.add(x);
        sum_y.add(y);
        sum_xy.add(x * y);
        sum_x2.add(x * x);
    }
    if is_constant {
        return Some(if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) });
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let n = slice.values.len() as f64;
    let (sum_x, sum_y) = (sum_x.total(), sum_y.total());
    let covariance = sum_xy.total() - sum_x * sum_y / n;
    let variance = sum_x2.total() - sum_x * sum_x / n;
    let slope = covariance / variance;
    Some((slope, sum_y / n - slope * sum_x / n))
}

pub(super) fn deriv(slice: &Slice<'_>) -> Option<f64> {
    let (origin, _) = slice.first().filter(|_| slice.values.len() >= 2)?;
    linear_regression(slice, origin).map(|(slope, _)| slope)
}

pub(super) fn predict(slice: &Slice<'_>, ahead_seconds: f64) -> Option<f64> {
    if slice.values.len() < 2 {
        return None;
    }
    let (slope, intercept) = linear_regression(slice, slice.at)?;
    Some(slope * ahead_seconds + intercept)
}

/// Holt's method. The evaluator has checked that both factors lie between 0 and 1.
pub(super) fn smooth(slice: &Slice<'_>, smoothing: f64, trend: f64) -> Option<f64> {
    let &[first, second, ..] = slice.values else {
        return None;
    };
    let (mut before, mut smoothed) = (0.0, first);
    let mut slope = second - first;
    for (i, value) in slice.values.iter().skip(1).enumerate() {
        let scaled = smoothing * value;
        if i > 0 {
            slope = trend * (smoothed - before) + (1.0 - trend) * slope;
        }
        let next = scaled + (1.0 - smoothing) * (smoothed + slope);
        (before, smoothed) = (smoothed, next);
    }
    Some(smoothed)
}
