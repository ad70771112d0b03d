//! Native histograms as Arrow columns, and back: the same in files and in queries.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, AsArray as _, Float64Array, Int8Array, Int32Array, Int64Array, ListArray,
        RecordBatch, StructArray, TimestampMillisecondArray,
    },
    buffer::OffsetBuffer,
    datatypes::{FieldRef, Float64Type, Int8Type, Int32Type, Int64Type, TimestampMillisecondType},
};
use datafusion::common::{Result, internal_datafusion_err};
use skep_proto::{HistogramSample, NativeHistogram, ResetHint, Span, TimestampMs, names::column};

use crate::{
    filter::RowFilter,
    heads::HistogramHeads,
    schema::{BUCKET, HISTOGRAMS, SPAN, UTC, span_fields},
};

/// Rows of a head per batch: a histogram is as large as a hundred samples.
const BATCH_ROWS: usize = 1024;

/// The wanted rows of heads, sorted, in batches.
pub(crate) fn batches(
    heads: &HistogramHeads,
    ids: impl Iterator<Item = i64>,
    filter: &RowFilter,
) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    let mut rows = Vec::new();
    for id in ids {
        rows.extend(heads.read(id, filter).into_iter().map(|it| (id, it)));
        if rows.len() >= BATCH_ROWS {
            batches.push(to_batch(&rows)?);
            rows.clear();
        }
    }
    if !rows.is_empty() {
        batches.push(to_batch(&rows)?);
    }
    Ok(batches)
}

/// Ids with histograms as rows.
fn to_batch(rows: &[(i64, HistogramSample)]) -> Result<RecordBatch> {
    let all = || rows.iter().map(|it| &*it.1.histogram);
    let float = |of: fn(&NativeHistogram) -> f64| -> ArrayRef {
        Arc::new(all().map(of).collect::<Float64Array>())
    };
    let ts: TimestampMillisecondArray = rows.iter().map(|it| Some(it.1.ts.0)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|it| it.0).collect::<Int64Array>()),
        Arc::new(ts.with_timezone(UTC)),
        Arc::new(all().map(|it| hint_code(it.reset_hint)).collect::<Int8Array>()),
        Arc::new(all().map(|it| it.schema).collect::<Int8Array>()),
        float(|it| it.zero_threshold),
        float(|it| it.zero_count),
        float(|it| it.count),
        float(|it| it.sum),
        spans(all().map(|it| it.positive_spans.as_slice()))?,
        spans(all().map(|it| it.negative_spans.as_slice()))?,
        floats(all().map(|it| it.positive.as_slice()))?,
        floats(all().map(|it| it.negative.as_slice()))?,
        floats(all().map(|it| it.custom_values.as_slice()))?,
    ];
    Ok(RecordBatch::try_new(Arc::clone(&HISTOGRAMS), columns)?)
}

fn list<T>(
    item: &FieldRef,
    lists: impl Iterator<Item = impl AsRef<[T]>>,
    values: impl FnOnce(Vec<T>) -> Result<ArrayRef>,
) -> Result<ArrayRef>
where
    T: Copy,
{
    let (mut all, mut lengths) = (Vec::new(), Vec::new());
    for it in lists {
        all.extend_from_slice(it.as_ref());
        lengths.push(it.as_ref().len());
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values(all)?, None)?))
}

fn floats<'a>(lists: impl Iterator<Item = &'a [f64]>) -> Result<ArrayRef> {
    list(&BUCKET, lists, |it| Ok(Arc::new(Float64Array::from(it))))
}

fn spans<'a>(lists: impl Iterator<Item = &'a [Span]>) -> Result<ArrayRef> {
    list(&SPAN, lists, |all| {
        let length = |it: &Span| i32::try_from(it.length).unwrap_or(i32::MAX);
        let offsets: Int32Array = all.iter().map(|it| it.offset).collect();
        let lengths: Int32Array = all.iter().map(length).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(offsets), Arc::new(lengths)];
        Ok(Arc::new(StructArray::try_new(span_fields(), columns, None)?))
    })
}

