//! `anchored` and `smoothed`: windows that look beyond their ends, so that results do not depend on
//! where samples happen to lie. `anchored` takes the newest sample before the window for its start,
//! `smoothed` interpolates at both ends.

mod histograms;

use std::sync::Arc;

use skep_proto::{Sample, TimestampMs};

use super::{
    mixed::{Column, Look, MixedSeries, count_changes, count_resets},
    rate::seconds,
};
use crate::{
    Grid, RawSeries, Window,
    annotations::{Note, Notes},
    ast::Extended,
    vector::Cell,
};

/// How far a selector looks beyond its windows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) extended: Extended,
    pub(crate) lookback_ms: i64,
}

impl Reach {
    pub(crate) fn is_smoothed(self) -> bool {
        self.extended == Extended::Smoothed
    }

    /// What the window `(start, end]` may look at: `(from, to]`.
    pub(crate) fn around(self, start: i64, end: i64) -> (i64, i64) {
        let after = if self.is_smoothed() { self.lookback_ms } else { 0 };
        (start.saturating_sub(self.lookback_ms), end.saturating_add(after))
    }
}

impl Window {
    /// The functions that can be used with a modifier, as an error names them; nothing where this
    /// is one.
    pub(crate) fn unfit_for(&self, extended: Extended) -> Option<&'static str> {
        let is_rate = matches!(self, Self::Rate | Self::Increase | Self::Delta);
        let is_counting = matches!(self, Self::Changes | Self::Resets);
        match extended {
            Extended::Anchored => {
                (!(is_rate || is_counting)).then_some("changes, delta, increase, rate, resets")
            }
            Extended::Smoothed => (!is_rate).then_some("delta, increase, rate"),
        }
    }
}

impl MixedSeries {
    /// As [`MixedSeries::apply`], looking beyond the windows.
    pub(crate) fn apply_extended(
        &self,
        window: &Window,
        reach: Reach,
        (grid, window_ms): (&Grid, i64),
        name: &str,
        notes: &mut Notes,
    ) -> Column {
        let mut column = Column::new(grid.n_steps());
        for (step_idx, at) in grid.steps().enumerate() {
            let start = at.0.saturating_sub(window_ms);
            let (from, to) = reach.around(start, at.0);
            let look = Look { start, end: at.0, ..self.look(from, to) };
            let cell = match window {
                Window::Changes | Window::Resets => counted(window, look).map(Cell::Float),
                _ => rate(window, look, reach.is_smoothed(), name, notes),
            };
            column.set(step_idx, cell);
        }
        column
    }

    /// An instant selector, interpolated between the samples before and after each step.
    pub(crate) fn smoothed(
        &self,
        grid: &Grid,
        lookback_ms: i64,
        name: &str,
        notes: &mut Notes,
    ) -> Column {
        let mut column = Column::new(grid.n_steps());
        for (step_idx, at) in grid.steps().enumerate() {
            let (from, to) = (at.0.saturating_sub(lookback_ms), at.0.saturating_add(lookback_ms));
            let look = self.look(from, to);
            let cell = match (look.ts.is_empty(), look.points.is_empty()) {
                (false, false) => {
                    notes.insert(Note::MixedTypes(name.to_owned()));
                    None
                }
                (true, false) => histograms::at(look.points, at.0, name, notes),
                _ => float_at(look.ts, look.values, at.0).map(Cell::Float),
            };
            column.set(step_idx, cell);
        }
        column
    }

    /// The samples of one window, with one at each end.
    pub(crate) fn extended_raw(&self, reach: Reach, start: i64, end: i64) -> RawSeries {
        let (from, to) = reach.around(start, end);
        let look = Look { start, end, ..self.look(from, to) };
        let is_smoothed = reach.is_smoothed();
        let mut samples = Vec::new();
        if let Some(edges) = Edges::of(look.ts, start, end, is_smoothed) {
            let mut push = |ts, value| samples.push(Sample { ts: TimestampMs(ts), value });
            let floats = Floats { look, edges, is_smoothed, is_counter: false };
            if let (Some(left), Some(right)) = (floats.left(), floats.right()) {
                push(start, left);
                for (ts, value) in floats.inner() {
                    push(ts, value);
                }
                push(end, right);
            }
        }
        let histograms = histograms::extended_raw(&look, is_smoothed);
        RawSeries { labels: Arc::default(), samples, histograms }
    }
}

/// The samples that stand for the ends of a window.
#[derive(Debug, Clone, Copy)]
struct Edges {
    first: usize,
    last: usize,
}

impl Edges {
    /// Nothing where no sample says anything of the window.
    fn of(ts: &[i64], start: i64, end: i64, is_smoothed: bool) -> Option<Self> {
        let mut last = ts.len().checked_sub(1)?;
        let before_last = ts.get(..last)?;
        let first = before_last.partition_point(|it| *it <= start).saturating_sub(1);
        if is_smoothed {
            last = before_last.partition_point(|it| *it < end);
        }
        let (first_ts, last_ts) = (*ts.get(first)?, *ts.get(last)?);
        let is_outside = last_ts <= start || is_smoothed && first_ts > end;
        (!is_outside).then_some(Self { first, last })
    }
}

