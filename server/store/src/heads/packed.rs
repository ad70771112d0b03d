//! One series' samples in few bytes: what differs from the sample before, in order of arrival.
//!
//! ```text
//! ┌──────────────┬────────────┬────────────────────┬──────────────┬──────────────┐
//! │ value bytes  │ zero bytes │ on the beat? 1 bit │ time stamp   │ value, 0 to  │
//! │ 0..=8, 4 bit │ 3 bits     │                    │ 0..=10 bytes │ 8 bytes      │
//! └──────────────┴────────────┴────────────────────┴──────────────┴──────────────┘
//! ```
//! The value is XORed with the one before; its zero bytes on both sides are left out, those behind
//! it counted. A time stamp is expected as far from the last one as that was from its predecessor;
//! if it is not there, the difference follows as a zigzag varint. A value that does not change
//! takes one byte on a steady beat and two with some jitter.

/// What fits beside the rest of a [`Slot`] into a cache line.
const TAIL_BYTES: usize = 35;
/// Control byte, varint, value, and room for the value's eight bytes to be stored at once.
const SCRATCH_BYTES: usize = 32;
/// As many as a sample mostly takes.
const COPIED_BYTES: usize = 8;
const OFF_BEAT: u8 = 0x80;

/// The newest samples of one series and what the next one is compared with: one cache line, the
/// only one that an append touches.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    before: Before,
    /// The newest full block, counted from 1; 0 for none.
    blocks: u32,
    n_tail: u8,
    tail: [u8; TAIL_BYTES],
}

const _: () = assert!(size_of::<Slot>() == 64, "a slot is a cache line");

/// A full tail, put away.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// As [`Slot::blocks`].
    before: u32,
    n_bytes: u8,
    bytes: [u8; TAIL_BYTES],
}

/// What a sample is compared with.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    ts: i64,
    bits: u64,
    /// From the time stamp before it.
    delta: i32,
    /// See [`Slot::hour`].
    hour: i32,
}

/// Where full tails go. It grows without moving what it holds.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Vec<Block>>);

const BLOCKS_PER_CHUNK: usize = 512;

impl Default for Slot {
    fn default() -> Self {
        Self {
            before: Before { hour: i32::MIN, ..Before::default() },
            blocks: 0,
            n_tail: 0,
            tail: [0; TAIL_BYTES],
        }
    }
}

impl Slot {
    /// The last hour that a sample had, [`i32::MIN`] before the first; whoever appends keeps it.
    pub(super) fn hour(&self) -> i32 {
        self.before.hour
    }

    pub(super) fn set_hour(&mut self, hour: i32) {
        self.before.hour = hour;
    }

    #[inline]
    pub(super) fn push(&mut self, ts: i64, bits: u64, blocks: &mut Blocks) {
        let mut scratch = [0; SCRATCH_BYTES];
        let n_bytes = self.before.encode(ts, bits, &mut scratch);
        let mut at = usize::from(self.n_tail);
        if at + n_bytes > TAIL_BYTES {
            self.blocks =
                blocks.push(Block { before: self.blocks, n_bytes: self.n_tail, bytes: self.tail });
            at = 0;
        }
        let rest = self.tail.get_mut(at..).unwrap_or_default();
        match (rest.first_chunk_mut(), scratch.first_chunk()) {
            // Nearly always: a copy of a known number of bytes is no call.
            (Some(to), Some(from)) if n_bytes <= COPIED_BYTES => {
                let (to, from): (&mut [u8; COPIED_BYTES], &[u8; COPIED_BYTES]) = (to, from);
                *to = *from;
            }
            _ => rest.iter_mut().zip(scratch.iter().take(n_bytes)).for_each(|(to, it)| *to = *it),
        }
        self.n_tail = u8::try_from(at + n_bytes).unwrap_or(0);
        self.before.advance(ts, bits);
    }

    /// Every sample, in order of arrival.
    pub(super) fn read(&self, blocks: &Blocks, mut take: impl FnMut(i64, u64)) {
        let mut chain = Vec::new();
        let mut next = self.blocks;
        while let Some(block) = blocks.get(next) {
            chain.push(block);
            next = block.before;
        }
        let mut before = Before::default();
        for block in chain.into_iter().rev() {
            before.decode(&block.bytes, block.n_bytes, &mut take);
        }
        before.decode(&self.tail, self.n_tail, &mut take);
    }
}

impl Before {
    fn expected_ts(self) -> i64 {
        self.ts.wrapping_add(i64::from(self.delta))
    }

    #[inline]
    fn advance(&mut self, ts: i64, bits: u64) {
        // A gap too long to expect once more.
        let delta = i32::try_from(ts.wrapping_sub(self.ts)).unwrap_or(0);
        *self = Self { ts, bits, delta, hour: self.hour };
    }

