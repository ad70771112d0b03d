//! Writing rows into a Parquet file.

mod decimal;
mod file;
mod histograms;
mod logs;
mod samples;
mod sets;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::error::DataFusionError;
use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{WriterProperties, WriterPropertiesBuilder},
    },
    schema::types::ColumnPath,
};

pub(crate) use file::PartFile;
pub(crate) use histograms::HistogramWriter;
pub(crate) use logs::{LogWriter, VALUES_ARE_WORDS, VALUES_KEY};
pub(crate) use samples::{Effort, SampleWriter};
pub(crate) use sets::{SetRow, read_sets, write_sets};

/// At flush; the best size for its cost.
const ZSTD_LEVEL: i32 = 3;

#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("cannot write {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot write Parquet to {}", path.display())]
    Parquet { path: PathBuf, source: ParquetError },
    #[error("cannot open {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot read Parquet from {}", path.display())]
    Read { path: PathBuf, source: ParquetError },
    #[error("{} lacks column {column} or has it in another type", path.display())]
    Column { path: PathBuf, column: &'static str },
    #[error("cannot lay out rows for {}", path.display())]
    Arrow { path: PathBuf, source: arrow::error::ArrowError },
    #[error("cannot read the parts to merge")]
    Merge(#[source] DataFusionError),
}

/// A file that is whole and on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) size_bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) n_rows: u64,
    /// Smallest and greatest.
    pub(crate) ids: (i64, i64),
    pub(crate) ts: (i64, i64),
}

/// Smallest and greatest of what came by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    ids: (i64, i64),
    ts: (i64, i64),
    n_rows: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { ids: (i64::MAX, i64::MIN), ts: (i64::MAX, i64::MIN), n_rows: 0 }
    }
}

impl Bounds {
    pub(crate) fn add(&mut self, id: i64, ts: i64) {
        self.ids = (self.ids.0.min(id), self.ids.1.max(id));
        self.ts = (self.ts.0.min(ts), self.ts.1.max(ts));
        self.n_rows += 1;
    }

    /// Adds the rows of one id, in order of time.
    fn add_sorted(&mut self, id: i64, ts: &[i64]) {
        if let (Some(first), Some(last)) = (ts.first(), ts.last()) {
            self.ids = (self.ids.0.min(id), self.ids.1.max(id));
            self.ts = (self.ts.0.min(*first), self.ts.1.max(*last));
            self.n_rows += ts.len() as u64;
        }
    }
}

/// Buckets stay for years.
const ROLLUP_ZSTD_LEVEL: i32 = 9;
/// Whole row groups are read: those of 200 series and a day of 5 minutes.
const ROLLUP_ROW_GROUP_ROWS: usize = 65_536;

/// What all tables share: compression, the sort order, where the file comes from.
fn properties(n_sorted: i32) -> WriterPropertiesBuilder {
    let sorted = (0..n_sorted)
        .map(|it| SortingColumn { column_idx: it, descending: false, nulls_first: false })
        .collect();
    WriterProperties::builder()
        .set_created_by(concat!("skep ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new("skep.format".to_owned(), "1".to_owned())]))
        .set_compression(zstd(ZSTD_LEVEL))
        .set_sorting_columns(Some(sorted))
}

/// Buckets: few rows of many columns, read by series. A dictionary of a column's doubles is as
/// large as they are, and more so with indices: 14.7 bytes a bucket instead of 9.2.
pub(crate) fn rollup_properties(schema: &Schema) -> WriterProperties {
    let properties = properties(2)
        .set_compression(zstd(ROLLUP_ZSTD_LEVEL))
        .set_max_row_group_row_count(Some(ROLLUP_ROW_GROUP_ROWS))
        .set_dictionary_enabled(false);
    let of_column = |properties: WriterPropertiesBuilder, field: &Arc<Field>| {
        let encoding = match field.data_type() {
            DataType::Float64 => Encoding::BYTE_STREAM_SPLIT,
            _ => Encoding::DELTA_BINARY_PACKED,
        };
        properties.set_column_encoding(ColumnPath::from(field.name().as_str()), encoding)
    };
    schema.fields().iter().fold(properties, of_column).build()
}

fn zstd(level: i32) -> Compression {
    ZstdLevel::try_new(level).map_or(Compression::UNCOMPRESSED, Compression::ZSTD)
}

fn parquet_error(path: &Path) -> impl Fn(ParquetError) -> EncodeError + use<> {
    let path = path.to_owned();
    move |source| EncodeError::Parquet { path: path.clone(), source }
}

fn arrow_error(path: &Path) -> impl Fn(arrow::error::ArrowError) -> EncodeError + use<> {
    let path = path.to_owned();
    move |source| EncodeError::Arrow { path: path.clone(), source }
}
