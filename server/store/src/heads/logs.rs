//! Log entries in memory, by stream.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{Shards, days_in, shard_of, sorted_ids};
use crate::{
    day::{NS_PER_MS, days_of_ms},
    filter::RowFilter,
    record::{LogBody, RecordError, put_text, put_varint, take_text, take_varint},
};

/// What a stream takes beside its rows.
const STREAM_BYTES: usize = 256;
/// A block of text; a stream's first one is small, since there may be many streams.
const BLOCK_BYTES_MIN: usize = 1 << 10;
const BLOCK_BYTES_MAX: usize = 64 << 10;

#[derive(Debug, Default)]
pub(crate) struct LogHeads {
    shards: Shards<Columns>,
    /// Allocated, used or not yet.
    n_bytes: AtomicUsize,
    n_entries: AtomicUsize,
}

/// One stream's entries, in the order they came.
#[derive(Debug, Default)]
struct Columns {
    rows: Vec<Row>,
    /// Text, entry after entry. Blocks never grow beyond what they were made for: one that did
    /// would be there twice while it is copied, and half empty after.
    blocks: Vec<Vec<u8>>,
}

/// Where an entry's line and encoded metadata are, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) ts: i64,
    block: u32,
    start: u32,
    line_bytes: u32,
    metadata_bytes: u32,
}

impl Row {
    /// Line and metadata.
    pub(crate) fn n_bytes(&self) -> usize {
        self.line_bytes as usize + self.metadata_bytes as usize
    }
}

impl Columns {
    /// Returns how many bytes more are allocated now.
    fn push(&mut self, ts: i64, line: &[u8], metadata: &[u8]) -> usize {
        let n_bytes = line.len() + metadata.len();
        let mut n_allocated = 0;
        if self.blocks.last().is_none_or(|it| it.capacity() - it.len() < n_bytes) {
            let doubled = self.blocks.last().map_or(BLOCK_BYTES_MIN, |it| it.capacity() * 2);
            self.blocks.push(Vec::with_capacity(doubled.min(BLOCK_BYTES_MAX).max(n_bytes)));
            n_allocated += self.blocks.last().map_or(0, Vec::capacity);
        }
        let block = small(self.blocks.len() - 1);
        let Some(text) = self.blocks.last_mut() else { return n_allocated };
        let row = Row {
            ts,
            block,
            start: small(text.len()),
            line_bytes: small(line.len()),
            metadata_bytes: small(metadata.len()),
        };
        text.extend_from_slice(line);
        text.extend_from_slice(metadata);
        let capacity = self.rows.capacity();
        self.rows.push(row);
        n_allocated + (self.rows.capacity() - capacity) * size_of::<Row>()
    }

    fn text_of(&self, row: &Row) -> (&[u8], &[u8]) {
        let (start, line_bytes) = (row.start as usize, row.line_bytes as usize);
        let end = start + line_bytes + row.metadata_bytes as usize;
        let block = self.blocks.get(row.block as usize);
        let text = block.and_then(|it| it.get(start..end)).unwrap_or_default();
        text.split_at_checked(line_bytes).unwrap_or_default()
    }
}

/// Blocks and what is in them stay far below 4 GiB: a record of the log is at most 1 GiB.
fn small(n: usize) -> u32 {
    u32::try_from(n).expect("a stream's text in memory is counted in 32 bits")
}

impl LogHeads {
    /// Appends to streams of different shards do not wait for each other.
    pub(crate) fn shard_of(id: i64) -> usize {
        shard_of(id)
    }

