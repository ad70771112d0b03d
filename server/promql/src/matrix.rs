//! Step-vectors: what every node of a query tree evaluates to.

use std::sync::Arc;

use skep_proto::{Labels, NativeHistogram, TimestampMs};

/// The times a query is evaluated at: `start`, `start + step`, … up to `end` included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grid {
    start: TimestampMs,
    step_ms: i64,
    n_steps: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GridError {
    #[error(
        "zero or negative query resolution step widths are not accepted. Try a positive integer"
    )]
    Step,
    #[error("end timestamp must not be before start time")]
    Order,
    #[error(
        "exceeded maximum resolution of {max} points per timeseries. Try decreasing the query \
         resolution (?step=XX)"
    )]
    Points { max: usize },
}

impl Grid {
    /// Prometheus' bound on the steps of one range query.
    pub const N_STEPS_MAX: usize = 11_000;

    /// One step.
    pub fn instant(at: TimestampMs) -> Self {
        Self { start: at, step_ms: 1, n_steps: 1 }
    }

    /// # Errors
    /// A step that is not positive, an end before the start, more than [`Self::N_STEPS_MAX`] steps.
    pub fn range(start: TimestampMs, end: TimestampMs, step_ms: i64) -> Result<Self, GridError> {
        if end < start {
            return Err(GridError::Order);
        }
        if step_ms <= 0 {
            return Err(GridError::Step);
        }
        let n_steps = usize::try_from(end.0.abs_diff(start.0) / step_ms.unsigned_abs())
            .ok()
            .and_then(|it| it.checked_add(1))
            .filter(|&it| it <= Self::N_STEPS_MAX)
            .ok_or(GridError::Points { max: Self::N_STEPS_MAX })?;
        Ok(Self { start, step_ms, n_steps })
    }

    /// A grid of known length, for subqueries (whose steps have no bound but the sample limit).
    pub fn with_steps(start: TimestampMs, step_ms: i64, n_steps: usize) -> Self {
        Self { start, step_ms: step_ms.max(1), n_steps }
    }

    pub fn start(&self) -> TimestampMs {
        self.start
    }

    /// The last step; the start where there is no step at all.
    pub fn end(&self) -> TimestampMs {
        self.at(self.n_steps.saturating_sub(1))
    }

    pub fn step_ms(&self) -> i64 {
        self.step_ms
    }

    pub fn n_steps(&self) -> usize {
        self.n_steps
    }

    pub fn at(&self, step_idx: usize) -> TimestampMs {
        let offset = i64::try_from(step_idx).unwrap_or(i64::MAX).saturating_mul(self.step_ms);
        TimestampMs(self.start.0.saturating_add(offset))
    }

    pub fn steps(&self) -> impl Iterator<Item = TimestampMs> + '_ {
        (0..self.n_steps).map(|it| self.at(it))
    }

    /// Some of the steps.
    #[must_use]
    pub fn part(&self, steps: std::ops::Range<usize>) -> Self {
        Self { start: self.at(steps.start), step_ms: self.step_ms, n_steps: steps.len() }
    }

    /// The same steps, all moved by `by_ms`.
    #[must_use]
    pub fn shifted(&self, by_ms: i64) -> Self {
        Self { start: TimestampMs(self.start.0.saturating_add(by_ms)), ..*self }
    }
}

/// A quiet NaN that no arithmetic makes and Prometheus does not send.
const ABSENT_BITS: u64 = 0x7ff8_5ce9_5ce9_5ce9;

/// "No value at this step". Compare with [`is_absent`]; arithmetic on it is a bug of the caller.
pub fn absent() -> f64 {
    f64::from_bits(ABSENT_BITS)
}

pub fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT_BITS
}

/// The native histograms of a row, one entry a step; `None` where there is a float or nothing.
pub type Histograms = Vec<Option<Arc<NativeHistogram>>>;

/// One series of a result: a value or [`absent`] for each step of the grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub labels: Arc<Labels>,
    /// One a step, absent where there is a histogram.
    pub values: Vec<f64>,
    /// Only where the row has a histogram at one step at least.
    pub histograms: Option<Histograms>,
    /// The values are no longer what the metric's name, type and unit say: the labels that say so go
    /// away at the end of the query, and tell rows apart until then.
    pub drops_name: bool,
}

impl Row {
    /// A row without histograms.
    pub fn floats(labels: Arc<Labels>, values: Vec<f64>) -> Self {
        Self { labels, values, histograms: None, drops_name: false }
    }

    /// A row that may have histograms. `histograms` is as long as `values`, and never has an entry
    /// where `values` has one.
    pub fn mixed(labels: Arc<Labels>, values: Vec<f64>, histograms: Histograms) -> Self {
        let has_any = histograms.iter().any(Option::is_some);
        let histograms = has_any.then_some(histograms);
        Self { labels, values, histograms, drops_name: false }
    }

    /// Whether there is a float or a histogram at any step.
    pub fn has_values(&self) -> bool {
        self.histograms.is_some() || self.values.iter().any(|it| !is_absent(*it))
    }

    /// Nothing more at this step.
    pub(crate) fn blank(&mut self, step_idx: usize) {
        if let Some(value) = self.values.get_mut(step_idx) {
            *value = absent();
        }
        if let Some(slot) = self.histograms.as_mut().and_then(|it| it.get_mut(step_idx)) {
            *slot = None;
        }
    }

    /// No histograms rather than a list of none.
    pub(crate) fn tidied(mut self) -> Self {
        self.histograms = self.histograms.filter(|it| it.iter().any(Option::is_some));
        self
    }

    /// The histogram at a step.
    pub fn histogram(&self, step_idx: usize) -> Option<&Arc<NativeHistogram>> {
        self.histograms.as_ref()?.get(step_idx)?.as_ref()
    }

    /// Whether there is a float or a histogram at a step.
    pub fn is_present(&self, step_idx: usize) -> bool {
        self.values.get(step_idx).is_some_and(|it| !is_absent(*it))
            || self.histogram(step_idx).is_some()
    }
}

/// A vector over a grid. Rows have distinct label sets, except where a node documents otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    pub grid: Grid,
    pub rows: Vec<Row>,
}

impl Matrix {
    pub fn empty(grid: Grid) -> Self {
        Self { grid, rows: Vec::new() }
    }

    pub fn has_histograms(&self) -> bool {
        self.rows.iter().any(|it| it.histograms.is_some())
    }
}
