//! One partition's walk over sorted samples: batches in, rows or groups out.

use std::sync::Arc;

use arrow::{
    array::{
        Array as _, ArrayRef, ArrowPrimitiveType, AsArray as _, Float64Array, Int64Array, ListArray,
    },
    array::{PrimitiveArray, RecordBatch},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Float64Type, Int64Type, SchemaRef, TimestampMillisecondType},
};
use datafusion::{
    common::{DataFusionError, exec_datafusion_err},
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
    physical_plan::metrics::{BaselineMetrics, Count},
};
use futures::StreamExt as _;
use skep_promql::{Leaf, absent, is_absent};
use skep_proto::is_stale_marker;

use crate::{
    budget::Budget,
    groups::Groups,
    series_cut::{SeriesCut, SeriesRows},
};

/// Values after which a batch of rows is handed on.
const BATCH_VALUES: usize = 64 << 10;

/// Reads samples and cuts them into series.
pub(crate) struct Walk {
    pub(crate) input: SendableRecordBatchStream,
    pub(crate) cut: SeriesCut,
    pub(crate) budget: Arc<Budget>,
    pub(crate) memory: MemoryReservation,
    pub(crate) metrics: WalkMetrics,
}

pub(crate) struct WalkMetrics {
    pub(crate) baseline: BaselineMetrics,
    pub(crate) n_samples: Count,
}

impl Walk {
    /// Gives out the series that the next batch completes; `false` once there is no more.
    async fn advance(
        &mut self,
        each: &mut impl FnMut(SeriesRows<'_>),
    ) -> Result<bool, DataFusionError> {
        let Some(batch) = self.input.next().await else {
            let _timer = self.metrics.baseline.elapsed_compute().timer();
            self.cut.close(each).map_err(external)?;
            return Ok(false);
        };
        let batch = batch?;
        self.budget.spend(batch.num_rows())?;
        let _timer = self.metrics.baseline.elapsed_compute().timer();
        self.metrics.n_samples.add(batch.num_rows());
        let ids = column::<Int64Type>(&batch, 0)?;
        let ts = column::<TimestampMillisecondType>(&batch, 1)?;
        let values = column::<Float64Type>(&batch, 2)?;
        self.cut.push(ids.values(), ts.values(), values.values(), each).map_err(external)?;
        Ok(true)
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn column<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    column_idx: usize,
) -> Result<&PrimitiveArray<T>, DataFusionError> {
    batch
        .columns()
        .get(column_idx)
        .and_then(|it| it.as_primitive_opt::<T>())
        .filter(|it| it.null_count() == 0)
        .ok_or_else(|| {
            let schema = batch.schema_ref();
            exec_datafusion_err!(
                "column {column_idx} of {schema} is not {} without nulls",
                T::DATA_TYPE
            )
        })
}

/// Rows on their way out.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    keys: Vec<i64>,
    lengths: Vec<usize>,
    ts: Vec<i64>,
    values: Vec<f64>,
}

impl Rows {
    fn add_window(&mut self, leaf: &Leaf, series_id: i64, rows: SeriesRows<'_>) {
        let start = self.values.len();
        apply(leaf, rows.ts, rows.values, &mut self.values);
        if self.values.iter().skip(start).all(|it| is_absent(*it)) {
            self.values.truncate(start);
            return;
        }
        self.keys.push(series_id);
        self.lengths.push(self.values.len() - start);
    }

    fn add_raw(&mut self, series_id: i64, rows: SeriesRows<'_>) {
        let start = self.values.len();
        let kept = rows.ts.iter().zip(rows.values).filter(|(_, value)| !is_stale_marker(**value));
        for (&at, &value) in kept {
            self.ts.push(at);
            self.values.push(value);
        }
        if self.values.len() > start {
            self.keys.push(series_id);
            self.lengths.push(self.values.len() - start);
        }
    }

    fn size_bytes(&self) -> usize {
        8 * (self.values.capacity() + self.ts.capacity() + self.keys.capacity())
    }

