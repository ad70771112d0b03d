//! One batch as it lies in the spool: a short header in front of the request body.
//!
//! ```text
//! version u8 │ kind u8 │ seq u64 │ at i64 (ms) │ n_items u32 │ n_positions u16 │ positions │ body
//! ```
//! Integers are little-endian; the frame around it carries length and checksum.

use skep_proto::TimestampMs;

use crate::spool::positions::Positions;

/// What a batch's body is encoded as. The numbers are on disks: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    RemoteWriteV1 = 1,
    RemoteWriteV2 = 2,
    LokiPush = 3,
}

/// A batch on its way into the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewRecord {
    pub(crate) kind: Kind,
    /// Samples or log entries inside.
    pub(crate) n_items: u32,
    /// Where sources have been read up to once this batch is delivered.
    pub(crate) positions: Positions,
    /// The request body, as the server gets it.
    pub(crate) body: Vec<u8>,
}

/// A batch in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Names the batch for ever: no other content ever gets this number.
    pub(crate) seq: u64,
    /// When it was spooled.
    pub(crate) at: TimestampMs,
    pub(crate) batch: NewRecord,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum RecordError {
    #[error("record ends inside its header")]
    Short,
    #[error("record has version {0}, this agent reads version 1")]
    Version(u8),
    #[error("record has unknown kind {0}")]
    Kind(u8),
    #[error("the record's positions are not UTF-8")]
    Positions(#[source] std::str::Utf8Error),
}

const VERSION: u8 = 1;
/// Positions of one batch, in bytes: a batch that has more of them is full.
pub(crate) const POSITIONS_BYTES_MAX: usize = 60_000;
/// Bytes in front of the positions.
const HEADER_BYTES: usize = 24;

impl Record {
    /// # Panics
    /// Positions over 64 KiB are a bug of the caller, see [`POSITIONS_BYTES_MAX`].
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { seq, at, batch } = self;
        let positions = batch.positions.to_text();
        let n_positions = u16::try_from(positions.len()).expect("batches are bounded");
        let mut out = Vec::with_capacity(HEADER_BYTES + positions.len() + batch.body.len());
        out.extend([VERSION, batch.kind as u8]);
        out.extend(seq.to_le_bytes());
        out.extend(at.0.to_le_bytes());
        out.extend(batch.n_items.to_le_bytes());
        out.extend(n_positions.to_le_bytes());
        out.extend(positions.as_bytes());
        out.extend(&batch.body);
        out
    }

    /// The length of the encoded record.
    pub(crate) fn n_bytes(&self) -> usize {
        HEADER_BYTES + self.batch.positions.to_text().len() + self.batch.body.len()
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, RecordError> {
        let mut rest = payload;
        let [version, kind] = take(&mut rest)?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let kind = match kind {
            1 => Kind::RemoteWriteV1,
            2 => Kind::RemoteWriteV2,
            3 => Kind::LokiPush,
            other => return Err(RecordError::Kind(other)),
        };
        let seq = u64::from_le_bytes(take(&mut rest)?);
        let at = TimestampMs(i64::from_le_bytes(take(&mut rest)?));
        let n_items = u32::from_le_bytes(take(&mut rest)?);
        let n_positions = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let (positions, body) = rest.split_at_checked(n_positions).ok_or(RecordError::Short)?;
        let positions = str::from_utf8(positions).map_err(RecordError::Positions)?;
        let positions = Positions::parse(positions);
        Ok(Self { seq, at, batch: NewRecord { kind, n_items, positions, body: body.to_vec() } })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RecordError> {
    let (front, behind) = rest.split_first_chunk::<N>().ok_or(RecordError::Short)?;
    *rest = behind;
    Ok(*front)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            seq: 7,
            at: TimestampMs(-1),
            batch: NewRecord {
                kind: Kind::LokiPush,
                n_items: 3,
                positions: Positions::journal("s=1;i=2"),
                body: b"body".to_vec(),
            },
        }
    }

    #[test]
    fn the_bytes_of_version_1_stay_as_they_are() {
        let bytes: Vec<String> = record().encode().iter().map(|it| format!("{it:02x}")).collect();
        expect_test::expect![[
            "01030700000000000000ffffffffffffffff030000000700733d313b693d32626f6479"
        ]]
        .assert_eq(&bytes.concat());
        assert_eq!(Record::decode(&record().encode()), Ok(record()));
    }

    #[test]
    fn the_length_is_known_without_encoding() {
        assert_eq!(record().n_bytes(), record().encode().len());
    }

    #[test]
    fn a_header_cut_anywhere_is_refused() {
        let bytes = record().encode();
        for cut in 0..bytes.len() - record().batch.body.len() {
            assert_eq!(Record::decode(&bytes[..cut]), Err(RecordError::Short), "cut at {cut}");
        }
    }

    #[test]
    fn other_versions_and_kinds_are_named() {
        let mut bytes = record().encode();
        bytes[1] = 9;
        assert_eq!(Record::decode(&bytes), Err(RecordError::Kind(9)));
        bytes[0] = 2;
        assert_eq!(Record::decode(&bytes), Err(RecordError::Version(2)));
    }
}
