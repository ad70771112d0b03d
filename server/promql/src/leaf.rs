//! What an evaluator asks of storage: a selector with its window function already applied.
//!
//! A leaf is plain data, so that it can be planned, explained, cached, or shipped to another node.

use std::sync::Arc;

use async_trait::async_trait;
use skep_proto::{HistogramSample, Labels, Matcher, Sample, TimeRange};

use crate::{Grid, Matrix};

/// One selector over a grid. The window of step `t` is `(t - window_ms, t]`; `offset` and `@` are
/// already in the grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    pub matchers: Vec<Matcher>,
    pub grid: Grid,
    pub window_ms: i64,
    pub window: Window,
    /// Set where the parent is a plain aggregation: rows come out as groups, not as series.
    pub fused: Option<Fused>,
}

impl Leaf {
    /// The samples this leaf can look at.
    pub fn range(&self) -> TimeRange {
        let before = self.grid.shifted(-self.window_ms.saturating_sub(1)).start();
        TimeRange { start: before, end: self.grid.end() }
    }
}

/// What happens to the samples of one window. Parameters that may change from step to step are
/// given per step.
#[derive(Debug, Clone, PartialEq)]
pub enum Window {
    /// An instant selector: the newest sample, unless it is a stale marker.
    Last,
    /// `timestamp()` of an instant selector, in seconds.
    LastTimestamp,
    Rate,
    Increase,
    /// Of what stands for samples, [`skep_proto::uncounted`] ones among it.
    RateOfBuckets,
    IncreaseOfBuckets,
    Delta,
    Irate,
    Idelta,
    Deriv,
    PredictLinear {
        ahead_seconds: Vec<f64>,
    },
    Changes,
    Resets,
    AvgOverTime,
    MinOverTime,
    MaxOverTime,
    SumOverTime,
    CountOverTime,
    LastOverTime,
    FirstOverTime,
    PresentOverTime,
    TsOfFirstOverTime,
    TsOfLastOverTime,
    TsOfMinOverTime,
    TsOfMaxOverTime,
    StddevOverTime,
    StdvarOverTime,
    MadOverTime,
    QuantileOverTime {
        quantile: Vec<f64>,
    },
    DoubleExponentialSmoothing {
        smoothing: Vec<f64>,
        trend: Vec<f64>,
    },
}

/// An aggregation done in the leaf. The metric name is dropped before grouping unless `by` keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fused {
    pub op: FusedOp,
    pub grouping: Grouping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FusedOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
}

/// `by (…)` or `without (…)`; no clause is `By(vec![])`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

/// A series as it is stored, for a range selector at the top of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct RawSeries {
    pub labels: Arc<Labels>,
    pub samples: Vec<Sample>,
    /// In order of time, at other times than the samples.
    pub histograms: Vec<HistogramSample>,
}

impl RawSeries {
    /// A series without histograms.
    pub fn floats(labels: Arc<Labels>, samples: Vec<Sample>) -> Self {
        Self { labels, samples, histograms: Vec::new() }
    }
}

/// A series that has native histograms, with all its samples: floats and histograms in order of time
/// each, stale markers included, no time stamp in both.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSeries {
    pub labels: Arc<Labels>,
    pub samples: Vec<Sample>,
    pub histograms: Vec<HistogramSample>,
}

/// Storage as queries see it: one snapshot, which does not change while the query runs.
#[async_trait]
pub trait Storage: Send + Sync {
    /// One row a series (or group) that has a value at one step at least, with all its labels,
    /// metric name included. Each sample counts once, the last write of a time stamp wins.
    async fn leaf(&self, leaf: &Leaf) -> Result<Matrix, StorageError>;

    /// The samples of every matching series, in order of time, stale markers left out.
    async fn raw(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<RawSeries>, StorageError>;

    /// Those of the matching series that have native histograms in the range. It costs next to
    /// nothing where there are none; [`Self::leaf`] and [`Self::raw`] speak of floats only.
    async fn histograms(
        &self,
        _matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<Vec<HistogramSeries>, StorageError> {
        Ok(Vec::new())
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// The message names the limit and the setting that moves it.
    #[error("{0}")]
    Limit(String),
    #[error("query timed out")]
    Timeout,
    #[error("query was canceled")]
    Canceled,
    #[error("storage failed")]
    Internal(#[source] Arc<dyn std::error::Error + Send + Sync>),
}
