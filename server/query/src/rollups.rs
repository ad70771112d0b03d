//! Leaves over times whose samples are gone and only summed up: which of a bucket's columns stands
//! for the samples, and how wide buckets may be.
//!
//! Samples answer wherever they exist. Steps whose window reaches back before them are asked of
//! both, where a bucket gives what the function needs. Over windows of whole buckets, at steps
//! where a bucket ends, these are what they were over samples: `min`, `max`, `sum`, `count`, `avg`,
//! `last`, `present_over_time`, `rate`, `increase` and instant selectors. The others see the last
//! sample of each bucket.

use std::{collections::HashMap, ops::Range, sync::Arc};

use skep_promql::{Grid, Leaf, Matrix, Row, StorageError, Window, absent, is_absent};
use skep_proto::{Labels, TimestampMs};

use crate::{Rollup, RollupTier, metrics::MetricStorage};

impl MetricStorage {
    /// The leaf over samples and what was summed up; `None` where samples alone can answer.
    pub(crate) async fn coarse_leaf(&self, leaf: &Leaf) -> Result<Option<Matrix>, StorageError> {
        let Some(rollups) = self.rollups() else { return Ok(None) };
        let Some(tier) = rollups.tier(grain_ms(leaf)) else { return Ok(None) };
        let n_coarse = n_coarse_steps(leaf, tier.horizon);
        if n_coarse == 0 {
            return Ok(None);
        }
        if leaf.window == Window::AvgOverTime && leaf.fused.is_some() {
            // Of sums and counts by group no average of averages can be made.
            return self.grouped(leaf).await.map(Some);
        }
        let coarse = self.over_buckets(part_of(leaf, 0..n_coarse), &tier).await?;
        let n_steps = leaf.grid.n_steps();
        if n_coarse == n_steps {
            return Ok(Some(Matrix { grid: leaf.grid, rows: coarse.rows }));
        }
        let fine = part_of(leaf, n_coarse..n_steps);
        let fine = self.leaf_over(&fine, self.samples()).await?;
        Ok(Some(joined(leaf.grid, coarse.rows, fine.rows, n_coarse)))
    }

    async fn over_buckets(&self, leaf: Leaf, tier: &RollupTier) -> Result<Matrix, StorageError> {
        let table = |it| tier.tables.table(it);
        let summed = |leaf: &Leaf| Leaf { window: Window::SumOverTime, ..leaf.clone() };
        let rated = |window, leaf: &Leaf| Leaf { window, ..leaf.clone() };
        let (leaf, rollup) = match &leaf.window {
            Window::AvgOverTime => {
                let sums = self.leaf_over(&summed(&leaf), &table(Rollup::Sum)).await?;
                let counts = self.leaf_over(&summed(&leaf), &table(Rollup::Count)).await?;
                return Ok(divided(sums, &counts));
            }
            Window::CountOverTime => (summed(&leaf), Rollup::Count),
            Window::SumOverTime => (leaf, Rollup::Sum),
            Window::MinOverTime => (leaf, Rollup::Min),
            Window::MaxOverTime => (leaf, Rollup::Max),
            Window::Rate => (rated(Window::RateOfBuckets, &leaf), Rollup::Rate),
            Window::Increase => (rated(Window::IncreaseOfBuckets, &leaf), Rollup::Rate),
            Window::Irate | Window::Resets => (leaf, Rollup::Counter),
            Window::Last | Window::LastTimestamp if grain_ms(&leaf) % tier.width_ms != 0 => {
                // Inside a bucket its first sample is the newest that is known.
                let window_ms = leaf.window_ms.max(tier.width_ms);
                (Leaf { window_ms, ..leaf }, Rollup::Ends)
            }
            _ => (leaf, Rollup::Last),
        };
        self.leaf_over(&leaf, &table(rollup)).await
    }

