//! How a record lies in an append-only file, in the agent's spool and the server's WAL alike.
//!
//! ```text
//! ┌───────────────┬───────────────┬──────────────────┐
//! │ length u32 LE │ crc32c u32 LE │ payload          │  … next frame
//! └───────────────┴───────────────┴──────────────────┘
//! ```
//! The checksum covers the length bytes and the payload, so a run of zeros is not a valid frame.
//! A frame is torn when the file ends inside it, and damaged when the checksum differs. A reader
//! tells the two apart from the clean end; what to do with each is the owner's decision.

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 8;

/// Bounds what a damaged length can make a reader believe; batches are bounded far below.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// What stands at the front of a byte slice.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole frame; the next one starts `n_bytes` further on.
    Whole { payload: &'a [u8], n_bytes: usize },
    /// Nothing more.
    End,
    /// The file ends before the frame does: a write that a crash cut off.
    Torn,
    /// The checksum differs, or the length cannot be true.
    Damaged,
}

/// Appends one frame.
///
/// # Panics
/// A payload over [`PAYLOAD_BYTES_MAX`] is a bug of the caller.
pub fn append(out: &mut Vec<u8>, payload: &[u8]) {
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "frame of {} bytes", payload.len());
    let length = u32::try_from(payload.len()).expect("the bound above is below 4 GiB");
    out.extend(length.to_le_bytes());
    out.extend(checksum(length, payload).to_le_bytes());
    out.extend(payload);
}

/// Reads the frame at the front of `bytes`.
pub fn read(bytes: &[u8]) -> Frame<'_> {
    if bytes.is_empty() {
        return Frame::End;
    }
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Frame::Torn };
    let Some((crc, rest)) = rest.split_first_chunk::<4>() else { return Frame::Torn };
    let length = u32::from_le_bytes(*length);
    let n_payload = length as usize;
    if n_payload > PAYLOAD_BYTES_MAX {
        return Frame::Damaged;
    }
    let Some(payload) = rest.get(..n_payload) else { return Frame::Torn };
    if checksum(length, payload) != u32::from_le_bytes(*crc) {
        return Frame::Damaged;
    }
    Frame::Whole { payload, n_bytes: HEADER_BYTES + n_payload }
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_frames() -> Vec<u8> {
        let mut file = Vec::new();
        append(&mut file, b"first");
        append(&mut file, b"");
        file
    }

    #[test]
    fn reads_what_was_appended() {
        let file = two_frames();
        assert_eq!(read(&file), Frame::Whole { payload: b"first", n_bytes: 13 });
        assert_eq!(read(&file[13..]), Frame::Whole { payload: b"", n_bytes: 8 });
        assert_eq!(read(&file[21..]), Frame::End);
    }

    #[test]
    fn a_file_cut_anywhere_inside_a_frame_is_torn() {
        let file = two_frames();
        for cut in 1..13 {
            assert_eq!(read(&file[..cut]), Frame::Torn, "cut at {cut}");
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        for bit in 0..13 * 8 {
            let mut file = two_frames();
            file[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(read(&file), Frame::Whole { .. }), "bit {bit}");
        }
    }

    #[test]
    fn zeros_are_no_frame() {
        assert_eq!(read(&[0; 64]), Frame::Damaged);
    }
}
