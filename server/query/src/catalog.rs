//! What a query can see: one snapshot of the tables and their label indexes.

use std::{fmt, sync::Arc};

use datafusion::catalog::TableProvider;
use skep_proto::{LabelIndex, SeriesId, StreamId};

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
}

/// Where snapshots come from. Everything acknowledged before the call is in the snapshot.
pub trait Catalog: Send + Sync + fmt::Debug {
    fn snapshot(&self) -> Snapshot;
}
