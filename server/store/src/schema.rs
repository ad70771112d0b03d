//! The tables' columns, as files hold them and as queries see them.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{MapBuilder, MapFieldNames, StringBuilder},
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit},
};
use skep_proto::names::column;

use crate::filter::Key;

pub(crate) const UTC: &str = "UTC";

pub(crate) const SAMPLES_KEY: Key = Key { id: column::SERIES_ID, unit: TimeUnit::Millisecond };
pub(crate) const STREAMS_KEY: Key = Key { id: column::STREAM_ID, unit: TimeUnit::Millisecond };
pub(crate) const LOGS_KEY: Key = Key { id: column::STREAM_ID, unit: TimeUnit::Nanosecond };

/// Samples as queries see them: `(series_id, ts, value)`.
pub(crate) static SAMPLES: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema([
        Field::new(column::SERIES_ID, DataType::Int64, false),
        timestamp(TimeUnit::Millisecond),
        Field::new(column::VALUE, DataType::Float64, false),
    ])
});

/// Samples as files hold them: a value is `mantissa / 10^scale`, else `value_float`.
pub(crate) static SAMPLES_FILE: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema([
        Field::new(column::SERIES_ID, DataType::Int64, false),
        timestamp(TimeUnit::Millisecond),
        Field::new(column::MANTISSA, DataType::Int64, true),
        Field::new(column::SCALE, DataType::Int8, true),
        Field::new(column::VALUE_FLOAT, DataType::Float64, true),
    ])
});

/// Native histograms, as files hold them and as queries see them.
pub(crate) static HISTOGRAMS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let float = |name| Field::new(name, DataType::Float64, false);
    let list = |name, item: &FieldRef| Field::new(name, DataType::List(Arc::clone(item)), false);
    schema([
        Field::new(column::SERIES_ID, DataType::Int64, false),
        timestamp(TimeUnit::Millisecond),
        Field::new(column::RESET_HINT, DataType::Int8, false),
        Field::new(column::SCHEMA, DataType::Int8, false),
        float(column::ZERO_THRESHOLD),
        float(column::ZERO_COUNT),
        float(column::COUNT),
        float(column::SUM),
        list(column::POSITIVE_SPANS, &SPAN),
        list(column::NEGATIVE_SPANS, &SPAN),
        list(column::POSITIVE, &BUCKET),
        list(column::NEGATIVE, &BUCKET),
        list(column::CUSTOM_VALUES, &BUCKET),
    ])
});

/// What a list of spans holds.
pub(crate) static SPAN: LazyLock<FieldRef> =
    LazyLock::new(|| Arc::new(Field::new(LIST_ITEM, DataType::Struct(span_fields()), false)));
/// What a list of buckets or bounds holds.
pub(crate) static BUCKET: LazyLock<FieldRef> =
    LazyLock::new(|| Arc::new(Field::new(LIST_ITEM, DataType::Float64, false)));
/// Parquet's own name for it.
const LIST_ITEM: &str = "element";

pub(crate) fn span_fields() -> Fields {
    Fields::from(vec![
        Field::new(column::OFFSET, DataType::Int32, false),
        Field::new(column::LENGTH, DataType::Int32, false),
    ])
}

/// Samples summed up: those of a day in `(ts - width, ts]`.
pub(crate) static SAMPLES_ROLLUP: LazyLock<SchemaRef> = LazyLock::new(|| {
    let float = |name| Field::new(name, DataType::Float64, false);
    let time = |name| timestamp(TimeUnit::Millisecond).with_name(name);
    schema([
        Field::new(column::SERIES_ID, DataType::Int64, false),
        timestamp(TimeUnit::Millisecond),
        float(column::MIN),
        float(column::MAX),
        float(column::SUM),
        Field::new(column::COUNT, DataType::Int64, false),
        time(column::FIRST_TS),
        float(column::FIRST),
        time(column::LAST_TS),
        float(column::LAST),
        float(column::LOST),
        time(column::STALE_TS).with_nullable(true),
    ])
});

/// Log entries, as queries see them.
pub(crate) static LOGS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema([
        Field::new(column::STREAM_ID, DataType::Int64, false),
        timestamp(TimeUnit::Nanosecond),
        Field::new(column::LINE, DataType::Utf8, false),
        map(column::METADATA),
    ])
});

/// Log entries, as files hold them: a line is `format(template, v0, …, v7)`.
pub(crate) static LOGS_FILE: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let mut fields = vec![
        Field::new(column::STREAM_ID, DataType::Int64, false),
        timestamp(TimeUnit::Nanosecond),
        text(column::TEMPLATE),
    ];
    fields.extend(column::VALUES.map(text));
    fields.push(map(column::METADATA));
    // Files from before lack it.
    fields.push(Field::new(column::LINE_BYTES, DataType::Int32, true));
    Arc::new(Schema::new(fields))
});

/// Series, as queries see them.
pub(crate) static SERIES: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema([
        Field::new(column::SERIES_ID, DataType::Int64, false),
        Field::new(column::NAME, DataType::Utf8, false),
        map(column::LABELS),
    ])
});

/// Series, as files hold them: those of one day.
pub(crate) static SERIES_FILE: LazyLock<SchemaRef> = LazyLock::new(|| with_seen(&SERIES));

/// Streams, as queries see them.
pub(crate) static STREAMS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema([Field::new(column::STREAM_ID, DataType::Int64, false), map(column::LABELS)])
});

/// Streams, as files hold them: those of one day.
pub(crate) static STREAMS_FILE: LazyLock<SchemaRef> = LazyLock::new(|| with_seen(&STREAMS));

fn with_seen(schema: &SchemaRef) -> SchemaRef {
    let seen = [column::FIRST_SEEN, column::LAST_SEEN]
        .map(|it| timestamp(TimeUnit::Millisecond).with_name(it));
    let fields: Vec<_> = schema.fields().iter().map(|it| it.as_ref().clone()).chain(seen).collect();
    Arc::new(Schema::new(fields))
}

fn schema<const N: usize>(fields: [Field; N]) -> SchemaRef {
    Arc::new(Schema::new(Vec::from(fields)))
}

fn timestamp(unit: TimeUnit) -> Field {
    Field::new(column::TS, DataType::Timestamp(unit, Some(UTC.into())), false)
}

fn map(name: &str) -> Field {
    let names = map_names();
    let entries = Fields::from(vec![
        Field::new(names.key, DataType::Utf8, false),
        Field::new(names.value, DataType::Utf8, true),
    ]);
    let entries = Field::new(names.entry, DataType::Struct(entries), false);
    Field::new(name, DataType::Map(Arc::new(entries), false), false)
}

/// Parquet's own names, so that a file's schema is the table's to the letter.
fn map_names() -> MapFieldNames {
    MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    }
}

/// Builds a column of text maps.
pub(crate) fn map_builder() -> MapBuilder<StringBuilder, StringBuilder> {
    MapBuilder::new(Some(map_names()), StringBuilder::new(), StringBuilder::new())
}

/// Adds one row to a column of text maps.
pub(crate) fn append_map<'a>(
    builder: &mut MapBuilder<StringBuilder, StringBuilder>,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    for (name, value) in pairs {
        builder.keys().append_value(name);
        builder.values().append_value(value);
    }
    builder.append(true).expect("each key is appended with its value");
}
