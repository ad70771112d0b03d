//! Which hashes a page holds: a Bloom filter whose every lookup is one cache line.

/// Bytes of a block: a lookup reads one.
pub(super) const BLOCK_BYTES: usize = 64;
const BLOCK_BITS: u64 = 512;
/// Bits of a position in a block; seven positions are what a hash has room for.
const POSITION_BITS: u32 = 9;
const SPREAD: u64 = 0x9fb2_1c65_1e98_df25;

/// How many bits each kind of hash sets: the more, the larger and the surer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strength {
    /// Of numbers and pairs, seven at most: one of them has to do.
    pub(super) number: u32,
    /// Of grams: a long run has several.
    pub(super) gram: u32,
}

impl Strength {
    /// Of a part that is soon merged.
    pub(super) const FLUSHED: Self = Self { number: 5, gram: 3 };
    pub(super) const MERGED: Self = Self { number: 7, gram: 4 };
    pub(super) const MAX: u32 = 7;

    /// Blocks for so many hashes, about half of whose bits are set then.
    fn n_blocks(self, n_numbers: usize, n_grams: usize) -> usize {
        let n_set =
            n_numbers as u64 * u64::from(self.number) + n_grams as u64 * u64::from(self.gram);
        // 1 / ln 2, and a little for blocks that got more than others.
        let n_bits = n_set * 3 / 2;
        usize::try_from(n_bits.div_ceil(BLOCK_BITS)).unwrap_or(1)
    }
}

/// The filter of the given hashes, block after block; empty where there are none.
pub(super) fn build(numbers: &[u64], grams: &[u64], strength: Strength) -> Vec<u8> {
    let n_blocks = strength.n_blocks(numbers.len(), grams.len());
    let mut blocks = vec![0_u64; n_blocks * BLOCK_BYTES / 8];
    for (hashes, n_bits) in [(numbers, strength.number), (grams, strength.gram)] {
        for &hash in hashes {
            let start = block_of(hash, n_blocks) * BLOCK_BYTES / 8;
            let Some(block) = blocks.get_mut(start..start + BLOCK_BYTES / 8) else { continue };
            for (word, bit) in positions(hash, n_bits) {
                if let Some(word) = block.get_mut(word) {
                    *word |= bit;
                }
            }
        }
    }
    blocks.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// Where the hash's block is in a filter of so many blocks.
pub(super) fn block_of(hash: u64, n_blocks: usize) -> usize {
    let product = u128::from(hash) * (n_blocks as u128);
    usize::try_from(product >> 64).unwrap_or(0)
}

/// Whether a block may hold the hash.
pub(super) fn admits(block: &[u8; BLOCK_BYTES], hash: u64, n_bits: u32) -> bool {
    let (words, _) = block.as_chunks::<8>();
    positions(hash, n_bits)
        .all(|(word, bit)| words.get(word).is_some_and(|it| u64::from_le_bytes(*it) & bit != 0))
}

/// The word of a block and the bit in it, for each bit that a hash sets.
fn positions(hash: u64, n_bits: u32) -> impl Iterator<Item = (usize, u64)> {
    let spread = hash.wrapping_mul(SPREAD);
    (0..n_bits).map(move |i| {
        let position = (spread >> (64 - POSITION_BITS * (i + 1))) % BLOCK_BITS;
        (usize::try_from(position / 64).unwrap_or(0), 1 << (position % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(n: u64, salt: u64) -> Vec<u64> {
        (0..n).map(|it| xxhash_rust::xxh3::xxh3_64_with_seed(&it.to_le_bytes(), salt)).collect()
    }

    fn holds(filter: &[u8], hash: u64, n_bits: u32) -> bool {
        let (blocks, _) = filter.as_chunks::<BLOCK_BYTES>();
        admits(&blocks[block_of(hash, blocks.len())], hash, n_bits)
    }

    #[test]
    fn what_is_in_is_found_and_little_else() {
        let (numbers, grams) = (hashes(8_000, 1), hashes(30_000, 2));
        let others = hashes(20_000, 3);
        for (strength, false_numbers_max) in [(Strength::FLUSHED, 0.06), (Strength::MERGED, 0.02)] {
            let filter = build(&numbers, &grams, strength);
            assert!(numbers.iter().all(|it| holds(&filter, *it, strength.number)));
            assert!(grams.iter().all(|it| holds(&filter, *it, strength.gram)));
            let n = others.iter().filter(|it| holds(&filter, **it, strength.number)).count();
            assert!((n as f64) < false_numbers_max * 20_000.0, "{n} of 20,000 are false");
        }
        assert!(build(&[], &[], Strength::MERGED).is_empty());
    }
}
