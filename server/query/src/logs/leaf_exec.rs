//! `LogLeafExec`: reads blocks of lines, runs them through a query's stages and keeps what the leaf
//! asks for: the best so many lines, or the windows of a range aggregation.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{DataFusionError, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_expr::EquivalenceProperties,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning,
        PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt as _, stream};
use skep_logql::{LogScan, QueryError, RangeLeaf, ast::Stage};
use skep_proto::{Labels, LogBlocks, LogReadError, LogTable, LogWanted};

use super::{entries, range, rows, walk::Walk};
use crate::Limits;

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

/// A leaf of a log query.
#[derive(Debug)]
pub(super) struct LogLeafExec {
    table: Arc<dyn LogTable>,
    wanted: LogWanted,
    work: Work,
    streams: Streams,
    limits: Limits,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// What was read, once it is known.
    opened: Arc<OnceLock<Opened>>,
}

struct Opened(Arc<dyn LogBlocks>);

impl fmt::Debug for Opened {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(out)
    }
}

impl LogLeafExec {
    pub(super) fn new(
        table: Arc<dyn LogTable>,
        wanted: LogWanted,
        work: Work,
        streams: Streams,
        limits: Limits,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(work.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            table,
            wanted,
            work,
            streams,
            limits,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            opened: Arc::default(),
        }
    }
}

impl DisplayAs for LogLeafExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_streams = self.streams.len();
        match &self.work {
            Work::Entries(scan) => write!(
                out,
                "LogLeafExec: streams={n_streams}, stages={}, limit={}, {:?}",
                scan.stages.len(),
                scan.limit,
                scan.direction
            )?,
            Work::Range(leaf) => write!(
                out,
                "LogLeafExec: streams={n_streams}, stages={}, {}, steps={}",
                leaf.stages.len(),
                leaf.op.as_str(),
                leaf.grid.n_steps()
            )?,
        }
        write!(out, ", ts={}..={}", self.wanted.first.0, self.wanted.last.0)?;
        if let Some(Opened(blocks)) = self.opened.get() {
            out.write_str(", ")?;
            blocks.describe(out)?;
        }
        Ok(())
    }
}

impl ExecutionPlan for LogLeafExec {
    fn name(&self) -> &'static str {
        "LogLeafExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        Ok(self)
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
        let opening = self.table.open(self.wanted.clone());
        let (opened, work) = (Arc::clone(&self.opened), self.work.clone());
        let memory = MemoryConsumer::new("log leaf").register(context.memory_pool());
        let (streams, limits) = (Arc::clone(&self.streams), self.limits.clone());
        let metrics = self.metrics.clone();
        let run = async move {
            let blocks = opening.await.map_err(read_failed)?;
            // The first execution is told; there is one only.
            drop(opened.set(Opened(Arc::clone(&blocks))));
            let canceled = CancelOnDrop::default();
            let walk =
                Walk::new(blocks, streams, memory, &metrics, partition, Arc::clone(&canceled.0));
            // Blocks are read and decoded: that is work for the disk and for a core.
            let running = tokio::task::spawn_blocking(move || match work {
                Work::Entries(scan) => entries::run(&scan, walk),
                Work::Range(leaf) => range::run(&leaf, walk, &limits),
            });
            running.await.map_err(|it| DataFusionError::ExecutionJoin(Box::new(it)))?
        };
        let output = stream::once(run);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), output.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Tells who reads blocks that nobody waits any more.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) fn external(error: QueryError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Stores tell in DataFusion's words, or in their own.
pub(super) fn read_failed(error: LogReadError) -> DataFusionError {
    match error.downcast::<DataFusionError>() {
        Ok(error) => *error,
        Err(other) => DataFusionError::External(other),
    }
}
