//! What is known of counter resets between stored histograms.
//!
//! Prometheus finds out when it stores a histogram, and its queries go by that; writers mostly do
//! not say. Here it is found out when a series is read, to the same end: within a run of histograms
//! of one layout none but the first follows a reset, and of the first nothing is known.

use std::sync::Arc;

use skep_proto::{NativeHistogram, ResetHint, TimestampMs};

use crate::{HistogramSeries, native::Histogram};

/// How much is said of resets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hints {
    /// As stored.
    Stored,
    /// Resets too, from that time on: what Prometheus does where only count and sum are asked for.
    CountedFrom(TimestampMs),
}

/// The histograms of a series, each with its hint.
pub(super) fn hinted(series: &HistogramSeries, hints: Hints) -> Vec<(i64, Arc<NativeHistogram>)> {
    let mut floats = series.samples.iter().map(|it| it.ts).peekable();
    // The one that the run goes on from, and the one before in any case.
    let (mut run, mut before): (Option<Histogram>, Option<Histogram>) = (None, None);
    let mut hinted = Vec::with_capacity(series.histograms.len());
    for sample in &series.histograms {
        // A float in between ends a run.
        while floats.next_if(|it| *it < sample.ts).is_some() {
            run = None;
        }
        let mut now = Histogram::from(&*sample.histogram);
        let mut hint = stored(run.as_ref(), &mut now);
        if let (Hints::CountedFrom(_), ResetHint::Unknown, Some(before)) = (hints, hint, &before) {
            hint = if now.is_reset_after(before) { ResetHint::Reset } else { ResetHint::NotReset };
        }
        let histogram = if hint == sample.histogram.reset_hint {
            Arc::clone(&sample.histogram)
        } else {
            let it = NativeHistogram::clone(&sample.histogram);
            Arc::new(NativeHistogram { reset_hint: hint, ..it })
        };
        run = None;
        if !histogram.is_stale() {
            if !matches!(hints, Hints::CountedFrom(start) if sample.ts < start) {
                before = Some(now.clone());
            }
            run = Some(now);
        }
        hinted.push((sample.ts.0, histogram));
    }
    hinted
}

fn stored(run: Option<&Histogram>, now: &mut Histogram) -> ResetHint {
    match std::mem::take(&mut now.hint) {
        ResetHint::Gauge => {
            now.hint = ResetHint::Gauge;
            return ResetHint::Gauge;
        }
        ResetHint::Reset => return ResetHint::Unknown,
        ResetHint::Unknown | ResetHint::NotReset => {}
    }
    let Some(before) = run.filter(|it| it.hint != ResetHint::Gauge) else {
        return ResetHint::Unknown;
    };
    #[expect(clippy::float_cmp, reason = "the same layout or not")]
    let is_same_layout = now.schema == before.schema
        && now.zero_threshold == before.zero_threshold
        && now.custom_values == before.custom_values;
    if is_same_layout && !now.is_reset_after(before) {
        ResetHint::NotReset
    } else {
        ResetHint::Unknown
    }
}