/// The floats of a window and around it.
struct Floats<'a> {
    look: Look<'a>,
    edges: Edges,
    is_smoothed: bool,
    is_counter: bool,
}

impl Floats<'_> {
    fn point(&self, idx: usize) -> Option<(i64, f64)> {
        Some((*self.look.ts.get(idx)?, *self.look.values.get(idx)?))
    }

    fn left(&self) -> Option<f64> {
        let first = self.edges.first;
        let (ts, value) = self.point(first)?;
        if self.is_smoothed && ts < self.look.start {
            return self.between(first, first + 1, self.look.start);
        }
        Some(value)
    }

    fn right(&self) -> Option<f64> {
        let last = self.edges.last;
        let (ts, value) = self.point(last)?;
        match last.checked_sub(1) {
            Some(before) if self.is_smoothed && ts > self.look.end => {
                self.between(before, last, self.look.end)
            }
            _ => Some(value),
        }
    }

    fn between(&self, before: usize, after: usize, at: i64) -> Option<f64> {
        Some(interpolate(self.point(before)?, self.point(after)?, at, self.is_counter))
    }

    /// Strictly within the window.
    fn inner(&self) -> impl Iterator<Item = (i64, f64)> {
        (self.edges.first..=self.edges.last)
            .filter_map(|it| self.point(it))
            .filter(|(ts, _)| *ts > self.look.start && *ts < self.look.end)
    }
}

/// A counter that fell is taken to have started from zero.
fn interpolate(before: (i64, f64), after: (i64, f64), at: i64, is_counter: bool) -> f64 {
    let start = if is_counter && after.1 < before.1 { 0.0 } else { before.1 };
    start + (after.1 - start) * seconds(at - before.0) / seconds(after.0 - before.0)
}

fn rate(
    window: &Window,
    look: Look<'_>,
    is_smoothed: bool,
    name: &str,
    notes: &mut Notes,
) -> Option<Cell> {
    let is_counter = *window != Window::Delta;
    let per = if *window == Window::Rate { seconds(look.end - look.start) } else { 1.0 };
    match (look.ts.is_empty(), look.points.is_empty()) {
        (false, false) => {
            notes.insert(Note::MixedTypes(name.to_owned()));
            None
        }
        (true, false) => {
            histograms::growth(&look, is_smoothed, is_counter, name, notes).map(|it| {
                let mut result = it;
                if *window == Window::Rate {
                    result.divide(per);
                }
                Cell::Histogram(Arc::new(result.build()))
            })
        }
        _ => {
            let edges = Edges::of(look.ts, look.start, look.end, is_smoothed)?;
            Floats { look, edges, is_smoothed, is_counter }.growth().map(|it| Cell::Float(it / per))
        }
    }
}

impl Floats<'_> {
    /// What the value grew by, and what resets took from it.
    fn growth(&self) -> Option<f64> {
        let (left, right) = (self.left()?, self.right()?);
        let mut grown = right - left;
        if self.is_counter {
            // Resets at the ends are in what stands for them.
            let mut before = left;
            for value in self.counted_between().chain([right]) {
                if value < before {
                    grown += before;
                }
                before = value;
            }
        }
        Some(grown)
    }

    fn counted_between(&self) -> impl Iterator<Item = f64> {
        let Edges { first, last } = self.edges;
        (first..=last).filter_map(move |idx| {
            let (ts, value) = self.point(idx)?;
            let is_left = idx == first && ts <= self.look.start;
            let is_right = idx == last && ts >= self.look.end;
            (!is_left && !is_right).then_some(value)
        })
    }
}

/// `changes` and `resets` since the newest sample before the window.
fn counted(window: &Window, look: Look<'_>) -> Option<f64> {
    let floats_before = look.ts.partition_point(|it| *it <= look.start);
    let points_before = look.points.partition_point(|it| it.at <= look.start);
    if floats_before == look.ts.len() && points_before == look.points.len() {
        return None;
    }
    let float = floats_before.checked_sub(1).and_then(|it| look.ts.get(it));
    let point = points_before.checked_sub(1).and_then(|it| look.points.get(it));
    let is_float = match (float, point) {
        (Some(float), Some(point)) => *float >= point.at,
        (Some(_), None) => true,
        _ => false,
    };
    let floats_from = floats_before - usize::from(is_float);
    let points_from = points_before - usize::from(!is_float && point.is_some());
    let look = Look {
        ts: look.ts.get(floats_from..)?,
        values: look.values.get(floats_from..)?,
        points: look.points.get(points_from..)?,
        ..look
    };
    Some(if *window == Window::Changes { count_changes(&look) } else { count_resets(&look) })
}

/// Between the samples around a time, or the newest before it.
fn float_at(ts: &[i64], values: &[f64], at: i64) -> Option<f64> {
    let after = ts.partition_point(|it| *it < at);
    if ts.get(after) == Some(&at) {
        return values.get(after).copied();
    }
    let before = after.checked_sub(1)?;
    let (before_ts, before) = (*ts.get(before)?, *values.get(before)?);
    match (ts.get(after), values.get(after)) {
        (Some(ts), Some(value)) => Some(interpolate((before_ts, before), (*ts, *value), at, false)),
        _ => Some(before),
    }
}
