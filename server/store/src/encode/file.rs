//! A new file as Parquet's writer sees it, with its checksum and size on the side.

use std::{
    io,
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use parquet::{
    arrow::ArrowWriter,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use skep_wal::{Fs, FsFile};

use super::{Bounds, EncodeError, Written, parquet_error};
use crate::words::IndexSink;

/// Rows go in, [`PartFile::finish`] makes it durable. Dropped before that, it is an orphan.
pub(crate) struct PartFile {
    path: PathBuf,
    writer: ArrowWriter<Sink>,
}

struct Sink {
    file: Box<dyn FsFile>,
    crc32c: u32,
    n_bytes: u64,
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)?;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        self.n_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PartFile {
    pub(crate) fn create(
        path: &Path,
        schema: SchemaRef,
        properties: WriterProperties,
        fs: &dyn Fs,
    ) -> Result<Self, EncodeError> {
        let file =
            fs.create(path).map_err(|source| EncodeError::Io { path: path.to_owned(), source })?;
        let sink = Sink { file, crc32c: 0, n_bytes: 0 };
        let writer =
            ArrowWriter::try_new(sink, schema, Some(properties)).map_err(parquet_error(path))?;
        Ok(Self { path: path.to_owned(), writer })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        self.writer.write(batch).map_err(parquet_error(&self.path))
    }

    /// Ends the row group if what it holds in memory is that much.
    pub(super) fn end_row_group_from(&mut self, n_bytes: usize) -> Result<(), EncodeError> {
        if self.writer.in_progress_size() < n_bytes {
            return Ok(());
        }
        self.writer.flush().map_err(parquet_error(&self.path))
    }

    pub(super) fn io_error(&self, source: io::Error) -> EncodeError {
        EncodeError::Io { path: self.path.clone(), source }
    }

    /// Returns once the file's bytes are on the disk; its name is when its folder is synced.
    pub(crate) fn finish(self, bounds: Bounds) -> Result<Written, EncodeError> {
        let Self { path, writer } = self;
        let mut sink = writer.into_inner().map_err(parquet_error(&path))?;
        sink.file.sync().map_err(|source| EncodeError::Io { path, source })?;
        Ok(Written {
            size_bytes: sink.n_bytes,
            crc32c: sink.crc32c,
            n_rows: bounds.n_rows,
            ids: bounds.ids,
            ts: bounds.ts,
        })
    }
}

impl IndexSink for PartFile {
    /// Rows of the unfinished row group come behind it.
    fn put(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.writer.bytes_written() as u64;
        self.writer.write_all(bytes)?;
        Ok(offset)
    }

    fn note(&mut self, key: &str, value: String) {
        self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }
}
