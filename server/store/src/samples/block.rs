//! Rows of a part in memory, as the file has them.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array as _, AsArray as _, Float64Array, Int8Array, Int64Array, RecordBatch},
    buffer::ScalarBuffer,
    compute::concat_batches,
    datatypes::{Float64Type, Int8Type, Int64Type, TimestampMillisecondType},
};
use parquet::{
    arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector},
    errors::{ParquetError, Result},
};
use skep_proto::names::column;

use super::footer::{BlockRows, Footer, PartBytes};
use crate::{delete::Mask, merge::POWERS_OF_TEN};

/// Neighbouring rows of one series: its id and the first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) id: i64,
    start: usize,
}

/// The runs of a block, in order of id.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
    n_rows: usize,
}

/// A block as the file has it.
#[derive(Debug)]
pub(super) struct RawBlock {
    pub(super) runs: Runs,
    pub(super) ts: ScalarBuffer<i64>,
    mantissas: Int64Array,
    scales: Int8Array,
    floats: Float64Array,
}

impl Runs {
    fn of(ids: &[i64]) -> Self {
        let mut runs = Vec::new();
        let mut start = 0;
        while let Some(&id) = ids.get(start) {
            runs.push(Run { id, start });
            let rest = ids.get(start..).unwrap_or_default();
            start += rest.iter().position(|it| *it != id).unwrap_or(rest.len());
        }
        Self { runs, n_rows: ids.len() }
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<Run> {
        self.runs.get(at).copied()
    }

    /// The rows of the run at this place.
    pub(super) fn rows(&self, at: usize) -> Range<usize> {
        let start = self.runs.get(at).map_or(self.n_rows, |it| it.start);
        start..self.runs.get(at + 1).map_or(self.n_rows, |it| it.start)
    }
}

impl RawBlock {
    /// Reads one block of a part; only its pages are touched.
    pub(super) fn read(bytes: &PartBytes, footer: &Footer, block: usize) -> Result<Self> {
        Self::read_all(bytes, footer, &[block])?.pop().ok_or_else(|| damaged("it lacks a block"))
    }

    /// Reads blocks of a part, given in order; only their pages are touched. A reader's buffers
    /// cost about as much as a block does, so neighbours share one.
    pub(super) fn read_all(
        bytes: &PartBytes,
        footer: &Footer,
        blocks: &[usize],
    ) -> Result<Vec<Self>> {
        let block = |at: &usize| footer.blocks.get(*at).ok_or_else(|| damaged("it lacks a block"));
        let blocks = blocks.iter().map(block).collect::<Result<Vec<_>>>()?;
        let mut read = Vec::with_capacity(blocks.len());
        for blocks in blocks.chunk_by(|left, right| left.row_group == right.row_group) {
            let batch = read_batch(bytes, footer, blocks)?;
            let mut start = 0;
            for block in blocks {
                read.push(Self::of(&batch.slice(start, block.n_rows))?);
                start += block.n_rows;
            }
        }
        Ok(read)
    }

    fn of(batch: &RecordBatch) -> Result<Self> {
        let column = |name: &'static str| batch.column_by_name(name).ok_or_else(|| damaged(name));
        let ids = column(column::SERIES_ID)?.as_primitive_opt::<Int64Type>();
        let ts = column(column::TS)?.as_primitive_opt::<TimestampMillisecondType>();
        let mantissas = column(column::MANTISSA)?.as_primitive_opt::<Int64Type>();
        let scales = column(column::SCALE)?.as_primitive_opt::<Int8Type>();
        let floats = column(column::VALUE_FLOAT)?.as_primitive_opt::<Float64Type>();
        let (Some(ids), Some(ts), Some(mantissas), Some(scales), Some(floats)) =
            (ids, ts, mantissas, scales, floats)
        else {
            return Err(damaged("a column has another type"));
        };
        Ok(Self {
            runs: Runs::of(ids.values()),
            ts: ts.values().clone(),
            mantissas: mantissas.clone(),
            scales: scales.clone(),
            floats: floats.clone(),
        })
    }

