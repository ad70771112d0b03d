//! `rate`, `increase`, `delta` with extrapolation; `irate`, `idelta` without.

use skep_proto::{is_stale_marker, uncounted};

use super::{Slice, Windows};
use crate::Grid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rate,
    Increase,
    Delta,
}

#[expect(clippy::cast_precision_loss, reason = "time stamps stay far below 2^53 ms")]
pub(super) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// What a counter lost at each reset: where it happened, and the value before.
fn resets(values: &[f64]) -> Vec<(usize, f64)> {
    values
        .array_windows::<2>()
        .enumerate()
        .filter(|(_, [before, after])| after < before)
        .map(|(i, [before, _])| (i + 1, *before))
        .collect()
}

pub(super) fn extrapolated(windows: &Windows<'_>, kind: Kind, out: &mut [f64]) {
    extrapolated_by(windows, kind, out, gaps_of);
}

/// Gaps between the samples of a window.
fn gaps_of(slice: &Slice<'_>) -> i64 {
    i64::try_from(slice.values.len()).unwrap_or(i64::MAX) - 1
}

/// As [`extrapolated`], over samples that stand for more or fewer.
pub(super) fn of_buckets(
    ts: &[i64],
    values: &[f64],
    grid: &Grid,
    window_ms: i64,
    kind: Kind,
    out: &mut [f64],
) {
    let (mut kept_ts, mut kept, mut n_up_to) = (Vec::new(), Vec::new(), Vec::new());
    let mut n = 0_i64;
    for (&ts, &value) in ts.iter().zip(values) {
        if let Some(more) = uncounted(value) {
            n += i64::from(more);
        } else if !is_stale_marker(value) {
            n += 1;
            kept_ts.push(ts);
            kept.push(value);
            n_up_to.push(n);
        }
    }
    let windows = Windows::new(&kept_ts, &kept, grid, window_ms);
    extrapolated_by(&windows, kind, out, |slice| {
        let up_to = |it: usize| n_up_to.get(it).copied().unwrap_or_default();
        let last = slice.first_idx + slice.values.len().saturating_sub(1);
        // Where a window cuts a bucket, what is missing of it may be more than what is there.
        (up_to(last) - up_to(slice.first_idx)).max(i64::from(slice.values.len() > 1))
    });
}

fn extrapolated_by(
    windows: &Windows<'_>,
    kind: Kind,
    out: &mut [f64],
    gaps_of: impl Fn(&Slice<'_>) -> i64,
) {
    let resets = if kind == Kind::Delta { Vec::new() } else { resets(&windows.values) };
    let mut first_reset = 0;
    windows.each(out, |_, slice| {
        // Resets before the window are behind for good: windows only move forward. One at the very
        // first sample belongs to the window before.
        first_reset +=
            resets.iter().skip(first_reset).take_while(|(i, _)| *i <= slice.first_idx).count();
        let end = slice.first_idx + slice.values.len();
        let lost = resets
            .iter()
            .skip(first_reset)
            .take_while(|(i, _)| *i < end)
            .map(|(_, before)| *before);
        extrapolate(&slice, gaps_of(&slice), lost, windows.window_ms, kind)
    });
}

fn extrapolate(
    slice: &Slice<'_>,
    n_gaps: i64,
    lost: impl Iterator<Item = f64>,
    window_ms: i64,
    kind: Kind,
) -> Option<f64> {
    if n_gaps < 1 {
        return None;
    }
    let ((first_ts, first), (last_ts, last)) = (slice.first()?, slice.last()?);
    let result = lost.fold(last - first, |sum, before| sum + before);
    if result == 0.0 {
        // What follows is a factor, finite and positive: most counters stand still.
        return Some(result);
    }

    let window_start = slice.at.saturating_sub(window_ms);
    let mut to_start = seconds(first_ts - window_start);
    let mut to_end = seconds(slice.at - last_ts);
    let sampled = seconds(last_ts - first_ts);
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let average_gap = sampled / n_gaps as f64;
    // Beyond this, the series is taken to start or end inside the window.
    let threshold = average_gap * 1.1;
    if to_start >= threshold {
        to_start = average_gap / 2.0;
    }
    // A counter cannot have been below zero. One that began as high as it rose was at zero before
    // the window, which saves nearly all of them a division.
    let may_begin_inside = first < result || sampled < to_start;
    if kind != Kind::Delta && result > 0.0 && first >= 0.0 && may_begin_inside {
        let to_zero = sampled * (first / result);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = average_gap / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if kind == Kind::Rate {
        factor /= seconds(window_ms);
    }
    Some(result * factor)
}

/// By how much the sampled part of a window must grow to be all of it: up to its ends where samples
/// lie close enough to them, else half a gap further. `to_zero` bounds how far back a counter can
/// reach, in seconds.
pub(super) fn extent(
    start: i64,
    first: i64,
    last: i64,
    end: i64,
    n_gaps: usize,
    to_zero: Option<f64>,
) -> f64 {
    let sampled = seconds(last - first);
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let average_gap = sampled / n_gaps as f64;
    let threshold = average_gap * 1.1;
    let within = |it: f64| if it >= threshold { average_gap / 2.0 } else { it };
    let mut to_start = within(seconds(first - start));
    if let Some(to_zero) = to_zero
        && to_zero < to_start
    {
        to_start = to_zero;
    }
    (sampled + to_start + within(seconds(end - last))) / sampled
}

/// From the last two samples; a counter that fell has started from zero.
pub(super) fn instant(slice: &Slice<'_>, is_rate: bool) -> Option<f64> {
    let (&[.., before_ts, last_ts], &[.., before, last]) = (slice.ts, slice.values) else {
        return None;
    };
    if last_ts == before_ts {
        return None;
    }
    let difference = if is_rate && last < before { last } else { last - before };
    Some(if is_rate { difference / seconds(last_ts - before_ts) } else { difference })
}
