//! A table's state as one Parquet file: a checkpoint of its Delta log.
//!
//! The file's footer holds `skep.crc32c=` and the checksum of the file with zeros in place of the
//! checksum's digits. It is checked before anything of the file is understood.

use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder,
        arrow_writer::ArrowWriterOptions,
    },
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    action::{Action, ActionError, TableSchema},
    columns::{COLUMNS, to_batch, to_rows},
    state::State,
};

const ZSTD_LEVEL: i32 = 3;
/// Rows are JSON in between, which is large.
const BATCH_ROWS: usize = 1024;
const CHECKSUM: &str = "skep.crc32c";
/// What stands before the checksum's digits.
const MARK: &[u8] = b"skep.crc32c=";
const NO_DIGITS: &[u8; 8] = b"00000000";

/// A checkpoint's bytes, and what is told of it.
#[derive(Debug)]
pub(super) struct Checkpoint {
    pub(super) bytes: Vec<u8>,
    n_actions: usize,
    n_added: usize,
}

/// Why a file is no checkpoint, or why there is none.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("its checksum is wrong, or there is none")]
    Checksum,
    #[error("it is no Parquet file of actions")]
    Parquet(#[from] ParquetError),
    #[error("it does not hold the columns of actions")]
    Columns(#[from] ArrowError),
    #[error("an action in it is not understood; was it written by another program?")]
    Action(#[from] ActionError),
    #[error("the disk cannot read it")]
    Unreadable(#[source] std::io::Error),
    #[error("it would not say what the commits do")]
    Differs,
}

/// The protocol's "Last Checkpoint File".
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LastCheckpoint {
    version: u64,
    #[serde(default)]
    size: usize,
    #[serde(default)]
    size_in_bytes: usize,
    #[serde(default)]
    num_of_add_files: usize,
}

impl Checkpoint {
    /// Reads it back before it returns: what it takes the place of is removed.
    pub(super) fn encode(state: &State, schema: &TableSchema) -> Result<Self, CheckpointError> {
        let mut n_actions = 0;
        let rows = state.actions().inspect(|_| n_actions += 1).map(|it| it.to_json(schema));
        let mut bytes = to_parquet(rows)?;
        let at = checksum_at(&bytes).ok_or(CheckpointError::Checksum)?;
        let digits = format!("{:08x}", crc32c::crc32c(&bytes));
        if let Some(place) = bytes.get_mut(at..at + NO_DIGITS.len()) {
            place.copy_from_slice(digits.as_bytes());
        }
        if Self::decode(bytes.clone())? != *state {
            return Err(CheckpointError::Differs);
        }
        Ok(Self { bytes, n_actions, n_added: state.n_live() })
    }

    pub(super) fn decode(mut bytes: Vec<u8>) -> Result<State, CheckpointError> {
        let at = checksum_at(&bytes).ok_or(CheckpointError::Checksum)?;
        let place = bytes.get_mut(at..at + NO_DIGITS.len()).ok_or(CheckpointError::Checksum)?;
        let digits = place.to_vec();
        place.copy_from_slice(NO_DIGITS);
        if format!("{:08x}", crc32c::crc32c(&bytes)).as_bytes() != digits {
            return Err(CheckpointError::Checksum);
        }
        Self::decode_rows(bytes)
    }

    /// As [`Self::decode`], whatever the checksum is.
    pub(super) fn decode_rows(bytes: Vec<u8>) -> Result<State, CheckpointError> {
        let mut state = State::default();
        for batch in ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes))?.build()? {
            for row in to_rows(&batch?)? {
                state.apply(Action::from_json(row)?);
            }
        }
        Ok(state)
    }

    /// What is to be in `_last_checkpoint`.
    pub(super) fn told(&self, version: u64) -> String {
        let told = LastCheckpoint {
            version,
            size: self.n_actions,
            size_in_bytes: self.bytes.len(),
            num_of_add_files: self.n_added,
        };
        serde_json::json!(told).to_string()
    }
}

/// Which version `_last_checkpoint` names, if it can be read.
pub(super) fn version_told(bytes: &[u8]) -> Option<u64> {
    serde_json::from_slice::<LastCheckpoint>(bytes).ok().map(|it| it.version)
}

fn to_parquet(mut rows: impl Iterator<Item = Value>) -> Result<Vec<u8>, CheckpointError> {
    let zeros = [MARK, NO_DIGITS].concat();
    let checksum = String::from_utf8_lossy(&zeros).into_owned();
    let properties = WriterProperties::builder()
        .set_created_by(concat!("skep ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(CHECKSUM.to_owned(), checksum)]))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        // It is read whole.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_dictionary_enabled(false)
        .build();
    let options =
        ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let schema = std::sync::Arc::clone(&COLUMNS);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options)?;
    loop {
        let batch: Vec<_> = rows.by_ref().take(BATCH_ROWS).collect();
        if batch.is_empty() {
            return Ok(writer.into_inner()?);
        }
        writer.write(&to_batch(&batch)?)?;
    }
}

/// Where the digits are: behind the last mark, since it is in the footer.
fn checksum_at(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::rfind(bytes, MARK).map(|it| it + MARK.len())
}
