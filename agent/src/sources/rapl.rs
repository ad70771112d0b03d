//! Energy that parts of the processor used, from `/sys/class/powercap`.

use std::{collections::HashMap, io};

use serde::Deserialize;
use skep_proto::MetricKind::Counter;

use super::{Context, SourceError, sysfs};
use crate::exposition::Exposition;

const JOULES_PER_MICROJOULE: f64 = 1e-6;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RaplSettings {
    /// Whether the zone's name is a label of one family; by default it is part of the family's.
    pub(crate) enable_zone_label: bool,
}

/// The kernel shows the counters to root only, so that nobody can spy on what the processor does;
/// who may not see them has none.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("class/powercap");
    let no_data = SourceError::NoData { what: "energy counters it lets us read" };
    let mut n_seen: HashMap<String, u32> = HashMap::new();
    for entry in sysfs::names(&dir, "energy counters")? {
        let zone_dir = dir.join(&entry);
        let Some(zone) = sysfs::text_if_any(&zone_dir.join("name"))? else { continue };
        let (name, index) = name_and_index(&zone, &n_seen);
        n_seen.insert(name.to_owned(), index.saturating_add(1));
        let joules = match sysfs::value_if_any(&zone_dir.join("energy_uj")) {
            Ok(Some(microjoules)) => microjoules * JOULES_PER_MICROJOULE,
            Ok(None) => continue,
            Err(SourceError::Read { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                return Err(no_data);
            }
            Err(error) => return Err(error),
        };
        let index = index.to_string();
        let path = zone_dir.to_string_lossy();
        if context.settings.rapl.enable_zone_label {
            out.family(
                "node_rapl_joules_total",
                "Energy that the zone of the processor used, in joules.",
                Counter,
            )
            .point([("index", &index), ("path", &path), ("rapl_zone", name)], joules);
        } else {
            out.family(
                format!("node_rapl_{}_joules_total", metric_name(name)),
                format!("Energy that the processor's {name} used, in joules."),
                Counter,
            )
            .point([("index", &index), ("path", &path)], joules);
        }
    }
    Ok(())
}

/// `package-1` says which one it is; of names that do not, the zones are counted.
fn name_and_index<'n>(zone: &'n str, n_seen: &HashMap<String, u32>) -> (&'n str, u32) {
    if let Some((name, index)) = zone.split_once('-')
        && let Ok(index) = index.parse()
    {
        return (name, index);
    }
    (zone, n_seen.get(zone).copied().unwrap_or_default())
}

fn metric_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    fn host() -> Host {
        let host = Host::default();
        for (file, text) in [
            ("intel-rapl/enabled", "1\n"),
            ("intel-rapl:0/name", "package-0\n"),
            ("intel-rapl:0/energy_uj", "2500000\n"),
            ("intel-rapl:0:0/name", "dram\n"),
            ("intel-rapl:0:0/energy_uj", "1000001\n"),
            ("intel-rapl:1/name", "package-1\n"),
            ("intel-rapl:1/energy_uj", "5000000\n"),
            ("intel-rapl:1:0/name", "dram\n"),
            ("intel-rapl:1:0/energy_uj", "1000002\n"),
            ("intel-rapl:2/name", "psys-io x\n"),
            ("intel-rapl:2/energy_uj", "0\n"),
            ("dtpm/name", "dtpm\n"),
        ] {
            host.file(&format!("sys/class/powercap/{file}"), text);
        }
        host
    }

    #[test]
    fn zones_of_one_name_are_told_apart_by_their_index() {
        host().check(collect, &expect![[r##"
            # HELP node_rapl_dram_joules_total Energy that the processor's dram used, in joules.
            # TYPE node_rapl_dram_joules_total counter
            node_rapl_dram_joules_total{index="0",path="/sys/class/powercap/intel-rapl:0:0"} 1.000001
            node_rapl_dram_joules_total{index="1",path="/sys/class/powercap/intel-rapl:1:0"} 1.000002
            # HELP node_rapl_package_joules_total Energy that the processor's package used, in joules.
            # TYPE node_rapl_package_joules_total counter
            node_rapl_package_joules_total{index="0",path="/sys/class/powercap/intel-rapl:0"} 2.5
            node_rapl_package_joules_total{index="1",path="/sys/class/powercap/intel-rapl:1"} 5
            # HELP node_rapl_psys_io_x_joules_total Energy that the processor's psys-io x used, in joules.
            # TYPE node_rapl_psys_io_x_joules_total counter
            node_rapl_psys_io_x_joules_total{index="0",path="/sys/class/powercap/intel-rapl:2"} 0
        "##]]);
    }

    #[test]
    fn the_zone_can_be_a_label() {
        let mut host = host();
        host.settings().rapl.enable_zone_label = true;
        host.check(collect, &expect![[r##"
            # HELP node_rapl_joules_total Energy that the zone of the processor used, in joules.
            # TYPE node_rapl_joules_total counter
            node_rapl_joules_total{index="0",path="/sys/class/powercap/intel-rapl:0",rapl_zone="package"} 2.5
            node_rapl_joules_total{index="0",path="/sys/class/powercap/intel-rapl:0:0",rapl_zone="dram"} 1.000001
            node_rapl_joules_total{index="1",path="/sys/class/powercap/intel-rapl:1",rapl_zone="package"} 5
            node_rapl_joules_total{index="1",path="/sys/class/powercap/intel-rapl:1:0",rapl_zone="dram"} 1.000002
            node_rapl_joules_total{index="0",path="/sys/class/powercap/intel-rapl:2",rapl_zone="psys-io x"} 0
        "##]]);
    }

    #[test]
    fn energy_that_is_no_number_is_named_and_a_host_without_counters_has_none() {
        Host::default().check(
            collect,
            &expect![[r#"
            error: this host has no energy counters
        "#]],
        );
        host().file("sys/class/powercap/intel-rapl:1/energy_uj", "lots\n").check(
            collect,
            &expect![[r#"
                error: /sys/class/powercap/intel-rapl:1/energy_uj: not a number: "lots"
            "#]],
        );
    }
}
