//! Values of range queries, kept: a dashboard that is looked at again asks storage only for what is
//! new, or was written late.

use std::{collections::HashMap, ops::Range, sync::Arc};

use quick_cache::{Weighter, sync::Cache};
use skep_promql::{Annotations, Grid, Matrix, Reach, Row, absent, is_absent};
use skep_proto::{Labels, TimeRange, TimestampMs};

use crate::catalog::Changes;

/// Rows beside their values: labels, mostly.
const ROW_BYTES: u64 = 256;

/// An answer of more than this share of the cache is not kept.
const SHARE_MAX: u64 = 8;

/// Answers expected in the cache; only sets its first size.
const N_ITEMS_EXPECTED: usize = 1_024;

/// Range queries that differ in nothing but start and end, by whole steps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) query: String,
    pub(crate) lookback_ms: i64,
    step_ms: i64,
    /// Where steps lie between multiples of their length.
    phase_ms: i64,
}

impl Key {
    pub(crate) fn new(query: &str, lookback_ms: i64, grid: &Grid) -> Self {
        let step_ms = grid.step_ms();
        let phase_ms = grid.start().0.rem_euclid(step_ms);
        Self { query: query.to_owned(), lookback_ms, step_ms, phase_ms }
    }
}

/// What a query gave.
#[derive(Debug)]
struct Kept {
    /// Of the changes, before the snapshot was taken.
    version: u64,
    matrix: Matrix,
    /// Of all its steps together: without one of them they might be others.
    annotations: Annotations,
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Key, Arc<Kept>> for Bytes {
    fn weight(&self, key: &Key, kept: &Arc<Kept>) -> u64 {
        ROW_BYTES + key.query.len() as u64 + size_bytes(&kept.matrix)
    }
}

fn size_bytes(matrix: &Matrix) -> u64 {
    let row_bytes = ROW_BYTES + 8 * matrix.grid.n_steps() as u64;
    row_bytes.saturating_mul(matrix.rows.len() as u64)
}

/// Bounded in bytes; what is asked for again stays longest.
#[derive(Debug)]
pub(crate) struct Results {
    cache: Cache<Key, Arc<Kept>, Bytes>,
    bytes_max: u64,
}

/// The steps of a query whose values are known.
#[derive(Debug)]
pub(crate) struct Known {
    kept: Arc<Kept>,
    /// Of the query's grid.
    pub(crate) steps: Range<usize>,
}

impl Results {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max as u64;
        Self { cache: Cache::with_weighter(N_ITEMS_EXPECTED, bytes_max, Bytes), bytes_max }
    }

    /// What is known of a query, if nothing it depends on has changed since.
    pub(crate) fn known(
        &self,
        key: &Key,
        grid: &Grid,
        reach: Reach,
        changes: &dyn Changes,
    ) -> Option<Known> {
        let kept = self.cache.get(key)?;
        let is_same = kept.matrix.grid == *grid;
        if !is_same && !kept.annotations.is_empty() {
            return None;
        }
        let steps = common_steps(&kept.matrix.grid, grid);
        let part = grid.part(steps.clone());
        let looked_at = TimeRange {
            start: TimestampMs(part.start().0.saturating_sub(reach.back_ms)),
            end: TimestampMs(part.end().0.saturating_add(reach.ahead_ms)),
        };
        let steps = match changes.first_since(kept.version, looked_at) {
            None => steps,
            Some(at) => {
                let is_before = |it: &TimestampMs| it.0.saturating_add(reach.ahead_ms) < at.0;
                let n_good = part.steps().take_while(is_before).count();
                steps.start..steps.start + n_good
            }
        };
        let is_all = is_same && steps.len() == grid.n_steps();
        if steps.is_empty() || !is_all && !kept.annotations.is_empty() {
            return None;
        }
        Some(Known { kept, steps })
    }

    /// Keeps an answer that was computed at `version`.
    pub(crate) fn keep(&self, key: Key, version: u64, matrix: &Matrix, annotations: &Annotations) {
        let has_histograms = matrix.rows.iter().any(|it| it.histograms.is_some());
        if !has_histograms && size_bytes(matrix) <= self.bytes_max / SHARE_MAX {
            let (matrix, annotations) = (matrix.clone(), annotations.clone());
            self.cache.insert(key, Arc::new(Kept { version, matrix, annotations }));
        }
    }
}

impl Known {
    /// What was told beside the values; something only where all steps are known.
    pub(crate) fn annotations(&self) -> Annotations {
        self.kept.annotations.clone()
    }

    /// The runs of steps before and behind that are not known.
    pub(crate) fn unknown(&self, grid: &Grid) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = self.steps;
        [0..start, end..grid.n_steps()].into_iter().filter(|it| !it.is_empty())
    }

    /// The whole answer; `others` are matrices that begin at these steps.
    pub(crate) fn joined(&self, grid: Grid, others: Vec<(usize, Matrix)>) -> Matrix {
        let from = self.kept_from(&grid);
        if others.is_empty() {
            let rows = self.kept.matrix.rows.iter().filter_map(|row| {
                let values = row.values.get(from.clone())?;
                let has_any = values.iter().any(|it| !is_absent(*it));
                has_any.then(|| Row::floats(Arc::clone(&row.labels), values.to_vec()))
            });
            return Matrix { grid, rows: rows.collect() };
        }
        let mut rows: HashMap<Arc<Labels>, Row> = HashMap::new();
        for row in &self.kept.matrix.rows {
            let values = row.values.get(from.clone()).unwrap_or_default();
            if values.iter().any(|it| !is_absent(*it)) {
                fill(&mut rows, &grid, self.steps.start, &row.labels, values);
            }
        }
        for (start, matrix) in others {
            for row in matrix.rows {
                fill(&mut rows, &grid, start, &row.labels, &row.values);
                if let (Some(histograms), Some(whole)) = (row.histograms, rows.get_mut(&row.labels))
                {
                    let slots = whole.histograms.get_or_insert_with(|| vec![None; grid.n_steps()]);
                    let slots = slots.iter_mut().skip(start);
                    slots.zip(histograms).for_each(|(slot, it)| *slot = it);
                }
            }
        }
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Matrix { grid, rows }
    }

    /// The known steps, as the kept matrix counts them.
    fn kept_from(&self, grid: &Grid) -> Range<usize> {
        let first = grid.at(self.steps.start).0 - self.kept.matrix.grid.start().0;
        let first = usize::try_from(first / grid.step_ms()).unwrap_or(usize::MAX);
        first..first.saturating_add(self.steps.len())
    }
}

/// Puts values of one series in their place.
fn fill(
    rows: &mut HashMap<Arc<Labels>, Row>,
    grid: &Grid,
    start: usize,
    labels: &Arc<Labels>,
    values: &[f64],
) {
    let row = rows
        .entry(Arc::clone(labels))
        .or_insert_with(|| Row::floats(Arc::clone(labels), vec![absent(); grid.n_steps()]));
    row.values.iter_mut().skip(start).zip(values).for_each(|(slot, value)| *slot = *value);
}

/// The steps of `wanted` that are among those of `kept`, which lie on the same multiples.
fn common_steps(kept: &Grid, wanted: &Grid) -> Range<usize> {
    let step_of = |at: TimestampMs| {
        let after = at.0.saturating_sub(wanted.start().0) / wanted.step_ms();
        usize::try_from(after).unwrap_or(0).min(wanted.n_steps())
    };
    if kept.end() < wanted.start() || wanted.end() < kept.start() {
        return 0..0;
    }
    step_of(kept.start())..step_of(kept.end()).saturating_add(1).min(wanted.n_steps())
}
