//! `RollupScanExec`: buckets of a tier as the samples that stand for them, one partition a day.

use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray},
    compute::SortOptions,
};
use datafusion::{
    common::{DataFusionError, Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_expr::{
        EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr, expressions::col,
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::TryStreamExt as _;
use skep_proto::names::column;
use tokio::sync::Semaphore;

use super::{
    Rollup, Tier,
    read::{Columns, buckets},
    scope::Served,
};
use crate::{
    delete::Mask,
    filter::RowFilter,
    part::Part,
    part_store::PartUnavailable,
    schema::{SAMPLES, UTC},
};

/// Days that are read at the same time: a year's query has hundreds.
const READS_AT_ONCE: usize = 4;
/// Samples are handed on in batches of so many or some more.
const BATCH_ROWS: usize = 8_192;

/// Reads whole row groups of a day, those that hold a wanted series, and holds what is wanted of
/// them: buckets are few.
pub(super) struct RollupScanExec {
    rollup: Rollup,
    days: Vec<Day>,
    filter: RowFilter,
    served: Arc<Served>,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
    reading: Arc<Semaphore>,
}

/// One part, without what deletes hid when the scan was planned.
#[derive(Clone)]
struct Day {
    tier: Tier,
    part: Arc<Part>,
    masks: Vec<Arc<Mask>>,
}

impl RollupScanExec {
    pub(super) fn new(
        rollup: Rollup,
        parts: Vec<(Tier, Arc<Part>)>,
        filter: RowFilter,
        served: Arc<Served>,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        let schema = match &projection {
            Some(columns) => Arc::new(SAMPLES.project(columns)?),
            None => Arc::clone(&SAMPLES),
        };
        let mut equivalences = EquivalenceProperties::new(Arc::clone(&schema));
        let sorted: Vec<_> = [column::SERIES_ID, column::TS]
            .iter()
            .map_while(|it| col(it, &schema).ok())
            .map(|it| PhysicalSortExpr::new(it, SortOptions::new(false, false)))
            .collect();
        if let Some(ordering) = LexOrdering::new(sorted) {
            equivalences.add_ordering(ordering);
        }
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(parts.len().max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let day = |(tier, part): (Tier, Arc<Part>)| Day { tier, masks: part.masks(), part };
        Ok(Self {
            rollup,
            days: parts.into_iter().map(day).collect(),
            filter,
            served,
            projection,
            properties: Arc::new(properties),
            reading: Arc::new(Semaphore::new(READS_AT_ONCE)),
        })
    }
}

impl fmt::Debug for RollupScanExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Default, out)
    }
}

impl DisplayAs for RollupScanExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RollupScanExec: days={}, rollup={:?}", self.days.len(), self.rollup)
    }
}

impl ExecutionPlan for RollupScanExec {
    fn name(&self) -> &'static str {
        "RollupScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
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
        let schema = self.schema();
        let Some(day) = self.days.get(partition).cloned() else {
            let empty = futures::stream::empty();
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, empty)));
        };
        let (rollup, filter, served) = (self.rollup, self.filter.clone(), Arc::clone(&self.served));
        let projection = self.projection.clone();
        let memory = MemoryConsumer::new(self.name()).register(context.memory_pool());
        let reading = Arc::clone(&self.reading);
        let batches = async move {
            let turn = reading.acquire_owned().await;
            let batches = read_day(day, rollup, filter, served).await?;
            drop(turn);
            let n_bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum();
            memory.try_grow(n_bytes)?;
            // The reservation lasts as long as the batches are on their way.
            let batches = batches.into_iter().map(move |batch| {
                let _held = &memory;
                match &projection {
                    Some(columns) => Ok(batch.project(columns)?),
                    None => Ok(batch),
                }
            });
            Ok::<_, DataFusionError>(futures::stream::iter(batches))
        };
        let stream = futures::stream::once(batches).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}

async fn read_day(
    day: Day,
    rollup: Rollup,
    filter: RowFilter,
    served: Arc<Served>,
) -> Result<Vec<RecordBatch>> {
    let pin = match day.part.pin_if_room().await {
        Err(_) if day.part.health.is_damaged() => return Ok(Vec::new()),
        Err(error) => {
            let error = PartUnavailable::new(&day.part.path, error);
            return Err(DataFusionError::External(Box::new(error)));
        }
        Ok(pin) => pin,
    };
    let part = Arc::clone(&day.part);
    let read = tokio::task::spawn_blocking(move || {
        let _pin = pin;
        stand_ins(&day, rollup, &filter, &served)
    });
    let read = read.await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?;
    // Its checksum is computed again before the next query reads it.
    read.inspect_err(|_| part.health.doubt())
}

fn stand_ins(
    day: &Day,
    rollup: Rollup,
    filter: &RowFilter,
    served: &Served,
) -> Result<Vec<RecordBatch>> {
    let Day { tier, part, masks } = day;
    let (mut batches, mut rows) = (Vec::new(), Rows::default());
    for found in buckets(part, filter, Columns::of(rollup))? {
        for (id, bucket) in found? {
            let is_hidden = || masks.iter().any(|it| tier.hides(it, part.info.day, id, bucket.end));
            if !served.serves(*tier, part.info.day, id, bucket.end) || is_hidden() {
                continue;
            }
            bucket.samples(rollup, |ts, value| {
                if filter.wants_ts(ts) {
                    rows.ids.push(id);
                    rows.ts.push(ts);
                    rows.values.push(value);
                }
            });
        }
        if rows.ids.len() >= BATCH_ROWS {
            batches.push(rows.take()?);
        }
    }
    if !rows.ids.is_empty() {
        batches.push(rows.take()?);
    }
    Ok(batches)
}

#[derive(Default)]
struct Rows {
    ids: Vec<i64>,
    ts: Vec<i64>,
    values: Vec<f64>,
}

impl Rows {
    fn take(&mut self) -> Result<RecordBatch> {
        let Self { ids, ts, values } = std::mem::take(self);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(ids)),
            Arc::new(TimestampMillisecondArray::from(ts).with_timezone(UTC)),
            Arc::new(Float64Array::from(values)),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&SAMPLES), columns)?)
    }
}