    fn take(&mut self, schema: SchemaRef) -> Result<RecordBatch, DataFusionError> {
        let Self { keys, lengths, ts, values } = std::mem::take(self);
        let lengths = OffsetBuffer::from_lengths(lengths);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(keys))];
        if schema.fields().len() == 3 {
            columns.push(list(lengths.clone(), Arc::new(Int64Array::from(ts)))?);
        }
        columns.push(list(lengths, Arc::new(Float64Array::from(values)))?);
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

pub(crate) fn list_type(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, false)))
}

fn list(lengths: OffsetBuffer<i32>, items: ArrayRef) -> Result<ArrayRef, DataFusionError> {
    let field = Arc::new(Field::new_list_field(items.data_type().clone(), false));
    Ok(Arc::new(ListArray::try_new(field, lengths, items, None)?))
}

/// One value a step, appended to `out`.
fn apply(leaf: &Leaf, ts: &[i64], values: &[f64], out: &mut Vec<f64>) {
    let start = out.len();
    out.resize(start + leaf.grid.n_steps(), absent());
    let out = out.get_mut(start..).unwrap_or_default();
    leaf.window.apply(ts, values, &leaf.grid, leaf.window_ms, out);
}

/// What becomes of a series that is not aggregated.
#[derive(Debug, Clone)]
pub(crate) enum EachSeries {
    Window(Arc<Leaf>),
    Raw,
}

/// The state of a partition that gives a row a series: `None` once it has ended.
pub(crate) struct SeriesRowsStream {
    pub(crate) walk: Walk,
    pub(crate) each: EachSeries,
    pub(crate) ids: Arc<[i64]>,
    pub(crate) schema: SchemaRef,
}

/// The next batch of rows.
pub(crate) async fn next_rows(
    state: Option<SeriesRowsStream>,
) -> Result<Option<(RecordBatch, Option<SeriesRowsStream>)>, DataFusionError> {
    let Some(mut state) = state else { return Ok(None) };
    let mut rows = Rows::default();
    loop {
        let SeriesRowsStream { walk, each, ids, .. } = &mut state;
        let more = walk
            .advance(&mut |series| {
                let series_id = ids.get(series.series_idx).copied().unwrap_or_default();
                match each {
                    EachSeries::Window(leaf) => rows.add_window(leaf, series_id, series),
                    EachSeries::Raw => rows.add_raw(series_id, series),
                }
            })
            .await?;
        walk.memory.try_resize(rows.size_bytes())?;
        if more && rows.values.len() < BATCH_VALUES {
            continue;
        }
        walk.metrics.baseline.record_output(rows.keys.len());
        let batch = rows.take(Arc::clone(&state.schema))?;
        return Ok(Some((batch, more.then_some(state))));
    }
}

/// Aggregates a whole partition.
pub(crate) async fn fold(
    mut walk: Walk,
    leaf: Arc<Leaf>,
    group_of: Arc<[usize]>,
    mut groups: Groups,
) -> Result<Groups, DataFusionError> {
    walk.memory.try_resize(groups.size_bytes())?;
    let mut values = Vec::with_capacity(leaf.grid.n_steps());
    let mut more = true;
    while more {
        more = walk
            .advance(&mut |series| {
                let Some(&group_idx) = group_of.get(series.series_idx) else { return };
                values.clear();
                apply(&leaf, series.ts, series.values, &mut values);
                groups.add(group_idx, &values);
            })
            .await?;
    }
    Ok(groups)
}

/// The result of each group that has a value.
pub(crate) fn group_rows(
    groups: &Groups,
    schema: SchemaRef,
) -> Result<RecordBatch, DataFusionError> {
    let mut rows = Rows::default();
    for (key, row) in (0..).zip(groups.rows()) {
        let start = rows.values.len();
        rows.values.extend(row);
        if rows.values.iter().skip(start).all(|it| is_absent(*it)) {
            rows.values.truncate(start);
            continue;
        }
        rows.keys.push(key);
        rows.lengths.push(rows.values.len() - start);
    }
    rows.take(schema)
}
