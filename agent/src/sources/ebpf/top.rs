//! Counters by something there is no end of, such as other hosts: the busiest are told apart, the
//! rest is counted together.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use super::by_unit::Counters;

/// Collections without any change after which an entry makes room: five minutes at 15 s.
const IDLE_MAX: u32 = 20;

/// The totals of the busiest keys, and of all others together.
#[derive(Debug)]
pub(super) struct Top<K, C: Counters<Total = C>> {
    n_max: usize,
    weight: fn(&C) -> u64,
    named: BTreeMap<K, C>,
    other: C,
    last: HashMap<K, Last<C>>,
}

#[derive(Debug)]
struct Last<C> {
    reading: C,
    n_idle: u32,
}

impl<K: Copy + Ord + Hash, C: Counters<Total = C>> Top<K, C> {
    /// Tells at most `n_max` keys apart; `weight` says how busy one was.
    pub(super) fn new(n_max: usize, weight: fn(&C) -> u64) -> Self {
        let (named, last) = (BTreeMap::new(), HashMap::new());
        Self { n_max, weight, named, other: C::default(), last }
    }

    /// Takes what the kernel's counters say. Returns the keys that were idle for long, whose
    /// counters in the kernel can be freed.
    ///
    /// A key with a series of its own keeps it until it was idle for long: a counter must not
    /// come and go. Free places go to those that did most since the last collection.
    pub(super) fn update(&mut self, readings: &HashMap<K, C>, other: K) -> Vec<K> {
        let mut grown: Vec<(K, C)> = Vec::new();
        let mut idle = Vec::new();
        for (key, reading) in readings {
            let last = self.last.entry(*key).or_insert(Last { reading: C::default(), n_idle: 0 });
            if *reading == last.reading {
                last.n_idle += 1;
                if last.n_idle >= IDLE_MAX && *key != other {
                    idle.push(*key);
                }
                continue;
            }
            let mut growth = C::default();
            reading.add_since(&last.reading, &mut growth);
            *last = Last { reading: *reading, n_idle: 0 };
            grown.push((*key, growth));
        }
        for key in &idle {
            self.last.remove(key);
            self.named.remove(key);
        }
        // Equally busy ones in the order of their keys, so that the same is told each time.
        grown.sort_unstable_by_key(|(key, growth)| (u64::MAX - (self.weight)(growth), *key));
        for (key, growth) in grown {
            let is_named =
                self.named.contains_key(&key) || key != other && self.named.len() < self.n_max;
            let total = if is_named { self.named.entry(key).or_default() } else { &mut self.other };
            growth.add_since(&C::default(), total);
        }
        idle
    }

    /// Keys with a total of their own, and the total of all others.
    pub(super) fn totals(&self) -> (impl Iterator<Item = (&K, &C)>, &C) {
        (self.named.iter(), &self.other)
    }
}

#[cfg(test)]
mod tests {
    use skep_abi::Counted;

    use super::*;

    const OTHER: u32 = u32::MAX;

    fn check(top: &mut Top<u32, Counted>, readings: &[(u32, u64)], expected: &str) -> Vec<u32> {
        let readings = readings.iter().map(|&(key, n)| (key, Counted { n, ns: 0 })).collect();
        let idle = top.update(&readings, OTHER);
        let (named, other) = top.totals();
        let mut text: Vec<String> = named.map(|(key, it)| format!("{key}={}", it.n)).collect();
        text.push(format!("other={}", other.n));
        assert_eq!(text.join(" "), expected);
        idle
    }

    #[test]
    fn the_busiest_are_told_apart_and_keep_their_place() {
        let mut top = Top::new(2, |it: &Counted| it.n);
        check(&mut top, &[(1, 5), (2, 50), (3, 20)], "2=50 3=20 other=5");
        check(&mut top, &[(1, 905), (2, 51), (3, 20)], "2=51 3=20 other=905");
    }

    #[test]
    fn one_that_is_idle_for_long_makes_room() {
        let mut top = Top::new(1, |it: &Counted| it.n);
        check(&mut top, &[(1, 5), (2, 1)], "1=5 other=1");
        for _ in 1..IDLE_MAX {
            assert!(check(&mut top, &[(1, 5)], "1=5 other=1").is_empty());
        }
        assert_eq!(check(&mut top, &[(1, 5)], "other=1"), [1]);
        check(&mut top, &[(2, 4)], "2=3 other=1");
    }

    #[test]
    fn what_the_kernel_could_not_tell_apart_is_never_named() {
        let mut top = Top::new(5, |it: &Counted| it.n);
        check(&mut top, &[(OTHER, 7), (1, 1)], "1=1 other=7");
    }
}
