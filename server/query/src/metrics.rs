//! Leaves of metric queries: selectors planned as scans of the samples table.

use std::{collections::HashMap, fmt, sync::Arc};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Float64Type, Int64Type},
};
use async_trait::async_trait;
use datafusion::{
    catalog::TableProvider,
    common::{DataFusionError, ScalarValue, runtime::JoinSet},
    execution::memory_pool::{MemoryConsumer, MemoryReservation},
    logical_expr::{Expr, col, lit},
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties as _,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
        union::UnionExec,
    },
};
use futures::TryStreamExt as _;
use skep_promql::{
    Fused, Grouping, HistogramSeries, Leaf, Matrix, RawSeries, Row, Storage, StorageError,
    is_absent,
};
use skep_proto::{
    Labels, Matcher, Sample, SeriesId, TimeRange, TimestampMs,
    names::{METRIC_NAME, column},
};
use tokio::sync::Mutex;

use crate::{
    QuerySession, Rollups, Snapshot,
    budget::Budget,
    explain::LeafPlan,
    groups::Groups as Cells,
    id_filter::id_filter,
    series_window::{SeriesWindowExec, Work},
    session::storage_error,
};

/// Series below which a second scan costs more than a second core saves.
const SHARD_SERIES_MIN: usize = 512;

/// Scans one leaf is split into at most.
const N_SHARDS_MAX: usize = 4;

/// What one metric query reads through.
pub(crate) struct MetricStorage {
    snapshot: Snapshot,
    session: QuerySession,
    budget: Arc<Budget>,
    /// Results of leaves, held until the query ends.
    memory: Mutex<MemoryReservation>,
    /// Filled where the query is to be explained.
    plans: Option<Mutex<Vec<LeafPlan>>>,
}

/// The series of a selector, in order of id.
struct Selection {
    ids: Arc<[i64]>,
    labels: Vec<Arc<Labels>>,
}

impl MetricStorage {
    pub(crate) fn new(snapshot: Snapshot, session: QuerySession, explain: bool) -> Self {
        let budget = Budget::new(session.limits.n_samples_max, session.deadline);
        let memory = MemoryConsumer::new("leaf results").register(session.task.memory_pool());
        Self {
            snapshot,
            session,
            budget: Arc::new(budget),
            memory: Mutex::new(memory),
            plans: explain.then(Mutex::default),
        }
    }

    /// Samples read so far.
    pub(crate) fn n_samples(&self) -> u64 {
        self.budget.n_samples()
    }

    /// What the leaves did, where this was asked for.
    pub(crate) async fn take_plans(&self) -> Vec<LeafPlan> {
        match &self.plans {
            Some(plans) => std::mem::take(&mut *plans.lock().await),
            None => Vec::new(),
        }
    }

    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Selection, StorageError> {
        let series = self.snapshot.series.select(matchers, range);
        self.session.limits.check_series(series.len())?;
        let (ids, labels): (Vec<i64>, _) =
            series.into_iter().map(|(SeriesId(id), labels)| (id, labels)).unzip();
        Ok(Selection { ids: ids.into(), labels })
    }

    /// Runs a leaf's plan to its end; batches come in any order of shards.
    async fn run(
        &self,
        table: &Arc<dyn TableProvider>,
        matchers: &[Matcher],
        work: Work,
        ids: &Arc<[i64]>,
        range: TimeRange,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        // What is in memory is read without ever waiting: here the query of a client that has gone
        // is dropped, and others have their turn.
        tokio::task::yield_now().await;
        let plan = self.plan(table, work, ids, range).await.map_err(|it| self.failed(it))?;
        let batches = self.collect(&plan).await.map_err(|it| self.failed(it))?;
        if let Some(plans) = &self.plans {
            plans.lock().await.push(LeafPlan::new(matchers, plan.as_ref()));
        }
        Ok(batches)
    }

    async fn plan(
        &self,
        table: &Arc<dyn TableProvider>,
        work: Work,
        ids: &Arc<[i64]>,
        range: TimeRange,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let n_shards =
            (ids.len() / SHARD_SERIES_MIN).min(self.session.n_cores).clamp(1, N_SHARDS_MAX);
        let mut shards = Vec::with_capacity(n_shards);
        let shard_len = ids.len().div_ceil(n_shards).max(1);
        for ids in ids.chunks(shard_len) {
            shards.push(self.scan(table, ids, range).await?);
        }
        let input = match shards.pop() {
            Some(shard) if shards.is_empty() => shard,
            last => UnionExec::try_new(shards.into_iter().chain(last).collect())?,
        };
        let budget = Arc::clone(&self.budget);
        Ok(Arc::new(SeriesWindowExec::new(input, work, Arc::clone(ids), shard_len, range, budget)))
    }

