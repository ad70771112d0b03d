//! Caches of the network code (neighbours, connection tracking), from `/proc/net/stat`.

use skep_proto::MetricKind;

use super::{Context, SourceError, read, sorted_dir};
use crate::exposition::{Exposition, as_f64};

const DIR: &str = "/proc/net/stat";

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.proc.join("net/stat");
    let subsystems = sorted_dir(&dir);
    for subsystem in &subsystems {
        parse(subsystem, &read(&dir.join(subsystem))?, out)?;
    }
    if subsystems.is_empty() {
        return Err(SourceError::NoData { what: "figures of network caches" });
    }
    Ok(())
}

/// A heading of names, then a line of hexadecimal numbers a CPU.
fn parse(subsystem: &str, text: &str, out: &mut Exposition) -> Result<(), SourceError> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    for (cpu, line) in lines.enumerate() {
        let cpu = cpu.to_string();
        for (name, value) in names.iter().zip(line.split_ascii_whitespace()) {
            let value =
                u64::from_str_radix(value, 16).map_err(|std::num::ParseIntError { .. }| {
                    SourceError::Number { file: DIR, what: "a counter", text: value.to_owned() }
                })?;
            out.family(
                format!("node_lnstat_{name}_total"),
                format!("Counter {name} of a cache of the network code."),
                MetricKind::Counter,
            )
            .point([("subsystem", subsystem), ("cpu", &cpu)], as_f64(value));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn each_counter_and_cpu_is_a_series() {
        Host::default()
            .file(
                "proc/net/stat/arp_cache",
                "entries  allocs\n00000014  00000001\n00000014  0000000d\n",
            )
            .file("proc/net/stat/nf_conntrack", "entries  found\n00000021  0000588a\n")
            .check(
                collect,
                &expect![[r##"
                # HELP node_lnstat_allocs_total Counter allocs of a cache of the network code.
                # TYPE node_lnstat_allocs_total counter
                node_lnstat_allocs_total{subsystem="arp_cache",cpu="0"} 1
                node_lnstat_allocs_total{subsystem="arp_cache",cpu="1"} 13
                # HELP node_lnstat_entries_total Counter entries of a cache of the network code.
                # TYPE node_lnstat_entries_total counter
                node_lnstat_entries_total{subsystem="arp_cache",cpu="0"} 20
                node_lnstat_entries_total{subsystem="arp_cache",cpu="1"} 20
                node_lnstat_entries_total{subsystem="nf_conntrack",cpu="0"} 33
                # HELP node_lnstat_found_total Counter found of a cache of the network code.
                # TYPE node_lnstat_found_total counter
                node_lnstat_found_total{subsystem="nf_conntrack",cpu="0"} 22666
            "##]],
            );
    }

    #[test]
    fn a_host_without_caches_has_no_data_and_what_is_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no figures of network caches
        "#]],
        );
        host.file("proc/net/stat/arp_cache", "entries\nxyz\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/stat: a counter is not a number: "xyz"
        "#]],
        );
    }
}
