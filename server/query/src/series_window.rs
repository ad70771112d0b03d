//! `SeriesWindowExec`: walks samples sorted by (series, time) and gives one row a series, with the
//! window function already applied, or one row a group where the leaf is aggregated.

use std::{fmt, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    common::{
        DataFusionError, exec_datafusion_err, runtime::JoinSet, tree_node::TreeNodeRecursion,
    },
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_expr::EquivalenceProperties,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan,
        ExecutionPlanProperties as _, Partitioning, PhysicalExpr, PlanProperties,
        ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt as _, stream};
use skep_promql::{FusedOp, Leaf};
use skep_proto::{TimeRange, names::column};

use crate::{
    budget::Budget,
    groups::Groups,
    series_cut::SeriesCut,
    series_walk::{
        EachSeries, SeriesRowsStream, Walk, WalkMetrics, fold, group_rows, list_type, next_rows,
    },
};

/// What is done with each series.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// `(series_id, values List<Float64>)`: a value (or absent's bits) for each step.
    Window(Arc<Leaf>),
    /// `(group, values List<Float64>)`: the same by group; one partition comes out.
    Fused { leaf: Arc<Leaf>, op: FusedOp, group_of: Arc<[usize]>, n_groups: usize },
    /// `(series_id, ts List<Int64>, values List<Float64>)`: stale markers left out.
    Raw,
}

/// A leaf of a metric query. Its input gives `(series_id, ts, value)` in order; each partition has
/// all samples of its own run of series.
#[derive(Debug)]
pub(crate) struct SeriesWindowExec {
    input: Arc<dyn ExecutionPlan>,
    job: Job,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// All a partition needs to know.
#[derive(Debug, Clone)]
struct Job {
    work: Work,
    /// Ascending; the scan may return more series than these.
    ids: Arc<[i64]>,
    /// How many of the ids each input partition holds, the last one perhaps fewer.
    shard_len: usize,
    range: TimeRange,
    budget: Arc<Budget>,
}

impl SeriesWindowExec {
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        work: Work,
        ids: Arc<[i64]>,
        shard_len: usize,
        range: TimeRange,
        budget: Arc<Budget>,
    ) -> Self {
        let n_partitions = match work {
            Work::Fused { .. } => 1,
            Work::Window(_) | Work::Raw => input.output_partitioning().partition_count(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(work.schema()),
            Partitioning::UnknownPartitioning(n_partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            input,
            job: Job { work, ids, shard_len, range, budget },
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl Work {
    fn schema(&self) -> SchemaRef {
        let field = |name, kind| Field::new(name, kind, false);
        let values = field(column::VALUE, list_type(DataType::Float64));
        let fields = match self {
            Self::Window(_) => vec![field(column::SERIES_ID, DataType::Int64), values],
            Self::Fused { .. } => vec![field("group", DataType::Int64), values],
            Self::Raw => vec![
                field(column::SERIES_ID, DataType::Int64),
                field(column::TS, list_type(DataType::Int64)),
                values,
            ],
        };
        Arc::new(Schema::new(fields))
    }
}

impl DisplayAs for SeriesWindowExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_series = self.job.ids.len();
        match &self.job.work {
            Work::Window(leaf) => {
                write!(out, "SeriesWindowExec: series={n_series}, {}", Described(leaf))
            }
            Work::Fused { leaf, op, n_groups, .. } => write!(
                out,
                "SeriesWindowExec: series={n_series}, {}, fused={op:?}, groups={n_groups}",
                Described(leaf)
            ),
            Work::Raw => write!(out, "SeriesWindowExec: series={n_series}, raw"),
        }
    }
}

struct Described<'a>(&'a Leaf);

impl fmt::Display for Described<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Leaf { grid, window, window_ms, .. }) = self;
        let window = format!("{window:?}");
        let name = window.split(' ').next().unwrap_or_default();
        write!(
            out,
            "window={}, window_ms={window_ms}, start={}, step_ms={}, steps={}",
            name,
            grid.start().0,
            grid.step_ms(),
            grid.n_steps()
        )
    }
}

impl ExecutionPlan for SeriesWindowExec {
    fn name(&self) -> &'static str {
        "SeriesWindowExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return Err(DataFusionError::Internal("SeriesWindowExec has one input".to_owned()));
        };
        let Job { work, ids, shard_len, range, budget } = self.job.clone();
        Ok(Arc::new(Self::new(input, work, ids, shard_len, range, budget)))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let schema = self.schema();
        let ids = Arc::clone(&self.job.ids);
        let rows = match &self.job.work {
            Work::Fused { leaf, op, group_of, n_groups } => {
                let walks = (0..self.input.output_partitioning().partition_count())
                    .map(|it| self.walk(it, &context))
                    .collect::<Result<Vec<_>, _>>()?;
                let empty = Groups::new(*op, *n_groups, leaf.grid.n_steps());
                let (leaf, group_of) = (Arc::clone(leaf), Arc::clone(group_of));
                stream::once(fused(walks, leaf, group_of, empty, schema)).boxed()
            }
            Work::Window(leaf) => {
                let (walk, leaf) = (self.walk(partition, &context)?, Arc::clone(leaf));
                let state = SeriesRowsStream { walk, each: EachSeries::Window(leaf), ids, schema };
                stream::try_unfold(Some(state), next_rows).boxed()
            }
            Work::Raw => {
                let walk = self.walk(partition, &context)?;
                let state = SeriesRowsStream { walk, each: EachSeries::Raw, ids, schema };
                stream::try_unfold(Some(state), next_rows).boxed()
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

impl SeriesWindowExec {
    fn walk(&self, partition: usize, context: &Arc<TaskContext>) -> Result<Walk, DataFusionError> {
        let input = self.input.execute(partition, Arc::clone(context))?;
        let metrics = WalkMetrics {
            baseline: BaselineMetrics::new(&self.metrics, partition),
            n_samples: MetricBuilder::new(&self.metrics).counter("samples", partition),
        };
        let Job { ids, shard_len, .. } = &self.job;
        let start = partition.saturating_mul(*shard_len).min(ids.len());
        let own = start..start.saturating_add(*shard_len).min(ids.len());
        Ok(Walk {
            input,
            cut: SeriesCut::new(Arc::clone(&self.job.ids), own, self.job.range),
            budget: Arc::clone(&self.job.budget),
            memory: MemoryConsumer::new(self.name()).register(context.memory_pool()),
            metrics,
        })
    }
}

/// Aggregates all partitions at once; dropping it stops them.
async fn fused(
    walks: Vec<Walk>,
    leaf: Arc<Leaf>,
    group_of: Arc<[usize]>,
    empty: Groups,
    schema: SchemaRef,
) -> Result<RecordBatch, DataFusionError> {
    let mut folds = JoinSet::new();
    let mut total = empty.clone();
    let last_idx = walks.len().saturating_sub(1);
    for (walk_idx, walk) in walks.into_iter().enumerate() {
        let fold = fold(walk, Arc::clone(&leaf), Arc::clone(&group_of), empty.clone());
        if walk_idx == last_idx {
            total = fold.await?;
        } else {
            folds.spawn(fold);
        }
    }
    while let Some(joined) = folds.join_next().await {
        let groups =
            joined.map_err(|error| exec_datafusion_err!("a leaf's task died: {error}"))??;
        total.merge(&groups);
    }
    group_rows(&total, schema)
}
