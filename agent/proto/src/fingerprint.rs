//! Standing for the way a sender spells a label set, so that a known series is found without
//! looking at its labels.

use std::hash::{BuildHasher as _, RandomState};

use xxhash_rust::xxh3::xxh3_128_with_secret;

/// The least that xxh3 takes as its secret.
const SECRET_BYTES: usize = 192;

/// A hash of the bytes that spell a label set. The same set spelled otherwise (in another order,
/// another version of the protocol) has another one. Two spellings of one fingerprint are taken
/// for the same, which is why it has 128 bits and depends on a [`HashSecret`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    pub high: u64,
    pub low: u64,
}

/// What no sender knows: without it nobody can make two label sets of one fingerprint.
#[derive(Clone, PartialEq, Eq)]
pub struct HashSecret([u8; SECRET_BYTES]);

impl HashSecret {
    /// Another one each time, from the system's randomness.
    pub fn random() -> Self {
        let random = RandomState::new();
        let mut secret = [0; SECRET_BYTES];
        for (i, word) in secret.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *word = random.hash_one(i).to_le_bytes();
        }
        Self(secret)
    }

    pub fn fingerprint(&self, bytes: &[u8]) -> Fingerprint {
        let hash = xxh3_128_with_secret(bytes, &self.0).to_le_bytes();
        let (halves, _) = hash.as_chunks::<8>();
        match *halves {
            [low, high] => {
                Fingerprint { high: u64::from_le_bytes(high), low: u64::from_le_bytes(low) }
            }
            _ => unreachable!("sixteen bytes are two times eight"),
        }
    }
}

impl std::fmt::Debug for HashSecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("HashSecret(…)")
    }
}

impl Fingerprint {
    /// For hashing it together with others.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.high) << 64 | u128::from(self.low)).to_le_bytes()
    }
}

/// A series that a store knows; of use in that store only, for as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u32);

/// What a store knows of the spellings that arrived before.
pub trait KnownSeries {
    /// What fingerprints are made with.
    fn secret(&self) -> &HashSecret;

    /// The series of a spelling whose label set was checked and taken before. `None` says nothing:
    /// the store may know the set all the same.
    fn find(&mut self, fingerprint: Fingerprint) -> Option<SeriesRef>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_depends_on_every_byte_and_on_the_secret() {
        let secret = HashSecret::random();
        let spelling = [7; 300];
        let known = secret.fingerprint(&spelling);
        assert_eq!(secret.fingerprint(&spelling), known);
        assert_ne!(HashSecret::random().fingerprint(&spelling), known);
        for at in 0..spelling.len() {
            let mut other = spelling;
            other[at] ^= 1;
            assert_ne!(secret.fingerprint(&other), known, "byte {at}");
        }
    }
}
