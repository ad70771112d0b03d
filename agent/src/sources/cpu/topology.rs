//! Throttling by core and package, and isolated CPUs, from `/sys/devices/system/cpu`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use skep_proto::MetricKind;

use crate::{
    exposition::{Exposition, as_f64},
    sources::{Context, read_trimmed, sorted_dir},
};

/// CPUs a list like `1,3-5` may name: what Linux can be built for.
const CPUS_MAX: usize = 8192;

pub(super) fn collect(context: &Context, out: &mut Exposition) {
    let dir = context.roots.sys.join("devices/system/cpu");
    isolated(&dir, out);
    throttles(&dir, out);
}

fn isolated(dir: &Path, out: &mut Exposition) {
    let list = read_trimmed(&dir.join("isolated")).unwrap_or_default();
    let family = out.family(
        "node_cpu_isolated",
        "1 for each CPU that is kept out of scheduling (isolcpus).",
        MetricKind::Gauge,
    );
    for cpu in parse_list(&list) {
        family.point([("cpu", &cpu.to_string())], 1.0);
    }
}

fn parse_list(list: &str) -> BTreeSet<usize> {
    let ranges = list.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        Some(first..=last.min(CPUS_MAX))
    });
    ranges.flatten().collect()
}

/// Threads of a core and cores of a package share one counter each: it is taken from the first CPU
/// that has it. CPUs without topology, and counters that are absent, are left out.
fn throttles(dir: &Path, out: &mut Exposition) {
    let mut packages: BTreeMap<u64, u64> = BTreeMap::new();
    let mut cores: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for entry in sorted_dir(dir) {
        let is_cpu = entry
            .strip_prefix("cpu")
            .is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit()));
        if !is_cpu {
            continue;
        }
        let cpu = dir.join(&entry);
        let read = |file: &str| read_trimmed(&cpu.join(file))?.parse::<u64>().ok();
        let (Some(package), Some(core)) =
            (read("topology/physical_package_id"), read("topology/core_id"))
        else {
            continue;
        };
        if !cores.contains_key(&(package, core)) {
            let count = read("thermal_throttle/core_throttle_count");
            cores.extend(count.map(|it| ((package, core), it)));
        }
        if !packages.contains_key(&package) {
            let count = read("thermal_throttle/package_throttle_count");
            packages.extend(count.map(|it| (package, it)));
        }
    }
    let family = out.family(
        "node_cpu_core_throttles_total",
        "Times the core was slowed down because it was too hot.",
        MetricKind::Counter,
    );
    for ((package, core), count) in cores {
        let (package, core) = (package.to_string(), core.to_string());
        family.point([("package", &package), ("core", &core)], as_f64(count));
    }
    let family = out.family(
        "node_cpu_package_throttles_total",
        "Times the package was slowed down because it was too hot.",
        MetricKind::Counter,
    );
    for (package, count) in packages {
        family.point([("package", &package.to_string())], as_f64(count));
    }
}
