//! Samples into Parquet.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{
        ArrayRef, Float64Array, Int8Array, Int64Array, RecordBatch, TimestampMillisecondArray,
    },
    buffer::NullBuffer,
};
use parquet::{
    basic::Encoding,
    file::properties::{EnabledStatistics, WriterProperties},
};
use skep_proto::names::column;
use skep_wal::Fs;

use super::{Bounds, EncodeError, PartFile, Written, ZSTD_LEVEL, arrow_error, decimal, properties};
use crate::{heads::SampleRun, schema};

/// Rows are handed to Parquet in batches of this many.
const BATCH_ROWS: usize = 65_536;
/// Small enough to skip most of a file for a few series, large enough that the time stamps a
/// host's series have in common are few against the rows.
const PAGE_ROWS: usize = 32_768;
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Pages are cut by rows; this only bounds what is odd.
const PAGE_BYTES_MAX: usize = 8 << 20;
/// Of time stamps: with more distinct ones in a row group than this holds they are written plain.
const DICTIONARY_BYTES_MAX: usize = 1 << 20;
/// Of merged parts; samples pack so tight that it costs little more than at flush.
const ZSTD_LEVEL_MERGE: i32 = 9;
/// Of this share of time stamps the distance from the one before is that one's own: then they cost
/// nothing as deltas. Where a sender's clock jitters, deltas are noise, and what repeats is the
/// list of stamps that all series of one scrape have in common.
const STEADY_SHARE: (usize, usize) = (9, 10);
/// Rows a series has on average from which deltas of mantissas are smaller than their bytes: a
/// delta-packed block is 128 rows, and one that holds the end of a series is as wide as the jump.
const DELTA_RUN_ROWS: usize = 256;
/// A changing series of whole numbers with this many zero bits at the end (pages, sectors) is
/// smaller as doubles, whose bytes are told apart, than as deltas, which keep the zeros.
const FLOAT_ZERO_BITS: u32 = 8;

/// What the file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Soon merged with others.
    Flush,
    /// Kept for long: what takes less space is worth some time.
    Merge,
}

/// Takes runs in order of id.
pub(crate) struct SampleWriter<'a> {
    path: &'a Path,
    fs: &'a dyn Fs,
    effort: Effort,
    /// Made with the first batch, by whose rows the encodings are chosen.
    file: Option<PartFile>,
    bounds: Bounds,
    rows: Rows,
    /// Of one run; kept for its allocation.
    mantissas: Vec<i64>,
}

/// Columns of the batch that is being filled.
#[derive(Default)]
struct Rows {
    ids: Vec<i64>,
    ts: Vec<i64>,
    mantissas: Vec<i64>,
    scales: Vec<i8>,
    floats: Vec<f64>,
    /// Whether a row's value is a mantissa.
    are_mantissas: Vec<bool>,
    n_floats: usize,
}

impl<'a> SampleWriter<'a> {
    pub(crate) fn create(path: &'a Path, effort: Effort, fs: &'a dyn Fs) -> Self {
        Self {
            path,
            fs,
            effort,
            file: None,
            bounds: Bounds::default(),
            rows: Rows::default(),
            mantissas: Vec::new(),
        }
    }

    /// Adds all samples that the file is to hold of one series.
    pub(crate) fn push(&mut self, run: &SampleRun) -> Result<(), EncodeError> {
        let scale = decimal::mantissas_of(&run.bits, &mut self.mantissas);
        let scale = scale.filter(|it| *it > 0 || !is_smaller_as_floats(&self.mantissas));
        let Some(scale) = scale.and_then(|it| i8::try_from(it).ok()) else {
            self.rows.push_floats(&run.bits);
            return self.push_key(run.id, &run.ts);
        };
        self.rows.mantissas.extend_from_slice(&self.mantissas);
        self.rows.push_scale(scale, run.bits.len());
        for (back, &bits) in run.bits.iter().rev().enumerate() {
            let value = f64::from_bits(bits);
            if !decimal::is_decimal(value) {
                self.rows.set_float(back, value);
            }
        }
        self.push_key(run.id, &run.ts)
    }

    /// As [`Self::push`], of a series whose mantissas at its smallest scale are known.
    pub(crate) fn push_mantissas(
        &mut self,
        id: i64,
        ts: &[i64],
        scale: i8,
        mantissas: &[i64],
    ) -> Result<(), EncodeError> {
        self.rows.mantissas.extend_from_slice(mantissas);
        self.rows.push_scale(scale, mantissas.len());
        self.push_key(id, ts)
    }

    pub(crate) fn finish(mut self) -> Result<Written, EncodeError> {
        self.write_batch()?;
        let file = match self.file.take() {
            Some(file) => file,
            None => self.create_file()?,
        };
        file.finish(self.bounds)
    }

