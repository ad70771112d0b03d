//! The same for native histograms.

use std::sync::Arc;

use skep_proto::{HistogramSample, ResetHint, TimestampMs};

use super::Edges;
use crate::{
    annotations::{Note, Notes},
    native::Histogram,
    vector::Cell,
    window::{
        mixed::{Look, Point, add_noted, sub_noted},
        rate::seconds,
    },
};

fn edges(look: &Look<'_>, is_smoothed: bool) -> Option<Edges> {
    let ts: Vec<i64> = look.points.iter().map(|it| it.at).collect();
    Edges::of(&ts, look.start, look.end, is_smoothed)
}

/// The histogram at a time between two others; a counter that was reset started from zero.
fn interpolate(
    [before, after]: [&Point; 2],
    at: i64,
    is_counter: bool,
    name: &str,
    notes: &mut Notes,
) -> Option<Histogram> {
    if at == before.at {
        return Some(before.histogram.clone());
    }
    let mut result = after.histogram.clone();
    if at == after.at {
        return Some(result);
    }
    let share = seconds(at - before.at) / seconds(after.at - before.at);
    if is_counter && after.is_reset {
        result.scale(share);
        return Some(result);
    }
    if !sub_noted(&mut result, &before.histogram, name, notes) {
        return None;
    }
    result.scale(share);
    add_noted(&mut result, &before.histogram, name, notes).then_some(result)
}

/// What stands for the ends of the window.
struct Ends {
    left: Histogram,
    right: Histogram,
}

fn ends(
    look: &Look<'_>,
    edges: Edges,
    is_smoothed: bool,
    is_counter: bool,
    name: &str,
    notes: &mut Notes,
) -> Option<Ends> {
    let Edges { first, last } = edges;
    let point = |it: usize| look.points.get(it);
    let left = match point(first)? {
        it if is_smoothed && it.at < look.start => {
            interpolate([it, point(first + 1)?], look.start, is_counter, name, notes)?
        }
        it => it.histogram.clone(),
    };
    let right = match (point(last)?, last.checked_sub(1).and_then(point)) {
        (it, Some(before)) if is_smoothed && it.at > look.end => {
            interpolate([before, it], look.end, is_counter, name, notes)?
        }
        (it, _) => it.histogram.clone(),
    };
    Some(Ends { left, right })
}

/// What was counted within the window.
pub(super) fn growth(
    look: &Look<'_>,
    is_smoothed: bool,
    is_counter: bool,
    name: &str,
    notes: &mut Notes,
) -> Option<Histogram> {
    let edges = edges(look, is_smoothed)?;
    let seen = look.points.get(edges.first..=edges.last)?;
    let is_custom = seen.first()?.histogram.has_custom_buckets();
    let is_gauge = |it: &Point| it.histogram.hint == ResetHint::Gauge;
    for point in seen {
        if point.histogram.has_custom_buckets() != is_custom {
            notes.insert(Note::MixedSchemas(name.to_owned()));
            return None;
        }
        if is_counter && is_gauge(point) {
            notes.insert(Note::NotCounter(name.to_owned()));
        }
    }
    let Ends { left, right } = ends(look, edges, is_smoothed, is_counter, name, notes)?;
    let is_gauge = |it: &Histogram| it.hint == ResetHint::Gauge;
    if !is_counter && (!is_gauge(&left) || !is_gauge(&right)) {
        notes.insert(Note::NotGauge(name.to_owned()));
    }
    let mut result = right.clone();
    if !sub_noted(&mut result, &left, name, notes) {
        return None;
    }
    if is_counter
        && let Some(lost) = lost_to_resets(look, seen, &left, &right, is_smoothed, name, notes)?
        && !add_noted(&mut result, &lost, name, notes)
    {
        return None;
    }
    result.hint = ResetHint::Gauge;
    result.compact();
    Some(result)
}

/// What resets between the ends took; the outer nothing means that it cannot be told.
#[expect(clippy::option_option, reason = "nothing lost is not the same as nothing to tell")]
fn lost_to_resets(
    look: &Look<'_>,
    seen: &[Point],
    left: &Histogram,
    right: &Histogram,
    is_smoothed: bool,
    name: &str,
    notes: &mut Notes,
) -> Option<Option<Histogram>> {
    let (mut before, mut from) = (left, 1);
    if let [first, second, ..] = seen
        && is_smoothed
        && first.at < look.start
        && second.is_reset
    {
        // That reset is in what stands for the start.
        before = &second.histogram;
        from = 2;
    }
    // The last is in what stands for the end, with its hint.
    let Some(between) = seen.get(from..seen.len().saturating_sub(1).max(from)) else {
        return Some(None);
    };
    if from > seen.len().saturating_sub(1) {
        return Some(None);
    }
    let mut lost: Option<Histogram> = None;
    for now in between.iter().map(|it| &it.histogram).chain([right]) {
        if now.is_reset_after(before) {
            match &mut lost {
                None => lost = Some(before.clone()),
                Some(lost) => {
                    if !add_noted(lost, before, name, notes) {
                        return None;
                    }
                }
            }
        }
        before = now;
    }
    Some(lost)
}

/// Between the histograms around a time, or the newest before it.
pub(super) fn at(points: &[Point], at: i64, name: &str, notes: &mut Notes) -> Option<Cell> {
    let after = points.partition_point(|it| it.at < at);
    let next = points.get(after);
    if let Some(it) = next.filter(|it| it.at == at) {
        return Some(Cell::Histogram(it.shown()));
    }
    let before = points.get(after.checked_sub(1)?)?;
    let Some(next) = next else {
        // The hint spoke of the sample, not of its value later on.
        return Some(Cell::Histogram(before.hinted(ResetHint::Unknown)));
    };
    let is_gauge = |it: &Point| it.histogram.hint == ResetHint::Gauge;
    let is_counter = !(is_gauge(before) && is_gauge(next));
    let result = interpolate([before, next], at, is_counter, name, notes)?;
    Some(Cell::Histogram(Arc::new(result.build())))
}

/// The histograms of one window, with one at each end.
pub(super) fn extended_raw(look: &Look<'_>, is_smoothed: bool) -> Vec<HistogramSample> {
    let mut notes = Notes::new();
    let Some(edges) = edges(look, is_smoothed) else {
        return Vec::new();
    };
    let Some(Ends { left, right }) = ends(look, edges, is_smoothed, false, "", &mut notes) else {
        return Vec::new();
    };
    let sample = |at, histogram| HistogramSample { ts: TimestampMs(at), histogram };
    let inner = look.points.iter().filter(|it| it.at > look.start && it.at < look.end);
    let mut samples = vec![sample(look.start, Arc::new(left.build()))];
    samples.extend(inner.map(|it| sample(it.at, it.shown())));
    samples.push(sample(look.end, Arc::new(right.build())));
    samples
}
