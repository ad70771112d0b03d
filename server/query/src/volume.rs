//! How many bytes streams hold in spans of time: lines and their metadata.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array as _, AsArray as _},
    datatypes::{Int64Type, TimestampNanosecondType},
    record_batch::RecordBatch,
};
use datafusion::{
    common::{DataFusionError, ScalarValue, exec_datafusion_err},
    logical_expr::{Expr, col, lit},
    physical_plan::execute_stream,
};
use futures::TryStreamExt as _;
use skep_logql::{QueryError, RangeLeaf, Storage as _, ast::RangeOp};
use skep_promql::{Grid, Grouping, StorageError, is_absent};
use skep_proto::{Labels, Matcher, StreamId, TimeRange, TimestampMs, TimestampNs, names::column};
use tokio::time::timeout_at;

use crate::{Engine, QuerySession, id_filter::id_filter, logs::LogStorage, session::storage_error};

/// What a pair of metadata takes in Loki's chunks, which keep two references to its texts.
const PAIR_BYTES: f64 = 8.0;

/// A span of time, from `start` to `end` (not included).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeBucket {
    pub start: TimestampMs,
    pub end: TimestampMs,
}

/// The bytes of the streams of one label set, a value for each bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamVolume {
    pub labels: Arc<Labels>,
    pub bytes: Vec<f64>,
}

impl Engine {
    /// The bytes of each stream that a selector matches. Buckets follow each other.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn log_volume(
        &self,
        matchers: &[Matcher],
        buckets: &[VolumeBucket],
    ) -> Result<Vec<StreamVolume>, QueryError> {
        let Some((first, last)) = buckets.first().zip(buckets.last()) else {
            return Ok(Vec::new());
        };
        let session = self.begin(None);
        let deadline = session.deadline;
        let snapshot = self.snapshot();
        let range = TimeRange { start: first.start, end: last.end };
        let streams = snapshot.streams.select(matchers, range);
        self.limits().check_series(streams.len())?;
        let mut volumes = Volumes::new(&streams, buckets.len());
        let work = async {
            let storage = LogStorage::new(snapshot.clone(), session.clone());
            for (at, leaf) in leaves(matchers, &volumes.names(), buckets) {
                let matrix = storage.range(&leaf).await?;
                for row in matrix.rows {
                    volumes.add_bytes(&row.labels, at, &row.values);
                }
            }
            let table = Table { session: &session, logs: &snapshot.logs };
            table.add_pairs(&mut volumes, buckets).await.map_err(QueryError::from)
        };
        timeout_at(deadline, work)
            .await
            .map_err(|_elapsed| QueryError::from(StorageError::Timeout))??;
        Ok(volumes.finish())
    }
}

/// Range leaves that count the bytes of the buckets' lines, each with the bucket it begins at:
/// neighbours of equal width are one leaf.
fn leaves(
    matchers: &[Matcher],
    names: &[String],
    buckets: &[VolumeBucket],
) -> Vec<(usize, RangeLeaf)> {
    let mut leaves = Vec::new();
    let mut at = 0;
    let width = |it: &VolumeBucket| it.end.0.saturating_sub(it.start.0);
    for run in buckets.chunk_by(|left, right| width(left) == width(right)) {
        if let Some(first) = run.first()
            && width(first) > 0
        {
            // A window ends with its last millisecond.
            let end = TimestampMs(first.end.0 - 1);
            leaves.push((
                at,
                RangeLeaf {
                    matchers: matchers.to_vec(),
                    stages: Vec::new(),
                    unwrap: None,
                    op: RangeOp::BytesOverTime,
                    quantile: None,
                    interval_ns: width(first).saturating_mul(1_000_000),
                    offset_ns: 0,
                    grid: Grid::with_steps(end, width(first), run.len()),
                    grouping: Some(Grouping::By(names.to_owned())),
                },
            ));
        }
        at += run.len();
    }
    leaves
}

/// Bytes by stream and bucket.
struct Volumes {
    streams: Vec<StreamVolume>,
    by_id: HashMap<i64, usize>,
    by_labels: HashMap<Arc<Labels>, usize>,
}

impl Volumes {
    fn new(streams: &[(StreamId, Arc<Labels>)], n_buckets: usize) -> Self {
        let mut volumes =
            Self { streams: Vec::new(), by_id: HashMap::new(), by_labels: HashMap::new() };
        for (StreamId(id), labels) in streams {
            volumes.by_id.insert(*id, volumes.streams.len());
            volumes.by_labels.insert(Arc::clone(labels), volumes.streams.len());
            let bytes = vec![0.0; n_buckets];
            volumes.streams.push(StreamVolume { labels: Arc::clone(labels), bytes });
        }
        volumes
    }

