//! One line of a Delta log: what we write, and what of it we read back.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, SchemaRef};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Covered, DAY, TS};
use crate::{
    day::{NS_PER_MS, format_day, format_ms},
    filter::Key,
    part::PartInfo,
};

/// `txn` application ids: how far the write-ahead log is in this table, and in all.
const WAL_TABLE: &str = "skep-wal-table";
const WAL_ALL: &str = "skep-wal-all";
/// Ids up to which none is given out again, after label sets were lost.
const IDS_RETIRED: &str = "skep-ids-retired";

/// What the log says about the table itself.
#[derive(Debug, Clone)]
pub(crate) struct TableSchema {
    name: &'static str,
    schema: SchemaRef,
    key: Key,
}

/// Written ones are JSON already; read ones are what the store needs of them.
#[derive(Debug)]
pub(super) enum Action {
    Added(PartInfo),
    Removed(String),
    Covers(Covered),
    Retired(i64),
    Other(Value),
}

#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    #[error("not a JSON object")]
    Json(#[from] serde_json::Error),
    #[error("the file was not added by this program: its tag {0} is missing or no number")]
    Tag(&'static str),
}

#[derive(Deserialize)]
struct Line {
    add: Option<AddLine>,
    remove: Option<RemoveLine>,
    txn: Option<TxnLine>,
}

#[derive(Deserialize)]
struct AddLine {
    path: String,
    size: u64,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RemoveLine {
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TxnLine {
    app_id: String,
    version: u64,
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
        let mut fields: Vec<Value> = self
            .schema
            .fields()
            .iter()
            .map(|it| delta_field(it.name(), &delta_type(it.data_type()), it.is_nullable()))
            .collect();
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

fn delta_type(of: &DataType) -> Value {
    match of {
        DataType::Int64 => json!("long"),
        DataType::Int8 => json!("byte"),
        DataType::Float64 => json!("double"),
        DataType::Timestamp(..) => json!("timestamp"),
        DataType::Map(..) => json!({
            "type": "map", "keyType": "string", "valueType": "string", "valueContainsNull": true
        }),
        _ => json!("string"),
    }
}

impl Action {
    /// What readers and writers of the table must understand: nothing special.
    pub(super) fn protocol() -> Self {
        Self::Other(json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } }))
    }

    pub(super) fn meta_data(schema: &TableSchema, now_ms: i64) -> Self {
        Self::Other(json!({ "metaData": {
            "id": table_id(schema.name, now_ms),
            "name": schema.name,
            "format": { "provider": "parquet", "options": {} },
            "schemaString": schema.to_delta().to_string(),
            "partitionColumns": [DAY],
            "configuration": {},
            "createdTime": now_ms,
        } }))
    }

    pub(super) fn add(part: &PartInfo, now_ms: i64, schema: &TableSchema) -> Self {
        let id = schema.key.id;
        let stats = json!({
            "numRecords": part.n_rows,
            "minValues": { id: part.ids.0, TS: format_ms(schema.ms(part.ts.0, 0)) },
            "maxValues": { id: part.ids.1, TS: format_ms(schema.ms(part.ts.1, 1)) },
            "nullCount": { id: 0, TS: 0 },
        });
        // Tables without a time stamp of their own have no statistics of one.
        let stats = if schema.schema.column_with_name(TS).is_some() {
            stats
        } else {
            json!({
                "numRecords": part.n_rows,
                "minValues": { id: part.ids.0 },
                "maxValues": { id: part.ids.1 },
                "nullCount": { id: 0 },
            })
        };
        Self::Other(json!({ "add": {
            "path": part.name,
            "partitionValues": { DAY: format_day(part.day) },
            "size": part.size_bytes,
            "modificationTime": now_ms,
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
        } }))
    }

    pub(super) fn remove(part: &PartInfo, now_ms: i64) -> Self {
        Self::Other(json!({ "remove": {
            "path": part.name,
            "deletionTimestamp": now_ms,
            "dataChange": false,
            "extendedFileMetadata": true,
            "partitionValues": { DAY: format_day(part.day) },
            "size": part.size_bytes,
        } }))
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
            .map(move |(app_id, _, version)| {
                Self::Other(json!({ "txn": {
                    "appId": app_id, "version": version, "lastUpdated": now_ms
                } }))
            })
    }

    pub(super) fn retired(id: i64, now_ms: i64) -> Self {
        Self::Other(json!({ "txn": {
            "appId": IDS_RETIRED, "version": id, "lastUpdated": now_ms
        } }))
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

    pub(super) fn to_line(&self) -> String {
        match self {
            Self::Other(value) => format!("{value}\n"),
            Self::Added(_) | Self::Removed(_) | Self::Covers(_) | Self::Retired(_) => String::new(),
        }
    }

    pub(super) fn parse(line: &[u8]) -> Result<Self, ActionError> {
        let line: Line = serde_json::from_slice(line)?;
        if let Some(add) = line.add {
            return part_of(add).map(Self::Added);
        }
        if let Some(remove) = line.remove {
            return Ok(Self::Removed(remove.path));
        }
        Ok(match line.txn {
            Some(txn) if txn.app_id == WAL_TABLE => {
                Self::Covers(Covered { table: txn.version, all: 0 })
            }
            Some(txn) if txn.app_id == WAL_ALL => {
                Self::Covers(Covered { table: txn.version, all: txn.version })
            }
            Some(txn) if txn.app_id == IDS_RETIRED => {
                Self::Retired(i64::try_from(txn.version).unwrap_or(i64::MAX))
            }
            _ => Self::Other(Value::Null),
        })
    }
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