    /// The scale and mantissas of these rows, if they are all of one scale and none is a float.
    pub(super) fn mantissas(&self, rows: Range<usize>) -> Option<(i8, &[i64])> {
        let is_float = |it: &Int64Array| {
            it.nulls().is_some_and(|it| it.slice(rows.start, rows.len()).null_count() > 0)
        };
        if self.mantissas.null_count() > 0 && is_float(&self.mantissas) {
            return None;
        }
        let scales = self.scales.values().get(rows.clone())?;
        let &scale = scales.first()?;
        let mantissas = self.mantissas.values().get(rows)?;
        scales.iter().all(|it| *it == scale).then_some((scale, mantissas))
    }

    /// Appends the values of these rows.
    pub(super) fn values(&self, rows: Range<usize>, values: &mut Vec<f64>) {
        if let Some((scale, mantissas)) = self.mantissas(rows.clone()) {
            values.extend(decoded(scale, mantissas));
            return;
        }
        values.extend(rows.map(|row| {
            if self.mantissas.is_valid(row) && self.scales.is_valid(row) {
                decode(self.mantissas.value(row), power_of(self.scales.value(row)))
            } else {
                self.floats.value(row)
            }
        }));
    }
}

/// The rows of blocks of one row group, in order.
fn read_batch(bytes: &PartBytes, footer: &Footer, blocks: &[&BlockRows]) -> Result<RecordBatch> {
    let (mut selectors, mut end, mut n_rows) = (Vec::new(), 0, 0);
    for block in blocks {
        let n_skipped = block.first_row.checked_sub(end);
        selectors.push(RowSelector::skip(n_skipped.ok_or_else(|| damaged("its blocks meet"))?));
        selectors.push(RowSelector::select(block.n_rows));
        end = block.first_row + block.n_rows;
        n_rows += block.n_rows;
    }
    let metadata = footer.metadata.clone();
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), metadata)
        .with_row_groups(blocks.first().map(|it| it.row_group).into_iter().collect())
        .with_row_selection(RowSelection::from(selectors))
        .with_batch_size(n_rows)
        .build()?;
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    let batches = reader.collect::<std::result::Result<Vec<_>, _>>()?;
    let batch = match batches.as_slice() {
        [batch] => batch.clone(),
        batches => concat_batches(&schema, batches)?,
    };
    if batch.num_rows() == n_rows { Ok(batch) } else { Err(damaged("it lacks rows")) }
}

/// Of the rows of one label set, in order of time, those that no delete hides.
pub(crate) fn visible(
    id: i64,
    ts: &[i64],
    rows: Range<usize>,
    masks: &[Arc<Mask>],
) -> Vec<Range<usize>> {
    let mut visible = vec![rows];
    for mask in masks.iter().filter(|it| it.hides_id(id)) {
        let cut = |rows: &Range<usize>| {
            let its = ts.get(rows.clone()).unwrap_or_default();
            let start = rows.start + its.partition_point(|it| *it < mask.ts.0);
            let end = rows.start + its.partition_point(|it| *it <= mask.ts.1);
            [rows.start..start, end.max(start)..rows.end]
        };
        visible = visible.iter().flat_map(cut).filter(|it| !it.is_empty()).collect();
    }
    visible
}

/// The values that mantissas of one scale stand for.
pub(super) fn decoded(scale: i8, mantissas: &[i64]) -> impl Iterator<Item = f64> {
    let power = power_of(scale);
    mantissas.iter().map(move |it| decode(*it, power))
}

pub(super) fn power_of(scale: i8) -> f64 {
    let power = usize::try_from(scale).ok().and_then(|it| POWERS_OF_TEN.get(it));
    power.copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "the writer checked that it is exact")]
fn decode(mantissa: i64, power: f64) -> f64 {
    mantissa as f64 / power
}

fn damaged(what: &str) -> ParquetError {
    ParquetError::General(format!("not a whole part of samples: {what}"))
}
