//! Reading buckets back from a tier's file.

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{Float64Type, Int64Type, TimestampMillisecondType},
};
use datafusion::common::{DataFusionError, Result};
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
    file::{metadata::RowGroupMetaData, statistics::Statistics},
};
use skep_proto::names::column;

use super::{Rollup, bucket::Bucket};
use crate::{encode::EncodeError, filter::RowFilter, part::Part, samples::PartBytes};

/// Rows of a tier's file at a time.
const BATCH_ROWS: usize = 8_192;

/// What is read of buckets beside the series and the end; the rest is zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns(&'static [&'static str]);

impl Columns {
    pub(super) const ALL: Self = Self(&[
        column::MIN,
        column::MAX,
        column::SUM,
        column::COUNT,
        column::FIRST_TS,
        column::FIRST,
        column::LAST_TS,
        column::LAST,
        column::LOST,
        column::STALE_TS,
    ]);
    pub(super) const NONE: Self = Self(&[]);

    pub(super) fn of(rollup: Rollup) -> Self {
        match rollup {
            Rollup::Min => Self(&[column::LAST_TS, column::MIN]),
            Rollup::Max => Self(&[column::LAST_TS, column::MAX]),
            Rollup::Sum => Self(&[column::LAST_TS, column::SUM]),
            Rollup::Count => Self(&[column::LAST_TS, column::COUNT]),
            Rollup::Last => Self(&[column::LAST_TS, column::LAST, column::STALE_TS]),
            Rollup::Ends | Rollup::Counter | Rollup::Rate => Self::ALL,
        }
    }
}

/// The buckets of the wanted series, in batches, in order; of any time.
pub(super) fn buckets(
    part: &Part,
    filter: &RowFilter,
    columns: Columns,
) -> Result<impl Iterator<Item = Result<Vec<(i64, Bucket)>>>> {
    let failed = |source: ParquetError| {
        let path = part.path.clone();
        DataFusionError::External(Box::new(EncodeError::Read { path, source }))
    };
    let bytes = PartBytes::open(part)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed)?;
    let names = [column::SERIES_ID, column::TS].into_iter().chain(columns.0.iter().copied());
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    let groups = builder.metadata().row_groups().iter().enumerate();
    let is_wanted = |ids: (i64, i64)| filter.next_id(ids.0).is_some_and(|it| it <= ids.1);
    let groups = groups.filter(|(_, it)| ids_of(it).is_none_or(is_wanted));
    let groups = groups.map(|it| it.0).collect();
    let builder = builder.with_row_groups(groups).with_projection(mask);
    let batches = builder.with_batch_size(BATCH_ROWS).build().map_err(failed)?;
    let filter = filter.clone();
    Ok(batches.map(move |batch| Ok(wanted_of(&batch?, &filter))))
}

/// The smallest and greatest id of a row group.
fn ids_of(group: &RowGroupMetaData) -> Option<(i64, i64)> {
    match group.columns().first()?.statistics()? {
        Statistics::Int64(ids) => Some((*ids.min_opt()?, *ids.max_opt()?)),
        _ => None,
    }
}

fn wanted_of(batch: &RecordBatch, filter: &RowFilter) -> Vec<(i64, Bucket)> {
    let column = |name: &str| batch.column_by_name(name);
    let ints = |name| column(name).and_then(|it| it.as_primitive_opt::<Int64Type>());
    let times =
        |name| column(name).and_then(|it| it.as_primitive_opt::<TimestampMillisecondType>());
    let floats = |name| column(name).and_then(|it| it.as_primitive_opt::<Float64Type>());
    let (Some(ids), Some(ends)) = (ints(column::SERIES_ID), times(column::TS)) else {
        return Vec::new();
    };
    let (min, max, sum) = (floats(column::MIN), floats(column::MAX), floats(column::SUM));
    let (first, last, lost) = (floats(column::FIRST), floats(column::LAST), floats(column::LOST));
    let (first_ts, last_ts) = (times(column::FIRST_TS), times(column::LAST_TS));
    let (count, stale_ts) = (ints(column::COUNT), times(column::STALE_TS));
    let mut found = Vec::new();
    let mut run: Option<(i64, bool)> = None;
    for (row, &id) in ids.values().iter().enumerate() {
        let is_wanted = match run {
            Some((its_id, is_wanted)) if its_id == id => is_wanted,
            _ => filter.wants_id(id),
        };
        run = Some((id, is_wanted));
        if !is_wanted {
            continue;
        }
        let bucket = Bucket {
            end: ends.value(row),
            min: min.map_or(0.0, |it| it.value(row)),
            max: max.map_or(0.0, |it| it.value(row)),
            sum: sum.map_or(0.0, |it| it.value(row)),
            count: count.map_or(0, |it| it.value(row)),
            first_ts: first_ts.map_or(0, |it| it.value(row)),
            first: first.map_or(0.0, |it| it.value(row)),
            last_ts: last_ts.map_or(0, |it| it.value(row)),
            last: last.map_or(0.0, |it| it.value(row)),
            lost: lost.map_or(0.0, |it| it.value(row)),
            stale_ts: stale_ts.filter(|it| it.is_valid(row)).map(|it| it.value(row)),
        };
        found.push((id, bucket));
    }
    found
}
