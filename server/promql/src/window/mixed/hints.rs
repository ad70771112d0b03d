//! What is known of counter resets between stored histograms.
//!
//! Prometheus finds out when it stores a histogram, and its queries go by that; writers mostly do
//! not say. Here it is found out when a series is read, to the same end: within a run of histograms
//! of one layout none but the first follows a reset, and of the first nothing is known.

use std::sync::Arc;

use skep_proto::{ResetHint, TimestampMs};

use super::Point;
use crate::{HistogramSeries, native::Histogram};

/// How much is said of resets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hints {
    /// As stored.
    Stored,
    /// Resets too, from that time on: what Prometheus does where only count and sum are asked for.
    CountedFrom(TimestampMs),
}

/// The histograms of a series with their hints, stale markers included.
pub(super) fn hinted(series: &HistogramSeries, hints: Hints) -> Vec<Point> {
    let mut floats = series.samples.iter().map(|it| it.ts).peekable();
    let mut points: Vec<Point> = Vec::with_capacity(series.histograms.len());
    // The newest histogram, and whether what follows goes on from it.
    let (mut before, mut is_run): (Option<usize>, bool) = (None, false);
    for sample in &series.histograms {
        // A float in between ends a run.
        while floats.next_if(|it| *it < sample.ts).is_some() {
            is_run = false;
        }
        let mut histogram = Histogram::from(&*sample.histogram);
        let told = std::mem::take(&mut histogram.hint);
        let is_stale = sample.histogram.is_stale();
        let last = before.filter(|_| !is_stale).and_then(|it| points.get(it));
        let is_reset = last.is_some_and(|it| histogram.is_reset_after(&it.histogram));
        let goes_on = is_run && last.is_some_and(|it| follows(&histogram, &it.histogram));
        histogram.hint = match told {
            ResetHint::Gauge => ResetHint::Gauge,
            ResetHint::Unknown | ResetHint::NotReset if goes_on && !is_reset => ResetHint::NotReset,
            _ => counted(hints, last, is_reset),
        };
        (before, is_run) = if is_stale { (before, false) } else { (Some(points.len()), true) };
        let (at, shared) = (sample.ts.0, Arc::clone(&sample.histogram));
        points.push(Point { at, shared, histogram, is_reset });
    }
    points
}

/// What is said of a histogram that begins a run.
fn counted(hints: Hints, last: Option<&Point>, is_reset: bool) -> ResetHint {
    match (hints, last) {
        (Hints::CountedFrom(start), Some(last)) if last.at >= start.0 => {
            if is_reset {
                ResetHint::Reset
            } else {
                ResetHint::NotReset
            }
        }
        _ => ResetHint::Unknown,
    }
}

/// Whether a histogram can go on counting where another left off.
#[expect(clippy::float_cmp, reason = "the same layout or not")]
fn follows(now: &Histogram, before: &Histogram) -> bool {
    before.hint != ResetHint::Gauge
        && now.schema == before.schema
        && now.zero_threshold == before.zero_threshold
        && now.custom_values == before.custom_values
}