    /// Samples of a run of ids in order of (series, time), in one partition.
    async fn scan(
        &self,
        table: &Arc<dyn TableProvider>,
        ids: &[i64],
        range: TimeRange,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = table.schema();
        let projection = [column::SERIES_ID, column::TS, column::VALUE]
            .map(|it| schema.index_of(it))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        self.scan_columns(table, Some(&projection), ids, range).await
    }

    /// Rows of a run of ids in order of (series, time), in one partition; `projection` keeps these
    /// two first.
    async fn scan_columns(
        &self,
        table: &Arc<dyn TableProvider>,
        projection: Option<&Vec<usize>>,
        ids: &[i64],
        range: TimeRange,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let mut filters: Vec<Expr> = id_filter(column::SERIES_ID, ids).into_iter().collect();
        filters.push(col(column::TS).gt_eq(timestamp(range.start)));
        filters.push(col(column::TS).lt_eq(timestamp(range.end)));
        let scan = table.scan(self.session.state.as_ref(), projection, &filters, None).await?;
        sorted(scan, [column::SERIES_ID, column::TS])
    }

    async fn collect(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
    ) -> Result<Vec<RecordBatch>, DataFusionError> {
        let n_partitions = plan.output_partitioning().partition_count();
        let mut shards = JoinSet::new();
        for partition in 1..n_partitions {
            let stream = plan.execute(partition, Arc::clone(&self.session.task))?;
            shards.spawn(stream.try_collect::<Vec<_>>());
        }
        let first = plan.execute(0, Arc::clone(&self.session.task))?;
        let mut batches: Vec<RecordBatch> = first.try_collect().await?;
        while let Some(joined) = shards.join_next().await {
            let died = |error| DataFusionError::ExecutionJoin(Box::new(error));
            batches.append(&mut joined.map_err(died)??);
        }
        let size_bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        self.memory.lock().await.try_grow(size_bytes)?;
        Ok(batches)
    }

    fn failed(&self, error: DataFusionError) -> StorageError {
        storage_error(error, &self.session.limits)
    }
}

fn timestamp(at: TimestampMs) -> Expr {
    lit(ScalarValue::TimestampMillisecond(Some(at.0), Some("UTC".into())))
}

/// One partition in order of its first two columns, whatever the table offers.
pub(crate) fn sorted(
    scan: Arc<dyn ExecutionPlan>,
    [id, ts]: [&str; 2],
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let ascending = |name: &str, column_idx| {
        let options = arrow::compute::SortOptions { descending: false, nulls_first: false };
        PhysicalSortExpr::new(Arc::new(Column::new(name, column_idx)), options)
    };
    let order = [ascending(id, 0), ascending(ts, 1)];
    let is_sorted = scan.properties().eq_properties.ordering_satisfy(order.clone())?;
    let Some(order) = LexOrdering::new(order) else { return Ok(scan) };
    let scan: Arc<dyn ExecutionPlan> = if is_sorted {
        scan
    } else {
        Arc::new(SortExec::new(order.clone(), scan).with_preserve_partitioning(true))
    };
    Ok(match scan.output_partitioning().partition_count() {
        1 => scan,
        _ => Arc::new(SortPreservingMergeExec::new(order, scan)),
    })
}

#[async_trait]
impl Storage for MetricStorage {
    async fn leaf(&self, leaf: &Leaf) -> Result<Matrix, StorageError> {
        match self.coarse_leaf(leaf).await? {
            Some(matrix) => Ok(matrix),
            None => self.leaf_over(leaf, &self.snapshot.samples).await,
        }
    }

