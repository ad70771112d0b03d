//! Which series a sender's bytes mean: fingerprints of spellings that arrived before.
//!
//! A cache and nothing more: it knows nothing after a start, and everything in it can be worked
//! out again from the labels. Only label sets that were checked and have an entry get in.

use hashbrown::HashTable;
use skep_proto::{Fingerprint, HashSecret, KnownSeries, SeriesRef};

use crate::shared::{Reading, Shared};

/// A series has a spelling for each sender and version of the protocol, seldom more than one.
/// Beyond this the cache is emptied and begins anew: 30 bytes for each.
const SPELLINGS_PER_SERIES: usize = 4;
/// With few series a few more spellings cost nothing.
const SPELLINGS_MIN: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Spellings {
    secret: HashSecret,
    known: Shared<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// In the order of their arrival, which is the order they will arrive in again.
    spellings: Vec<Spelling>,
    /// Places in `spellings`, by fingerprint.
    places: HashTable<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Spelling {
    fingerprint: Fingerprint,
    ordinal: u32,
}

impl Spellings {
    pub(crate) fn new(secret: HashSecret) -> Self {
        Self { secret, known: Shared::default() }
    }

    pub(crate) fn known(&self) -> KnownSpellings<'_> {
        KnownSpellings { secret: &self.secret, known: self.known.read(), next: 0 }
    }

    /// Forgets all of them: some of the label sets are gone.
    pub(crate) fn clear(&self) {
        *self.known.write() = Known::default();
    }

    /// Notes what these mean, as long as there is room for `n_series`' spellings.
    pub(crate) fn learn(&self, spellings: &[(Fingerprint, u32)], n_series: usize) {
        if spellings.is_empty() {
            return;
        }
        let n_max = SPELLINGS_MIN.max(n_series.saturating_mul(SPELLINGS_PER_SERIES));
        let mut known = self.known.write();
        for (fingerprint, ordinal) in spellings {
            if known.spellings.len() >= n_max {
                *known = Known::default();
            }
            known.learn(Spelling { fingerprint: *fingerprint, ordinal: *ordinal });
        }
    }
}

impl Known {
    fn place(&self, fingerprint: Fingerprint) -> Option<usize> {
        let is_it = |at: &u32| {
            self.spellings.get(*at as usize).is_some_and(|it| it.fingerprint == fingerprint)
        };
        self.places.find(fingerprint.low, is_it).map(|at| *at as usize)
    }

    fn learn(&mut self, spelling: Spelling) {
        // Two requests may bring the same for the first time.
        if self.place(spelling.fingerprint).is_some() {
            return;
        }
        let Ok(place) = u32::try_from(self.spellings.len()) else { return };
        self.spellings.push(spelling);
        let hash = |at: &u32| self.spellings.get(*at as usize).map_or(0, |it| it.fingerprint.low);
        self.places.insert_unique(spelling.fingerprint.low, place, hash);
    }
}

/// The spellings that a store knows, for one request. Nothing is learnt while it is there, so drop
/// it before the request's rows are appended.
#[derive(Debug)]
pub struct KnownSpellings<'s> {
    secret: &'s HashSecret,
    known: Reading<'s, Known>,
    /// Where the next one is, if senders keep their order.
    next: usize,
}

impl KnownSeries for KnownSpellings<'_> {
    fn secret(&self) -> &HashSecret {
        self.secret
    }

    #[inline]
    fn find(&mut self, fingerprint: Fingerprint) -> Option<SeriesRef> {
        let mut spelling = self.known.spellings.get(self.next);
        if spelling.is_none_or(|it| it.fingerprint != fingerprint) {
            self.next = self.known.place(fingerprint)?;
            spelling = self.known.spellings.get(self.next);
        }
        self.next += 1;
        spelling.map(|it| SeriesRef(it.ordinal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_found_in_any_order() {
        let spellings = Spellings::new(HashSecret::random());
        let of = |it: u32| spellings.secret.fingerprint(&it.to_le_bytes());
        let told: Vec<_> = (0..100).map(|it| (of(it), it)).collect();
        spellings.learn(&told, 100);
        spellings.learn(&told[..50], 100);
        let mut known = spellings.known();
        for it in [0, 1, 2, 50, 51, 7, 99, 0] {
            assert_eq!(known.find(of(it)), Some(SeriesRef(it)));
        }
        assert_eq!(known.find(of(100)), None);
        assert_eq!(known.known.spellings.len(), 100);
    }

    #[test]
    fn the_cache_is_bounded() {
        let spellings = Spellings::new(HashSecret::random());
        for it in 0..30_000_u32 {
            spellings.learn(&[(spellings.secret.fingerprint(&it.to_le_bytes()), 7)], 1);
            assert!(spellings.known().known.spellings.len() <= SPELLINGS_MIN);
        }
    }
}
