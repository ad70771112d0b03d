//! Window functions over series that have native histograms, with or without floats between them.

mod hints;
mod pairs;
mod rate;

use std::sync::Arc;

use skep_proto::{NativeHistogram, ResetHint, is_stale_marker};

pub(crate) use hints::Hints;
pub(super) use pairs::{count_changes, count_resets};
pub(super) use rate::{add_noted, sub_noted};

use super::{last, rate::seconds};
use crate::{
    Grid, HistogramSeries, Window,
    annotations::{Note, Notes, Operation},
    matrix::{Histograms, absent, is_absent},
    native::{Fold, Histogram, fold},
    vector::Cell,
};

/// One series, stale markers left out.
#[derive(Debug)]
pub(crate) struct MixedSeries {
    /// Of the floats, rising.
    ts: Vec<i64>,
    values: Vec<f64>,
    /// By time, at other times than the floats.
    points: Vec<Point>,
}

/// One histogram, taken apart once for all windows that see it.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) at: i64,
    /// As stored.
    shared: Arc<NativeHistogram>,
    /// With what is known of resets.
    pub(super) histogram: Histogram,
    /// Whether the counter began anew since the histogram before.
    pub(super) is_reset: bool,
}

impl Point {
    /// The histogram with what is known of resets.
    pub(super) fn shown(&self) -> Arc<NativeHistogram> {
        self.hinted(self.histogram.hint)
    }

    pub(super) fn hinted(&self, reset_hint: ResetHint) -> Arc<NativeHistogram> {
        if self.shared.reset_hint == reset_hint {
            return Arc::clone(&self.shared);
        }
        let it = NativeHistogram::clone(&self.shared);
        Arc::new(NativeHistogram { reset_hint, ..it })
    }
}

/// What one window sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    /// The window is `(start, end]`.
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) ts: &'a [i64],
    pub(super) values: &'a [f64],
    pub(super) points: &'a [Point],
}

/// A value or nothing for each step.
pub(crate) struct Column {
    pub(crate) values: Vec<f64>,
    pub(crate) histograms: Histograms,
}

impl Column {
    pub(super) fn new(n_steps: usize) -> Self {
        Self { values: vec![absent(); n_steps], histograms: vec![None; n_steps] }
    }

    pub(super) fn set(&mut self, step_idx: usize, cell: Option<Cell>) {
        let (value, histogram) = match cell {
            Some(Cell::Float(value)) => (value, None),
            Some(Cell::Histogram(it)) => (absent(), Some(it)),
            None => (absent(), None),
        };
        if let Some(slot) = self.values.get_mut(step_idx) {
            *slot = value;
        }
        if let Some(slot) = self.histograms.get_mut(step_idx) {
            *slot = histogram;
        }
    }
}

impl MixedSeries {
    pub(crate) fn new(
        floats: impl IntoIterator<Item = (i64, f64)>,
        histograms: impl IntoIterator<Item = (i64, Arc<NativeHistogram>)>,
    ) -> Self {
        let (ts, values) = floats.into_iter().filter(|(_, value)| !is_stale_marker(*value)).unzip();
        let mut points: Vec<Point> = Vec::new();
        for (at, shared) in histograms.into_iter().filter(|(_, it)| !it.is_stale()) {
            let histogram = Histogram::from(&*shared);
            let is_reset = points.last().is_some_and(|it| histogram.is_reset_after(&it.histogram));
            points.push(Point { at, shared, histogram, is_reset });
        }
        Self { ts, values, points }
    }

    /// What is stored.
    pub(crate) fn stored(series: &HistogramSeries, hints: Hints) -> Self {
        let floats = series.samples.iter().map(|it| (it.ts.0, it.value));
        let mut points = hints::hinted(series, hints);
        points.retain(|it| !it.shared.is_stale());
        Self { points, ..Self::new(floats, []) }
    }

    /// What `(start, end]` holds.
    pub(super) fn look(&self, start: i64, end: i64) -> Look<'_> {
        let of = |ts: &[i64]| {
            let from = ts.partition_point(|it| *it <= start);
            from..ts.partition_point(|it| *it <= end).max(from)
        };
        let floats = of(&self.ts);
        let from = self.points.partition_point(|it| it.at <= start);
        let to = self.points.partition_point(|it| it.at <= end).max(from);
        Look {
            start,
            end,
            ts: self.ts.get(floats.clone()).unwrap_or_default(),
            values: self.values.get(floats).unwrap_or_default(),
            points: self.points.get(from..to).unwrap_or_default(),
        }
    }

    /// A window function at each step; `name` is the metric's, for notes.
    pub(crate) fn apply(
        &self,
        window: &Window,
        grid: &Grid,
        window_ms: i64,
        name: &str,
        notes: &mut Notes,
    ) -> Column {
        let mut column = Column::new(grid.n_steps());
        window.apply(&self.ts, &self.values, grid, window_ms, &mut column.values);
        for (step_idx, at) in grid.steps().enumerate() {
            let look = self.look(at.0.saturating_sub(window_ms), at.0);
            if look.points.is_empty() {
                continue;
            }
            let of_floats = column.values.get(step_idx).copied().unwrap_or_else(absent);
            let cell = Seen { look, of_floats, name }.value(window, notes);
            column.set(step_idx, cell);
        }
        column
    }
}

