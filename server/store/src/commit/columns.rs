//! Lines of a Delta log as rows: one column for each kind of action, in each row one that is not
//! null.
//!
//! Rows are JSON on both sides, so that what a line is stands in one place (`action.rs`).

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{
        Array, ArrayRef, AsArray as _, BooleanArray, Int32Array, Int64Array, ListArray, MapArray,
        RecordBatch, StringArray, StructArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, Fields, Int32Type, Int64Type, Schema, SchemaRef},
    error::ArrowError,
};
use serde_json::{Map, Value};

/// The protocol's "Checkpoint Schema", as far as the server's actions use it.
pub(super) static COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let (text, long, int) = (DataType::Utf8, DataType::Int64, DataType::Int32);
    let txn = [("appId", &text), ("version", &long), ("lastUpdated", &long)];
    let (map, flag) = (text_map(), DataType::Boolean);
    let add = [
        ("path", &text),
        ("partitionValues", &map),
        ("size", &long),
        ("modificationTime", &long),
        ("dataChange", &flag),
        ("stats", &text),
        ("tags", &map),
    ];
    let remove = [
        ("path", &text),
        ("deletionTimestamp", &long),
        ("dataChange", &flag),
        ("extendedFileMetadata", &flag),
        ("partitionValues", &map),
        ("size", &long),
    ];
    let format = of_struct([("provider", &text), ("options", &map)]);
    let names = DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)));
    let meta_data = [
        ("id", &text),
        ("name", &text),
        ("description", &text),
        ("format", &format),
        ("schemaString", &text),
        ("partitionColumns", &names),
        ("createdTime", &long),
        ("configuration", &map),
    ];
    let protocol = [("minReaderVersion", &int), ("minWriterVersion", &int)];
    Arc::new(Schema::new(vec![
        Field::new("txn", of_struct(txn), true),
        Field::new("add", of_struct(add), true),
        Field::new("remove", of_struct(remove), true),
        Field::new("metaData", of_struct(meta_data), true),
        Field::new("protocol", of_struct(protocol), true),
    ]))
});

/// Everything may be null, as in the checkpoints of other writers.
fn of_struct<const N: usize>(fields: [(&str, &DataType); N]) -> DataType {
    let fields = fields.map(|(name, of)| Field::new(name, of.clone(), true));
    DataType::Struct(Fields::from(Vec::from(fields)))
}

/// With Parquet's own names.
fn text_map() -> DataType {
    let key = Field::new("key", DataType::Utf8, false);
    let entries = DataType::Struct(vec![key, Field::new("value", DataType::Utf8, true)].into());
    DataType::Map(Arc::new(Field::new("key_value", entries, false)), false)
}

/// What the columns have no place for is left out.
pub(super) fn to_batch(rows: &[Value]) -> Result<RecordBatch, ArrowError> {
    let columns = COLUMNS.fields().iter().map(|column| {
        let values: Vec<_> = rows.iter().map(|it| it.get(column.name())).collect();
        to_array(&values, column.data_type())
    });
    RecordBatch::try_new(Arc::clone(&COLUMNS), columns.collect::<Result<_, _>>()?)
}

