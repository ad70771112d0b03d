//! Samples into Parquet.

use std::{path::Path, sync::Arc};

use arrow::array::{
    ArrayRef, Float64Builder, Int8Builder, Int64Array, Int64Builder, RecordBatch,
    TimestampMillisecondArray,
};
use parquet::{basic::Encoding, file::properties::WriterProperties};
use skep_proto::names::column;
use skep_wal::Fs;

use super::{Bounds, EncodeError, PartFile, Written, arrow_error, decimal, properties};
use crate::{heads::SampleRun, schema};

/// Rows are handed to Parquet in batches of this many.
const BATCH_ROWS: usize = 65_536;
/// Small enough to skip most of a file for a few series, large enough to compress.
const PAGE_ROWS: usize = 20_000;
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Pages are cut by rows; this only bounds what is odd.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Takes runs in order of id.
pub(crate) struct SampleWriter {
    file: PartFile,
    bounds: Bounds,
    ids: Vec<i64>,
    ts: Vec<i64>,
    mantissas: Int64Builder,
    scales: Int8Builder,
    floats: Float64Builder,
}

impl SampleWriter {
    pub(crate) fn create(path: &Path, fs: &dyn Fs) -> Result<Self, EncodeError> {
        let schema = Arc::clone(&schema::SAMPLES_FILE);
        Ok(Self {
            file: PartFile::create(path, schema, sample_properties(), fs)?,
            bounds: Bounds::default(),
            ids: Vec::new(),
            ts: Vec::new(),
            mantissas: Int64Builder::new(),
            scales: Int8Builder::new(),
            floats: Float64Builder::new(),
        })
    }

    /// Adds all samples that the file is to hold of one series.
    pub(crate) fn push(&mut self, run: &SampleRun) -> Result<(), EncodeError> {
        let scale = decimal::scale_of(&run.bits);
        for (&ts, &bits) in run.ts.iter().zip(&run.bits) {
            let value = f64::from_bits(bits);
            self.bounds.add(run.id, ts);
            self.ids.push(run.id);
            self.ts.push(ts);
            match scale.and_then(|it| decimal::mantissa(value, it).zip(i8::try_from(it).ok())) {
                Some((mantissa, scale)) => {
                    self.mantissas.append_value(mantissa);
                    self.scales.append_value(scale);
                    self.floats.append_null();
                }
                None => {
                    self.mantissas.append_null();
                    self.scales.append_null();
                    self.floats.append_value(value);
                }
            }
        }
        if self.ids.len() >= BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    pub(crate) fn finish(mut self) -> Result<Written, EncodeError> {
        self.write_batch()?;
        self.file.finish(self.bounds)
    }

    fn write_batch(&mut self) -> Result<(), EncodeError> {
        let ts = TimestampMillisecondArray::from(std::mem::take(&mut self.ts));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(std::mem::take(&mut self.ids))),
            Arc::new(ts.with_timezone(schema::UTC)),
            Arc::new(self.mantissas.finish()),
            Arc::new(self.scales.finish()),
            Arc::new(self.floats.finish()),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema::SAMPLES_FILE), columns)
            .map_err(arrow_error(self.file.path()))?;
        self.file.write(&batch)
    }
}

/// As measured: time stamps and mantissas as deltas, no dictionaries where values differ.
fn sample_properties() -> WriterProperties {
    properties(2)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        // The row limit of a page is only looked at after each such batch.
        .set_write_batch_size(1024)
        .set_column_dictionary_enabled(column::TS.into(), false)
        .set_column_encoding(column::TS.into(), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(column::MANTISSA.into(), false)
        .set_column_encoding(column::MANTISSA.into(), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(column::VALUE_FLOAT.into(), false)
        .build()
}
