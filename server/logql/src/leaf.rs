//! What an evaluator asks of storage: lines, or a range aggregation already computed.
//!
//! A leaf is plain data, so that it can be planned, explained, cached, or shipped to another node.
//! Whoever answers one feeds rows to a [`crate::LogCollector`] or a [`crate::RangeCollector`].

use std::sync::Arc;

use async_trait::async_trait;
use skep_promql::{Grid, Grouping, Matrix};
use skep_proto::{Matcher, TimestampNs};

use crate::{
    ast::{RangeOp, Stage, Unwrap},
    error::QueryError,
    pipeline::{Hints, Pipeline},
};

/// The lines of a log query: at most `limit` of those in `start..end`, the newest or the oldest.
#[derive(Debug, Clone, PartialEq)]
pub struct LogScan {
    pub matchers: Vec<Matcher>,
    pub stages: Vec<Stage>,
    /// Included.
    pub start: TimestampNs,
    /// Excluded.
    pub end: TimestampNs,
    pub direction: Direction,
    pub limit: usize,
}

impl LogScan {
    /// # Errors
    /// A stage that is not supported.
    pub fn compile(&self) -> Result<Pipeline, QueryError> {
        Pipeline::compile(&self.stages)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Newest first.
    #[default]
    Backward,
    /// Oldest first.
    Forward,
}

/// A range aggregation over a grid. The window of step `t` is
/// `(t - offset - interval, t - offset]`, to the nanosecond.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeLeaf {
    pub matchers: Vec<Matcher>,
    pub stages: Vec<Stage>,
    pub unwrap: Option<Unwrap>,
    pub op: RangeOp,
    /// Of `quantile_over_time`.
    pub quantile: Option<f64>,
    pub interval_ns: i64,
    pub offset_ns: i64,
    pub grid: Grid,
    /// The labels that lines are grouped by; none keeps every label but the unwrapped one.
    pub grouping: Option<Grouping>,
}

impl RangeLeaf {
    /// The lines this leaf can look at: the first and the last nanosecond, both included.
    pub fn range(&self) -> (TimestampNs, TimestampNs) {
        let start = self.grid.start().to_ns().0.saturating_sub(self.offset_ns);
        let end = self.grid.end().to_ns().0.saturating_sub(self.offset_ns);
        let first = start.saturating_sub(self.interval_ns).saturating_add(1);
        (TimestampNs(first), TimestampNs(end))
    }

    /// # Errors
    /// A stage that is not supported.
    pub fn compile(&self) -> Result<Pipeline, QueryError> {
        let grouping = if self.op == RangeOp::AbsentOverTime {
            Some(Grouping::By(Vec::new()))
        } else {
            self.grouping.clone()
        };
        let hints = Hints::new(&self.stages, self.unwrap.as_ref(), grouping.as_ref());
        Pipeline::compile_metric(&self.stages, self.unwrap.as_ref(), hints)
    }
}

/// The lines of one label set, in the order asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct LogStream {
    pub labels: Arc<EntryLabels>,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub ts: TimestampNs,
    pub line: String,
}

/// The labels of a line by where they came from, each list sorted by name. No name is in two of
/// them. Unlike in a stream, a value may be empty: `logfmt --keep-empty` asks for that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryLabels {
    pub stream: Vec<(String, String)>,
    pub metadata: Vec<(String, String)>,
    pub parsed: Vec<(String, String)>,
}

impl EntryLabels {
    /// All pairs, sorted by name: what clients that do not ask for categories see.
    pub fn merged(&self) -> Vec<(&str, &str)> {
        let all = self.stream.iter().chain(&self.metadata).chain(&self.parsed);
        let mut pairs: Vec<(&str, &str)> =
            all.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.sort_unstable();
        pairs
    }
}

/// Storage as queries see it: one snapshot, which does not change while the query runs.
#[async_trait]
pub trait Storage: Send + Sync {
    /// The lines that pass the stages, by label set. Lines of equal time stamps come in the same
    /// order every time.
    async fn entries(&self, scan: &LogScan) -> Result<Vec<LogStream>, QueryError>;

    /// One row a label set that has a value at one step at least.
    async fn range(&self, leaf: &RangeLeaf) -> Result<Matrix, QueryError>;
}