    fn push_key(&mut self, id: i64, ts: &[i64]) -> Result<(), EncodeError> {
        self.bounds.add_sorted(id, ts);
        self.rows.ids.resize(self.rows.ids.len() + ts.len(), id);
        self.rows.ts.extend_from_slice(ts);
        if self.rows.ids.len() >= BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    fn create_file(&self) -> Result<PartFile, EncodeError> {
        let properties = sample_properties(&self.rows.shape(), self.effort);
        PartFile::create(self.path, Arc::clone(&schema::SAMPLES_FILE), properties, self.fs)
    }

    fn write_batch(&mut self) -> Result<(), EncodeError> {
        if self.rows.ids.is_empty() {
            return Ok(());
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.create_file()?,
        };
        let columns = std::mem::take(&mut self.rows).into_columns();
        let batch = RecordBatch::try_new(Arc::clone(&schema::SAMPLES_FILE), columns)
            .map_err(arrow_error(self.path))?;
        file.write(&batch)?;
        self.file = Some(file);
        Ok(())
    }
}

impl Rows {
    fn push_scale(&mut self, scale: i8, n_rows: usize) {
        self.scales.resize(self.scales.len() + n_rows, scale);
        self.floats.resize(self.floats.len() + n_rows, 0.0);
        self.are_mantissas.resize(self.are_mantissas.len() + n_rows, true);
    }

    fn push_floats(&mut self, bits: &[u64]) {
        self.mantissas.resize(self.mantissas.len() + bits.len(), 0);
        self.scales.resize(self.scales.len() + bits.len(), 0);
        self.floats.extend(bits.iter().map(|it| f64::from_bits(*it)));
        self.are_mantissas.resize(self.are_mantissas.len() + bits.len(), false);
        self.n_floats += bits.len();
    }

    /// Makes the value `back` rows before the last one a float.
    fn set_float(&mut self, back: usize, value: f64) {
        if let Some(it) = self.floats.iter_mut().nth_back(back) {
            *it = value;
        }
        if let Some(it) = self.are_mantissas.iter_mut().nth_back(back) {
            *it = false;
        }
        self.n_floats += 1;
    }

    fn into_columns(self) -> Vec<ArrayRef> {
        let n_rows = self.ids.len();
        let (are_mantissas, are_floats) = if self.n_floats == 0 {
            (None, NullBuffer::new_null(n_rows))
        } else {
            let are_floats: Vec<bool> = self.are_mantissas.iter().map(|it| !it).collect();
            (Some(NullBuffer::from(self.are_mantissas)), NullBuffer::from(are_floats))
        };
        let ts = TimestampMillisecondArray::new(self.ts.into(), None);
        vec![
            Arc::new(Int64Array::new(self.ids.into(), None)),
            Arc::new(ts.with_timezone(schema::UTC)),
            Arc::new(Int64Array::new(self.mantissas.into(), are_mantissas.clone())),
            Arc::new(Int8Array::new(self.scales.into(), are_mantissas)),
            Arc::new(Float64Array::new(self.floats.into(), Some(are_floats))),
        ]
    }

    /// What decides how these rows and their like are best written.
    fn shape(&self) -> Shape {
        let (mut n_steady, mut n_all) = (0, 0);
        let windows = self.ids.array_windows::<3>().zip(self.ts.array_windows::<3>());
        for ([first, _, third], [a, b, c]) in windows {
            if first == third {
                n_all += 1;
                n_steady += usize::from(b.wrapping_sub(*a) == c.wrapping_sub(*b));
            }
        }
        let n_runs = 1 + self.ids.array_windows().filter(|[a, b]| a != b).count();
        Shape {
            is_steady: n_steady * STEADY_SHARE.1 >= n_all * STEADY_SHARE.0,
            run_rows: self.ids.len() / n_runs,
        }
    }
}

fn is_smaller_as_floats(mantissas: &[i64]) -> bool {
    let all_bits = mantissas.iter().fold(0, |bits, it| bits | it);
    all_bits != 0
        && all_bits.trailing_zeros() >= FLOAT_ZERO_BITS
        && mantissas.iter().any(|it| Some(it) != mantissas.first())
}

struct Shape {
    /// Whether time stamps come at even distances.
    is_steady: bool,
    /// Of one series on average.
    run_rows: usize,
}

/// As measured (`docs/adr`): ids and scales hardly change, mantissas of long series are deltas,
/// and of doubles the bytes are told apart, since only some of them are noise.
fn sample_properties(shape: &Shape, effort: Effort) -> WriterProperties {
    let level = match effort {
        Effort::Flush => ZSTD_LEVEL,
        Effort::Merge => ZSTD_LEVEL_MERGE,
    };
    let mut properties = properties(2)
        .set_compression(super::zstd(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        // The row limit of a page is only looked at after each such batch.
        .set_write_batch_size(1024);
    let (delta, split) = (Encoding::DELTA_BINARY_PACKED, Encoding::BYTE_STREAM_SPLIT);
    let is_long = shape.run_rows >= DELTA_RUN_ROWS;
    for (name, encoding) in [
        (column::SERIES_ID, delta),
        (column::TS, if shape.is_steady { delta } else { Encoding::PLAIN }),
        (column::MANTISSA, if is_long { delta } else { split }),
        (column::SCALE, delta),
        (column::VALUE_FLOAT, split),
    ] {
        properties = properties
            .set_column_dictionary_enabled(name.into(), false)
            .set_column_encoding(name.into(), encoding);
    }
    if !shape.is_steady && effort == Effort::Merge {
        properties = properties.set_column_dictionary_enabled(column::TS.into(), true);
    }
    // Nobody looks for a value; only keys are worth their statistics.
    for name in [column::MANTISSA, column::SCALE, column::VALUE_FLOAT] {
        properties = properties.set_column_statistics_enabled(name.into(), EnabledStatistics::None);
    }
    properties.build()
}
