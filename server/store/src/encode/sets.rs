//! Label sets into Parquet and back: the series and the streams table.

use std::{fs::File, path::Path, sync::Arc};

use arrow::{
    array::{
        ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    },
    datatypes::Int64Type,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use skep_proto::{
    Labels,
    names::{METRIC_NAME, column},
};
use skep_wal::Fs;

use super::{Bounds, EncodeError, PartFile, Written, arrow_error, properties};
use crate::{
    index::IdOrder,
    schema::{self, append_map, map_builder},
};

/// One label set on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetRow {
    pub(crate) id: i64,
    pub(crate) labels: Arc<Labels>,
    /// Of the rows that were at hand when this one was written, in milliseconds.
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
}

impl SetRow {
    /// Takes in what another row of the same set has seen.
    pub(crate) fn widen(&mut self, other: &Self) {
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

/// Writes rows in order of id: as series (with the name in its own column) or as streams.
pub(crate) fn write_sets(
    path: &Path,
    order: IdOrder,
    rows: &[SetRow],
    fs: &dyn Fs,
) -> Result<Written, EncodeError> {
    let mut bounds = Bounds::default();
    let mut maps = map_builder();
    for row in rows {
        bounds.add(row.id, row.first_seen);
        bounds.ts.1 = bounds.ts.1.max(row.last_seen);
        let in_map = |name: &str| order != IdOrder::BySource || name != METRIC_NAME;
        append_map(&mut maps, row.labels.iter().filter(|(name, _)| in_map(name)));
    }
    let ids: ArrayRef = Arc::new(rows.iter().map(|it| it.id).collect::<Int64Array>());
    let maps: ArrayRef = Arc::new(maps.finish());
    let seen = |of: fn(&SetRow) -> i64| -> ArrayRef {
        let ts: TimestampMillisecondArray = rows.iter().map(|it| Some(of(it))).collect();
        Arc::new(ts.with_timezone(schema::UTC))
    };
    let (first_seen, last_seen) = (seen(|it| it.first_seen), seen(|it| it.last_seen));
    let (schema, columns) = match order {
        IdOrder::BySource => {
            let names: StringArray = rows.iter().map(|it| Some(it.labels.metric_name())).collect();
            (&*schema::SERIES_FILE, vec![ids, Arc::new(names), maps, first_seen, last_seen])
        }
        IdOrder::Sequential => (&*schema::STREAMS_FILE, vec![ids, maps, first_seen, last_seen]),
    };
    let batch = RecordBatch::try_new(Arc::clone(schema), columns).map_err(arrow_error(path))?;
    let mut file = PartFile::create(path, Arc::clone(schema), properties(1).build(), fs)?;
    file.write(&batch)?;
    file.finish(bounds)
}

/// Reads what [`write_sets`] wrote.
pub(crate) fn read_sets(path: &Path) -> Result<Vec<SetRow>, EncodeError> {
    let read = |source| EncodeError::Read { path: path.to_owned(), source };
    let file =
        File::open(path).map_err(|source| EncodeError::Io { path: path.to_owned(), source })?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(read)?;
    let mut rows = Vec::new();
    for batch in reader.build().map_err(read)? {
        let batch = batch.map_err(arrow_error(path))?;
        let n_before = rows.len();
        rows.extend(
            rows_of(&batch)
                .map_err(|column| EncodeError::Column { path: path.to_owned(), column })?,
        );
        debug_assert_eq!(rows.len() - n_before, batch.num_rows());
    }
    Ok(rows)
}

/// The error is the column that is wrong.
fn rows_of(batch: &RecordBatch) -> Result<Vec<SetRow>, &'static str> {
    let column = |name: &'static str| batch.column_by_name(name).ok_or(name);
    let id_column = if batch.column_by_name(column::SERIES_ID).is_some() {
        column::SERIES_ID
    } else {
        column::STREAM_ID
    };
    let ids = column(id_column)?.as_primitive_opt::<Int64Type>().ok_or(id_column)?;
    let names = batch.column_by_name(column::NAME).and_then(|it| it.as_string_opt::<i32>());
    let maps = column(column::LABELS)?.as_map_opt().ok_or(column::LABELS)?;
    let seen = |name: &'static str| {
        let ts = column(name)?.as_primitive_opt::<arrow::datatypes::TimestampMillisecondType>();
        ts.ok_or(name)
    };
    let (first_seen, last_seen) = (seen(column::FIRST_SEEN)?, seen(column::LAST_SEEN)?);
    let mut rows = Vec::with_capacity(batch.num_rows());
    for at in 0..batch.num_rows() {
        let entries = maps.value(at);
        let text = |column| {
            entries.columns().get(column).and_then(|it: &ArrayRef| it.as_string_opt::<i32>())
        };
        let (Some(keys), Some(values)) = (text(0), text(1)) else { return Err(column::LABELS) };
        let pairs = keys.iter().zip(values).filter_map(|(key, value)| Some((key?, value?)));
        let name = names.map(|it| (METRIC_NAME, it.value(at)));
        let labels = Labels::from_pairs(pairs.chain(name)).or(Err(column::LABELS))?;
        rows.push(SetRow {
            id: ids.value(at),
            labels: Arc::new(labels),
            first_seen: first_seen.value(at),
            last_seen: last_seen.value(at),
        });
    }
    Ok(rows)
}
