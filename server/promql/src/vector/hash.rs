//! The hash of a label set that `limit_ratio` goes by: Prometheus', so that the same series are
//! chosen.
//!
//! XXH64 (<https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>, seed 0) over names and
//! values in order of name, each text behind its length in bytes:
//!
//! ```text
//! length below 255: 1 byte | else: 0xff, 3 bytes, lowest first
//! ```

use skep_proto::Labels;

const PRIME: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

pub(super) fn hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::with_capacity(128);
    for (name, value) in labels.iter() {
        push(&mut bytes, name);
        push(&mut bytes, value);
    }
    xxh64(&bytes)
}

fn push(bytes: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(short) if short < u8::MAX => bytes.push(short),
        _ => {
            bytes.push(u8::MAX);
            bytes.extend(text.len().to_le_bytes().into_iter().take(3));
        }
    }
    bytes.extend_from_slice(text.as_bytes());
}

fn xxh64(bytes: &[u8]) -> u64 {
    let [p1, p2, p3, p4, p5] = PRIME;
    let (stripes, rest) = bytes.as_chunks::<32>();
    let mut hash = if stripes.is_empty() {
        p5
    } else {
        let mut lanes = [p1.wrapping_add(p2), p2, 0, p1.wrapping_neg()];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
                *lane = round(*lane, u64::from_le_bytes(*word));
            }
        }
        let turned = lanes.iter().zip([1, 7, 12, 18]).map(|(it, by)| it.rotate_left(by));
        let sum = turned.fold(0_u64, u64::wrapping_add);
        lanes
            .iter()
            .fold(sum, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(p1).wrapping_add(p4))
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        hash ^= round(0, u64::from_le_bytes(*word));
        hash = hash.rotate_left(27).wrapping_mul(p1).wrapping_add(p4);
    }
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(p1);
        hash = hash.rotate_left(23).wrapping_mul(p2).wrapping_add(p3);
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(p5)).rotate_left(11).wrapping_mul(p1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(p2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(p3);
    hash ^ (hash >> 32)
}

fn round(lane: u64, word: u64) -> u64 {
    let [p1, p2, ..] = PRIME;
    lane.wrapping_add(word.wrapping_mul(p2)).rotate_left(31).wrapping_mul(p1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_specification() {
        assert_eq!(xxh64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(xxh64(b"abc"), 0x44bc_2cf5_ad77_0999);
        let text = b"Nobody inspects the spammish repetition";
        assert_eq!(xxh64(text), 0xfbce_a83c_8a37_8bf1);
    }

    #[test]
    fn long_texts_have_long_lengths() {
        let mut bytes = Vec::new();
        push(&mut bytes, &"x".repeat(300));
        assert_eq!(bytes[..4], [255, 44, 1, 0]);
        assert_eq!(bytes.len(), 304);
    }
}
