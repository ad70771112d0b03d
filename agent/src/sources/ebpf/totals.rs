//! Counters per unit out of counters per control group: they never go backwards while a unit
//! lives, whatever groups come and go below it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use skep_abi::{GROUP_OTHER, GroupEvents, GroupRun, WAIT_BUCKETS};

use super::cgroups::{Groups, OTHER};

/// What a group's counters say, summed over the CPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) cpu_ns: u64,
    pub(super) wait_ns: u64,
    /// Each wraps around, as in the kernel.
    pub(super) waits: [u32; WAIT_BUCKETS],
    pub(super) events: GroupEvents,
}

/// What a unit's groups have done since the unit was first seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct UnitTotal {
    pub(super) cpu_ns: u64,
    pub(super) wait_ns: u64,
    pub(super) waits: [u64; WAIT_BUCKETS],
    pub(super) events: GroupEvents,
    /// Whether one of its groups was there at the last collection.
    is_alive: bool,
}

/// All units, the last readings of their groups, and the cap on both.
#[derive(Debug)]
pub(super) struct Totals {
    units: BTreeMap<Arc<str>, UnitTotal>,
    last: HashMap<u64, Last>,
    units_max: usize,
    n_folded: usize,
}

#[derive(Debug)]
struct Last {
    reading: Reading,
    /// Collections since the group was seen in the tree.
    n_gone: u32,
}

impl Reading {
    pub(super) fn add_run(&mut self, run: &GroupRun) {
        self.cpu_ns = self.cpu_ns.wrapping_add(run.cpu_ns);
        self.wait_ns = self.wait_ns.wrapping_add(run.wait_ns);
        for (sum, count) in self.waits.iter_mut().zip(run.waits) {
            *sum = sum.wrapping_add(count);
        }
    }

    pub(super) fn add_events(&mut self, events: &GroupEvents) {
        self.events.execs += events.execs;
        self.events.exits += events.exits;
        self.events.oom_kills += events.oom_kills;
    }
}

impl UnitTotal {
    fn add(&mut self, now: &Reading, last: &Reading) {
        self.cpu_ns += now.cpu_ns.wrapping_sub(last.cpu_ns);
        self.wait_ns += now.wait_ns.wrapping_sub(last.wait_ns);
        let waits = now.waits.iter().zip(&last.waits);
        for (total, (now, last)) in self.waits.iter_mut().zip(waits) {
            *total += u64::from(now.wrapping_sub(*last));
        }
        self.events.execs += now.events.execs.wrapping_sub(last.events.execs);
        self.events.exits += now.events.exits.wrapping_sub(last.events.exits);
        self.events.oom_kills += now.events.oom_kills.wrapping_sub(last.events.oom_kills);
    }
}

impl Totals {
    /// At most `units_max` units are told apart, the rest is counted under [`OTHER`].
    pub(super) fn new(units_max: usize) -> Self {
        Self { units: BTreeMap::new(), last: HashMap::new(), units_max, n_folded: 0 }
    }

    /// Takes one collection's readings, made before `groups` was refreshed. Returns the groups that
    /// are gone for good, whose counters in the kernel can be freed.
    pub(super) fn update(&mut self, readings: &HashMap<u64, Reading>, groups: &Groups) -> Vec<u64> {
        // Gone at the last collection already, which told the final values.
        self.units.retain(|name, total| total.is_alive || **name == *OTHER);
        for total in self.units.values_mut() {
            total.is_alive = false;
        }
        let mut folded = HashSet::new();
        for (&group, reading) in readings {
            let last = self
                .last
                .entry(group)
                .or_insert_with(|| Last { reading: Reading::default(), n_gone: 0 });
            let is_alive = groups.is_alive(group);
            last.n_gone = if is_alive { 0 } else { last.n_gone + 1 };
            let name = match groups.unit(group) {
                Some(unit)
                    if self.units.contains_key(unit) || self.units.len() < self.units_max =>
                {
                    Arc::clone(unit)
                }
                Some(unit) => {
                    folded.insert(Arc::clone(unit));
                    OTHER.into()
                }
                None => OTHER.into(),
            };
            if let Some(total) = self.units.get_mut(&name) {
                total.is_alive |= is_alive;
            }
            if *reading != last.reading {
                let total = self.units.entry(name).or_default();
                total.add(reading, &last.reading);
                total.is_alive |= is_alive;
                last.reading = *reading;
            }
        }
        self.n_folded = folded.len();
        let gone: Vec<u64> = readings
            .keys()
            .copied()
            .filter(|group| *group != GROUP_OTHER)
            .filter(|group| self.last.get(group).is_some_and(|it| it.n_gone >= 2))
            .collect();
        self.last.retain(|group, _| readings.contains_key(group) && !gone.contains(group));
        gone
    }

    /// Units in the order of their names.
    pub(super) fn units(&self) -> impl Iterator<Item = (&str, &UnitTotal)> {
        self.units.iter().map(|(name, total)| (&**name, total))
    }

    /// How many units were counted under [`OTHER`] in the last collection.
    pub(super) fn n_folded(&self) -> usize {
        self.n_folded
    }

    /// Counts an OOM kill that the kernel could not attribute itself.
    pub(super) fn add_oom_kill(&mut self, unit: &str) {
        let is_room = self.units.contains_key(unit) || self.units.len() < self.units_max;
        let total = self.units.entry(if is_room { unit } else { OTHER }.into()).or_default();
        total.events.oom_kills += 1;
        total.is_alive = true;
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

    use expect_test::{Expect, expect};

    use super::*;

    /// A tree of groups on a disk, and what their counters in the kernel say.
    struct Host {
        root: tempfile::TempDir,
        groups: Groups,
        totals: Totals,
        readings: HashMap<u64, Reading>,
    }

    impl Host {
        fn new(units_max: usize) -> Self {
            let root = tempfile::tempdir().unwrap();
            let groups = Groups::new(root.path().to_owned());
            let totals = Totals::new(units_max);
            Self { root, groups, totals, readings: HashMap::new() }
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
            let reading = self.readings.entry(group).or_default();
            reading.cpu_ns += cpu_ns;
            reading.waits[0] = reading.waits[0].wrapping_add(1);
        }

        fn collect(&mut self, expected: &Expect) {
            self.groups.refresh().unwrap();
            for group in self.totals.update(&self.readings, &self.groups) {
                self.readings.remove(&group);
            }
            let lines: Vec<String> = self
                .totals
                .units()
                .map(|(name, it)| format!("{name} {} ns, {} turns", it.cpu_ns, it.waits[0]))
                .chain([format!("folded {}", self.totals.n_folded())])
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
    fn a_bucket_that_wraps_around_counts_on() {
        let mut host = Host::new(10);
        let group = host.make("a.service");
        host.readings.entry(group).or_default().waits[0] = u32::MAX;
        host.collect(&expect![[r"
            a.service 0 ns, 4294967295 turns
            folded 0"]]);
        host.ran(group, 0);
        host.collect(&expect![[r"
            a.service 0 ns, 4294967296 turns
            folded 0"]]);
    }
}
