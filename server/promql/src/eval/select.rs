//! Selectors: what is asked of storage, and how the answer is put on the query's grid.

use skep_proto::{Labels, MatchOp, TimeRange, TimestampMs, names::METRIC_NAME};

use super::{Eval, EvalError};
use crate::{
    Expr, Fused, Grid, Leaf, Matrix, RawSeries, Window,
    ast::{MatrixSelector, Modifiers, VectorSelector},
};

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
        if modifiers.extended.is_some() {
            return Err(EvalError::Unsupported("anchored and smoothed selectors".to_owned()));
        }
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
        self.instant_leaf(selector, Window::Last, None, grid).await
    }

    pub(super) async fn instant_leaf(
        &self,
        selector: &VectorSelector,
        window: Window,
        fused: Option<Fused>,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let lens = self.lens(&selector.modifiers, grid)?;
        let window_ms = self.options.lookback_ms;
        self.leaf(selector, lens, window, window_ms, fused, grid).await
    }

    pub(super) async fn range_leaf(
        &self,
        selector: &MatrixSelector,
        window: Window,
        fused: Option<Fused>,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let lens = self.lens(&selector.selector.modifiers, grid)?;
        let window_ms = self.positive_ms(&selector.range)?;
        self.leaf(&selector.selector, lens, window, window_ms, fused, grid).await
    }

    async fn leaf(
        &self,
        selector: &VectorSelector,
        lens: Lens,
        window: Window,
        window_ms: i64,
        fused: Option<Fused>,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let matchers = selector.matchers.clone();
        let leaf = Leaf { matchers, grid: lens.grid, window_ms, window, fused };
        let matrix = self.storage.leaf(&leaf).await?;
        self.check_deadline()?;
        self.check_size(matrix.rows.len(), grid.n_steps())?;
        Ok(lens.onto(matrix, grid))
    }

    /// The rows of a range vector at the top of an instant query.
    pub(super) async fn raw(&self, expr: &Expr, grid: Grid) -> Result<Vec<RawSeries>, EvalError> {
        match expr.unwrapped() {
            Expr::Matrix(it) => {
                let lens = self.lens(&it.selector.modifiers, grid)?;
                let window_ms = self.positive_ms(&it.range)?;
                let end = lens.grid.start();
                let start = TimestampMs(end.0.saturating_sub(window_ms - 1));
                let range = TimeRange { start, end };
                let series = self.storage.raw(&it.selector.matchers, range).await?;
                self.check_size(series.iter().map(|it| it.samples.len()).sum(), 1)?;
                Ok(series)
            }
            Expr::Subquery(it) => self.raw_subquery(it, grid).await,
            other => Err(EvalError::Unsupported(format!(
                "a range vector from {}",
                other.value_type().documented()
            ))),
        }
    }
}

impl Lens {
    /// Values seen through the lens, on the grid of the query.
    pub(super) fn onto(self, matrix: Matrix, grid: Grid) -> Matrix {
        let mut rows = matrix.rows;
        if self.is_fixed && self.grid.n_steps() == 1 && grid.n_steps() != 1 {
            for row in &mut rows {
                let value = row.values.first().copied().unwrap_or_else(crate::absent);
                row.values = vec![value; grid.n_steps()];
            }
        }
        Matrix { grid, rows }
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
