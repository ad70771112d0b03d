//! The `*_over_time` family, `changes` and `resets`.

use super::{Slice, Windows, at_step, rate::seconds};
use crate::{
    kahan::{Kahan, mean},
    leaf::Window,
    quantile::quantile,
};

pub(super) fn apply(window: &Window, windows: &Windows<'_>, out: &mut [f64]) {
    match window {
        Window::Changes => count_pairs(windows, out, is_change),
        Window::Resets => count_pairs(windows, out, |before, after| after < before),
        Window::QuantileOverTime { quantile: q } => windows.each(out, |step_idx, it| {
            Some(quantile(at_step(q, step_idx), &mut it.values.to_vec()))
        }),
        Window::MinOverTime => extreme(windows, out, |new, held| new < held, |_, it| it),
        Window::MaxOverTime => extreme(windows, out, |new, held| new > held, |_, it| it),
        Window::TsOfMinOverTime => {
            extreme(windows, out, |new, held| new <= held, |ts, _| seconds(ts));
        }
        Window::TsOfMaxOverTime => {
            extreme(windows, out, |new, held| new >= held, |ts, _| seconds(ts));
        }
        other => windows.each(out, |_, it| of_slice(other, &it)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of samples")]
fn count(n: usize) -> f64 {
    n as f64
}

fn of_slice(window: &Window, slice: &Slice<'_>) -> Option<f64> {
    Some(match window {
        Window::AvgOverTime => mean(slice.values),
        Window::SumOverTime => slice.values.iter().copied().collect::<Kahan>().total(),
        Window::CountOverTime => count(slice.values.len()),
        Window::LastOverTime => slice.last()?.1,
        Window::FirstOverTime => slice.first()?.1,
        Window::TsOfLastOverTime => seconds(slice.last()?.0),
        Window::TsOfFirstOverTime => seconds(slice.first()?.0),
        Window::PresentOverTime => 1.0,
        Window::StddevOverTime => variance(slice.values).sqrt(),
        Window::StdvarOverTime => variance(slice.values),
        Window::MadOverTime if slice.values.iter().any(|it| it.is_nan()) => f64::NAN,
        Window::MadOverTime => {
            let mut values = slice.values.to_vec();
            let median = quantile(0.5, &mut values);
            for value in &mut values {
                *value = (*value - median).abs();
            }
            quantile(0.5, &mut values)
        }
        _ => return None,
    })
}

/// Welford's method with compensated sums.
fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (Kahan::default(), Kahan::default());
    let mut n = 0.0;
    for value in values {
        n += 1.0;
        let delta = value - mean.total();
        mean.add(delta / n);
        squares.add(delta * (value - mean.total()));
    }
    squares.total() / n
}

fn is_change(before: f64, after: f64) -> bool {
    after != before && !(after.is_nan() && before.is_nan())
}

/// Counts neighbours in each window by a running count over the series.
fn count_pairs(windows: &Windows<'_>, out: &mut [f64], is_counted: impl Fn(f64, f64) -> bool) {
    let mut n_up_to = Vec::with_capacity(windows.values.len());
    let mut n = 0;
    n_up_to.push(0);
    for [before, after] in windows.values.array_windows::<2>() {
        n += usize::from(is_counted(*before, *after));
        n_up_to.push(n);
    }
    windows.each(out, |_, slice| {
        let last = slice.first_idx + slice.values.len() - 1;
        Some(count(n_up_to.get(last)? - n_up_to.get(slice.first_idx)?))
    });
}

/// The extreme of each window in constant time a sample: candidates that a newer sample beats can
/// never win again. NaN loses against everything but NaN.
fn extreme(
    windows: &Windows<'_>,
    out: &mut [f64],
    beats: impl Fn(f64, f64) -> bool,
    value_of: impl Fn(i64, f64) -> f64,
) {
    let mut candidates = std::collections::VecDeque::<usize>::new();
    let mut n_seen = 0;
    for (step_idx, _, range) in windows.ranges() {
        n_seen = n_seen.max(range.start);
        while n_seen < range.end {
            let Some(&new) = windows.values.get(n_seen) else {
                return;
            };
            while let Some(&held_idx) = candidates.back() {
                let held = windows.values.get(held_idx).copied().unwrap_or(f64::NAN);
                if !(beats(new, held) || held.is_nan() && !new.is_nan()) {
                    break;
                }
                candidates.pop_back();
            }
            candidates.push_back(n_seen);
            n_seen += 1;
        }
        while candidates.front().is_some_and(|it| *it < range.start) {
            candidates.pop_front();
        }
        if let Some(&best) = candidates.front()
            && let (Some(&ts), Some(&value)) = (windows.ts.get(best), windows.values.get(best))
            && let Some(slot) = out.get_mut(step_idx)
        {
            *slot = value_of(ts, value);
        }
    }
}
