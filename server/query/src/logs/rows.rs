//! Answers of log leaves as Arrow rows, so that a leaf's result is data like any other.

use std::sync::Arc;

use arrow::{
    array::{
        Array as _, ArrayRef, AsArray as _, Float64Builder, Int64Builder, ListBuilder, MapArray,
        MapBuilder, RecordBatch, StringBuilder,
    },
    datatypes::{DataType, Field, Fields, Float64Type, Int64Type, Schema, SchemaRef},
    error::ArrowError,
};
use skep_logql::{Entry, EntryLabels, LogStream};
use skep_promql::{Matrix, Row};
use skep_proto::{Labels, TimestampNs, names::column};

fn map_type() -> DataType {
    let fields = Fields::from(vec![
        Field::new("keys", DataType::Utf8, false),
        Field::new("values", DataType::Utf8, true),
    ]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields), false)), false)
}

fn list_type(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// `(stream, metadata, parsed: Map, ts: List, line: List)`: one row a label set.
pub(super) fn entries_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("stream", map_type(), false),
        Field::new(column::METADATA, map_type(), false),
        Field::new("parsed", map_type(), false),
        Field::new(column::TS, list_type(DataType::Int64), false),
        Field::new(column::LINE, list_type(DataType::Utf8), false),
    ]))
}

/// `(labels: Map, values: List)`: one row a series.
pub(super) fn matrix_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(column::LABELS, map_type(), false),
        Field::new(column::VALUE, list_type(DataType::Float64), false),
    ]))
}

pub(super) fn entries_batch(streams: &[LogStream]) -> Result<RecordBatch, ArrowError> {
    let mut maps = [(); 3].map(|()| map_builder());
    let mut ts = ListBuilder::new(Int64Builder::new());
    let mut lines = ListBuilder::new(StringBuilder::new());
    for LogStream { labels, entries } in streams {
        let lists = [&labels.stream, &labels.metadata, &labels.parsed];
        for (map, pairs) in maps.iter_mut().zip(lists) {
            append_map(map, pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        }
        for entry in entries {
            ts.values().append_value(entry.ts.0);
            lines.values().append_value(&entry.line);
        }
        ts.append(true);
        lines.append(true);
    }
    let mut columns: Vec<ArrayRef> =
        maps.into_iter().map(|mut it| Arc::new(it.finish()) as ArrayRef).collect();
    columns.push(Arc::new(ts.finish()));
    columns.push(Arc::new(lines.finish()));
    RecordBatch::try_new(entries_schema(), columns)
}

pub(super) fn matrix_batch(matrix: &Matrix) -> Result<RecordBatch, ArrowError> {
    let mut labels = map_builder();
    let mut values = ListBuilder::new(Float64Builder::new());
    for row in &matrix.rows {
        append_map(&mut labels, row.labels.iter())?;
        values.values().append_slice(&row.values);
        values.append(true);
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(labels.finish()), Arc::new(values.finish())];
    RecordBatch::try_new(matrix_schema(), columns)
}

fn map_builder() -> MapBuilder<StringBuilder, StringBuilder> {
    MapBuilder::new(None, StringBuilder::new(), StringBuilder::new())
}

fn append_map<'a>(
    map: &mut MapBuilder<StringBuilder, StringBuilder>,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), ArrowError> {
    for (name, value) in pairs {
        map.keys().append_value(name);
        map.values().append_value(value);
    }
    map.append(true)
}

/// What [`entries_batch`] wrote.
pub(super) fn log_streams(batch: &RecordBatch) -> Vec<LogStream> {
    let [stream, metadata, parsed, ts, lines] = batch.columns() else { return Vec::new() };
    (0..batch.num_rows())
        .map(|row| {
            let labels = EntryLabels {
                stream: owned_pairs(stream.as_map(), row),
                metadata: owned_pairs(metadata.as_map(), row),
                parsed: owned_pairs(parsed.as_map(), row),
            };
            let (ts, lines) = (ts.as_list::<i32>().value(row), lines.as_list::<i32>().value(row));
            let entries = ts
                .as_primitive::<Int64Type>()
                .values()
                .iter()
                .zip(lines.as_string::<i32>())
                .map(|(ts, line)| Entry {
                    ts: TimestampNs(*ts),
                    line: line.unwrap_or_default().to_owned(),
                })
                .collect();
            LogStream { labels: Arc::new(labels), entries }
        })
        .collect()
}

/// What [`matrix_batch`] wrote.
pub(super) fn matrix_rows(batch: &RecordBatch) -> Vec<Row> {
    let [labels, values] = batch.columns() else { return Vec::new() };
    (0..batch.num_rows())
        .map(|row| {
            let mut builder = Labels::default().to_builder();
            for (name, value) in pairs(labels.as_map(), row) {
                builder.set(name, value);
            }
            let values = values.as_list::<i32>().value(row);
            let values = values.as_primitive::<Float64Type>().values().to_vec();
            Row::floats(Arc::new(builder.build()), values)
        })
        .collect()
}

/// The pairs of one row of a map of texts.
pub(super) fn pairs(map: &MapArray, row: usize) -> impl Iterator<Item = (&str, &str)> {
    let bounds = |at: usize| {
        map.value_offsets().get(at).and_then(|it| usize::try_from(*it).ok()).unwrap_or(0)
    };
    let range = if map.is_null(row) { 0..0 } else { bounds(row)..bounds(row + 1) };
    let (names, values) = (map.keys().as_string_opt::<i32>(), map.values().as_string_opt::<i32>());
    range.filter_map(move |at| {
        let (names, values) = (names?, values?);
        Some((names.value(at), if values.is_null(at) { "" } else { values.value(at) }))
    })
}

fn owned_pairs(map: &MapArray, row: usize) -> Vec<(String, String)> {
    pairs(map, row).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
