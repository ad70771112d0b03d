//! Log entries into Parquet.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int64Type, TimestampNanosecondType},
};
use parquet::{basic::Encoding, file::properties::WriterProperties};
use skep_proto::names::column;
use skep_wal::Fs;

use super::{Bounds, EncodeError, PartFile, Written, properties};
use crate::schema;

/// A page is what a search for a word reads at least.
const PAGE_ROWS: usize = 8_192;
const ROW_GROUP_ROWS: usize = 131_072;
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Takes batches in the order of the table.
pub(crate) struct LogWriter {
    file: PartFile,
    bounds: Bounds,
}

impl LogWriter {
    pub(crate) fn create(path: &Path, fs: &dyn Fs) -> Result<Self, EncodeError> {
        let schema = Arc::clone(&schema::LOGS);
        let file = PartFile::create(path, schema, log_properties(), fs)?;
        Ok(Self { file, bounds: Bounds::default() })
    }

    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let column = |at| batch.columns().get(at);
        let ids = column(0).and_then(|it| it.as_primitive_opt::<Int64Type>());
        let ts = column(1).and_then(|it| it.as_primitive_opt::<TimestampNanosecondType>());
        let (Some(ids), Some(ts)) = (ids, ts) else {
            let path = self.file.path().to_owned();
            return Err(EncodeError::Column { path, column: column::STREAM_ID });
        };
        for (id, ts) in ids.values().iter().zip(ts.values()) {
            self.bounds.add(*id, *ts);
        }
        self.file.write(batch)
    }

    pub(crate) fn finish(self) -> Result<Written, EncodeError> {
        self.file.finish(self.bounds)
    }
}

fn log_properties() -> WriterProperties {
    properties(2)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_write_batch_size(1024)
        .set_column_dictionary_enabled(column::TS.into(), false)
        .set_column_encoding(column::TS.into(), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(column::LINE.into(), false)
        .build()
}
