//! One line of a Delta log: what we write, and what of it we read back.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, Field, SchemaRef};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Covered, DAY, TS};
use crate::{
    day::{NS_PER_MS, format_day, format_ms},
    filter::Key,
    part::PartInfo,
};

/// `txn` application ids: how far the write-ahead log is in this table, and in all.
pub(super) const WAL_TABLE: &str = "skep-wal-table";
pub(super) const WAL_ALL: &str = "skep-wal-all";
/// Ids up to which none is given out again, after label sets were lost.
pub(super) const IDS_RETIRED: &str = "skep-ids-retired";

/// What the log says about the table itself.
#[derive(Debug, Clone)]
pub(crate) struct TableSchema {
    name: &'static str,
    schema: SchemaRef,
    key: Key,
}

/// What a line says. Only [`Self::Other`] does not outlast its commit.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Protocol(Value),
    MetaData(Value),
    Add { part: PartInfo, modified_ms: i64 },
    Remove { name: String, removed: Removed },
    Txn { app_id: String, txn: Txn },
    Other(Value),
}

/// Of a file that is not in its table any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) removed_ms: i64,
    pub(super) size_bytes: u64,
}

/// How far an application has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Txn {
    pub(super) version: u64,
    pub(super) updated_ms: Option<i64>,
}

