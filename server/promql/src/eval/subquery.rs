//! Subqueries: the inner expression on its own absolute-aligned grid, then windows over its rows.

use std::sync::Arc;

use skep_proto::{HistogramSample, NativeHistogram, ResetHint, Sample, TimestampMs};

use super::{Eval, EvalError, mixed, select::Lens};
use crate::{
    Grid, Matrix, RawSeries, Row, Window,
    annotations::Notes,
    ast::{Span, Subquery},
    matrix::{absent, is_absent},
    vector::without_names,
    window::mixed::MixedSeries,
};

/// The rows of the inner expression, and the windows to lay over them.
struct Inner {
    matrix: Matrix,
    lens: Lens,
    window_ms: i64,
}

impl Eval<'_> {
    async fn inner(&self, it: &Subquery, grid: Grid) -> Result<Inner, EvalError> {
        let lens = self.lens(&it.modifiers, grid)?;
        let window_ms = self.positive_ms(&it.range)?;
        let step_ms = match &it.step {
            Some(step) => self.positive_ms(step)?,
            None => self.options.default_step_ms,
        };
        // Steps are multiples of the step length since 1970, so that results do not depend on when
        // a query is asked.
        let after = lens.grid.start().0.saturating_sub(window_ms);
        let start = after.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
        let end = lens.grid.end().0;
        let n_steps = if end < start {
            0
        } else {
            usize::try_from(end.saturating_sub(start) / step_ms)
                .map_or(usize::MAX, |it| it.saturating_add(1))
        };
        self.check_size(n_steps, 1)?;
        let inner_grid = Grid::with_steps(TimestampMs(start), step_ms, n_steps);
        let matrix = if n_steps == 0 {
            Matrix::empty(inner_grid)
        } else {
            self.vector(&it.expr, inner_grid).await?
        };
        Ok(Inner { matrix, lens, window_ms })
    }

    pub(super) async fn subquery_window(
        &self,
        it: &Subquery,
        window: &Window,
        span: Span,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let inner = self.inner(it, grid).await?;
        // A window with a parameter a step needs the steps, even where all look at one time.
        let lens = inner.lens;
        let mut notes = Notes::new();
        let rows = inner
            .matrix
            .rows
            .iter()
            .map(|row| {
                let (ts, values) = present(&inner.matrix.grid, row);
                let looked = if row.histograms.is_some() {
                    let name = row.labels.metric_name();
                    let floats = ts.into_iter().zip(values);
                    let series = MixedSeries::new(floats, histograms(&inner.matrix.grid, row));
                    let (grid, window_ms) = (&lens.grid, inner.window_ms);
                    let column = series.apply(window, grid, window_ms, name, &mut notes);
                    mixed::row(Arc::clone(&row.labels), column)
                } else {
                    let mut out = vec![absent(); lens.grid.n_steps()];
                    window.apply(&ts, &values, &lens.grid, inner.window_ms, &mut out);
                    Row::floats(Arc::clone(&row.labels), out)
                };
                Row { drops_name: row.drops_name, ..looked }
            })
            .filter(Row::has_values)
            .collect();
        self.note(&notes, span);
        self.check_deadline()?;
        Ok(lens.onto(Matrix { grid: lens.grid, rows }, grid))
    }

    pub(super) async fn raw_subquery(
        &self,
        it: &Subquery,
        grid: Grid,
    ) -> Result<Vec<RawSeries>, EvalError> {
        let mut inner = self.inner(it, grid).await?;
        inner.matrix.rows = without_names(inner.matrix.rows)?;
        let mut series: Vec<RawSeries> = inner
            .matrix
            .rows
            .iter()
            .map(|row| {
                let (ts, values) = present(&inner.matrix.grid, row);
                let samples = ts
                    .into_iter()
                    .zip(values)
                    .map(|(ts, value)| Sample { ts: TimestampMs(ts), value })
                    .collect();
                let histograms = histograms(&inner.matrix.grid, row)
                    .map(|(ts, histogram)| HistogramSample { ts: TimestampMs(ts), histogram })
                    .collect();
                RawSeries { labels: Arc::clone(&row.labels), samples, histograms }
            })
            .filter(|it| !it.samples.is_empty() || !it.histograms.is_empty())
            .collect();
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }
}

fn histograms<'a>(
    grid: &'a Grid,
    row: &'a Row,
) -> impl Iterator<Item = (i64, Arc<NativeHistogram>)> + 'a {
    let histograms = row.histograms.iter().flatten();
    grid.steps().zip(histograms).filter_map(|(at, it)| Some((at.0, unhinted(it.as_ref()?))))
}

/// What was known of resets spoke of the samples; between steps there may be any number of them.
fn unhinted(it: &Arc<NativeHistogram>) -> Arc<NativeHistogram> {
    if matches!(it.reset_hint, ResetHint::Unknown | ResetHint::Gauge) {
        return Arc::clone(it);
    }
    let it = NativeHistogram::clone(it);
    Arc::new(NativeHistogram { reset_hint: ResetHint::Unknown, ..it })
}

fn present(grid: &Grid, row: &Row) -> (Vec<i64>, Vec<f64>) {
    grid.steps()
        .zip(&row.values)
        .filter(|(_, value)| !is_absent(**value))
        .map(|(at, value)| (at.0, *value))
        .unzip()
}
