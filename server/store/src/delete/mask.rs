//! Deleted rows that parts still hold: which they are, and a scan that leaves them out.

use std::{fmt, sync::Arc};

use arrow::{
    array::{AsArray as _, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{DataType, Int64Type, TimeUnit, TimestampMillisecondType, TimestampNanosecondType},
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
use skep_proto::names::column;

use crate::{merge::Table, part::PartInfo};

/// Rows of one table that a delete took out of sight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mask {
    pub(crate) delete: u64,
    pub(crate) table: Table,
    /// Sorted and disjoint, ends included.
    pub(crate) ids: Vec<(i64, i64)>,
    /// In the table's unit, ends included.
    pub(crate) ts: (i64, i64),
    /// Only of parts of this rank or less: what was written after the delete is kept.
    pub(crate) through: u64,
}

impl Mask {
    /// Of a table whose label sets are those of its own.
    pub(crate) fn hides_rows_of(&self, table: Table) -> bool {
        self.table.with_same_sets().contains(&table)
    }

    pub(crate) fn hides_id(&self, id: i64) -> bool {
        let at = self.ids.partition_point(|it| it.1 < id);
        self.ids.get(at).is_some_and(|it| it.0 <= id)
    }

    pub(crate) fn hides_ts(&self, ts: i64) -> bool {
        self.ts.0 <= ts && ts <= self.ts.1
    }

    /// Whether any time of these (ends included) is hidden.
    pub(crate) fn overlaps(&self, ts: (i64, i64)) -> bool {
        self.ts.0 <= ts.1 && ts.0 <= self.ts.1
    }

    /// Whether the part may hold hidden rows.
    pub(crate) fn concerns(&self, part: &PartInfo) -> bool {
        self.concerns_within(part, part.ts)
    }

    /// As [`Self::concerns`], where rows stand for other times than their own.
    pub(crate) fn concerns_within(&self, part: &PartInfo, ts: (i64, i64)) -> bool {
        let at = self.ids.partition_point(|it| it.1 < part.ids.0);
        part.rank <= self.through
            && self.overlaps(ts)
            && self.ids.get(at).is_some_and(|it| it.0 <= part.ids.1)
    }

    /// Every hidden id, in order.
    pub(crate) fn each_id(&self) -> impl Iterator<Item = i64> {
        self.ids.iter().flat_map(|&(first, last)| first..=last)
    }
}

/// Sorted ids as ranges without gaps.
pub(crate) fn ranges_of(ids: impl Iterator<Item = i64>) -> Vec<(i64, i64)> {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for id in ids {
        match ranges.last_mut() {
            Some(last) if last.1 == id => {}
            Some(last) if last.1.checked_add(1) == Some(id) => last.1 = id,
            _ => ranges.push((id, id)),
        }
    }
    ranges
}

/// The rows of a batch that no mask hides. The batch is sorted by id, which comes in runs.
pub(crate) fn visible(batch: RecordBatch, masks: &[Arc<Mask>]) -> Result<RecordBatch> {
    let missing = || internal_datafusion_err!("rows to hide lack an id or a time stamp");
    let id_column = batch
        .column_by_name(column::SERIES_ID)
        .or_else(|| batch.column_by_name(column::STREAM_ID))
        .ok_or_else(missing)?;
    let ids = id_column.as_primitive_opt::<Int64Type>().ok_or_else(missing)?.values();
    let ts_column = batch.column_by_name(column::TS).ok_or_else(missing)?;
    let ts = match ts_column.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            ts_column.as_primitive::<TimestampNanosecondType>().values()
        }
        _ => ts_column.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(missing)?.values(),
    };
    let mut keep: Option<Vec<bool>> = None;
    let mut start = 0;
    for run in ids.chunk_by(|left, right| left == right) {
        let end = start + run.len();
        let hiding = |it: &&Arc<Mask>| run.first().is_some_and(|id| it.hides_id(*id));
        for mask in masks.iter().filter(hiding) {
            let keep = keep.get_or_insert_with(|| vec![true; ids.len()]);
            let rows = keep.get_mut(start..end).unwrap_or_default();
            for (keep, ts) in rows.iter_mut().zip(ts.get(start..end).unwrap_or_default()) {
                *keep &= !mask.hides_ts(*ts);
            }
        }
        start = end;
    }
    match keep {
        Some(keep) => Ok(filter_record_batch(&batch, &BooleanArray::from(keep))?),
        None => Ok(batch),
    }
}

/// A scan of a part without its hidden rows.
pub(crate) struct MaskExec {
    source: Arc<dyn ExecutionPlan>,
    masks: Vec<Arc<Mask>>,
}

impl MaskExec {
    /// The source itself where there is nothing to hide.
    pub(crate) fn wrap(
        source: Arc<dyn ExecutionPlan>,
        masks: Vec<Arc<Mask>>,
    ) -> Arc<dyn ExecutionPlan> {
        if masks.is_empty() { source } else { Arc::new(Self { source, masks }) }
    }
}

impl fmt::Debug for MaskExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Default, out)
    }
}

impl DisplayAs for MaskExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "MaskExec: deletes={}", self.masks.len())
    }
}

impl ExecutionPlan for MaskExec {
    fn name(&self) -> &'static str {
        "MaskExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.source.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.source]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = children
            .into_iter()
            .next()
            .ok_or_else(|| internal_datafusion_err!("a scan with hidden rows lost its source"))?;
        Ok(Arc::new(Self { source, masks: self.masks.clone() }))
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
        let rows = self.source.execute(partition, context)?;
        let masks = self.masks.clone();
        let schema = rows.schema();
        let visible = rows.and_then(move |batch| futures::future::ready(visible(batch, &masks)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, visible)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};

    use super::*;

    fn mask(ids: &[(i64, i64)], ts: (i64, i64)) -> Arc<Mask> {
        Arc::new(Mask { delete: 1, table: Table::Samples, ids: ids.to_vec(), ts, through: 5 })
    }

    #[test]
    fn only_rows_of_a_hidden_id_and_time_are_left_out() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 2, 3, 3, 5]));
        let ts: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1, 9, 9, 8, 9, 9]));
        let batch =
            RecordBatch::try_from_iter([(column::SERIES_ID, ids), (column::TS, ts)]).unwrap();
        let left = visible(batch, &[mask(&[(1, 1), (3, 4)], (9, 20))]).unwrap();
        let left_ids = left.column(0).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(left_ids, [1, 2, 3, 5]);
    }

    #[test]
    fn parts_written_later_or_of_other_ids_or_times_are_not_concerned() {
        let part = |rank, ids, ts| PartInfo { rank, ids, ts, ..PartInfo::for_test("a.parquet") };
        let mask = mask(&[(10, 12), (20, 20)], (100, 200));
        assert!(mask.concerns(&part(5, (12, 19), (200, 300))));
        assert!(!mask.concerns(&part(6, (12, 19), (200, 300))));
        assert!(!mask.concerns(&part(5, (13, 19), (200, 300))));
        assert!(!mask.concerns(&part(5, (12, 19), (201, 300))));
    }

    #[test]
    fn neighbours_are_one_range() {
        assert_eq!(ranges_of([1, 2, 2, 3, 7, 9, 10].into_iter()), [(1, 3), (7, 7), (9, 10)]);
    }
}