#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    #[error("not a JSON object")]
    Json(#[from] serde_json::Error),
    #[error("the file was not added by this program: its tag {0} is missing or no number")]
    Tag(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    add: Option<AddLine>,
    remove: Option<RemoveLine>,
    txn: Option<TxnLine>,
    protocol: Option<Value>,
    meta_data: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddLine {
    path: String,
    size: u64,
    #[serde(default)]
    modification_time: i64,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoveLine {
    path: String,
    #[serde(default)]
    deletion_timestamp: i64,
    #[serde(default)]
    size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TxnLine {
    app_id: String,
    version: u64,
    last_updated: Option<i64>,
}

impl TableSchema {
    pub(crate) fn new(name: &'static str, schema: &SchemaRef, key: Key) -> Self {
        Self { name, schema: Arc::clone(schema), key }
    }

    pub(super) fn columns(&self) -> &arrow::datatypes::Schema {
        &self.schema
    }

    /// A time stamp in milliseconds: rounded down for a minimum, up for a maximum.
    fn ms(&self, ts: i64, round_up: i64) -> i64 {
        match self.key.unit {
            arrow::datatypes::TimeUnit::Nanosecond => {
                ts.saturating_add(round_up * (NS_PER_MS - 1)).div_euclid(NS_PER_MS)
            }
            _ => ts,
        }
    }

    fn to_delta(&self) -> Value {
        let mut fields: Vec<Value> =
            self.schema.fields().iter().map(|it| delta_field_of(it)).collect();
        fields.push(delta_field(DAY, &json!("date"), true));
        json!({ "type": "struct", "fields": fields })
    }
}

/// Readers expect a UUID; it only has to differ from other tables'.
fn table_id(name: &str, now_ms: i64) -> String {
    let hash = xxhash_rust::xxh3::xxh3_128(format!("{name} {now_ms}").as_bytes());
    let hex = format!("{hash:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

fn delta_field(name: &str, of: &Value, is_nullable: bool) -> Value {
    json!({ "name": name, "type": of, "nullable": is_nullable, "metadata": {} })
}

fn delta_field_of(field: &Field) -> Value {
    delta_field(field.name(), &delta_type(field.data_type()), field.is_nullable())
}

fn delta_type(of: &DataType) -> Value {
    match of {
        DataType::Int64 => json!("long"),
        DataType::Int32 => json!("integer"),
        DataType::Int8 => json!("byte"),
        DataType::Float64 => json!("double"),
        DataType::Timestamp(..) => json!("timestamp"),
        DataType::Map(..) => json!({
            "type": "map", "keyType": "string", "valueType": "string", "valueContainsNull": true
        }),
        DataType::List(item) => json!({
            "type": "array",
            "elementType": delta_type(item.data_type()),
            "containsNull": item.is_nullable()
        }),
        DataType::Struct(fields) => json!({
            "type": "struct",
            "fields": fields.iter().map(|it| delta_field_of(it)).collect::<Vec<_>>()
        }),
        _ => json!("string"),
    }
}

impl Action {
    /// What readers and writers of the table must understand: nothing special.
    pub(super) fn protocol() -> Self {
        Self::Protocol(json!({ "minReaderVersion": 1, "minWriterVersion": 2 }))
    }

    pub(super) fn meta_data(schema: &TableSchema, now_ms: i64) -> Self {
        Self::MetaData(json!({
            "id": table_id(schema.name, now_ms),
            "name": schema.name,
            "format": { "provider": "parquet", "options": {} },
            "schemaString": schema.to_delta().to_string(),
            "partitionColumns": [DAY],
            "configuration": {},
            "createdTime": now_ms,
        }))
    }

    pub(super) fn add(part: &PartInfo, now_ms: i64) -> Self {
        Self::Add { part: part.clone(), modified_ms: now_ms }
    }

    pub(super) fn remove(part: &PartInfo, now_ms: i64) -> Self {
        let removed = Removed { removed_ms: now_ms, size_bytes: part.size_bytes };
        Self::Remove { name: part.name.clone(), removed }
    }

    /// One `txn` for each position that moved on.
    pub(super) fn covered(
        before: Covered,
        covered: Covered,
        now_ms: i64,
    ) -> impl Iterator<Item = Self> {
        [(WAL_TABLE, before.table, covered.table), (WAL_ALL, before.all, covered.all)]
            .into_iter()
            .filter(|(_, before, covered)| covered > before)
            .map(move |(app_id, _, version)| Self::txn(app_id, version, now_ms))
    }

    pub(super) fn retired(id: i64, now_ms: i64) -> Self {
        Self::txn(IDS_RETIRED, u64::try_from(id).unwrap_or_default(), now_ms)
    }

    fn txn(app_id: &str, version: u64, now_ms: i64) -> Self {
        let txn = Txn { version, updated_ms: Some(now_ms) };
        Self::Txn { app_id: app_id.to_owned(), txn }
    }

    pub(super) fn commit_info(operation: &str, covered: Covered, now_ms: i64) -> Self {
        Self::Other(json!({ "commitInfo": {
            "timestamp": now_ms,
            "operation": operation,
            "operationParameters": {},
            "engineInfo": concat!("skep/", env!("CARGO_PKG_VERSION")),
            "walSeq": covered.table,
        } }))
    }

    pub(super) fn to_line(&self, schema: &TableSchema) -> String {
        format!("{}\n", self.to_json(schema))
    }

    pub(super) fn to_json(&self, schema: &TableSchema) -> Value {
        match self {
            Self::Protocol(protocol) => json!({ "protocol": protocol }),
            Self::MetaData(meta_data) => json!({ "metaData": meta_data }),
            Self::Add { part, modified_ms } => {
                json!({ "add": add_to_json(part, *modified_ms, schema) })
            }
            Self::Remove { name, removed } => json!({ "remove": {
                "path": name,
                "deletionTimestamp": removed.removed_ms,
                "dataChange": false,
                "extendedFileMetadata": true,
                "partitionValues": { DAY: day_of(name) },
                "size": removed.size_bytes,
            } }),
            Self::Txn { app_id, txn } => {
                let mut line = json!({ "appId": app_id, "version": txn.version });
                if let (Some(line), Some(ms)) = (line.as_object_mut(), txn.updated_ms) {
                    line.insert("lastUpdated".to_owned(), json!(ms));
                }
                json!({ "txn": line })
            }
            Self::Other(value) => value.clone(),
        }
    }

    pub(super) fn parse(line: &[u8]) -> Result<Self, ActionError> {
        serde_json::from_slice::<Line>(line)?.try_into()
    }

    pub(super) fn from_json(line: Value) -> Result<Self, ActionError> {
        serde_json::from_value::<Line>(line)?.try_into()
    }
}

impl TryFrom<Line> for Action {
    type Error = ActionError;

    fn try_from(line: Line) -> Result<Self, ActionError> {
        Ok(match line {
            Line { add: Some(add), .. } => {
                let modified_ms = add.modification_time;
                Self::Add { part: part_of(add)?, modified_ms }
            }
            Line { remove: Some(it), .. } => {
                let removed = Removed { removed_ms: it.deletion_timestamp, size_bytes: it.size };
                Self::Remove { name: it.path, removed }
            }
            Line { txn: Some(it), .. } => {
                let txn = Txn { version: it.version, updated_ms: it.last_updated };
                Self::Txn { app_id: it.app_id, txn }
            }
            Line { protocol: Some(protocol), .. } => Self::Protocol(protocol),
            Line { meta_data: Some(meta_data), .. } => Self::MetaData(meta_data),
            _ => Self::Other(Value::Null),
        })
    }
}

fn add_to_json(part: &PartInfo, modified_ms: i64, schema: &TableSchema) -> Value {
    let id = schema.key.id;
    // Tables without a time stamp of their own have no statistics of one.
    let stats = if schema.schema.column_with_name(TS).is_some() {
        json!({
            "numRecords": part.n_rows,
            "minValues": { id: part.ids.0, TS: format_ms(schema.ms(part.ts.0, 0)) },
            "maxValues": { id: part.ids.1, TS: format_ms(schema.ms(part.ts.1, 1)) },
            "nullCount": { id: 0, TS: 0 },
        })
    } else {
        json!({
            "numRecords": part.n_rows,
            "minValues": { id: part.ids.0 },
            "maxValues": { id: part.ids.1 },
            "nullCount": { id: 0 },
        })
    };
    json!({
        "path": part.name,
        "partitionValues": { DAY: format_day(part.day) },
        "size": part.size_bytes,
        "modificationTime": modified_ms,
        "dataChange": part.level == 0,
        "stats": stats.to_string(),
        "tags": {
            "skep.day": part.day.to_string(),
            "skep.rank": part.rank.to_string(),
            "skep.level": part.level.to_string(),
            "skep.crc32c": part.crc32c.to_string(),
            "skep.rows": part.n_rows.to_string(),
            "skep.id_min": part.ids.0.to_string(),
            "skep.id_max": part.ids.1.to_string(),
            "skep.ts_min": part.ts.0.to_string(),
            "skep.ts_max": part.ts.1.to_string(),
        },
    })
}

/// As its folder has it.
fn day_of(name: &str) -> Option<&str> {
    name.split('/').next()?.strip_prefix(DAY)?.strip_prefix('=')
}

fn part_of(add: AddLine) -> Result<PartInfo, ActionError> {
    let tags = &add.tags;
    Ok(PartInfo {
        day: tag(tags, "skep.day")?,
        rank: tag(tags, "skep.rank")?,
        level: tag(tags, "skep.level")?,
        size_bytes: add.size,
        crc32c: tag(tags, "skep.crc32c")?,
        n_rows: tag(tags, "skep.rows")?,
        ids: (tag(tags, "skep.id_min")?, tag(tags, "skep.id_max")?),
        ts: (tag(tags, "skep.ts_min")?, tag(tags, "skep.ts_max")?),
        name: add.path,
    })
}

fn tag<T: std::str::FromStr>(
    tags: &BTreeMap<String, String>,
    name: &'static str,
) -> Result<T, ActionError> {
    tags.get(name).and_then(|it| it.parse().ok()).ok_or(ActionError::Tag(name))
}