    async fn raw(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<RawSeries>, StorageError> {
        let Selection { ids, labels } = self.select(matchers, range)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let batches = self.run(&self.snapshot.samples, matchers, Work::Raw, &ids, range).await?;
        Ok(raw_rows_of(&batches)
            .filter_map(|(series_id, ts, values)| {
                let labels = labels.get(ids.binary_search(&series_id).ok()?)?;
                let samples = ts
                    .iter()
                    .zip(values)
                    .map(|(&ts, &value)| Sample { ts: TimestampMs(ts), value })
                    .collect();
                Some(RawSeries::floats(Arc::clone(labels), samples))
            })
            .collect())
    }

    async fn histograms(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<HistogramSeries>, StorageError> {
        match &self.snapshot.histograms {
            Some(histograms) if histograms.may_have(range) => {
                self.histograms_of(histograms.as_ref(), matchers, range).await
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl MetricStorage {
    pub(crate) fn rollups(&self) -> Option<&dyn Rollups> {
        self.snapshot.rollups.as_deref()
    }

    pub(crate) fn samples(&self) -> &Arc<dyn TableProvider> {
        &self.snapshot.samples
    }

    /// A leaf over one table of samples.
    pub(crate) async fn leaf_over(
        &self,
        leaf: &Leaf,
        table: &Arc<dyn TableProvider>,
    ) -> Result<Matrix, StorageError> {
        let range = leaf.range();
        let Selection { ids, labels } = self.select(&leaf.matchers, range)?;
        if ids.is_empty() || leaf.grid.n_steps() == 0 {
            return Ok(Matrix::empty(leaf.grid));
        }
        let shared = Arc::new(leaf.clone());
        let (work, keys) = match &leaf.fused {
            None => (Work::Window(shared), None),
            Some(fused) => {
                let Groups { group_of, labels } = group(&fused.grouping, &labels);
                let op = fused.op;
                let n_groups = labels.len();
                (
                    Work::Fused { leaf: shared, op, group_of: group_of.into(), n_groups },
                    Some(labels),
                )
            }
        };
        let batches = self.run(table, &leaf.matchers, work, &ids, range).await?;
        let label_of = |key: i64| match &keys {
            Some(groups) => usize::try_from(key).ok().and_then(|it| groups.get(it)),
            None => ids.binary_search(&key).ok().and_then(|it| labels.get(it)),
        };
        let rows = rows_of(&batches)
            .filter_map(|(key, values)| {
                Some(Row::floats(Arc::clone(label_of(key)?), values.to_vec()))
            })
            .collect();
        Ok(Matrix { grid: leaf.grid, rows })
    }

    /// Aggregates rows as a leaf would have.
    pub(crate) fn aggregated(&self, fused: &Fused, matrix: &Matrix) -> Matrix {
        let labels: Vec<Arc<Labels>> =
            matrix.rows.iter().map(|it| Arc::clone(&it.labels)).collect();
        let groups = group(&fused.grouping, &labels);
        let mut cells = Cells::new(fused.op, groups.labels.len(), matrix.grid.n_steps());
        for (row, group_idx) in matrix.rows.iter().zip(&groups.group_of) {
            cells.add(*group_idx, &row.values);
        }
        let rows = groups.labels.into_iter().zip(cells.rows());
        let rows = rows.map(|(labels, values)| Row::floats(labels, values.collect()));
        let has_value = |it: &Row| it.values.iter().any(|it| !is_absent(*it));
        Matrix { grid: matrix.grid, rows: rows.filter(has_value).collect() }
    }
}

/// The groups of a fused aggregation: which one each series is in, and their labels.
struct Groups {
    group_of: Vec<usize>,
    labels: Vec<Arc<Labels>>,
}

fn group(grouping: &Grouping, series: &[Arc<Labels>]) -> Groups {
    let keeps = |name: &str| match grouping {
        Grouping::By(names) => names.iter().any(|it| it == name),
        Grouping::Without(names) => name != METRIC_NAME && !names.iter().any(|it| it == name),
    };
    let mut known: HashMap<Vec<(&str, &str)>, usize> = HashMap::new();
    let mut labels = Vec::new();
    let mut group_of = Vec::with_capacity(series.len());
    let mut key = Vec::new();
    for one in series {
        key.clear();
        key.extend(one.iter().filter(|(name, _)| keeps(name)));
        let group_idx = known.get(&key).copied().unwrap_or_else(|| {
            known.insert(key.clone(), labels.len());
            labels.push(Arc::new(one.keep(keeps)));
            labels.len() - 1
        });
        group_of.push(group_idx);
    }
    Groups { group_of, labels }
}

/// Each row's key and values.
fn rows_of(batches: &[RecordBatch]) -> impl Iterator<Item = (i64, &[f64])> {
    batches.iter().flat_map(|batch| {
        let [keys, values] = batch.columns() else { return None.into_iter().flatten() };
        let (keys, lists) = (keys.as_primitive::<Int64Type>(), values.as_list::<i32>());
        let values = lists.values().as_primitive::<Float64Type>().values();
        let rows = keys
            .values()
            .iter()
            .zip(lists.value_offsets().array_windows())
            .map(move |(&key, &[start, end])| (key, slice(values, start, end)));
        Some(rows).into_iter().flatten()
    })
}

/// Each row's key, time stamps and values.
fn raw_rows_of(batches: &[RecordBatch]) -> impl Iterator<Item = (i64, &[i64], &[f64])> {
    batches.iter().flat_map(|batch| {
        let [keys, ts, values] = batch.columns() else { return None.into_iter().flatten() };
        let (keys, lists) = (keys.as_primitive::<Int64Type>(), values.as_list::<i32>());
        let values = lists.values().as_primitive::<Float64Type>().values();
        let ts = ts.as_list::<i32>().values().as_primitive::<Int64Type>().values();
        let rows = keys.values().iter().zip(lists.value_offsets().array_windows()).map(
            move |(&key, &[start, end])| (key, slice(ts, start, end), slice(values, start, end)),
        );
        Some(rows).into_iter().flatten()
    })
}

fn slice<T>(items: &[T], start: i32, end: i32) -> &[T] {
    let bounds = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    bounds.and_then(|(start, end)| items.get(start..end)).unwrap_or_default()
}

impl fmt::Debug for MetricStorage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MetricStorage").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

mod histograms;
#[cfg(test)]
mod tests;