/// The newest sample of each window, unless it is a stale marker; its time where `window` asks for
/// that.
pub(crate) fn newest(
    series: &HistogramSeries,
    hints: Hints,
    window: &Window,
    grid: &Grid,
    window_ms: i64,
) -> Column {
    let (ts, values): (Vec<i64>, Vec<f64>) =
        series.samples.iter().map(|it| (it.ts.0, it.value)).unzip();
    let histograms = hints::hinted(series, hints);
    let mut column = Column::new(grid.n_steps());
    // Where its newest float stands, at each step.
    let mut float_at = vec![absent(); grid.n_steps()];
    last(&ts, &values, grid, window_ms, &mut float_at, |ts, _| seconds(ts));
    last(&ts, &values, grid, window_ms, &mut column.values, |_, value| value);
    let asks_time = *window == Window::LastTimestamp;
    // Steps often see the histogram the step before saw.
    let mut shown: Option<(i64, Arc<NativeHistogram>)> = None;
    for (step_idx, at) in grid.steps().enumerate() {
        let before = histograms.partition_point(|it| it.at <= at.0);
        let histogram = before.checked_sub(1).and_then(|it| histograms.get(it));
        let float = ts.partition_point(|it| *it <= at.0).checked_sub(1).and_then(|it| ts.get(it));
        let is_newer = |it: &&Point| float.is_none_or(|float| *float < it.at);
        match histogram.filter(is_newer) {
            Some(it) => {
                let is_seen = it.at > at.0.saturating_sub(window_ms) && !it.shared.is_stale();
                let cell = || match &mut shown {
                    _ if asks_time => Cell::Float(seconds(it.at)),
                    Some((at, held)) if *at == it.at => Cell::Histogram(Arc::clone(held)),
                    shown => Cell::Histogram(Arc::clone(&shown.insert((it.at, it.shown())).1)),
                };
                let cell = is_seen.then(cell);
                column.set(step_idx, cell);
            }
            None if asks_time => {
                let value = float_at.get(step_idx).copied().filter(|it| !is_absent(*it));
                column.set(step_idx, value.map(Cell::Float));
            }
            None => {}
        }
    }
    column
}

/// A window with at least one histogram.
struct Seen<'a> {
    look: Look<'a>,
    /// What the function gives for the floats alone.
    of_floats: f64,
    name: &'a str,
}

impl Seen<'_> {
    fn value(&self, window: &Window, notes: &mut Notes) -> Option<Cell> {
        match window {
            Window::Rate | Window::RateOfBuckets => {
                self.alone(notes, |it, notes| rate::rate(it, rate::Kind::Rate, self.name, notes))
            }
            Window::Increase | Window::IncreaseOfBuckets => self
                .alone(notes, |it, notes| rate::rate(it, rate::Kind::Increase, self.name, notes)),
            Window::Delta => {
                self.alone(notes, |it, notes| rate::rate(it, rate::Kind::Delta, self.name, notes))
            }
            Window::Irate => rate::instant(&self.look, true, self.name, notes),
            Window::Idelta => rate::instant(&self.look, false, self.name, notes),
            Window::SumOverTime => {
                self.alone(notes, |it, notes| folded(it, Fold::Sum, self.name, notes))
            }
            Window::AvgOverTime => {
                self.alone(notes, |it, notes| folded(it, Fold::Mean, self.name, notes))
            }
            Window::Changes => Some(Cell::Float(count_changes(&self.look))),
            Window::Resets => Some(Cell::Float(count_resets(&self.look))),
            Window::CountOverTime
            | Window::PresentOverTime
            | Window::FirstOverTime
            | Window::LastOverTime
            | Window::TsOfFirstOverTime
            | Window::TsOfLastOverTime => self.of_either(window),
            _ => {
                if !self.look.ts.is_empty() {
                    notes.insert(Note::IgnoredInRange(self.name.to_owned()));
                }
                Some(Cell::Float(self.of_floats)).filter(|_| !is_absent(self.of_floats))
            }
        }
    }

    /// A function that knows no mix of floats and histograms.
    fn alone(
        &self,
        notes: &mut Notes,
        of: impl FnOnce(&Look<'_>, &mut Notes) -> Option<Histogram>,
    ) -> Option<Cell> {
        if self.look.ts.is_empty() {
            return of(&self.look, notes).map(|it| Cell::Histogram(Arc::new(it.build())));
        }
        notes.insert(Note::MixedTypes(self.name.to_owned()));
        None
    }

    fn of_either(&self, window: &Window) -> Option<Cell> {
        let Look { ts, values, points, .. } = self.look;
        let (first, last) = (points.first()?, points.last()?);
        let first_is_float = ts.first().is_some_and(|it| *it < first.at);
        let last_is_float = ts.last().is_some_and(|it| *it > last.at);
        Some(match window {
            Window::FirstOverTime if first_is_float => Cell::Float(*values.first()?),
            Window::FirstOverTime => Cell::Histogram(first.shown()),
            Window::LastOverTime if last_is_float => Cell::Float(*values.last()?),
            Window::LastOverTime => Cell::Histogram(last.shown()),
            Window::TsOfFirstOverTime if first_is_float => Cell::Float(seconds(*ts.first()?)),
            Window::TsOfFirstOverTime => Cell::Float(seconds(first.at)),
            Window::TsOfLastOverTime if last_is_float => Cell::Float(seconds(*ts.last()?)),
            Window::TsOfLastOverTime => Cell::Float(seconds(last.at)),
            Window::PresentOverTime => Cell::Float(1.0),
            _ => {
                #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
                let n = (values.len() + points.len()) as f64;
                Cell::Float(n)
            }
        })
    }
}

fn folded(look: &Look<'_>, kind: Fold, name: &str, notes: &mut Notes) -> Option<Histogram> {
    let (result, told) = fold(kind, look.points.iter().map(|it| &it.histogram));
    let Ok(result) = result else {
        notes.insert(Note::MixedSchemas(name.to_owned()));
        return None;
    };
    if told.is_collision {
        notes.insert(Note::ResetCollision(Operation::Aggregation));
    }
    if told.is_reconciled {
        notes.insert(Note::Reconciled(Operation::Aggregation));
    }
    result
}
