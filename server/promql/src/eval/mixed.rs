//! Series that have native histograms: what of them storage is asked for beside its leaves.

use std::{collections::HashMap, sync::Arc};

use skep_proto::{Labels, Matcher, NativeHistogram, TimeRange, TimestampMs};

use super::{
    Eval, EvalError,
    select::{Lens, Look},
};
use crate::{
    Grid, HistogramSeries, Leaf, Matrix, RawSeries, Row, Window,
    annotations::Notes,
    ast::{Modifiers, Span},
    vector::aggregate_mixed,
    window::{
        extended::Reach,
        mixed::{Column, Hints, MixedSeries, newest},
    },
};

impl Eval<'_> {
    pub(super) fn note(&self, notes: &Notes, span: Span) {
        if !notes.is_empty() {
            self.annotate(|it, query| notes.iter().for_each(|note| it.note(query, span, note)));
        }
    }

    fn hints(&self, look: &Look<'_>, range: TimeRange) -> Hints {
        if self.counted.contains(&look.selector.span) {
            Hints::CountedFrom(range.start)
        } else {
            Hints::Stored
        }
    }

    /// Series with histograms in a range, and what lies up to a look-back before it: whether a
    /// counter began anew shows in the histogram before.
    async fn stored_histograms(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<HistogramSeries>, EvalError> {
        let start = TimestampMs(range.start.0.saturating_sub(self.options.lookback_ms));
        let wider = TimeRange { start, ..range };
        let series = self.storage.histograms(matchers, wider).await?;
        if !series.is_empty() {
            let n_buckets = |it: &NativeHistogram| it.positive.len() + it.negative.len() + 1;
            let all = series.iter().flat_map(|it| &it.histograms);
            self.check_size(all.map(|it| n_buckets(&it.histogram)).sum(), 1)?;
        }
        Ok(series)
    }

    /// A leaf; where no series has histograms, storage's own.
    pub(super) async fn stored_leaf(
        &self,
        leaf: &Leaf,
        look: &Look<'_>,
    ) -> Result<Matrix, EvalError> {
        let series = self.stored_histograms(&leaf.matchers, leaf.range()).await?;
        if series.is_empty() {
            return Ok(self.storage.leaf(leaf).await?);
        }
        let floats = Leaf { fused: None, ..leaf.clone() };
        let mut matrix = self.storage.leaf(&floats).await?;
        let hints = self.hints(look, leaf.range());
        let mut notes = Notes::new();
        let rows = series.iter().map(|it| {
            let column = match &leaf.window {
                Window::Last | Window::LastTimestamp => {
                    newest(it, hints, &leaf.window, &leaf.grid, leaf.window_ms)
                }
                window => {
                    let name = it.labels.metric_name();
                    let series = MixedSeries::stored(it, hints);
                    series.apply(window, &leaf.grid, leaf.window_ms, name, &mut notes)
                }
            };
            row(Arc::clone(&it.labels), column)
        });
        replace(&mut matrix.rows, rows.collect(), |it| &it.labels);
        matrix.rows.retain(Row::has_values);
        self.note(&notes, look.span);
        let Some(fused) = &leaf.fused else {
            return Ok(matrix);
        };
        let mut notes = Notes::new();
        let aggregation = fused.op.into();
        let matrix = aggregate_mixed(&matrix, &aggregation, &fused.grouping, &mut notes);
        self.note(&notes, look.aggregated);
        Ok(matrix)
    }

    /// All samples of the matching series, floats and histograms.
    async fn stored_series(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: Hints,
    ) -> Result<Vec<(Arc<Labels>, MixedSeries)>, EvalError> {
        let histograms = self.stored_histograms(matchers, range).await?;
        let floats = self.storage.raw(matchers, range).await?;
        self.check_size(floats.iter().map(|it| it.samples.len()).sum(), 1)?;
        let mut all: Vec<(Arc<Labels>, MixedSeries)> = floats
            .into_iter()
            .map(|it| {
                let floats = it.samples.into_iter().map(|it| (it.ts.0, it.value));
                (it.labels, MixedSeries::new(floats, []))
            })
            .collect();
        let mixed =
            histograms.iter().map(|it| (Arc::clone(&it.labels), MixedSeries::stored(it, hints)));
        replace(&mut all, mixed.collect(), |(labels, _)| labels);
        Ok(all)
    }

    /// How far a selector looks beyond its windows; nothing where it does not.
    pub(super) fn reach(&self, modifiers: &Modifiers) -> Option<Reach> {
        let lookback_ms = self.options.lookback_ms;
        modifiers.extended.map(|extended| Reach { extended, lookback_ms })
    }

    /// A range selector that looks beyond its windows, or an instant one that interpolates.
    pub(super) async fn extended_leaf(
        &self,
        look: &Look<'_>,
        reach: Reach,
        lens: Lens,
        window_ms: Option<i64>,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let first = lens.grid.start().0.saturating_sub(window_ms.unwrap_or_default());
        let (from, to) = reach.around(first, lens.grid.end().0);
        let range = TimeRange { start: TimestampMs(from.saturating_add(1)), end: TimestampMs(to) };
        let hints = self.hints(look, range);
        let series = self.stored_series(&look.selector.matchers, range, hints).await?;
        self.check_size(series.len(), lens.grid.n_steps())?;
        let mut notes = Notes::new();
        let rows = series
            .into_iter()
            .map(|(labels, series)| {
                let name = labels.metric_name();
                let column = match window_ms {
                    None => series.smoothed(&lens.grid, reach.lookback_ms, name, &mut notes),
                    Some(window_ms) => {
                        let windows = (&lens.grid, window_ms);
                        series.apply_extended(&look.window, reach, windows, name, &mut notes)
                    }
                };
                row(labels, column)
            })
            .filter(Row::has_values)
            .collect();
        self.note(&notes, look.span);
        self.check_deadline()?;
        Ok(lens.onto(Matrix { grid: lens.grid, rows }, grid))
    }

    /// The samples of one range at the top of a query.
    pub(super) async fn stored_raw(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<RawSeries>, EvalError> {
        let histograms = self.stored_histograms(matchers, range).await?;
        let mut series = self.storage.raw(matchers, range).await?;
        if histograms.is_empty() {
            return Ok(series);
        }
        let mixed = histograms.into_iter().map(|it| RawSeries {
            labels: it.labels,
            samples: it
                .samples
                .into_iter()
                .filter(|it| range.contains(it.ts) && !skep_proto::is_stale_marker(it.value))
                .collect(),
            histograms: it
                .histograms
                .into_iter()
                .filter(|it| range.contains(it.ts) && !it.histogram.is_stale())
                .collect(),
        });
        replace(&mut series, mixed.collect(), |it| &it.labels);
        series.retain(|it| !it.samples.is_empty() || !it.histograms.is_empty());
        Ok(series)
    }

    /// As above, of a selector that looks beyond its window.
    pub(super) async fn extended_raw(
        &self,
        matchers: &[Matcher],
        reach: Reach,
        start: i64,
        end: i64,
    ) -> Result<Vec<RawSeries>, EvalError> {
        let (from, to) = reach.around(start, end);
        let range = TimeRange { start: TimestampMs(from.saturating_add(1)), end: TimestampMs(to) };
        let series = self.stored_series(matchers, range, Hints::Stored).await?;
        Ok(series
            .into_iter()
            .map(|(labels, it)| RawSeries { labels, ..it.extended_raw(reach, start, end) })
            .filter(|it| !it.samples.is_empty() || !it.histograms.is_empty())
            .collect())
    }
}

pub(super) fn row(labels: Arc<Labels>, column: Column) -> Row {
    Row::mixed(labels, column.values, column.histograms)
}

/// Puts each new item where the one with the same labels stands, else at the end.
fn replace<T>(held: &mut Vec<T>, new: Vec<T>, labels: impl Fn(&T) -> &Arc<Labels>) {
    let idx_of: HashMap<Arc<Labels>, usize> =
        held.iter().enumerate().map(|(idx, it)| (Arc::clone(labels(it)), idx)).collect();
    for item in new {
        match idx_of.get(labels(&item)).and_then(|idx| held.get_mut(*idx)) {
            Some(slot) => *slot = item,
            None => held.push(item),
        }
    }
}
