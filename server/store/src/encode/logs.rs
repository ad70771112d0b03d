//! Log entries into Parquet.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int64Type, TimestampNanosecondType},
};
use parquet::{
    basic::Encoding,
    file::properties::{EnabledStatistics, WriterProperties},
};
use skep_proto::names::column;
use skep_wal::Fs;

use super::{Bounds, EncodeError, PartFile, Written, properties, zstd};
use crate::{
    lines::with_line_bytes,
    schema,
    words::{IndexSink as _, Lifetime, WordsWriter},
};

/// A page is what a search for a word reads at least.
const PAGE_ROWS: usize = 8_192;
const ROW_GROUP_ROWS: usize = 131_072;
/// A merge holds a row group of each of its parts.
const ROW_GROUP_ROWS_SHORT: usize = 32_768;
/// Compressed; very long lines end a row group early, since it stays in memory until it ends.
const ROW_GROUP_BYTES_MAX: usize = 32 << 20;
const PAGE_BYTES_MAX: usize = 8 << 20;
/// Templates of a row group; beyond them they are written out.
const DICTIONARY_BYTES_MAX: usize = 2 << 20;
/// Values apart from their templates have few repeats to find: higher levels gain nothing.
const ZSTD_LEVEL: i32 = 1;

/// In the footer: what values are, …
pub(crate) const VALUES_KEY: &str = "skep.values";
/// … all but the last: runs of letters, digits and `.-:_` that begin with a letter or digit, with
/// something else on both sides.
pub(crate) const VALUES_ARE_WORDS: &str = "words";

/// Takes rows as files have them, in the order of the table.
pub(crate) struct LogWriter {
    file: PartFile,
    words: WordsWriter,
    bounds: Bounds,
    n_rows: usize,
}

impl LogWriter {
    pub(crate) fn create(
        path: &Path,
        lifetime: Lifetime,
        fs: &dyn Fs,
    ) -> Result<Self, EncodeError> {
        let schema = Arc::clone(&schema::LOGS_FILE);
        let mut file = PartFile::create(path, schema, log_properties(lifetime), fs)?;
        file.note(VALUES_KEY, VALUES_ARE_WORDS.to_owned());
        Ok(Self { file, words: WordsWriter::new(lifetime), bounds: Bounds::default(), n_rows: 0 })
    }

    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let column = |at| batch.columns().get(at);
        let ids = column(0).and_then(|it| it.as_primitive_opt::<Int64Type>());
        let ts = column(1).and_then(|it| it.as_primitive_opt::<TimestampNanosecondType>());
        let (Some(ids), Some(ts)) = (ids, ts) else {
            let path = self.file.path().to_owned();
            return Err(EncodeError::Column { path, column: column::STREAM_ID });
        };
        let batch = &*with_line_bytes(batch).map_err(EncodeError::Merge)?;
        for (id, ts) in ids.values().iter().zip(ts.values()) {
            self.bounds.add(*id, *ts);
        }
        let indexed = self.words.push(batch, &mut self.file);
        indexed.map_err(|error| self.file.io_error(error))?;
        // A page ends behind a write that fills it: cut there, it is a page of the index of words.
        let mut start = 0;
        while start < batch.num_rows() {
            let n_rows = (PAGE_ROWS - self.n_rows % PAGE_ROWS).min(batch.num_rows() - start);
            self.file.write(&batch.slice(start, n_rows))?;
            self.n_rows += n_rows;
            start += n_rows;
            if self.n_rows.is_multiple_of(PAGE_ROWS) {
                self.file.end_row_group_from(ROW_GROUP_BYTES_MAX)?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Written, EncodeError> {
        let indexed = self.words.finish(&mut self.file);
        indexed.map_err(|error| self.file.io_error(error))?;
        self.file.finish(self.bounds)
    }
}

fn log_properties(lifetime: Lifetime) -> WriterProperties {
    let n_rows = match lifetime {
        Lifetime::Short => ROW_GROUP_ROWS_SHORT,
        Lifetime::Long => ROW_GROUP_ROWS,
    };
    let mut properties = properties(2)
        .set_compression(zstd(ZSTD_LEVEL))
        .set_max_row_group_row_count(Some(n_rows))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_write_batch_size(1024)
        .set_column_dictionary_enabled(column::TS.into(), false)
        .set_column_encoding(column::TS.into(), Encoding::DELTA_BINARY_PACKED)
        .set_column_statistics_enabled(column::TEMPLATE.into(), EnabledStatistics::None)
        .set_column_dictionary_enabled(column::LINE_BYTES.into(), false)
        .set_column_statistics_enabled(column::LINE_BYTES.into(), EnabledStatistics::None);
    for name in column::VALUES {
        properties = properties
            .set_column_dictionary_enabled(name.into(), false)
            .set_column_encoding(name.into(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .set_column_statistics_enabled(name.into(), EnabledStatistics::None);
    }
    properties.build()
}
