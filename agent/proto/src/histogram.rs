//! Native histograms: a distribution as one sample.
//!
//! Shape and meaning follow Prometheus' `histogram.FloatHistogram`
//! (<https://prometheus.io/docs/specs/native_histograms/>). Integer histograms are kept as floats
//! too: counts are exact up to 2^53.

use crate::{TimestampMs, stale_marker};

/// Schema of buckets whose upper bounds are [`NativeHistogram::custom_values`].
pub const CUSTOM_BUCKETS_SCHEMA: i8 = -53;

/// What the writer knows of counter resets before this histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum ResetHint {
    #[default]
    Unknown,
    Reset,
    NotReset,
    Gauge,
}

/// A run of buckets without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// Buckets between the run before and this one; of the first: its bucket index.
    pub offset: i32,
    /// Buckets in the run.
    pub length: u32,
}

/// One native histogram. Bucket counts are absolute (neither deltas nor cumulated), in order of
/// index, as many as the spans have buckets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NativeHistogram {
    pub reset_hint: ResetHint,
    /// -4 to 8, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i8,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    /// A stale marker where the series ends here.
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    pub positive: Vec<f64>,
    pub negative: Vec<f64>,
    /// Upper bounds of custom buckets, ascending, without +Inf; empty for all other schemas.
    pub custom_values: Vec<f64>,
}

impl NativeHistogram {
    /// The histogram that says "this series has ended here".
    pub fn stale() -> Self {
        Self { sum: stale_marker(), ..Self::default() }
    }

    pub fn is_stale(&self) -> bool {
        crate::is_stale_marker(self.sum)
    }

    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }
}

/// One native histogram of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    pub ts: TimestampMs,
    pub histogram: std::sync::Arc<NativeHistogram>,
}
