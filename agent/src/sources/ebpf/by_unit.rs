//! Counters per unit out of counters per control group: they never go backwards while a unit
//! lives, whatever groups come and go below it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    hash::Hash,
};

use aya::Pod;
use skep_abi::{GROUP_OTHER, GroupPart};

use super::{
    family::{Collect, CollectError},
    maps::Maps,
};
use crate::{
    exposition::Exposition,
    sources::units::{Units, groups::Unit},
};

/// What a kernel map counts for one control group.
pub(super) trait Counters: Copy + Default + PartialEq + Debug + Send {
    /// What a unit's counters are summed up in.
    type Total: Clone + Default + Debug + Send;

    /// Adds another CPU's counts; each field wraps around by itself.
    fn plus(&mut self, other: &Self);

    /// Adds to a unit's total what has been counted since `last`.
    fn add_since(&self, last: &Self, total: &mut Self::Total);
}

/// A field of [`Counters`] that wraps around; may be all that an entry holds.
pub(super) trait Wrapping {
    fn wrapping_plus(&mut self, other: &Self);
    fn add_difference(total: &mut Self, now: &Self, last: &Self);
}

impl<W: Wrapping + Copy + Default + PartialEq + Debug + Send> Counters for W {
    type Total = Self;

    fn plus(&mut self, other: &Self) {
        self.wrapping_plus(other);
    }

    fn add_since(&self, last: &Self, total: &mut Self) {
        Self::add_difference(total, self, last);
    }
}

impl Wrapping for u64 {
    fn wrapping_plus(&mut self, other: &Self) {
        *self = self.wrapping_add(*other);
    }

    fn add_difference(total: &mut Self, now: &Self, last: &Self) {
        *total = total.wrapping_add(now.wrapping_sub(*last));
    }
}

impl<const N: usize> Wrapping for [u64; N] {
    fn wrapping_plus(&mut self, other: &Self) {
        self.iter_mut().zip(other).for_each(|(it, other)| it.wrapping_plus(other));
    }

    fn add_difference(total: &mut Self, now: &Self, last: &Self) {
        for (total, (now, last)) in total.iter_mut().zip(now.iter().zip(last)) {
            u64::add_difference(total, now, last);
        }
    }
}

/// Makes a record whose fields all are `u64`, or arrays of them, its own total.
macro_rules! counters {
    ($record:ty { $($field:ident),+ $(,)? }) => {
        impl $crate::sources::ebpf::by_unit::Counters for $record {
            type Total = Self;

            fn plus(&mut self, other: &Self) {
                use $crate::sources::ebpf::by_unit::Wrapping as _;
                $(self.$field.wrapping_plus(&other.$field);)+
            }

            fn add_since(&self, last: &Self, total: &mut Self) {
                use $crate::sources::ebpf::by_unit::Wrapping;
                $(Wrapping::add_difference(&mut total.$field, &self.$field, &last.$field);)+
            }
        }
    };
}
pub(super) use counters;

/// Whose counters an entry of a kernel map holds.
pub(super) trait GroupKey: Pod + Default + Eq + Hash + Debug + Send {
    /// What a group's counters are further told apart by: a device, an exit code.
    type Part: Copy + Ord + Debug + Send;

    fn group(&self) -> u64;
    fn part(&self) -> Self::Part;
    /// Under which groups without a place of their own are counted.
    fn other() -> Self;
}

impl GroupKey for u64 {
    type Part = ();

    fn group(&self) -> u64 {
        *self
    }

    fn part(&self) {}

    fn other() -> Self {
        GROUP_OTHER
    }
}

impl GroupKey for GroupPart {
    type Part = u64;

    fn group(&self) -> u64 {
        self.group
    }

    fn part(&self) -> u64 {
        self.part
    }

    fn other() -> Self {
        Self { group: GROUP_OTHER, part: 0 }
    }
}

/// The totals of all units, and the last readings of their groups.
#[derive(Debug)]
pub(super) struct ByUnit<K: GroupKey, C: Counters> {
    totals: BTreeMap<Unit, BTreeMap<K::Part, C::Total>>,
    /// Of the whole host: what units did that are gone is still in it.
    all: C::Total,
    last: HashMap<K, Last<C>>,
}

