//! Selectors: what is asked of storage, and how the answer is put on the query's grid.

use skep_proto::{Labels, MatchOp, TimeRange, TimestampMs, names::METRIC_NAME};

use super::{Eval, EvalError};
use crate::{
    Expr, Fused, Grid, Leaf, Matrix, RawSeries, Row, Window,
    ast::{Length, MatrixSelector, Modifiers, Span, VectorSelector},
};

/// What is asked of a selector's series.
#[derive(Debug, Clone)]
pub(super) struct Look<'a> {
    pub(super) selector: &'a VectorSelector,
    pub(super) window: Window,
    pub(super) fused: Option<Fused>,
    /// Where notes on the samples stand.
    pub(super) span: Span,
    /// Where those on the fused aggregation stand.
    pub(super) aggregated: Span,
}

impl<'a> Look<'a> {
    pub(super) fn new(selector: &'a VectorSelector, window: Window, span: Span) -> Self {
        Self { selector, window, fused: None, span, aggregated: span }
    }
}

/// Where a node looks, seen from the grid it is evaluated on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lens {
    /// The times looked at.
    pub(super) grid: Grid,
    /// `@`: one look serves every step.
    pub(super) is_fixed: bool,
}

impl Eval<'_> {
    pub(super) fn lens(&self, modifiers: &Modifiers, grid: Grid) -> Result<Lens, EvalError> {
        let offset_ms = self.length_ms(&modifiers.offset)?;
        Ok(match self.at_time(modifiers) {
            Some(at) => Lens {
                grid: Grid::instant(TimestampMs(at.0.saturating_sub(offset_ms))),
                is_fixed: true,
            },
            None => Lens { grid: grid.shifted(offset_ms.saturating_neg()), is_fixed: false },
        })
    }

    pub(super) async fn instant(
        &self,
        selector: &VectorSelector,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let look = Look::new(selector, Window::Last, selector.span);
        match self.reach(&selector.modifiers).filter(|it| it.is_smoothed()) {
            Some(reach) => {
                let lens = self.lens(&selector.modifiers, grid)?;
                self.extended_leaf(&look, reach, lens, None, grid).await
            }
            None => self.instant_leaf(look, grid).await,
        }
    }

    pub(super) async fn instant_leaf(
        &self,
        look: Look<'_>,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let lens = self.lens(&look.selector.modifiers, grid)?;
        self.leaf(look, lens, self.options.lookback_ms, grid).await
    }

    pub(super) async fn range_leaf(
        &self,
        look: Look<'_>,
        range: &Length,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let lens = self.lens(&look.selector.modifiers, grid)?;
        let window_ms = self.positive_ms(range)?;
        match self.reach(&look.selector.modifiers) {
            Some(reach) => self.extended_leaf(&look, reach, lens, Some(window_ms), grid).await,
            None => self.leaf(look, lens, window_ms, grid).await,
        }
    }

    async fn leaf(
        &self,
        look: Look<'_>,
        lens: Lens,
        window_ms: i64,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let leaf = Leaf {
            matchers: look.selector.matchers.clone(),
            grid: lens.grid,
            window_ms,
            window: look.window.clone(),
            fused: look.fused.clone(),
        };
        let matrix = self.stored_leaf(&leaf, &look).await?;
        self.check_deadline()?;
        self.check_size(matrix.rows.len(), grid.n_steps())?;
        Ok(lens.onto(matrix, grid))
    }

    /// The rows of a range vector at the top of an instant query.
    pub(super) async fn raw(&self, expr: &Expr, grid: Grid) -> Result<Vec<RawSeries>, EvalError> {
        match expr.unwrapped() {
            Expr::Matrix(it) => {
                let series = self.raw_selector(it, grid).await?;
                let n_samples = |it: &RawSeries| it.samples.len() + it.histograms.len();
                self.check_size(series.iter().map(n_samples).sum(), 1)?;
                Ok(series)
            }
            Expr::Subquery(it) => self.raw_subquery(it, grid).await,
            other => Err(no_range_vector(other)),
        }
    }

    async fn raw_selector(
        &self,
        it: &MatrixSelector,
        grid: Grid,
    ) -> Result<Vec<RawSeries>, EvalError> {
        let lens = self.lens(&it.selector.modifiers, grid)?;
        let window_ms = self.positive_ms(&it.range)?;
        let (matchers, end) = (&it.selector.matchers, lens.grid.start());
        if let Some(reach) = self.reach(&it.selector.modifiers) {
            let start = end.0.saturating_sub(window_ms);
            return self.extended_raw(matchers, reach, start, end.0).await;
        }
        let start = TimestampMs(end.0.saturating_sub(window_ms - 1));
        self.stored_raw(matchers, TimeRange { start, end }).await
    }
}

/// The parser has seen to it that there is none.
pub(super) fn no_range_vector(expr: &Expr) -> EvalError {
    let found = expr.value_type().documented();
    EvalError::BadQuery(format!("expected a range vector, got {found}"))
}

impl Lens {
    /// Values seen through the lens, on the grid of the query.
    pub(super) fn onto(self, matrix: Matrix, grid: Grid) -> Matrix {
        let mut rows = matrix.rows;
        if self.is_fixed && self.grid.n_steps() == 1 && grid.n_steps() != 1 {
            for row in &mut rows {
                repeat(row, grid.n_steps());
            }
        }
        Matrix { grid, rows }
    }
}

/// The value of the first step at every step.
fn repeat(row: &mut Row, n_steps: usize) {
    let value = row.values.first().copied().unwrap_or_else(crate::absent);
    row.values = vec![value; n_steps];
    if let Some(histograms) = &mut row.histograms {
        *histograms = vec![histograms.first().cloned().flatten(); n_steps];
    }
}

/// The labels `absent()` gives: those of `=` matchers, unless a later matcher speaks of the same one.
pub(super) fn promised_labels(expr: &Expr) -> Labels {
    let matchers = match expr.unwrapped() {
        Expr::Vector(it) => &it.matchers,
        Expr::Matrix(it) => &it.selector.matchers,
        _ => return Labels::default(),
    };
    let mut builder = Labels::default().to_builder();
    let mut seen = Vec::new();
    for matcher in matchers.iter().filter(|it| it.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            builder.set(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            builder.remove(matcher.name());
        }
    }
    builder.build()
}

/// The metric name a selector fixes by `=`.
pub(super) fn fixed_name(selector: &VectorSelector) -> Option<&str> {
    selector
        .matchers
        .iter()
        .find(|it| it.name() == METRIC_NAME && it.op() == MatchOp::Equal)
        .map(skep_proto::Matcher::value)
        .filter(|it| !it.is_empty())
}