    /// The leaf without its aggregation, which is done afterwards.
    async fn grouped(&self, leaf: &Leaf) -> Result<Matrix, StorageError> {
        let single = Leaf { fused: None, ..leaf.clone() };
        let rows = Box::pin(self.coarse_leaf(&single)).await?;
        let rows = rows.unwrap_or_else(|| Matrix::empty(leaf.grid));
        let Some(fused) = &leaf.fused else { return Ok(rows) };
        Ok(self.aggregated(fused, &rows))
    }
}

/// What divides all ends of windows, and their starts where they matter: buckets of a width that
/// divides it are never cut.
fn grain_ms(leaf: &Leaf) -> i64 {
    let start = leaf.grid.start().0;
    let step_ms = if leaf.grid.n_steps() > 1 { leaf.grid.step_ms() } else { 0 };
    let window_ms = if is_instant(&leaf.window) { 0 } else { leaf.window_ms };
    gcd(gcd(start, step_ms), window_ms)
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.saturating_abs(), b.saturating_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// An instant selector sees the newest sample of its window alone.
fn is_instant(window: &Window) -> bool {
    matches!(window, Window::Last | Window::LastTimestamp)
}

/// How many steps from the first look back before the horizon.
fn n_coarse_steps(leaf: &Leaf, horizon: TimestampMs) -> usize {
    let looks_back = |at: TimestampMs| at.0.saturating_sub(leaf.window_ms) < horizon.0;
    leaf.grid.steps().take_while(|it| looks_back(*it)).count()
}

/// The same at some of the steps.
fn part_of(leaf: &Leaf, steps: Range<usize>) -> Leaf {
    let grid = leaf.grid.part(steps.clone());
    let of = |values: &Vec<f64>| match values.get(steps.clone()) {
        Some(values) => values.to_vec(),
        // One value for all steps.
        None => values.clone(),
    };
    let window = match &leaf.window {
        Window::PredictLinear { ahead_seconds } => {
            Window::PredictLinear { ahead_seconds: of(ahead_seconds) }
        }
        Window::QuantileOverTime { quantile } => {
            Window::QuantileOverTime { quantile: of(quantile) }
        }
        Window::DoubleExponentialSmoothing { smoothing, trend } => {
            Window::DoubleExponentialSmoothing { smoothing: of(smoothing), trend: of(trend) }
        }
        other => other.clone(),
    };
    Leaf { grid, window, ..leaf.clone() }
}

/// Rows of the first steps and of the others, by their labels.
fn joined(grid: Grid, first: Vec<Row>, others: Vec<Row>, n_first: usize) -> Matrix {
    let n_steps = grid.n_steps();
    let mut rows: HashMap<Arc<Labels>, Vec<f64>> = HashMap::new();
    for (start, part) in [(0, first), (n_first, others)] {
        for row in part {
            let values = rows.entry(row.labels).or_insert_with(|| vec![absent(); n_steps]);
            for (slot, value) in values.iter_mut().skip(start).zip(row.values) {
                *slot = value;
            }
        }
    }
    let mut rows: Vec<Row> =
        rows.into_iter().map(|(labels, values)| Row::floats(labels, values)).collect();
    rows.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    Matrix { grid, rows }
}

fn by_labels(matrix: &Matrix) -> HashMap<&Arc<Labels>, &[f64]> {
    matrix.rows.iter().map(|it| (&it.labels, it.values.as_slice())).collect()
}

/// Each value by the other matrix' value of the same series and step.
fn divided(mut sums: Matrix, counts: &Matrix) -> Matrix {
    let counts = by_labels(counts);
    for row in &mut sums.rows {
        let counts = counts.get(&row.labels).copied().unwrap_or_default();
        for (at, value) in row.values.iter_mut().enumerate() {
            if !is_absent(*value) {
                *value =
                    counts.get(at).filter(|it| !is_absent(**it)).map_or(absent(), |n| *value / n);
            }
        }
    }
    sums
}
