//! Leaves of log queries: selectors planned as a [`LogLeafExec`] over the blocks of the log table.

mod entries;
mod leaf_exec;
mod needs;
mod range;
mod rows;
mod shapes;
mod walk;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use datafusion::{common::DataFusionError, physical_plan::ExecutionPlan};
use futures::TryStreamExt as _;
use skep_logql::{LogScan, LogStream, QueryError, RangeLeaf, Storage};
use skep_promql::{Matrix, StorageError};
use skep_proto::{Labels, LogWanted, Matcher, StreamId, TimeRange, TimestampNs};

use self::leaf_exec::{LogLeafExec, Streams, Work};
use crate::{LeafPlan, QuerySession, Snapshot, session::storage_error};

/// What one log query reads through.
pub(crate) struct LogStorage {
    snapshot: Snapshot,
    session: QuerySession,
    /// Filled where the query is to be explained.
    plans: Option<Mutex<Vec<LeafPlan>>>,
}

impl LogStorage {
    pub(crate) fn new(snapshot: Snapshot, session: QuerySession) -> Self {
        Self { snapshot, session, plans: None }
    }

    /// Keeps what each leaf did, for [`Self::take_plans`].
    pub(crate) fn explained(self) -> Self {
        Self { plans: Some(Mutex::default()), ..self }
    }

    /// What each leaf did, in the order they ended.
    pub(crate) fn take_plans(self) -> Vec<LeafPlan> {
        let plans = self.plans.map(|it| it.into_inner().unwrap_or_else(PoisonError::into_inner));
        plans.unwrap_or_default()
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
        debug_assert!(streams.is_sorted_by_key(|it| it.0), "an index answers by id");
        Ok(streams.into())
    }

    /// The batches of a leaf over the lines from `first` to `last`, both included.
    async fn run(
        &self,
        matchers: &[Matcher],
        work: Work,
        streams: &Streams,
        first: TimestampNs,
        last: TimestampNs,
    ) -> Result<Vec<arrow::array::RecordBatch>, QueryError> {
        let plan = self.plan(work, streams, first, last);
        let stream =
            plan.execute(0, Arc::clone(&self.session.task)).map_err(|it| self.failed(it))?;
        let batches = stream.try_collect().await.map_err(|it| self.failed(it))?;
        self.session.tally.add(plan.as_ref());
        if let Some(plans) = &self.plans {
            let plan = LeafPlan::new(matchers, plan.as_ref());
            plans.lock().unwrap_or_else(PoisonError::into_inner).push(plan);
        }
        Ok(batches)
    }

    fn plan(
        &self,
        work: Work,
        streams: &Streams,
        first: TimestampNs,
        last: TimestampNs,
    ) -> Arc<dyn ExecutionPlan> {
        let is_stream_label = |name: &str| streams.iter().any(|(_, it)| !it.get(name).is_empty());
        let need = needs::needs(work.stages(), is_stream_label);
        let ids = streams.iter().map(|(id, _)| *id).collect();
        let wanted = LogWanted { ids, first, last, need };
        let (table, limits) = (Arc::clone(&self.snapshot.lines), self.session.limits.clone());
        Arc::new(LogLeafExec::new(table, wanted, work, Arc::clone(streams), limits))
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

#[async_trait]
impl Storage for LogStorage {
    async fn entries(&self, scan: &LogScan) -> Result<Vec<LogStream>, QueryError> {
        let last = TimestampNs(scan.end.0.saturating_sub(1));
        scan.compile()?;
        if last < scan.start || scan.limit == 0 {
            return Ok(Vec::new());
        }
        let streams = self.select(&scan.matchers, scan.start, last)?;
        if streams.is_empty() {
            return Ok(Vec::new());
        }
        let work = Work::Entries(Arc::new(scan.clone()));
        let batches = self.run(&scan.matchers, work, &streams, scan.start, last).await?;
        Ok(batches.iter().flat_map(rows::log_streams).collect())
    }

    async fn range(&self, leaf: &RangeLeaf) -> Result<Matrix, QueryError> {
        let (first, last) = leaf.range();
        leaf.compile()?;
        let streams = self.select(&leaf.matchers, first, last)?;
        let work = Work::Range(Arc::new(leaf.clone()));
        let batches = self.run(&leaf.matchers, work, &streams, first, last).await?;
        let rows = batches.iter().flat_map(rows::matrix_rows).collect();
        Ok(Matrix { grid: leaf.grid, rows })
    }
}

impl fmt::Debug for LogStorage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LogStorage").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