#[derive(Debug)]
struct Last<C> {
    reading: C,
    /// Collections since the group was seen in the tree.
    n_gone: u32,
}

impl<K: GroupKey, C: Counters> Default for ByUnit<K, C> {
    fn default() -> Self {
        Self { totals: BTreeMap::new(), all: C::Total::default(), last: HashMap::new() }
    }
}

impl<K: GroupKey, C: Counters> ByUnit<K, C> {
    /// Takes one collection's readings, made before the tree was walked. Returns the keys of
    /// groups that are gone for good, whose counters in the kernel can be freed.
    pub(super) fn update(&mut self, readings: &HashMap<K, C>, units: &mut Units) -> Vec<K> {
        // Gone at the last collection already, which told the final values.
        self.totals.retain(|unit, _| units.knows(unit));
        let mut gone = Vec::new();
        for (&key, reading) in readings {
            let fresh = || Last { reading: C::default(), n_gone: 0 };
            let last = self.last.entry(key).or_insert_with(fresh);
            let group = key.group();
            last.n_gone = if units.is_alive(group) { 0 } else { last.n_gone + 1 };
            if *reading != last.reading {
                let total = self.totals.entry(units.name(group)).or_default();
                reading.add_since(&last.reading, total.entry(key.part()).or_default());
                reading.add_since(&last.reading, &mut self.all);
                last.reading = *reading;
            }
            if last.n_gone >= 2 && group != GROUP_OTHER {
                gone.push(key);
            }
        }
        self.last.retain(|key, last| {
            readings.contains_key(key) && (last.n_gone < 2 || key.group() == GROUP_OTHER)
        });
        gone
    }

    /// Adds what the kernel could not attribute itself.
    pub(super) fn total_mut(&mut self, unit: Unit, part: K::Part) -> &mut C::Total {
        self.totals.entry(unit).or_default().entry(part).or_default()
    }

    /// The total of the whole host.
    pub(super) fn all(&self) -> &C::Total {
        &self.all
    }

    /// Totals in the order of units and parts.
    pub(super) fn totals(&self) -> impl Iterator<Item = (&Unit, K::Part, &C::Total)> {
        let totals = self.totals.iter();
        totals.flat_map(|(unit, parts)| parts.iter().map(move |(part, it)| (unit, *part, it)))
    }
}

/// A family that is one map of counters by control group, with what becomes of their totals.
#[derive(Debug)]
pub(super) struct GroupCounters<K: GroupKey, C: Counters> {
    map: &'static str,
    expose: fn(&ByUnit<K, C>, &mut Exposition),
    readings: HashMap<K, C>,
    by_unit: ByUnit<K, C>,
}

impl<K: GroupKey + 'static, C: Counters + Pod + 'static> GroupCounters<K, C>
where
    C::Total: 'static,
{
    /// Called before a program is loaded, since those look for the entry of all others.
    pub(super) fn start(
        map: &'static str,
        maps: &mut Maps,
        expose: fn(&ByUnit<K, C>, &mut Exposition),
    ) -> Result<Box<dyn Collect>, CollectError> {
        maps.insert_zero::<K, C>(map, K::other())?;
        let (readings, by_unit) = (HashMap::new(), ByUnit::default());
        Ok(Box::new(Self { map, expose, readings, by_unit }))
    }
}

