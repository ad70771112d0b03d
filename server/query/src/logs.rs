//! Leaves of log queries: selectors planned as scans of the logs table, run through a
//! [`PipelineExec`].

mod needs;
mod pipeline_exec;
mod rows;
mod slices;

use std::{collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    common::{DataFusionError, ScalarValue},
    logical_expr::{Expr, col, lit},
    physical_plan::{ExecutionPlan, ExecutionPlanProperties as _},
};
use futures::TryStreamExt as _;
use skep_logql::{Direction, EntryLabels, LogScan, LogStream, QueryError, RangeLeaf, Storage};
use skep_promql::{Matrix, StorageError};
use skep_proto::{Labels, Matcher, StreamId, TimeRange, TimestampNs, names::column};

use self::{
    pipeline_exec::{PipelineExec, Streams, Work},
    slices::slices,
};
use crate::{
    QuerySession, Snapshot, id_filter::id_filter, metrics::sorted, session::storage_error,
};

/// What one log query reads through.
pub(crate) struct LogStorage {
    snapshot: Snapshot,
    session: QuerySession,
}

impl LogStorage {
    pub(crate) fn new(snapshot: Snapshot, session: QuerySession) -> Self {
        Self { snapshot, session }
    }

    /// The streams of a selector that may have lines from `first` to `last`.
    fn select(
        &self,
        matchers: &[Matcher],
        first: TimestampNs,
        last: TimestampNs,
    ) -> Result<Streams, QueryError> {
        let range = TimeRange { start: first.to_ms(), end: last.to_ms() };
        let streams = self.snapshot.streams.select(matchers, range);
        self.session.limits.check_series(streams.len())?;
        let streams: Vec<(i64, Arc<Labels>)> =
            streams.into_iter().map(|(StreamId(id), labels)| (id, labels)).collect();
        Ok(streams.into())
    }

    /// The batches of a leaf over the lines from `first` to `last`, both included.
    async fn run(
        &self,
        work: Work,
        streams: &Streams,
        first: TimestampNs,
        last: TimestampNs,
    ) -> Result<Vec<arrow::array::RecordBatch>, QueryError> {
        let plan = self.plan(work, streams, first, last).await.map_err(|it| self.failed(it))?;
        let stream =
            plan.execute(0, Arc::clone(&self.session.task)).map_err(|it| self.failed(it))?;
        let batches = stream.try_collect().await.map_err(|it| self.failed(it))?;
        self.session.tally.add(plan.as_ref());
        Ok(batches)
    }

    async fn plan(
        &self,
        work: Work,
        streams: &Streams,
        first: TimestampNs,
        last: TimestampNs,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let table = &self.snapshot.logs;
        let schema = table.schema();
        let projection = [column::STREAM_ID, column::TS, column::LINE, column::METADATA]
            .map(|it| schema.index_of(it))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<i64> = streams.iter().map(|(id, _)| *id).collect();
        let mut filters: Vec<Expr> = id_filter(column::STREAM_ID, &ids).into_iter().collect();
        filters.push(col(column::TS).gt_eq(timestamp(first)));
        filters.push(col(column::TS).lt_eq(timestamp(last)));
        let is_stream_label = |name: &str| streams.iter().any(|(_, it)| !it.get(name).is_empty());
        filters.extend(needs::needs(work.stages(), is_stream_label));
        let scan =
            table.scan(self.session.state.as_ref(), Some(&projection), &filters, None).await?;
        let scan = sorted(scan, [column::STREAM_ID, column::TS])?;
        debug_assert_eq!(scan.output_partitioning().partition_count(), 1);
        let limits = self.session.limits.clone();
        Ok(Arc::new(PipelineExec::new(scan, work, Arc::clone(streams), (first, last), limits)))
    }

    /// What a failed plan means: an error of the query itself travels through it unchanged.
    fn failed(&self, error: DataFusionError) -> QueryError {
        match error {
            DataFusionError::Context(_, inner) => self.failed(*inner),
            DataFusionError::External(inner) => match inner.downcast::<QueryError>() {
                Ok(error) => *error,
                Err(other) => StorageError::Internal(Arc::from(other)).into(),
            },
            other => storage_error(other, &self.session.limits).into(),
        }
    }
}

fn timestamp(at: TimestampNs) -> Expr {
    lit(ScalarValue::TimestampNanosecond(Some(at.0), Some("UTC".into())))
}

#[async_trait]
impl Storage for LogStorage {
    async fn entries(&self, scan: &LogScan) -> Result<Vec<LogStream>, QueryError> {
        let last = TimestampNs(scan.end.0.saturating_sub(1));
        scan.compile()?;
        if last < scan.start || scan.limit == 0 {
            return Ok(Vec::new());
        }
        let streams = self.select(&scan.matchers, scan.start, last)?;
        let mut found = Found::default();
        let mut n_found = 0;
        if streams.is_empty() {
            return Ok(Vec::new());
        }
        // Newest (or oldest) first: what lies behind a full slice cannot be better.
        for (first, last) in slices(scan.start, last, scan.direction == Direction::Backward) {
            let rest = LogScan { limit: scan.limit - n_found, ..scan.clone() };
            let work = Work::Entries(Arc::new(rest));
            for batch in self.run(work, &streams, first, last).await? {
                for stream in rows::log_streams(&batch) {
                    n_found += stream.entries.len();
                    found.append(stream);
                }
            }
            if n_found >= scan.limit {
                break;
            }
        }
        Ok(found.streams)
    }

    async fn range(&self, leaf: &RangeLeaf) -> Result<Matrix, QueryError> {
        let (first, last) = leaf.range();
        leaf.compile()?;
        let streams = self.select(&leaf.matchers, first, last)?;
        let work = Work::Range(Arc::new(leaf.clone()));
        let batches = self.run(work, &streams, first, last).await?;
        let rows = batches.iter().flat_map(rows::matrix_rows).collect();
        Ok(Matrix { grid: leaf.grid, rows })
    }
}

/// Streams of several slices of time.
#[derive(Default)]
struct Found {
    streams: Vec<LogStream>,
    idx_of: HashMap<Arc<EntryLabels>, usize>,
}

impl Found {
    /// Adds lines behind those of the same labels.
    fn append(&mut self, stream: LogStream) {
        let next = self.streams.len();
        let idx = *self.idx_of.entry(Arc::clone(&stream.labels)).or_insert(next);
        match self.streams.get_mut(idx) {
            Some(held) => held.entries.extend(stream.entries),
            None => self.streams.push(stream),
        }
    }
}

impl fmt::Debug for LogStorage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LogStorage").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
