//! `PipelineExec`: runs lines through a query's stages and keeps what the leaf asks for: the best
//! so many lines, or the windows of a range aggregation.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{Int64Type, SchemaRef, TimestampNanosecondType},
};
use datafusion::{
    common::{DataFusionError, exec_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::EquivalenceProperties,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning,
        PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt as _, stream};
use skep_logql::{
    LogCollector, LogScan, Pipeline, QueryError, RangeCollector, RangeLeaf, RangeLimits,
    ast::Stage, pipeline::Needle,
};
use skep_proto::{Labels, TimestampNs};

use super::rows;
use crate::{Limits, tally::counter};

/// The streams a leaf may read, in order of id.
pub(super) type Streams = Arc<[(i64, Arc<Labels>)]>;

#[derive(Debug, Clone)]
pub(super) enum Work {
    /// Gives [`rows::entries_schema`].
    Entries(Arc<LogScan>),
    /// Gives [`rows::matrix_schema`].
    Range(Arc<RangeLeaf>),
}

impl Work {
    pub(super) fn stages(&self) -> &[Stage] {
        match self {
            Self::Entries(scan) => &scan.stages,
            Self::Range(leaf) => &leaf.stages,
        }
    }

    fn schema(&self) -> SchemaRef {
        match self {
            Self::Entries(_) => rows::entries_schema(),
            Self::Range(_) => rows::matrix_schema(),
        }
    }
}

/// A leaf of a log query. Its input gives `(stream_id, ts, line, metadata)` in order, in one
/// partition.
#[derive(Debug)]
pub(super) struct PipelineExec {
    input: Arc<dyn ExecutionPlan>,
    job: Job,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

#[derive(Debug, Clone)]
struct Job {
    work: Work,
    streams: Streams,
    /// The scan may return more than was asked for; both ends included.
    range: (TimestampNs, TimestampNs),
    limits: Limits,
}

impl PipelineExec {
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        work: Work,
        streams: Streams,
        range: (TimestampNs, TimestampNs),
        limits: Limits,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(work.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            input,
            job: Job { work, streams, range, limits },
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for PipelineExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_streams = self.job.streams.len();
        match &self.job.work {
            Work::Entries(scan) => write!(
                out,
                "PipelineExec: streams={n_streams}, stages={}, limit={}, {:?}",
                scan.stages.len(),
                scan.limit,
                scan.direction
            ),
            Work::Range(leaf) => write!(
                out,
                "PipelineExec: streams={n_streams}, stages={}, {}, steps={}",
                leaf.stages.len(),
                leaf.op.as_str(),
                leaf.grid.n_steps()
            ),
        }
    }
}

impl ExecutionPlan for PipelineExec {
    fn name(&self) -> &'static str {
        "PipelineExec"
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
            return Err(DataFusionError::Internal("PipelineExec has one input".to_owned()));
        };
        let Job { work, streams, range, limits } = self.job.clone();
        Ok(Arc::new(Self::new(input, work, streams, range, limits)))
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
        let run = Run {
            collector: Collector::new(&self.job)?,
            memory: MemoryConsumer::new("log leaf").register(context.memory_pool()),
            n_lines: MetricBuilder::new(&self.metrics).counter(counter::LINES, partition),
            n_matched: MetricBuilder::new(&self.metrics).counter(counter::LINES_MATCHED, partition),
            line_bytes: MetricBuilder::new(&self.metrics).counter(counter::LINE_BYTES, partition),
            metadata_bytes: MetricBuilder::new(&self.metrics)
                .counter(counter::METADATA_BYTES, partition),
            job: self.job.clone(),
        };
        let input = self.input.execute(partition, context)?;
        let output = stream::once(run.finish(input));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), output.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

#[derive(Debug)]
enum Collector {
    Entries(LogCollector, Arc<Pipeline>),
    Range(RangeCollector, Arc<Pipeline>),
}

impl Collector {
    fn new(job: &Job) -> Result<Self, DataFusionError> {
        Ok(match &job.work {
            Work::Entries(scan) => {
                let pipeline = Arc::new(scan.compile().map_err(external)?);
                Self::Entries(LogCollector::new(scan, Arc::clone(&pipeline)), pipeline)
            }
            Work::Range(leaf) => {
                let pipeline = Arc::new(leaf.compile().map_err(external)?);
                let limits = RangeLimits {
                    n_series_max: job.limits.n_series_max,
                    n_samples_max: job.limits.n_samples_max,
                };
                Self::Range(RangeCollector::new(leaf, Arc::clone(&pipeline), limits), pipeline)
            }
        })
    }

    fn needles(&self) -> &[Needle] {
        match self {
            Self::Entries(_, pipeline) | Self::Range(_, pipeline) => pipeline.needles(),
        }
    }

    fn set_stream(&mut self, labels: &Labels) {
        match self {
            Self::Entries(collector, _) => collector.set_stream(labels),
            Self::Range(collector, _) => collector.set_stream(labels),
        }
    }

    fn wants(&self, ts: TimestampNs) -> bool {
        match self {
            Self::Entries(collector, _) => collector.wants(ts),
            Self::Range(..) => true,
        }
    }

    fn push<'a>(
        &mut self,
        ts: TimestampNs,
        line: &'a str,
        metadata: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), QueryError> {
        match self {
            Self::Entries(collector, _) => {
                collector.push(ts, line, metadata);
                Ok(())
            }
            Self::Range(collector, _) => collector.push(ts, line, metadata),
        }
    }

    fn n_bytes(&self) -> usize {
        match self {
            Self::Entries(collector, _) => collector.n_bytes(),
            Self::Range(collector, _) => collector.n_bytes(),
        }
    }

    fn finish(self) -> Result<RecordBatch, DataFusionError> {
        Ok(match self {
            Self::Entries(collector, _) => rows::entries_batch(&collector.finish())?,
            Self::Range(collector, _) => {
                rows::matrix_batch(&collector.finish().map_err(external)?)?
            }
        })
    }
}