impl<K: GroupKey, C: Counters + Pod> Collect for GroupCounters<K, C> {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        self.readings.clear();
        maps.counters::<K, C>(self.map, &mut self.readings)
    }

    fn attribute(&mut self, maps: &mut Maps, units: &mut Units) -> Result<(), CollectError> {
        for key in self.by_unit.update(&self.readings, units) {
            maps.remove(self.map, &key)?;
        }
        Ok(())
    }

    fn expose(&self, out: &mut Exposition) {
        (self.expose)(&self.by_unit, out);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

    use expect_test::{Expect, expect};

    use super::*;
    use crate::sources::units::groups::Groups;

    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    struct Turns {
        cpu_ns: u64,
        n: u64,
    }

    counters!(Turns { cpu_ns, n });

    /// A tree of groups on a disk, and what their counters in the kernel say.
    struct Host {
        root: tempfile::TempDir,
        units: Units,
        by_unit: ByUnit<u64, Turns>,
        readings: HashMap<u64, Turns>,
    }

    impl Host {
        fn new(units_max: usize) -> Self {
            let root = tempfile::tempdir().unwrap();
            let units = Units::with_groups(Groups::new(root.path().to_owned()), units_max);
            Self { root, units, by_unit: ByUnit::default(), readings: HashMap::new() }
        }

        fn dir(&self, path: &str) -> std::path::PathBuf {
            self.root.path().join(Path::new(path))
        }

        fn make(&self, path: &str) -> u64 {
            fs::create_dir_all(self.dir(path)).unwrap();
            fs::metadata(self.dir(path)).unwrap().ino()
        }

        fn remove(&self, path: &str) {
            fs::remove_dir(self.dir(path)).unwrap();
        }

        fn ran(&mut self, group: u64, cpu_ns: u64) {
            self.readings.entry(group).or_default().plus(&Turns { cpu_ns, n: 1 });
        }

        fn collect(&mut self, expected: &Expect) {
            self.units.refresh().unwrap();
            for group in self.by_unit.update(&self.readings, &mut self.units) {
                self.readings.remove(&group);
            }
            let lines: Vec<String> = self
                .by_unit
                .totals()
                .map(|(unit, (), it)| format!("{} {} ns, {} turns", unit.name, it.cpu_ns, it.n))
                .chain([format!("folded {}", self.units.n_folded())])
                .collect();
            expected.assert_eq(&lines.join("\n"));
        }
    }

    #[test]
    fn a_unit_keeps_what_its_dead_groups_did() {
        let mut host = Host::new(10);
        let (main, child) = (host.make("a.service/main"), host.make("a.service/child"));
        host.ran(main, 10);
        host.ran(child, 5);
        host.collect(&expect![[r"
            a.service 15 ns, 2 turns
            folded 0"]]);
        host.ran(child, 7);
        host.remove("a.service/child");
        for _ in 0..4 {
            host.collect(&expect![[r"
                a.service 22 ns, 3 turns
                folded 0"]]);
        }
        assert_eq!(host.readings.len(), 1, "the dead group's counters were freed");
    }

    #[test]
    fn a_dead_unit_tells_its_last_total_once_more_and_goes() {
        let mut host = Host::new(10);
        let group = host.make("a.scope");
        host.ran(group, 1);
        host.collect(&expect![[r"
            a.scope 1 ns, 1 turns
            folded 0"]]);
        host.ran(group, 1);
        host.remove("a.scope");
        host.collect(&expect![[r"
            a.scope 2 ns, 2 turns
            folded 0"]]);
        host.collect(&expect!["folded 0"]);
        assert!(host.readings.is_empty());
    }

    #[test]
    fn units_beyond_the_cap_are_counted_together() {
        let mut host = Host::new(1);
        let one = host.make("one.service");
        host.ran(one, 1);
        host.collect(&expect![[r"
            one.service 1 ns, 1 turns
            folded 0"]]);
        let (two, three) = (host.make("two.service"), host.make("three.service"));
        host.ran(two, 2);
        host.ran(three, 3);
        host.collect(&expect![[r"
            one.service 1 ns, 1 turns
            other 5 ns, 2 turns
            folded 2"]]);
    }

    #[test]
    fn a_group_that_no_walk_ever_saw_is_counted_all_the_same() {
        let mut host = Host::new(10);
        host.ran(GROUP_OTHER, 9);
        host.collect(&expect![[r"
            other 9 ns, 1 turns
            folded 0"]]);
    }

    #[test]
    fn a_counter_that_wraps_around_counts_on() {
        let mut host = Host::new(10);
        let group = host.make("a.service");
        host.readings.entry(group).or_default().cpu_ns = u64::MAX - 1;
        host.collect(&expect![[r"
            a.service 18446744073709551614 ns, 0 turns
            folded 0"]]);
        host.readings.entry(group).or_default().cpu_ns = 1;
        host.collect(&expect![[r"
            a.service 1 ns, 0 turns
            folded 0"]]);
    }
}
