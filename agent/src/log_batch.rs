//! Log records on their way into one push request: grouped by stream, bounded three ways.

use std::{collections::HashMap, time::Duration};

use skep_proto::{Labels, LogEntry, loki_push};
use tokio::time::Instant;

use crate::{
    sources::LogRecord,
    spool::{Kind, NewRecord, Positions, record::POSITIONS_BYTES_MAX},
};

/// Entries of one request.
const ENTRIES_MAX: usize = 1_000;
/// Bytes of lines and metadata of one request; one more entry may go over it.
const BYTES_MAX: usize = 1 << 20;
/// Leaves room for the positions of one more round of files.
const POSITIONS_BYTES_FULL: usize = POSITIONS_BYTES_MAX / 2;
/// How long the first entry of a request waits for others.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(500);

/// A request being filled.
#[derive(Debug, Default)]
pub(crate) struct LogBatch {
    /// In the order the streams first came.
    streams: Vec<(Labels, Vec<LogEntry>)>,
    stream_idxs: HashMap<Labels, usize>,
    n_entries: usize,
    n_bytes: usize,
    positions: Positions,
    /// When the first entry came.
    begun_at: Option<Instant>,
}

impl LogBatch {
    pub(crate) fn is_full(&self) -> bool {
        self.n_entries >= ENTRIES_MAX
            || self.n_bytes >= BYTES_MAX
            || self.positions.n_bytes() >= POSITIONS_BYTES_FULL
    }

    /// When the request must go, whether full or not.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.begun_at.map(|it| it + WAIT_MAX)
    }

    pub(crate) fn push(&mut self, now: Instant, record: LogRecord) {
        let LogRecord { stream, entry } = record;
        self.begun_at.get_or_insert(now);
        self.n_entries += 1;
        self.n_bytes += entry.line.len();
        self.n_bytes +=
            entry.metadata.iter().map(|(name, it)| name.len() + it.len()).sum::<usize>();
        let n_streams = self.streams.len();
        let stream_idx = *self.stream_idxs.entry(stream).or_insert_with_key(|stream| {
            self.streams.push((stream.clone(), Vec::new()));
            n_streams
        });
        if let Some((_, entries)) = self.streams.get_mut(stream_idx) {
            entries.push(entry);
        }
    }

    /// Where a source has been read up to, once what it gave before is in this batch.
    pub(crate) fn set_position(&mut self, key: &str, position: String) {
        self.positions.set(key, position);
    }

    /// A source is gone, once what it gave before is in this batch.
    pub(crate) fn forget_position(&mut self, key: &str) {
        self.positions.forget(key);
    }

    pub(crate) fn has_positions(&self) -> bool {
        !self.positions.is_empty()
    }

    /// Puts back what [`LogBatch::take_positions`] took.
    pub(crate) fn put_positions(&mut self, positions: Positions) {
        self.positions = positions;
    }

    /// Takes out the positions of a batch that has no entries.
    pub(crate) fn take_positions(&mut self) -> Positions {
        std::mem::take(&mut self.positions)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n_entries == 0
    }

    /// The request, ready for the spool; the batch is empty again. `None` where it has no entries:
    /// positions then stay.
    pub(crate) fn take(&mut self) -> Option<NewRecord> {
        if self.n_entries == 0 {
            return None;
        }
        let Self { streams, n_entries, positions, .. } = std::mem::take(self);
        Some(NewRecord {
            kind: Kind::LokiPush,
            n_items: u32::try_from(n_entries).unwrap_or(u32::MAX),
            positions,
            body: loki_push::encode(&streams),
        })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use skep_proto::{TimestampNs, loki_push::PushRequest, snappy};

    use super::*;

    fn record(unit: &str, ts: i64, line: &str) -> LogRecord {
        LogRecord {
            stream: Labels::from_pairs([("unit", unit)]).unwrap(),
            entry: LogEntry { ts: TimestampNs(ts), line: line.to_owned(), metadata: Vec::new() },
        }
    }

    #[test]
    fn entries_are_grouped_by_stream_in_their_order() {
        let now = Instant::now();
        let mut batch = LogBatch::default();
        assert_eq!(batch.take(), None);
        for (unit, ts) in [("b", 1), ("a", 2), ("b", 3)] {
            batch.push(now, record(unit, ts, "x"));
        }
        batch.set_position("journal", "c3".to_owned());
        assert_eq!(batch.due_at(), Some(now + WAIT_MAX));
        let taken = batch.take().unwrap();
        assert_eq!((taken.n_items, taken.positions.get("journal")), (3, Some("c3")));
        let plain = snappy::decompress(&taken.body, 1 << 20).unwrap();
        let streams = PushRequest::decode(plain.as_slice()).unwrap().streams;
        let shape: Vec<(String, usize)> =
            streams.into_iter().map(|it| (it.labels, it.entries.len())).collect();
        assert_eq!(shape, [(r#"{unit="b"}"#.to_owned(), 2), (r#"{unit="a"}"#.to_owned(), 1)]);
        assert_eq!(batch.n_entries, 0);
        assert_eq!(batch.due_at(), None);
    }

    #[test]
    fn is_full_by_entries_or_by_bytes() {
        let now = Instant::now();
        let mut batch = LogBatch::default();
        for ts in 0..1_000 {
            assert!(!batch.is_full());
            batch.push(now, record("a", ts, ""));
        }
        assert!(batch.is_full());
        let mut batch = LogBatch::default();
        batch.push(now, record("a", 0, &"x".repeat(BYTES_MAX)));
        assert!(batch.is_full());
    }
}