/// One execution.
struct Run {
    job: Job,
    collector: Collector,
    memory: MemoryReservation,
    n_lines: Count,
    n_matched: Count,
    line_bytes: Count,
    metadata_bytes: Count,
}

impl Run {
    async fn finish(
        mut self,
        mut input: SendableRecordBatchStream,
    ) -> Result<RecordBatch, DataFusionError> {
        let mut current = None;
        while let Some(batch) = input.next().await {
            self.batch(&batch?, &mut current)?;
            self.memory.try_resize(self.collector.n_bytes())?;
        }
        self.collector.finish()
    }

    fn batch(
        &mut self,
        batch: &RecordBatch,
        current: &mut Option<i64>,
    ) -> Result<(), DataFusionError> {
        let [ids, ts, lines, metadata] = batch.columns() else {
            return Err(exec_datafusion_err!("a logs table has four columns"));
        };
        let ids = ids.as_primitive::<Int64Type>().values();
        let ts = ts.as_primitive::<TimestampNanosecondType>().values();
        let lines = arrow::compute::cast(lines, &arrow::datatypes::DataType::Utf8)?;
        let lines = lines.as_string::<i32>();
        let metadata = metadata.as_map_opt();
        self.n_lines.add(ids.len());
        self.line_bytes.add(rows::text_bytes(lines));
        self.metadata_bytes.add(metadata.map_or(0, rows::metadata_bytes));
        let (first, last) = self.job.range;
        let mut n_matched = 0;
        for (row, (&id, &ts)) in ids.iter().zip(ts.iter()).enumerate() {
            let ts = TimestampNs(ts);
            if ts < first || ts > last || !self.collector.wants(ts) {
                continue;
            }
            let line = if lines.is_null(row) { "" } else { lines.value(row) };
            // Plain texts first: most lines of a search are gone before any label is looked at.
            if !self.collector.needles().iter().all(|it| it.admits(line.as_bytes())) {
                continue;
            }
            if *current != Some(id) {
                let found = self.job.streams.binary_search_by_key(&id, |(it, _)| *it);
                let Some((_, labels)) = found.ok().and_then(|it| self.job.streams.get(it)) else {
                    continue;
                };
                self.collector.set_stream(labels);
                *current = Some(id);
            }
            n_matched += 1;
            let pairs = metadata.into_iter().flat_map(|it| rows::pairs(it, row));
            self.collector.push(ts, line, pairs).map_err(external)?;
        }
        self.n_matched.add(n_matched);
        Ok(())
    }
}

fn external(error: QueryError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
