//! Searching lines without reading them: which pages of a part may hold a text.
//!
//! A part of logs carries an index of its lines, page by page of 8,192 rows, in places of the file
//! that Parquet readers pass over; its footer says where (docs/formats/parts.md):
//!
//! - *words*, runs of three letters or more: all of a part's words are listed with the pages they
//!   are in, so that a part of a word finds its pages, too;
//! - *numbers*, letters and digits of 2 to 15 characters: in a filter of the page, found as a whole;
//! - *grams* of longer runs of letters, digits and dashes (UUIDs, trace ids): in the same filter,
//!   found by any 16 characters of the run;
//! - pairs of metadata: in the same filter, found as a whole.
//!
//! What is asked is only ever a necessary condition: who reads the rows tests them exactly. So an
//! index that is absent, damaged or of another version costs time, never an answer.

mod build;
mod filter;
mod head;
mod index;
mod kinds;
mod need;
mod regex;
mod search;
mod short;
#[cfg(test)]
mod tests;
mod text;

use std::io;

use arrow::{
    array::{Array as _, AsArray as _, MapArray, RecordBatch, StringArray},
    datatypes::{Int64Type, TimestampNanosecondType},
};

use skep_proto::names::column;

pub(crate) use need::Need;
pub(crate) use search::{Found, PartRows, PartWords, Search, pages_with};

use build::Builder;
use filter::Strength;

use crate::lines::SplitLines;

/// In the footer: where the index begins, its bytes and their CRC-32C.
pub(crate) const WORDS_KEY: &str = "skep.words";

/// Where an index goes: a file that is being written.
pub(crate) trait IndexSink {
    /// Puts bytes between the row groups; says where they begin.
    fn put(&mut self, bytes: &[u8]) -> io::Result<u64>;

    /// Adds to the footer.
    fn note(&mut self, key: &str, value: String);
}

/// For fuzzing: reads an index and forgets it.
pub(crate) fn parse(bytes: &[u8]) {
    drop(head::Head::decode(bytes));
    drop(head::Head::decode_plain(bytes));
}

/// How long a part will live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Until the next merge.
    Short,
    Long,
}

/// Makes the index of a part of logs from its rows.
#[derive(Debug)]
pub(crate) struct WordsWriter {
    builder: Builder,
}

impl WordsWriter {
    pub(crate) fn new(lifetime: Lifetime) -> Self {
        let strength = match lifetime {
            Lifetime::Short => Strength::FLUSHED,
            Lifetime::Long => Strength::MERGED,
        };
        Self { builder: Builder::new(strength) }
    }

    /// Adds rows as the file has them.
    ///
    /// # Errors
    /// The file cannot be written. Columns of other types are an `InvalidInput`.
    pub(crate) fn push(
        &mut self,
        batch: &RecordBatch,
        sink: &mut impl IndexSink,
    ) -> io::Result<()> {
        let column = |name: &str| batch.column_by_name(name);
        let columns = || {
            Some((
                column(column::STREAM_ID)?.as_primitive_opt::<Int64Type>()?,
                column(column::TS)?.as_primitive_opt::<TimestampNanosecondType>()?,
                SplitLines::of(batch)?,
                Pairs::new(column(column::METADATA)?.as_map_opt()?)?,
            ))
        };
        let (ids, ts, lines, metadata) = columns().ok_or(io::ErrorKind::InvalidInput)?;
        for (row, (id, ts)) in ids.values().iter().zip(ts.values()).enumerate() {
            self.builder.push(*id, *ts, lines.template(row), |it| lines.value(it, row));
            metadata.visit(row, |name, value| self.builder.pair(name, value));
            if self.builder.is_page_full() {
                self.end_page(sink)?;
            }
        }
        Ok(())
    }

    /// Completes the index; no rows come after it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn finish(mut self, sink: &mut impl IndexSink) -> io::Result<()> {
        if self.builder.has_open_page() {
            self.end_page(sink)?;
        }
        let head = self.builder.finish()?;
        let offset = sink.put(&head)?;
        sink.note(WORDS_KEY, index::format_place(offset, head.len(), crc32c::crc32c(&head)));
        Ok(())
    }

    fn end_page(&mut self, sink: &mut impl IndexSink) -> io::Result<()> {
        let filter = self.builder.end_page();
        if !filter.is_empty() {
            self.builder.set_offset(sink.put(&filter)?);
        }
        Ok(())
    }
}

/// A column of text maps.
struct Pairs<'a> {
    map: &'a MapArray,
    names: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> Pairs<'a> {
    fn new(map: &'a MapArray) -> Option<Self> {
        let (names, values) = (map.keys().as_string_opt()?, map.values().as_string_opt()?);
        Some(Self { map, names, values })
    }

    fn visit(&self, row: usize, mut visit: impl FnMut(&str, &str)) {
        let bound = |at: usize| {
            let offset = self.map.value_offsets().get(at).copied().unwrap_or(0);
            usize::try_from(offset).unwrap_or(0)
        };
        for at in bound(row)..bound(row + 1) {
            if self.values.is_valid(at) {
                visit(self.names.value(at), self.values.value(at));
            }
        }
    }
}