    /// Every label name there is.
    fn names(&self) -> Vec<String> {
        let all = self.streams.iter().flat_map(|it| it.labels.iter().map(|(name, _)| name));
        let mut names: Vec<&str> = all.collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(str::to_owned).collect()
    }

    fn add_bytes(&mut self, labels: &Labels, first_bucket: usize, values: &[f64]) {
        let found = self.by_labels.get(labels).or_else(|| {
            // A name that is no label of the stream came from a line's metadata.
            let is_of = |it: &&StreamVolume| it.labels.iter().all(|(k, v)| labels.get(k) == v);
            let of = self.streams.iter().filter(is_of).max_by_key(|it| it.labels.iter().count())?;
            self.by_labels.get(&of.labels)
        });
        let Some(stream) = found.and_then(|it| self.streams.get_mut(*it)) else { return };
        for (held, value) in stream.bytes.iter_mut().skip(first_bucket).zip(values) {
            if !is_absent(*value) {
                *held += value;
            }
        }
    }

    fn finish(self) -> Vec<StreamVolume> {
        self.streams
    }
}

/// Where the lines' metadata is.
struct Table<'a> {
    session: &'a QuerySession,
    logs: &'a Arc<dyn datafusion::catalog::TableProvider>,
}

impl Table<'_> {
    /// Adds what the pairs of metadata take; only their number is read.
    async fn add_pairs(
        &self,
        volumes: &mut Volumes,
        buckets: &[VolumeBucket],
    ) -> Result<(), StorageError> {
        let failed = |error| storage_error(error, &self.session.limits);
        let mut ids: Vec<i64> = volumes.by_id.keys().copied().collect();
        ids.sort_unstable();
        let Some((first, last)) = buckets.first().zip(buckets.last()) else { return Ok(()) };
        let Some(of_streams) = id_filter(column::STREAM_ID, &ids) else { return Ok(()) };
        let at = |ms: TimestampMs| {
            lit(ScalarValue::TimestampNanosecond(Some(ms.to_ns().0), Some("UTC".into())))
        };
        let filters: Vec<Expr> = vec![
            of_streams,
            col(column::TS).gt_eq(at(first.start)),
            col(column::TS).lt(at(last.end)),
        ];
        let schema = self.logs.schema();
        let projection = [column::STREAM_ID, column::TS, column::METADATA]
            .map(|it| schema.index_of(it))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(error.into()))?;
        let state = self.session.state.as_ref();
        let plan =
            self.logs.scan(state, Some(&projection), &filters, None).await.map_err(failed)?;
        let mut rows = execute_stream(plan, Arc::clone(&self.session.task)).map_err(failed)?;
        while let Some(batch) = rows.try_next().await.map_err(failed)? {
            volumes.add_batch(&batch, buckets).map_err(failed)?;
        }
        Ok(())
    }
}

impl Volumes {
    fn add_batch(
        &mut self,
        batch: &RecordBatch,
        buckets: &[VolumeBucket],
    ) -> Result<(), DataFusionError> {
        let [ids, ts, metadata] = batch.columns() else {
            return Err(exec_datafusion_err!("a logs table has metadata"));
        };
        let Some(metadata) = metadata.as_map_opt() else { return Ok(()) };
        let ids = ids.as_primitive::<Int64Type>().values();
        let ts = ts.as_primitive::<TimestampNanosecondType>().values();
        let n_pairs = metadata.value_offsets().windows(2).map(|it| match it {
            [from, to] => f64::from(to - from),
            _ => 0.0,
        });
        for (row, ((id, ts), n_pairs)) in ids.iter().zip(ts).zip(n_pairs).enumerate() {
            if n_pairs == 0.0 || metadata.is_null(row) {
                continue;
            }
            let ms = TimestampNs(*ts).to_ms();
            let bucket = buckets.partition_point(|it| it.end <= ms);
            let stream = self.by_id.get(id).and_then(|it| self.streams.get_mut(*it));
            let held = stream.and_then(|it| it.bytes.get_mut(bucket));
            if let Some(held) = held
                && buckets.get(bucket).is_some_and(|it| it.start <= ms)
            {
                *held += n_pairs * PAIR_BYTES;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_equal_width_are_one_leaf() {
        let bucket = |start, end| VolumeBucket { start: TimestampMs(start), end: TimestampMs(end) };
        let buckets = [bucket(5, 10), bucket(10, 20), bucket(20, 30), bucket(30, 31)];
        let leaves = leaves(&[], &[], &buckets);
        let shown: Vec<_> = leaves
            .iter()
            .map(|(at, leaf)| (*at, leaf.range().0.0, leaf.range().1.0, leaf.grid.n_steps()))
            .collect();
        const MS: i64 = 1_000_000;
        assert_eq!(
            shown,
            [(0, 4 * MS + 1, 9 * MS, 1), (1, 9 * MS + 1, 29 * MS, 2), (3, 29 * MS + 1, 30 * MS, 1),]
        );
    }
}
