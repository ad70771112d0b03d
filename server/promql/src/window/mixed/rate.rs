//! `rate` and its kin over native histograms.

use std::sync::Arc;

use skep_proto::ResetHint;

use super::{Look, Point};
use crate::{
    annotations::{Note, Notes, Operation},
    native::{Added, Histogram, MixedSchemas},
    vector::Cell,
    window::rate::{extent, seconds},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rate,
    Increase,
    Delta,
}

/// Growth over the window, extrapolated to its ends.
pub(super) fn rate(
    look: &Look<'_>,
    kind: Kind,
    name: &str,
    notes: &mut Notes,
) -> Option<Histogram> {
    let [first, .., last] = look.points else {
        return None;
    };
    let is_counter = kind != Kind::Delta;
    let mut result = growth(look.points, is_counter, name, notes)?;
    let sampled = seconds(last.at - first.at);
    // A counter cannot have been below zero.
    let rises = is_counter && result.count > 0.0 && first.histogram.count >= 0.0;
    let to_zero = rises.then(|| sampled * (first.histogram.count / result.count));
    let mut factor =
        extent(look.start, first.at, last.at, look.end, look.points.len() - 1, to_zero);
    if kind == Kind::Rate {
        factor /= seconds(look.end - look.start);
    }
    result.scale(factor);
    Some(result)
}

/// The last less the first, and what resets took between them.
fn growth(points: &[Point], is_counter: bool, name: &str, notes: &mut Notes) -> Option<Histogram> {
    let [first, second, ..] = points else {
        return None;
    };
    let [.., last] = points else {
        return None;
    };
    let is_gauge = |it: &Point| it.histogram.hint == ResetHint::Gauge;
    if is_counter && points.iter().any(is_gauge) {
        notes.insert(Note::NotCounter(name.to_owned()));
    }
    // Of a first one that was reset right after, not even the layout matters.
    let zero;
    let start = if is_counter && second.is_reset {
        zero = Histogram::empty_like(&second.histogram);
        &zero
    } else {
        &first.histogram
    };
    let mixed = |notes: &mut Notes| {
        notes.insert(Note::MixedSchemas(name.to_owned()));
        None
    };
    let is_custom = start.has_custom_buckets();
    let between = points.get(1..points.len() - 1).unwrap_or_default();
    let has_other = |it: &Point| it.histogram.has_custom_buckets() != is_custom;
    if has_other(last) || is_counter && between.iter().any(has_other) {
        return mixed(notes);
    }
    let mut schema = last.histogram.schema.min(start.schema);
    if is_counter {
        schema = between.iter().map(|it| it.histogram.schema).fold(schema, i8::min);
    }
    let mut result = last.histogram.clone();
    result.reduce_to(schema);
    if !sub_noted(&mut result, start, name, notes) {
        return None;
    }
    if is_counter {
        for [before, after] in points.array_windows::<2>().skip(1) {
            if after.is_reset && !add_noted(&mut result, &before.histogram, name, notes) {
                return None;
            }
        }
    } else if !(is_gauge(first) && is_gauge(last)) {
        notes.insert(Note::NotGauge(name.to_owned()));
    }
    result.hint = ResetHint::Gauge;
    result.compact();
    Some(result)
}

/// From the last two samples of the window.
pub(super) fn instant(
    look: &Look<'_>,
    is_rate: bool,
    name: &str,
    notes: &mut Notes,
) -> Option<Cell> {
    let (before, last) = match (look.points, look.ts) {
        ([.., before, last], ts) if ts.last().is_none_or(|it| *it < before.at) => (before, last),
        (points, [.., before, _]) if points.last().is_none_or(|it| it.at < *before) => {
            let [.., first, second] = look.values else {
                return None;
            };
            let seconds = seconds(look.ts.last()? - before);
            let grown = if is_rate && second < first { *second } else { second - first };
            return Some(Cell::Float(if is_rate { grown / seconds } else { grown }));
        }
        (points, ts) if points.len() + ts.len() < 2 => return None,
        _ => {
            notes.insert(Note::MixedTypes(name.to_owned()));
            return None;
        }
    };
    let is_gauge = |it: &Point| it.histogram.hint == ResetHint::Gauge;
    if is_rate && (is_gauge(before) || is_gauge(last)) {
        notes.insert(Note::NotCounter(name.to_owned()));
    }
    if !is_rate && (!is_gauge(before) || !is_gauge(last)) {
        notes.insert(Note::NotGauge(name.to_owned()));
    }
    let mut result = last.histogram.clone();
    let is_reset = is_rate && last.is_reset;
    if !is_reset && !sub_noted(&mut result, &before.histogram, name, notes) {
        return None;
    }
    result.hint = ResetHint::Gauge;
    result.compact();
    if is_rate {
        result.divide(seconds(last.at - before.at));
    }
    Some(Cell::Histogram(Arc::new(result.build())))
}

/// Whether both could be added.
pub(in crate::window) fn add_noted(
    sum: &mut Histogram,
    other: &Histogram,
    name: &str,
    notes: &mut Notes,
) -> bool {
    noted(sum.add(other), Operation::Addition, name, notes)
}

/// Whether one could be subtracted from the other.
pub(in crate::window) fn sub_noted(
    difference: &mut Histogram,
    other: &Histogram,
    name: &str,
    notes: &mut Notes,
) -> bool {
    noted(difference.sub(other), Operation::Subtraction, name, notes)
}

fn noted(
    added: Result<Added, MixedSchemas>,
    operation: Operation,
    name: &str,
    notes: &mut Notes,
) -> bool {
    match added {
        Ok(Added { is_reconciled: true, .. }) => {
            notes.insert(Note::Reconciled(operation));
            true
        }
        Ok(_) => true,
        Err(MixedSchemas) => {
            notes.insert(Note::MixedSchemas(name.to_owned()));
            false
        }
    }
}