    pub(crate) fn append(&self, id: i64, ts: &[i64], entries: &[LogBody<'_>]) {
        let Some(shard) = self.shards.get(shard_of(id)) else { return };
        let mut shard = shard.lock().expect("nothing panics while it holds a head");
        let n_before = shard.len();
        let columns = shard.entry(id).or_default();
        let mut n_bytes = 0;
        let mut metadata = Vec::new();
        for (&ts, entry) in ts.iter().zip(entries) {
            metadata.clear();
            encode_metadata(&mut metadata, &entry.metadata);
            n_bytes += columns.push(ts, entry.line.as_bytes(), &metadata);
        }
        n_bytes += (shard.len() - n_before) * STREAM_BYTES;
        self.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        self.n_entries.fetch_add(ts.len(), Ordering::Relaxed);
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.n_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn n_entries(&self) -> usize {
        self.n_entries.load(Ordering::Relaxed)
    }

    /// The ids that have entries, in order.
    pub(crate) fn ids(&self) -> Vec<i64> {
        sorted_ids(&self.shards)
    }

    /// The days that have entries, in order.
    pub(crate) fn days(&self) -> BTreeSet<i32> {
        days_in(&self.shards, |columns| {
            days_of_ms(columns.rows.iter().map(|it| it.ts.div_euclid(NS_PER_MS)))
        })
    }

    /// Visits one stream's entries inside the filter's time range in order of time, identical
    /// ones once, those of one time stamp in the order they came: time stamp, line, encoded
    /// metadata.
    pub(crate) fn read(&self, id: i64, filter: &RowFilter, visit: impl FnMut(i64, &str, &[u8])) {
        self.read_rows(id, &self.rows(id, filter), visit);
    }

    /// Where one stream's entries inside the filter's time range are, in order of time, those of
    /// one time stamp in the order they came.
    pub(crate) fn rows(&self, id: i64, filter: &RowFilter) -> Vec<Row> {
        let mut rows = Vec::new();
        self.with_columns(id, |columns| {
            rows.extend(columns.rows.iter().filter(|it| filter.wants_ts(it.ts)).copied());
        });
        // Stable: those of one time stamp stay in the order they came.
        if !rows.is_sorted_by_key(|it| it.ts) {
            rows.sort_by_key(|it| it.ts);
        }
        rows
    }

    /// Visits entries of a stream as [`Self::read`] does; `rows` has all of a time stamp or none.
    pub(crate) fn read_rows(&self, id: i64, rows: &[Row], mut visit: impl FnMut(i64, &str, &[u8])) {
        self.with_columns(id, |columns| {
            let mut seen = std::collections::HashSet::new();
            for group in rows.chunk_by(|a, b| a.ts == b.ts) {
                seen.clear();
                for row in group {
                    let (line, metadata) = columns.text_of(row);
                    if group.len() == 1 || seen.insert((line, metadata)) {
                        visit(row.ts, std::str::from_utf8(line).unwrap_or_default(), metadata);
                    }
                }
            }
        });
    }

    fn with_columns(&self, id: i64, read: impl FnOnce(&Columns)) {
        let Some(shard) = self.shards.get(shard_of(id)) else { return };
        let shard = shard.lock().expect("nothing panics while it holds a head");
        if let Some(columns) = shard.get(&id) {
            read(columns);
        }
    }
}

/// Number of pairs, then name and value of each.
pub(crate) fn encode_metadata(out: &mut Vec<u8>, pairs: &[(&str, &str)]) {
    put_varint(out, pairs.len() as u64);
    for (name, value) in pairs {
        put_text(out, name);
        put_text(out, value);
    }
}

pub(crate) fn decode_metadata(mut bytes: &[u8]) -> Result<Vec<(&str, &str)>, RecordError> {
    let rest = &mut bytes;
    (0..take_varint(rest)?).map(|_| Ok((take_text(rest)?, take_text(rest)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identical_entries_are_kept_once_and_others_of_the_same_time_all() {
        let heads = LogHeads::default();
        let body = |line, value| LogBody { line, metadata: vec![("k", value)] };
        heads.append(1, &[20, 10, 20], &[body("b", "1"), body("a", "1"), body("b", "2")]);
        heads.append(1, &[20], &[body("b", "1")]);
        let mut rows = Vec::new();
        heads.read(1, &RowFilter::ALL, |ts, line, metadata| {
            rows.push((ts, line.to_owned(), decode_metadata(metadata).unwrap()[0].1.to_owned()));
        });
        let row = |ts, line: &str, value: &str| (ts, line.to_owned(), value.to_owned());
        assert_eq!(rows, [row(10, "a", "1"), row(20, "b", "1"), row(20, "b", "2")]);
    }
}
