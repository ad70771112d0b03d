//! Functions over the unwrapped values of a window.

use std::ops::Range;

use skep_promql::{absent, quantile::quantile};

use super::Windows;
use crate::ast::RangeOp;

/// Applies `op` to the window of each step. Times are already moved by the offset.
pub(super) fn windows(
    mut samples: Vec<(i64, f64)>,
    op: RangeOp,
    q: f64,
    windows: &Windows,
) -> Vec<f64> {
    // Streams come one after the other; values of equal times stay in that order.
    samples.sort_by_key(|(ts, _)| *ts);
    let mut span: Range<usize> = 0..0;
    let mut scratch = Vec::new();
    windows
        .grid
        .steps()
        .map(|step| {
            let end_ns = step.to_ns().0;
            let start_ns = end_ns.saturating_sub(windows.interval_ns);
            while samples.get(span.end).is_some_and(|(ts, _)| *ts <= end_ns) {
                span.end += 1;
            }
            while span.start < span.end
                && samples.get(span.start).is_some_and(|(ts, _)| *ts <= start_ns)
            {
                span.start += 1;
            }
            let window = samples.get(span.clone()).unwrap_or_default();
            if window.is_empty() {
                return absent();
            }
            apply(op, q, window, windows.interval_ns, &mut scratch)
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts and seconds are floats")]
fn apply(
    op: RangeOp,
    q: f64,
    window: &[(i64, f64)],
    interval_ns: i64,
    scratch: &mut Vec<f64>,
) -> f64 {
    let values = || window.iter().map(|(_, value)| *value);
    let n = window.len() as f64;
    match op {
        RangeOp::SumOverTime => values().sum(),
        RangeOp::Rate => values().sum::<f64>() / (interval_ns as f64 / 1e9),
        RangeOp::AvgOverTime => {
            // A running mean does not overflow where a sum would.
            let mut mean = 0.0;
            for (i, value) in values().enumerate() {
                mean += (value - mean) / (i as f64 + 1.0);
            }
            mean
        }
        RangeOp::MinOverTime => values()
            .reduce(|min, it| if it < min || min.is_nan() { it } else { min })
            .unwrap_or(0.0),
        RangeOp::MaxOverTime => values()
            .reduce(|max, it| if it > max || max.is_nan() { it } else { max })
            .unwrap_or(0.0),
        RangeOp::StdvarOverTime => variance(values()),
        RangeOp::StddevOverTime => variance(values()).sqrt(),
        RangeOp::QuantileOverTime => {
            scratch.clear();
            scratch.extend(values());
            quantile(q, scratch)
        }
        RangeOp::FirstOverTime => values().next().unwrap_or(0.0),
        RangeOp::LastOverTime => values().next_back().unwrap_or(0.0),
        RangeOp::RateCounter => rate_counter(window, interval_ns),
        RangeOp::CountOverTime
        | RangeOp::BytesOverTime
        | RangeOp::BytesRate
        | RangeOp::AbsentOverTime => n,
    }
}

fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        n += 1.0;
        let delta = value - mean;
        mean += delta / n;
        squares += delta * (value - mean);
    }
    squares / n
}

/// The increase of a counter a second. Loki extrapolates to the window's edges, but mixes
/// microseconds with seconds there, so that next to nothing is added; we do as it does.
#[expect(clippy::cast_precision_loss, reason = "times are floats here")]
fn rate_counter(window: &[(i64, f64)], interval_ns: i64) -> f64 {
    let ([(first_ns, first), ..], [.., (last_ns, last)]) = (window, window) else { return 0.0 };
    if window.len() < 2 {
        return 0.0;
    }
    let mut increase = last - first;
    let mut before = 0.0;
    for (_, value) in window {
        if *value < before {
            increase += before;
        }
        before = *value;
    }
    let seconds = interval_ns as f64 / 1e9;
    let sampled = (last_ns - first_ns) as f64 / 1e3;
    let between = sampled / (window.len() - 1) as f64;
    let mut to_start = seconds;
    if increase > 0.0 && *first >= 0.0 {
        to_start = to_start.min(sampled * (first / increase));
    }
    let threshold = between * 1.1;
    let mut extrapolated = sampled;
    extrapolated += if to_start < threshold { to_start } else { between / 2.0 };
    // The last sample is the end of the range.
    extrapolated += if 0.0 < threshold { 0.0 } else { between / 2.0 };
    increase * (extrapolated / sampled) / seconds
}
