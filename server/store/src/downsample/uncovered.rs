//! Samples beside buckets: without those that a bucket stands for.

use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray as _, BooleanArray, Float64Array, RecordBatch},
    compute::filter_record_batch,
    datatypes::{Float64Type, Int64Type, TimestampMillisecondType},
};
use datafusion::{
    common::{Result, internal_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::TryStreamExt as _;
use skep_proto::{is_stale_marker, names::column};

use super::{Rollup, scope::Served};

/// A scan of samples as they stand beside buckets.
pub(super) struct UncoveredExec {
    samples: Arc<dyn ExecutionPlan>,
    rollup: Rollup,
    served: Arc<Served>,
}

impl UncoveredExec {
    pub(super) fn new(
        samples: Arc<dyn ExecutionPlan>,
        rollup: Rollup,
        served: Arc<Served>,
    ) -> Self {
        Self { samples, rollup, served }
    }
}

impl fmt::Debug for UncoveredExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Default, out)
    }
}

impl DisplayAs for UncoveredExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "UncoveredExec: rollup={:?}", self.rollup)
    }
}

impl ExecutionPlan for UncoveredExec {
    fn name(&self) -> &'static str {
        "UncoveredExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.samples.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.samples]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let samples = children.into_iter().next();
        let samples =
            samples.ok_or_else(|| internal_datafusion_err!("samples beside buckets got lost"))?;
        Ok(Arc::new(Self::new(samples, self.rollup, Arc::clone(&self.served))))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = self.samples.execute(partition, context)?;
        let (rollup, served) = (self.rollup, Arc::clone(&self.served));
        let horizon_ms = served.horizon_ms();
        let schema = rows.schema();
        let rows = rows.and_then(move |batch| {
            let batch = uncovered(batch, &served, horizon_ms);
            futures::future::ready(batch.and_then(|it| match rollup {
                Rollup::Count => counted(&it),
                _ => Ok(it),
            }))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

fn uncovered(batch: RecordBatch, served: &Served, horizon_ms: i64) -> Result<RecordBatch> {
    let missing = || internal_datafusion_err!("samples beside buckets lack an id or a time stamp");
    let column = |name| batch.column_by_name(name).ok_or_else(missing);
    let ids = column(column::SERIES_ID)?.as_primitive::<Int64Type>().values();
    let ts = column(column::TS)?.as_primitive::<TimestampMillisecondType>().values();
    if ts.iter().all(|it| *it > horizon_ms) {
        return Ok(batch);
    }
    let is_left = |(id, ts): (&i64, &i64)| *ts > horizon_ms || !served.covers(*id, *ts);
    let left: Vec<bool> = ids.iter().zip(ts).map(is_left).collect();
    Ok(filter_record_batch(&batch, &BooleanArray::from(left))?)
}

/// One for each sample.
fn counted(batch: &RecordBatch) -> Result<RecordBatch> {
    let one = |it: &f64| if is_stale_marker(*it) { *it } else { 1.0 };
    let mut columns = batch.columns().to_vec();
    for (column, field) in columns.iter_mut().zip(batch.schema().fields()) {
        if field.name() == column::VALUE {
            let values = column.as_primitive::<Float64Type>().values();
            *column = Arc::new(values.iter().map(one).collect::<Float64Array>()) as ArrayRef;
        }
    }
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}
