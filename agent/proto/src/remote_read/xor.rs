//! Prometheus' chunks of float samples: time stamps as differences of differences, values as what
//! changed of their bits.
//!
//! ```text
//! n_samples u16 big-endian
//! first sample:   ts varint (zigzag), value 64 bits
//! second sample:  delta uvarint, value XOR
//! any further:    delta of delta, value XOR
//! delta of delta: 0 | 10 and 14 bits | 110 and 17 | 1110 and 20 | 1111 and 64
//! XOR:            0, the same | 10 and the bits between the zeros of before |
//!                 11, leading zeros in 5 bits, length in 6 bits (64 is 0), the bits
//! ```

use crate::{Sample, TimestampMs};

/// Samples of one chunk, as Prometheus cuts them.
pub const N_SAMPLES_MAX: usize = 120;

/// One chunk of samples in order of time; what is over 65,535 is left out.
pub fn encode(samples: &[Sample]) -> Vec<u8> {
    let n_samples = u16::try_from(samples.len()).unwrap_or(u16::MAX);
    let mut out = Bits::default();
    out.push(u64::from(n_samples), 16);
    let mut window = None;
    let mut before: Option<(Sample, Option<i64>)> = None;
    for sample in samples.iter().take(usize::from(n_samples)) {
        let delta = match before {
            None => {
                out.push_uvarint(zigzag(sample.ts.0));
                out.push(sample.value.to_bits(), 64);
                None
            }
            Some((last, last_delta)) => {
                let delta = sample.ts.0.wrapping_sub(last.ts.0);
                match last_delta {
                    None => out.push_uvarint(delta.cast_unsigned()),
                    Some(last_delta) => push_ts(&mut out, delta.wrapping_sub(last_delta)),
                }
                let changed = sample.value.to_bits() ^ last.value.to_bits();
                push_value(&mut out, changed, &mut window);
                Some(delta)
            }
        };
        before = Some((*sample, delta));
    }
    out.bytes
}

fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn push_ts(out: &mut Bits, dod: i64) {
    let fits = |n_bits: u32| -((1 << (n_bits - 1)) - 1) <= dod && dod <= 1 << (n_bits - 1);
    let (prefix, n_prefix, n_bits) = match dod {
        0 => return out.push(0, 1),
        _ if fits(14) => (0b10, 2, 14),
        _ if fits(17) => (0b110, 3, 17),
        _ if fits(20) => (0b1110, 4, 20),
        _ => (0b1111, 4, 64),
    };
    out.push(prefix, n_prefix);
    out.push(dod.cast_unsigned(), n_bits);
}

/// `window`: leading and trailing zeros of the last value that did not fit into the window before.
fn push_value(out: &mut Bits, changed: u64, window: &mut Option<(u32, u32)>) {
    if changed == 0 {
        return out.push(0, 1);
    }
    // Five bits hold it.
    let leading = changed.leading_zeros().min(31);
    let trailing = changed.trailing_zeros();
    match *window {
        Some((first, last)) if leading >= first && trailing >= last => {
            out.push(0b10, 2);
            out.push(changed >> last, 64 - first - last);
        }
        _ => {
            let n_bits = 64 - leading - trailing;
            out.push(0b11, 2);
            out.push(u64::from(leading), 5);
            out.push(u64::from(n_bits % 64), 6);
            out.push(changed >> trailing, n_bits);
            *window = Some((leading, trailing));
        }
    }
}

/// Bits, the highest of each byte first.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Free in the last byte.
    n_free: u32,
}

impl Bits {
    /// The lowest `n_bits` of `value`.
    fn push(&mut self, value: u64, n_bits: u32) {
        let mut n_left = n_bits;
        while n_left > 0 {
            if self.n_free == 0 {
                self.bytes.push(0);
                self.n_free = 8;
            }
            let n_now = n_left.min(self.n_free);
            n_left -= n_now;
            self.n_free -= n_now;
            let bits = (value >> n_left) & ((1 << n_now) - 1);
            if let (Some(last), Ok(bits)) = (self.bytes.last_mut(), u8::try_from(bits)) {
                *last |= bits << self.n_free;
            }
        }
    }

    fn push_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push((value & 0x7f) | 0x80, 8);
            value >>= 7;
        }
        self.push(value, 8);
    }
}