    /// How many bytes of the scratch say it.
    #[inline]
    fn encode(self, ts: i64, bits: u64, scratch: &mut [u8; SCRATCH_BYTES]) -> usize {
        let xor = bits ^ self.bits;
        let (n_zero, n_value) = match xor {
            0 => (0, 0),
            _ => {
                let n_zero = xor.trailing_zeros() / 8;
                (n_zero, 8 - xor.leading_zeros() / 8 - n_zero)
            }
        };
        let mut control = u8::try_from(n_value | n_zero << 4).unwrap_or(0);
        let mut n_bytes = 1;
        let off_beat = ts.wrapping_sub(self.expected_ts());
        if off_beat != 0 {
            control |= OFF_BEAT;
            let mut rest = ((off_beat << 1) ^ (off_beat >> 63)).cast_unsigned();
            loop {
                let [low, ..] = rest.to_le_bytes();
                rest >>= 7;
                let more = if rest == 0 { 0 } else { 0x80 };
                if let Some(it) = scratch.get_mut(n_bytes) {
                    *it = low & 0x7f | more;
                }
                n_bytes += 1;
                if rest == 0 {
                    break;
                }
            }
        }
        scratch[0] = control;
        if let Some(it) = scratch.get_mut(n_bytes..n_bytes + 8) {
            it.copy_from_slice(&(xor >> (8 * n_zero)).to_le_bytes());
        }
        n_bytes + n_value as usize
    }

    fn decode(&mut self, bytes: &[u8], n_bytes: u8, take: &mut impl FnMut(i64, u64)) {
        let mut rest = bytes.get(..usize::from(n_bytes)).unwrap_or_default();
        while let [control, after @ ..] = rest {
            rest = after;
            let mut ts = self.expected_ts();
            if control & OFF_BEAT != 0 {
                ts = ts.wrapping_add(take_zigzag(&mut rest));
            }
            let n_value = usize::from(control & 0x0f);
            let n_zero = control >> 4 & 7;
            let (value, after) = rest.split_at_checked(n_value).unwrap_or_default();
            rest = after;
            let mut word = [0; 8];
            if let Some(it) = word.get_mut(..n_value) {
                it.copy_from_slice(value);
            }
            let bits = self.bits ^ u64::from_le_bytes(word) << (8 * n_zero);
            take(ts, bits);
            self.advance(ts, bits);
        }
    }
}

fn take_zigzag(rest: &mut &[u8]) -> i64 {
    let (mut value, mut shift) = (0, 0);
    while let [byte, after @ ..] = *rest {
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 || shift >= 64 {
            break;
        }
    }
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

impl Blocks {
    /// The number of the new block.
    fn push(&mut self, block: Block) -> u32 {
        if self.0.last().is_none_or(|it| it.len() == BLOCKS_PER_CHUNK) {
            self.0.push(Vec::with_capacity(BLOCKS_PER_CHUNK));
        }
        if let Some(last) = self.0.last_mut() {
            last.push(block);
        }
        let n_blocks = (self.0.len() - 1) * BLOCKS_PER_CHUNK + self.0.last().map_or(0, Vec::len);
        // Four billion blocks are 160 GB: refused for want of memory long before.
        u32::try_from(n_blocks).unwrap_or(u32::MAX)
    }

    fn get(&self, number: u32) -> Option<&Block> {
        let at = number.checked_sub(1)? as usize;
        self.0.get(at / BLOCKS_PER_CHUNK)?.get(at % BLOCKS_PER_CHUNK)
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.0.len() * BLOCKS_PER_CHUNK * size_of::<Block>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(slot: &Slot, blocks: &Blocks) -> Vec<(i64, u64)> {
        let mut read = Vec::new();
        slot.read(blocks, |ts, bits| read.push((ts, bits)));
        read
    }

    proptest! {
        #[test]
        fn samples_read_back_bit_for_bit_as_they_came(
            samples in prop::collection::vec(
                prop_oneof![
                    (any::<i64>(), any::<u64>()),
                    (0_i64..100_000, (0_u64..1000).prop_map(|it| (it as f64).to_bits())),
                    (Just(i64::MIN), Just(u64::MAX)),
                    (Just(i64::MAX), Just(0)),
                ],
                0..2000),
        ) {
            let (mut slot, mut blocks) = (Slot::default(), Blocks::default());
            for (ts, bits) in &samples {
                slot.push(*ts, *bits, &mut blocks);
            }
            prop_assert_eq!(read(&slot, &blocks), samples);
        }
    }

    #[test]
    fn a_steady_gauge_takes_a_byte_a_sample() {
        let (mut slot, mut blocks) = (Slot::default(), Blocks::default());
        for i in 0..1000 {
            slot.push(1_795_391_940_000 + 15_000 * i, 42.0_f64.to_bits(), &mut blocks);
        }
        assert_eq!(read(&slot, &blocks).len(), 1000);
        assert_eq!(slot.blocks, 28);
    }
}
