//! Subqueries: the inner expression on its own absolute-aligned grid, then windows over its rows.

use std::sync::Arc;

use skep_proto::{Sample, TimestampMs};

use super::{Eval, EvalError, select::Lens};
use crate::{
    Grid, Matrix, RawSeries, Row, Window,
    ast::Subquery,
    matrix::{absent, is_absent},
    vector::has_values,
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
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let inner = self.inner(it, grid).await?;
        // A window with a parameter a step needs the steps, even where all look at one time.
        let lens = inner.lens;
        let rows = inner
            .matrix
            .rows
            .iter()
            .map(|row| {
                let (ts, values) = present(&inner.matrix.grid, row);
                let mut out = vec![absent(); lens.grid.n_steps()];
                window.apply(&ts, &values, &lens.grid, inner.window_ms, &mut out);
                Row::floats(Arc::clone(&row.labels), out)
            })
            .filter(has_values)
            .collect();
        self.check_deadline()?;
        Ok(lens.onto(Matrix { grid: lens.grid, rows }, grid))
    }

    pub(super) async fn raw_subquery(
        &self,
        it: &Subquery,
        grid: Grid,
    ) -> Result<Vec<RawSeries>, EvalError> {
        let inner = self.inner(it, grid).await?;
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
                RawSeries::floats(Arc::clone(&row.labels), samples)
            })
            .filter(|it| !it.samples.is_empty())
            .collect();
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }
}

fn present(grid: &Grid, row: &Row) -> (Vec<i64>, Vec<f64>) {
    grid.steps()
        .zip(&row.values)
        .filter(|(_, value)| !is_absent(**value))
        .map(|(at, value)| (at.0, *value))
        .unzip()
}