/// What a chunk holds; `None` if it is cut off or none.
pub fn decode(chunk: &[u8]) -> Option<Vec<Sample>> {
    let mut bits = Reader { bytes: chunk, at: 0 };
    let n_samples = bits.take(16)?;
    let mut samples: Vec<Sample> = Vec::new();
    let (mut delta, mut window) = (0_i64, (0_u32, 0_u32));
    for i in 0..n_samples {
        let Some(last) = samples.last().copied() else {
            let ts = bits.uvarint()?;
            let ts = (ts >> 1).cast_signed() ^ -(ts & 1).cast_signed();
            let value = f64::from_bits(bits.take(64)?);
            samples.push(Sample { ts: TimestampMs(ts), value });
            continue;
        };
        delta = match i {
            1 => bits.uvarint()?.cast_signed(),
            _ => delta.wrapping_add(bits.dod()?),
        };
        if bits.take(1)? == 1 {
            if bits.take(1)? == 1 {
                let leading = u32::try_from(bits.take(5)?).ok()?;
                let n_bits = match u32::try_from(bits.take(6)?).ok()? {
                    0 => 64,
                    n_bits => n_bits,
                };
                window = (leading, 64_u32.checked_sub(leading + n_bits)?);
            }
            let (leading, trailing) = window;
            let changed = bits.take(64 - leading - trailing)? << trailing;
            let value = f64::from_bits(last.value.to_bits() ^ changed);
            samples.push(Sample { ts: TimestampMs(last.ts.0.wrapping_add(delta)), value });
        } else {
            samples.push(Sample { ts: TimestampMs(last.ts.0.wrapping_add(delta)), ..last });
        }
    }
    Some(samples)
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, n_bits: u32) -> Option<u64> {
        let mut value = 0;
        for _ in 0..n_bits {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u64::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(8)?;
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn dod(&mut self) -> Option<i64> {
        let mut n_bits = 64;
        for width in [0, 14, 17, 20] {
            if self.take(1)? == 0 {
                n_bits = width;
                break;
            }
        }
        let value = self.take(n_bits)?;
        // The sign is not in the highest bit alone: of n bits, 2^(n-1) itself is positive.
        let is_negative = n_bits > 0 && n_bits < 64 && value > 1 << (n_bits - 1);
        Some(if is_negative { value.wrapping_sub(1 << n_bits) } else { value }.cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples(pairs: &[(i64, f64)]) -> Vec<Sample> {
        pairs.iter().map(|&(ts, value)| Sample { ts: TimestampMs(ts), value }).collect()
    }

    #[test]
    fn a_chunk_is_as_prometheus_writes_it() {
        // From Prometheus' layout by hand: 2 samples, ts 1 (zigzag 2), 1.0; delta 15, same value.
        let chunk = encode(&samples(&[(1, 1.0), (16, 1.0)]));
        assert_eq!(chunk, [0, 2, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 15, 0]);
        // 2.0 ^ 1.0 = 0x7ff0…: bits 1, 1, leading 1 in 5, length 11 in 6, eleven ones.
        let chunk = encode(&samples(&[(1, 1.0), (16, 2.0)]));
        assert_eq!(chunk[12..], [0b1100_0010, 0b0101_1111, 0b1111_1111]);
    }

    #[test]
    fn steady_time_stamps_cost_a_bit() {
        let steady: Vec<Sample> =
            (0..120).map(|i| Sample { ts: TimestampMs(i * 15_000), value: 7.0 }).collect();
        // Two bytes of count, one of time, eight of value, three of delta, then two bits a sample.
        assert_eq!(encode(&steady).len(), 2 + 1 + 8 + 2 + 30);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            start in any::<i32>(),
            steps in prop::collection::vec(
                (
                    prop_oneof![Just(15_000_i64), 0..40_000_i64, 0..1_i64 << 40],
                    prop_oneof![any::<u64>(), Just(1.0_f64.to_bits()), (0..9_u64).prop_map(|it| (it as f64).to_bits())],
                ),
                0..150,
            ),
        ) {
            let mut ts = i64::from(start);
            let written: Vec<(i64, u64)> = steps.iter().map(|&(step, bits)| { ts += step; (ts, bits) }).collect();
            let samples: Vec<Sample> =
                written.iter().map(|&(ts, bits)| Sample { ts: TimestampMs(ts), value: f64::from_bits(bits) }).collect();
            let read = decode(&encode(&samples)).unwrap();
            let read: Vec<(i64, u64)> = read.iter().map(|it| (it.ts.0, it.value.to_bits())).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn anything_decodes_or_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(&bytes);
        }
    }
}
