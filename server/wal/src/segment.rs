//! One file of the log: its name, its header, and walking its frames.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use skep_proto::frame;

/// Which segment; they only grow, over restarts as well. 0 is no segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SegmentSeq(pub u64);

impl fmt::Display for SegmentSeq {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

const MAGIC: &[u8; 8] = b"SKEPWAL\0";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 40;
/// Before each record: how many bytes of the file were known durable when it was written.
pub(crate) const DURABLE_BYTES: usize = 8;

/// Appends a record's frame.
pub(crate) fn append_record(out: &mut Vec<u8>, durable: u64, record: &[u8]) {
    frame::append(out, &[&durable.to_le_bytes(), record].concat());
}

/// What the first bytes of a segment say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) seq: SegmentSeq,
    /// The segment before this one; 0 where there is none.
    pub(crate) previous: SegmentSeq,
    /// How much of the previous segment was acknowledged: what follows there is to be ignored.
    pub(crate) previous_bytes: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Torn,
    Damaged,
    Version(u32),
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(self.seq.0.to_le_bytes());
        out.extend(self.previous.0.to_le_bytes());
        out.extend(self.previous_bytes.to_le_bytes());
        out.extend(crc32c::crc32c(&out).to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header = bytes.get(..HEADER_BYTES).ok_or(HeaderError::Torn)?;
        let (content, crc) = header.split_at(HEADER_BYTES - 4);
        if crc32c::crc32c(content).to_le_bytes() != crc || !content.starts_with(MAGIC) {
            return Err(HeaderError::Damaged);
        }
        let version = read_u32(content, 8);
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        Ok(Self {
            seq: SegmentSeq(read_u64(content, 12)),
            previous: SegmentSeq(read_u64(content, 20)),
            previous_bytes: read_u64(content, 28),
        })
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|it| it.first_chunk()).map_or(0, |it| u32::from_le_bytes(*it))
}

pub(crate) fn read_u64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|it| it.first_chunk()).map_or(0, |it| u64::from_le_bytes(*it))
}

pub(crate) fn path(dir: &Path, seq: SegmentSeq) -> PathBuf {
    dir.join(format!("wal-{:010}.log", seq.0))
}

/// What a segment is called until it is whole.
pub(crate) const UNFINISHED_SUFFIX: &str = ".tmp";

pub(crate) fn parse_name(name: &str) -> Option<SegmentSeq> {
    let digits = name.strip_prefix("wal-")?.strip_suffix(".log")?;
    digits.parse().ok().map(SegmentSeq)
}

/// How the walk over a segment's frames ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WalkEnd {
    /// At the end of the bytes.
    Clean,
    /// At a frame that is not whole, and nothing says that it ever was acknowledged.
    Tail { offset: usize },
    /// At a frame that was acknowledged and is not whole.
    Damaged { offset: usize },
}

/// A record and what its frame says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walked<'a> {
    pub(crate) offset: usize,
    /// How many bytes of the file were durable when it was written.
    pub(crate) durable: u64,
    pub(crate) record: &'a [u8],
}

/// Hands every whole record to `visit` and tells where and why it stopped.
pub(crate) fn walk<'a>(bytes: &'a [u8], mut visit: impl FnMut(Walked<'a>)) -> WalkEnd {
    let mut offset = HEADER_BYTES;
    loop {
        let rest = bytes.get(offset..).unwrap_or_default();
        match frame::read(rest) {
            frame::Frame::End => return WalkEnd::Clean,
            frame::Frame::Whole { payload, n_bytes } => {
                let durable = read_u64(payload, 0);
                match payload.get(DURABLE_BYTES..) {
                    Some(record) => visit(Walked { offset, durable, record }),
                    None => return WalkEnd::Damaged { offset },
                }
                offset += n_bytes;
            }
            frame::Frame::Torn | frame::Frame::Damaged => {
                return if is_acknowledged_after(bytes, offset) {
                    WalkEnd::Damaged { offset }
                } else {
                    WalkEnd::Tail { offset }
                };
            }
        }
    }
}

/// Whether a later frame says that the byte at `offset` was already durable when it was written.
/// Frames are looked for at every byte, since a damaged length leads nowhere; the eight bytes
/// of "durable before" rule out nearly all false starts before a checksum is computed.
fn is_acknowledged_after(bytes: &[u8], offset: usize) -> bool {
    (offset + 1..bytes.len().saturating_sub(frame::HEADER_BYTES + DURABLE_BYTES)).any(|at| {
        let n_payload = read_u32(bytes, at) as usize;
        let durable = read_u64(bytes, at + frame::HEADER_BYTES);
        durable > offset as u64
            && durable <= at as u64
            && n_payload <= bytes.len() - at
            && matches!(bytes.get(at..).map(frame::read), Some(frame::Frame::Whole { .. }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(records: &[(&[u8], u64)]) -> Vec<u8> {
        let header = Header { seq: SegmentSeq(1), previous: SegmentSeq(0), previous_bytes: 0 };
        let mut bytes = header.encode();
        for (record, durable) in records {
            frame::append(&mut bytes, &[&durable.to_le_bytes()[..], record].concat());
        }
        bytes
    }

    fn records(bytes: &[u8]) -> (Vec<Vec<u8>>, WalkEnd) {
        let mut records = Vec::new();
        let end = walk(bytes, |it| records.push(it.record.to_vec()));
        (records, end)
    }

    #[test]
    fn a_header_reads_back_and_any_flipped_bit_is_noticed() {
        let header = Header { seq: SegmentSeq(7), previous: SegmentSeq(6), previous_bytes: 99 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        assert_eq!(Header::decode(&bytes[..39]), Err(HeaderError::Torn));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes), Err(HeaderError::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn a_file_cut_inside_its_last_frame_has_a_tail() {
        let bytes = segment(&[(b"one", 40), (b"two", 59)]);
        for cut in 60..bytes.len() {
            assert_eq!(
                records(&bytes[..cut]),
                (vec![b"one".to_vec()], WalkEnd::Tail { offset: 59 })
            );
        }
    }

    #[test]
    fn a_flipped_bit_before_an_acknowledged_frame_is_damage() {
        let whole = segment(&[(b"one", 40), (b"two", 59), (b"three", 59)]);
        for bit in 40 * 8..59 * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(records(&bytes), (vec![], WalkEnd::Damaged { offset: 40 }), "bit {bit}");
        }
        // Nothing says that the second frame was durable before the third was written.
        let mut bytes = whole;
        bytes[70] ^= 1;
        assert_eq!(records(&bytes), (vec![b"one".to_vec()], WalkEnd::Tail { offset: 59 }));
    }

    #[test]
    fn names_sort_as_numbers() {
        assert_eq!(path(Path::new("/d"), SegmentSeq(12)), Path::new("/d/wal-0000000012.log"));
        assert_eq!(parse_name("wal-0000000012.log"), Some(SegmentSeq(12)));
        assert_eq!(parse_name("wal-x.log"), None);
    }
}