fn to_array(values: &[Option<&Value>], of: &DataType) -> Result<ArrayRef, ArrowError> {
    let all = || values.iter().copied();
    Ok(match of {
        DataType::Utf8 => {
            Arc::new(all().map(|it| it.and_then(Value::as_str)).collect::<StringArray>())
        }
        DataType::Int64 => {
            Arc::new(all().map(|it| it.and_then(Value::as_i64)).collect::<Int64Array>())
        }
        DataType::Int32 => {
            let int = |it: &Value| i32::try_from(it.as_i64()?).ok();
            Arc::new(all().map(|it| it.and_then(int)).collect::<Int32Array>())
        }
        DataType::Boolean => {
            Arc::new(all().map(|it| it.and_then(Value::as_bool)).collect::<BooleanArray>())
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| {
                let values: Vec<_> = all().map(|it| it?.get(field.name())).collect();
                to_array(&values, field.data_type())
            });
            let columns = columns.collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, Some(nulls(values)))?)
        }
        DataType::Map(entries, is_sorted) => {
            let objects = || all().map(|it| it.and_then(Value::as_object));
            let pairs = || objects().flatten().flatten();
            let keys: StringArray = pairs().map(|it| Some(it.0)).collect();
            let texts: StringArray = pairs().map(|it| it.1.as_str()).collect();
            let DataType::Struct(fields) = entries.data_type() else { return unexpected(of) };
            let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(texts)];
            let pairs = StructArray::try_new(fields.clone(), columns, None)?;
            let lengths = OffsetBuffer::from_lengths(objects().map(|it| it.map_or(0, Map::len)));
            let (entries, nulls) = (Arc::clone(entries), Some(nulls(values)));
            Arc::new(MapArray::try_new(entries, lengths, pairs, nulls, *is_sorted)?)
        }
        DataType::List(item) => {
            let lists = || all().map(|it| it.and_then(Value::as_array));
            let items: Vec<_> = lists().flatten().flatten().map(Some).collect();
            let items = to_array(&items, item.data_type())?;
            let lengths = OffsetBuffer::from_lengths(lists().map(|it| it.map_or(0, Vec::len)));
            Arc::new(ListArray::try_new(Arc::clone(item), lengths, items, Some(nulls(values)))?)
        }
        other => return unexpected(other),
    })
}

fn nulls(values: &[Option<&Value>]) -> NullBuffer {
    values.iter().map(|it| it.is_some_and(|it| !it.is_null())).collect()
}

fn unexpected<T>(of: &DataType) -> Result<T, ArrowError> {
    Err(ArrowError::NotYetImplemented(format!("a log has no values of type {of}")))
}

/// The rows of a batch; nulls are left out.
pub(super) fn to_rows(batch: &RecordBatch) -> Result<Vec<Value>, ArrowError> {
    let rows = StructArray::from(batch.clone());
    (0..rows.len()).map(|row| Ok(to_value(&rows, row)?.unwrap_or_default())).collect()
}

fn to_value(array: &dyn Array, row: usize) -> Result<Option<Value>, ArrowError> {
    if array.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Struct(fields) => {
            let mut object = Map::new();
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                if let Some(value) = to_value(column, row)? {
                    object.insert(field.name().clone(), value);
                }
            }
            Value::Object(object)
        }
        DataType::Map(..) => {
            let pairs = array.as_map().value(row);
            let mut object = Map::new();
            for at in 0..pairs.len() {
                let key = to_value(pairs.column(0), at)?;
                let value = to_value(pairs.column(1), at)?.unwrap_or_default();
                if let Some(Value::String(key)) = key {
                    object.insert(key, value);
                }
            }
            Value::Object(object)
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items = (0..items.len()).map(|it| Ok(to_value(&items, it)?.unwrap_or_default()));
            Value::Array(items.collect::<Result<_, ArrowError>>()?)
        }
        other => return unexpected(other),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_read_back_as_they_were() {
        let rows = [
            json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } }),
            json!({ "metaData": {
                "id": "x", "format": { "provider": "parquet", "options": {} },
                "partitionColumns": ["day", "b"], "configuration": { "a": "b", "c": "" },
                "createdTime": -1,
            } }),
            json!({ "txn": { "appId": "a", "version": i64::MAX } }),
            json!({ "add": {
                "path": "p", "partitionValues": { "day": null }, "size": 0, "dataChange": false,
                "tags": {},
            } }),
            json!({ "remove": { "path": "q", "dataChange": true } }),
            json!({}),
        ];
        let batch = to_batch(&rows).unwrap();
        assert_eq!(to_rows(&batch).unwrap(), rows);
        let sliced = to_rows(&batch.slice(2, 2)).unwrap();
        assert_eq!(sliced, rows[2..4]);
    }
}
