//! What a query can see: one snapshot of the tables and their label indexes.

use std::{fmt, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{catalog::TableProvider, common::DataFusionError};
use skep_proto::{
    HistogramSample, LabelIndex, LogTable, SeriesId, StreamId, TimeRange, TimestampMs,
};

/// The tables at one moment. Nothing in it changes while a query holds it.
///
/// A scan takes conjunctive filters on id and `ts` (`BETWEEN`, `IN`, `=`, `>=`, `<=`) and a
/// projection; it may return rows that do not satisfy a filter only if it does not claim to apply
/// it exactly. Within a partition rows come in order of (id, ts); a table that cannot promise this
/// does not declare the ordering, and they are sorted here. Rows of equal (series, ts) count once;
/// the table returns only the newest of them.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub series: Arc<dyn LabelIndex<SeriesId>>,
    /// `series_id Int64, ts Timestamp(ms, "UTC"), value Float64`, see [`skep_proto::names::column`].
    pub samples: Arc<dyn TableProvider>,
    pub streams: Arc<dyn LabelIndex<StreamId>>,
    /// `stream_id Int64, ts Timestamp(ns, "UTC"), line Utf8|Utf8View, metadata Map<Utf8, Utf8>`.
    pub logs: Arc<dyn TableProvider>,
    /// The same entries block by block, as LogQL reads them.
    pub lines: Arc<dyn LogTable>,
    /// Samples that are gone, summed up; `None` where nothing is.
    pub rollups: Option<Arc<dyn Rollups>>,
    /// Native histograms; `None` where there are none at all.
    pub histograms: Option<Arc<dyn Histograms>>,
}

/// A series' histograms, beside its samples.
pub trait Histograms: Send + Sync + fmt::Debug {
    /// Whether any may be of these times. Asked by every query, so it does not take long.
    fn may_have(&self, range: TimeRange) -> bool;

    /// `series_id Int64, ts Timestamp(ms, "UTC")` and what [`Self::read`] understands; scans are as
    /// those of [`Snapshot::samples`].
    fn table(&self) -> Arc<dyn TableProvider>;

    /// The rows of a batch of [`Self::table`], each with the id of its series.
    ///
    /// # Errors
    /// The batch is none of the table's.
    fn read(&self, batch: &RecordBatch) -> Result<Vec<(i64, HistogramSample)>, DataFusionError>;
}

/// What of a bucket stands for its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollup {
    /// The last sample, at its own time, and the stale marker after it.
    Last,
    /// The first one, too.
    Ends,
    /// First and last sample, and a fall between them where a counter was reset.
    Counter,
    /// As [`Self::Counter`], and how many samples they stand for ([`skep_proto::uncounted`]).
    Rate,
    /// At the bucket's end, as all that follow.
    Min,
    Max,
    Sum,
    /// How many samples there were: 1 for each that is still there.
    Count,
}

/// Samples that are gone, summed up in buckets `(end - width, end]`, whose ends are multiples of
/// their width.
pub trait Rollups: Send + Sync + fmt::Debug {
    /// Where buckets answer; `None` where no sample is gone that was summed up. Of several widths
    /// the greatest that divides `grain_ms`, or else the smallest.
    fn tier(&self, grain_ms: i64) -> Option<RollupTier>;
}

/// What answers for samples that are gone.
#[derive(Debug)]
pub struct RollupTier {
    /// No later bucket is asked.
    pub horizon: TimestampMs,
    /// Of the widest bucket, in milliseconds.
    pub width_ms: i64,
    pub tables: Arc<dyn RollupTables>,
}

/// The samples beside what stands for those that are gone.
pub trait RollupTables: Send + Sync + fmt::Debug {
    /// As [`Snapshot::samples`].
    fn table(&self, rollup: Rollup) -> Arc<dyn TableProvider>;
}

/// Where snapshots come from. Everything acknowledged before the call is in the snapshot.
pub trait Catalog: Send + Sync + fmt::Debug {
    fn snapshot(&self) -> Snapshot;

    /// What of the samples changed since when; `None` where that is not known, and so no answer is
    /// kept.
    fn changes(&self) -> Option<&dyn Changes> {
        None
    }
}

/// Tells whether an answer from before still holds.
pub trait Changes: Send + Sync {
    /// Grows with each write. Read before a snapshot is taken: what the snapshot lacks has a later
    /// version.
    fn version(&self) -> u64;

    /// The earliest time in `range` of what was written since `version`, or one before it; `None`
    /// where nothing was.
    fn first_since(&self, version: u64, range: TimeRange) -> Option<TimestampMs>;
}
