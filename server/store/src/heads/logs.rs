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

/// What an entry takes beside its text: time stamp and two ends.
const ENTRY_BYTES: usize = 24;
const STREAM_BYTES: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct LogHeads {
    shards: Shards<Columns>,
    n_bytes: AtomicUsize,
    n_entries: AtomicUsize,
}

/// Texts one after the other, and where each ends.
#[derive(Debug, Default)]
struct Columns {
    ts: Vec<i64>,
    lines: Texts,
    metadata: Texts,
}

#[derive(Debug, Default, Clone)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, i: usize) -> &[u8] {
        let start = i.checked_sub(1).and_then(|it| self.ends.get(it)).copied().unwrap_or(0);
        let end = self.ends.get(i).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

impl LogHeads {
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
            columns.ts.push(ts);
            columns.lines.push(entry.line.as_bytes());
            columns.metadata.push(&metadata);
            n_bytes += ENTRY_BYTES + entry.line.len() + metadata.len();
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
            days_of_ms(columns.ts.iter().map(|it| it.div_euclid(NS_PER_MS)))
        })
    }

    /// Visits one stream's entries inside the filter's time range in order of time, identical
    /// ones once, those of one time stamp in the order they came: time stamp, line, encoded
    /// metadata.
    pub(crate) fn read(
        &self,
        id: i64,
        filter: &RowFilter,
        mut visit: impl FnMut(i64, &str, &[u8]),
    ) {
        let Some(shard) = self.shards.get(shard_of(id)) else { return };
        let shard = shard.lock().expect("nothing panics while it holds a head");
        let Some(columns) = shard.get(&id) else { return };
        let mut rows: Vec<(i64, usize)> = columns
            .ts
            .iter()
            .enumerate()
            .filter(|(_, ts)| filter.wants_ts(**ts))
            .map(|(i, ts)| (*ts, i))
            .collect();
        rows.sort_unstable();
        let mut seen = std::collections::HashSet::new();
        for group in rows.chunk_by(|a, b| a.0 == b.0) {
            seen.clear();
            for &(ts, i) in group {
                let (line, metadata) = (columns.lines.get(i), columns.metadata.get(i));
                if group.len() == 1 || seen.insert((line, metadata)) {
                    visit(ts, std::str::from_utf8(line).unwrap_or_default(), metadata);
                }
            }
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
