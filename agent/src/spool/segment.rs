//! One file of the spool: its name, what is known about it, and what a scan of its bytes finds.

use skep_proto::{
    TimestampMs,
    frame::{self, Frame},
};

use crate::spool::record::Record;

/// A segment that still holds batches nobody has acknowledged, or that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// No batch in it has a lower number; also its file name.
    pub(crate) first_seq: u64,
    /// The length up to which the file holds whole frames; bytes behind it are a failed write.
    pub(crate) n_bytes: u64,
    /// What is left to deliver.
    pub(crate) waiting: Waiting,
    /// When the newest batch was spooled.
    pub(crate) newest_at: TimestampMs,
}

/// A sum over batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Waiting {
    pub(crate) n_batches: u64,
    pub(crate) n_items: u64,
    pub(crate) n_bytes: u64,
}

impl Waiting {
    pub(crate) fn of(record: &Record) -> Self {
        let n_bytes = u64::try_from(record.batch.body.len()).unwrap_or(u64::MAX);
        Self { n_batches: 1, n_items: record.batch.n_items.into(), n_bytes }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.n_batches += other.n_batches;
        self.n_items += other.n_items;
        self.n_bytes += other.n_bytes;
    }

    pub(crate) fn subtract(&mut self, other: Self) {
        self.n_batches = self.n_batches.saturating_sub(other.n_batches);
        self.n_items = self.n_items.saturating_sub(other.n_items);
        self.n_bytes = self.n_bytes.saturating_sub(other.n_bytes);
    }
}

const SUFFIX: &str = ".seg";

/// Twenty digits, so that names sort as numbers do.
pub(crate) fn file_name(first_seq: u64) -> String {
    format!("{first_seq:020}{SUFFIX}")
}

/// The first number of a segment, from its file name.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// What the bytes of a segment hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Every batch that can be read, with its frame's range in the file.
    pub(crate) records: Vec<(std::ops::Range<usize>, Record)>,
    /// The file ends inside a frame, which starts here.
    pub(crate) torn_at: Option<usize>,
    /// Frames that are there but cannot be read; behind the last of them the rest of the file may
    /// be lost too.
    pub(crate) n_damaged: usize,
}

impl Scan {
    /// Forgets batches from this number on, which the next segment begins with: their first write
    /// failed, and only the second is known to be durable.
    pub(crate) fn forget_from(&mut self, next_first_seq: u64) {
        let idx = self.records.iter().position(|(_, record)| record.seq >= next_first_seq);
        let start = idx.and_then(|idx| self.records.get(idx)).map(|(range, _)| range.start);
        if let (Some(idx), Some(start)) = (idx, start) {
            self.torn_at = Some(start);
            self.records.truncate(idx);
        }
    }
}

/// Reads every frame. Behind a damaged one the next is looked for where its length says it is:
/// if the length is damaged too, what follows is lost.
pub(crate) fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan::default();
    let mut offset = 0;
    while let Some(rest) = bytes.get(offset..) {
        match frame::read(rest) {
            Frame::End => break,
            Frame::Torn => {
                scan.torn_at = Some(offset);
                break;
            }
            Frame::Whole { payload, n_bytes } => {
                match Record::decode(payload) {
                    Ok(record) => scan.records.push((offset..offset + n_bytes, record)),
                    Err(_) => scan.n_damaged += 1,
                }
                offset += n_bytes;
            }
            Frame::Damaged => {
                scan.n_damaged += 1;
                match behind_damaged(rest) {
                    Some(n_bytes) => offset += n_bytes,
                    None => break,
                }
            }
        }
    }
    scan
}

/// How far behind a damaged frame the next whole one starts, or the file ends.
fn behind_damaged(rest: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*rest.first_chunk::<4>()?);
    let n_bytes = frame::HEADER_BYTES.checked_add(usize::try_from(length).ok()?)?;
    let next = rest.get(n_bytes..)?;
    matches!(frame::read(next), Frame::Whole { .. } | Frame::End).then_some(n_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{
        positions::Positions,
        record::{Kind, NewRecord},
    };

    fn record(seq: u64) -> Record {
        let batch = NewRecord {
            kind: Kind::RemoteWriteV2,
            n_items: 1,
            positions: Positions::default(),
            body: vec![7; 40],
        };
        Record { seq, at: TimestampMs(0), batch }
    }

    fn three() -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        for seq in 1..=3 {
            frame::append(&mut bytes, &record(seq).encode());
        }
        let n_frame = bytes.len() / 3;
        (bytes, n_frame)
    }

    fn seqs(scan: &Scan) -> Vec<u64> {
        scan.records.iter().map(|(_, record)| record.seq).collect()
    }

    #[test]
    fn names_sort_as_numbers_and_are_read_back() {
        assert!(file_name(9) < file_name(10));
        assert_eq!(parse_file_name(&file_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(parse_file_name("position"), None);
        assert_eq!(parse_file_name("1.seg"), None);
    }

    #[test]
    fn the_second_copy_of_a_batch_is_the_one_that_counts() {
        let (bytes, n_frame) = three();
        let mut scan = scan(&bytes);
        scan.forget_from(4);
        assert_eq!((seqs(&scan), scan.torn_at), (vec![1, 2, 3], None));
        scan.forget_from(3);
        assert_eq!((seqs(&scan), scan.torn_at), (vec![1, 2], Some(2 * n_frame)));
    }

    #[test]
    fn a_damaged_body_costs_one_batch() {
        let (mut bytes, n_frame) = three();
        bytes[n_frame + 40] ^= 1;
        let scan = scan(&bytes);
        assert_eq!((seqs(&scan), scan.n_damaged, scan.torn_at), (vec![1, 3], 1, None));
    }

    #[test]
    fn a_damaged_length_costs_what_follows() {
        let (mut bytes, n_frame) = three();
        bytes[n_frame + 3] = 0xff;
        let scan = scan(&bytes);
        assert_eq!((seqs(&scan), scan.n_damaged, scan.torn_at), (vec![1], 1, None));
    }

    #[test]
    fn a_cut_file_keeps_its_whole_frames() {
        let (bytes, n_frame) = three();
        for cut in 2 * n_frame + 1..3 * n_frame {
            let scan = scan(&bytes[..cut]);
            assert_eq!(seqs(&scan), [1, 2]);
            assert_eq!((scan.n_damaged, scan.torn_at), (0, Some(2 * n_frame)), "cut at {cut}");
        }
    }
}