/// Rows of the table of histograms, each with the id of its series.
///
/// # Errors
/// The batch has other columns.
pub fn read_batch(batch: &RecordBatch) -> Result<Vec<(i64, HistogramSample)>> {
    let column = |name: &str| {
        batch.column_by_name(name).ok_or_else(|| internal_datafusion_err!("no column {name}"))
    };
    let wrong = || internal_datafusion_err!("a column of histograms has another type");
    let float = |name| {
        let column = column(name)?.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
        Ok::<_, datafusion::error::DataFusionError>(column.values())
    };
    let tiny = |name| {
        let column = column(name)?.as_primitive_opt::<Int8Type>().ok_or_else(wrong)?;
        Ok::<_, datafusion::error::DataFusionError>(column.values())
    };
    let lists = |name| column(name)?.as_list_opt::<i32>().ok_or_else(wrong);
    let ids = column(column::SERIES_ID)?.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
    let ts = column(column::TS)?.as_primitive_opt::<TimestampMillisecondType>();
    let ts = ts.ok_or_else(wrong)?;
    let (hints, schemas) = (tiny(column::RESET_HINT)?, tiny(column::SCHEMA)?);
    let (thresholds, zeros) = (float(column::ZERO_THRESHOLD)?, float(column::ZERO_COUNT)?);
    let (counts, sums) = (float(column::COUNT)?, float(column::SUM)?);
    let positive_spans = lists(column::POSITIVE_SPANS)?;
    let negative_spans = lists(column::NEGATIVE_SPANS)?;
    let (positive, negative) = (lists(column::POSITIVE)?, lists(column::NEGATIVE)?);
    let custom_values = lists(column::CUSTOM_VALUES)?;
    let at = |values: &[f64], row: usize| values.get(row).copied().unwrap_or_default();
    (0..batch.num_rows())
        .map(|row| {
            let histogram = NativeHistogram {
                reset_hint: hint_of(hints.get(row).copied().unwrap_or_default()),
                schema: schemas.get(row).copied().unwrap_or_default(),
                zero_threshold: at(thresholds, row),
                zero_count: at(zeros, row),
                count: at(counts, row),
                sum: at(sums, row),
                positive_spans: spans_at(positive_spans, row).ok_or_else(wrong)?,
                negative_spans: spans_at(negative_spans, row).ok_or_else(wrong)?,
                positive: floats_at(positive, row).ok_or_else(wrong)?,
                negative: floats_at(negative, row).ok_or_else(wrong)?,
                custom_values: floats_at(custom_values, row).ok_or_else(wrong)?,
            };
            let ts = TimestampMs(ts.value(row));
            Ok((ids.value(row), HistogramSample { ts, histogram: Arc::new(histogram) }))
        })
        .collect()
}

fn floats_at(lists: &ListArray, row: usize) -> Option<Vec<f64>> {
    Some(lists.value(row).as_primitive_opt::<Float64Type>()?.values().to_vec())
}

fn spans_at(lists: &ListArray, row: usize) -> Option<Vec<Span>> {
    let spans = lists.value(row);
    let spans = spans.as_struct_opt()?;
    let column = |name| spans.column_by_name(name)?.as_primitive_opt::<Int32Type>();
    let (offsets, lengths) = (column(column::OFFSET)?, column(column::LENGTH)?);
    let span = |(offset, length): (&i32, &i32)| Span {
        offset: *offset,
        length: u32::try_from(*length).unwrap_or_default(),
    };
    Some(offsets.values().iter().zip(lengths.values()).map(span).collect())
}

/// As Prometheus' wire format numbers them.
pub(crate) fn hint_code(hint: ResetHint) -> i8 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    }
}

pub(crate) fn hint_of(code: i8) -> ResetHint {
    match code {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}
