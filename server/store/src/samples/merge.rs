//! Merging parts of samples into one: series by series, mantissas as they are where they can be.
//!
//! Parts of one day mostly follow each other in time, so that a series' samples are put one behind
//! the other without a look at its values. Where they overlap, or their scales differ, the series
//! is decoded, sorted and encoded anew.

use std::sync::Arc;

use parquet::errors::ParquetError;

use super::{
    block::{RawBlock, decoded, visible},
    footer::{Footer, PartBytes},
};
use crate::{
    delete::Mask,
    encode::{EncodeError, SampleWriter},
    heads::SampleRun,
    part::Part,
    retention::Expiry,
};

/// Writes the samples of all parts, which are in order of age and whose files are pinned; of the
/// same (series, time) the last part's counts. Expired samples are left out. Holds one block of each part and one series.
pub(crate) fn merge(
    parts: &[Arc<Part>],
    expiry: &Expiry,
    writer: &mut SampleWriter<'_>,
) -> Result<(), EncodeError> {
    let mut inputs = parts.iter().map(|it| Input::open(it)).collect::<Result<Vec<_>, _>>()?;
    let mut series = Series::default();
    while let Some(id) = inputs.iter().filter_map(Input::id).min() {
        for input in &mut inputs {
            input.take(id, &mut series)?;
        }
        series.write(id, expiry.oldest_ms(id), writer)?;
    }
    Ok(())
}

/// One part on its way into the merge.
struct Input<'a> {
    part: &'a Part,
    /// What is hidden is left out for good.
    masks: Vec<Arc<Mask>>,
    bytes: PartBytes,
    footer: Footer,
    /// `None` at the end.
    block: Option<RawBlock>,
    next_block: usize,
    next_run: usize,
}

impl<'a> Input<'a> {
    fn open(part: &'a Part) -> Result<Self, EncodeError> {
        let path = || part.path.clone();
        let bytes =
            PartBytes::open(part).map_err(|source| EncodeError::Open { path: path(), source })?;
        let footer =
            Footer::load(&bytes).map_err(|source| EncodeError::Read { path: path(), source })?;
        let masks = part.masks();
        let mut input =
            Self { part, masks, bytes, footer, block: None, next_block: 0, next_run: 0 };
        input.read()?;
        Ok(input)
    }

    /// The series that comes next.
    fn id(&self) -> Option<i64> {
        self.block.as_ref()?.runs.get(self.next_run).map(|it| it.id)
    }

    /// Hands on the samples of this series, if it comes next.
    fn take(&mut self, id: i64, series: &mut Series) -> Result<(), EncodeError> {
        while self.id() == Some(id)
            && let Some(block) = &self.block
        {
            for rows in visible(id, &block.ts, block.runs.rows(self.next_run), &self.masks) {
                series.add(block, rows);
            }
            self.next_run += 1;
            if block.runs.get(self.next_run).is_none() {
                self.read()?;
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), EncodeError> {
        self.next_run = 0;
        self.block = None;
        // A block without rows has no run to begin with.
        while self.id().is_none() && self.next_block < self.footer.blocks.len() {
            let read: Result<_, ParquetError> =
                RawBlock::read(&self.bytes, &self.footer, self.next_block);
            let path = || self.part.path.clone();
            self.block = Some(read.map_err(|source| EncodeError::Read { path: path(), source })?);
            self.next_block += 1;
        }
        Ok(())
    }
}

/// What the parts hold of one series.
#[derive(Default)]
struct Series {
    /// Part after part.
    ts: Vec<i64>,
    values: Values,
}

enum Values {
    /// All of one scale, each part's smallest.
    Mantissas {
        scale: i8,
        mantissas: Vec<i64>,
    },
    Decoded(Vec<f64>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Mantissas { scale: 0, mantissas: Vec::new() }
    }
}

impl Series {
    fn add(&mut self, block: &RawBlock, rows: std::ops::Range<usize>) {
        let is_first = self.ts.is_empty();
        self.ts.extend_from_slice(block.ts.get(rows.clone()).unwrap_or_default());
        if let Values::Mantissas { scale, mantissas } = &mut self.values {
            match block.mantissas(rows.clone()) {
                Some((its_scale, its)) if is_first || its_scale == *scale => {
                    *scale = its_scale;
                    mantissas.extend_from_slice(its);
                    return;
                }
                _ => self.values = Values::Decoded(decoded(*scale, mantissas).collect()),
            }
        }
        if let Values::Decoded(values) = &mut self.values {
            block.values(rows, values);
        }
    }

    /// Writes the series, if anything is left of it, and begins anew.
    fn write(
        &mut self,
        id: i64,
        oldest_ms: i64,
        writer: &mut SampleWriter<'_>,
    ) -> Result<(), EncodeError> {
        if !self.ts.is_sorted_by(|left, right| left < right) {
            self.sort();
        }
        self.drop_before(oldest_ms);
        if self.ts.is_empty() {
            *self = Self::default();
            return Ok(());
        }
        match &mut self.values {
            Values::Mantissas { scale, mantissas } => {
                writer.push_mantissas(id, &self.ts, *scale, mantissas)?;
                mantissas.clear();
                self.ts.clear();
            }
            Values::Decoded(values) => {
                let bits = values.iter().map(|it| it.to_bits()).collect();
                writer.push(&SampleRun { id, ts: std::mem::take(&mut self.ts), bits })?;
                self.values = Values::default();
            }
        }
        Ok(())
    }

    /// Of samples in order of time.
    fn drop_before(&mut self, oldest_ms: i64) {
        let n_expired = self.ts.partition_point(|it| *it < oldest_ms);
        self.ts.drain(..n_expired);
        match &mut self.values {
            Values::Mantissas { mantissas, .. } => drop(mantissas.drain(..n_expired)),
            Values::Decoded(values) => drop(values.drain(..n_expired)),
        }
    }

    /// Brings the samples in order of time; of equal times the newest part's stays.
    fn sort(&mut self) {
        let ts = |row: usize| self.ts.get(row).copied();
        let mut rows: Vec<usize> = (0..self.ts.len()).collect();
        // Stable, so the newest is the last of its equals; and quick, since parts are sorted.
        rows.sort_by_key(|it| ts(*it));
        let mut newest = rows.iter().copied().peekable();
        let mut kept = Vec::with_capacity(rows.len());
        while let Some(row) = newest.next() {
            if newest.peek().is_none_or(|it| ts(*it) != ts(row)) {
                kept.push(row);
            }
        }
        match &mut self.values {
            Values::Mantissas { mantissas, .. } => *mantissas = picked(mantissas, &kept),
            Values::Decoded(values) => *values = picked(values, &kept),
        }
        self.ts = picked(&self.ts, &kept);
    }
}

fn picked<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().filter_map(|it| values.get(*it).copied()).collect()
}
