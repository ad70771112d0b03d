//! Memory of each NUMA node, from `/sys/devices/system/node`.

use skep_proto::MetricKind;

use super::{Context, SourceError, number, read, read_trimmed, sorted_dir};
use crate::exposition::Exposition;

const DIR: &str = "/sys/devices/system/node";
const BYTES_PER_KIB: f64 = 1024.0;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("devices/system/node");
    let names = sorted_dir(&dir);
    let nodes: Vec<&str> = names.iter().filter_map(|it| it.strip_prefix("node")).collect();
    for node in nodes.iter().filter(|it| it.bytes().all(|it| it.is_ascii_digit())) {
        let dir = dir.join(format!("node{node}"));
        meminfo(&read(&dir.join("meminfo"))?, out)?;
        numastat(node, &read_trimmed(&dir.join("numastat")).unwrap_or_default(), out)?;
    }
    if nodes.is_empty() { Err(SourceError::NoData { what: "NUMA nodes" }) } else { Ok(()) }
}

/// `Node 0 Active(anon):   1234 kB`
fn meminfo(text: &str, out: &mut Exposition) -> Result<(), SourceError> {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (Some(node), Some(key)) = (words.next(), words.next()) else { continue };
        let value = number(DIR, "a size", words.next())?;
        let unit = if words.next() == Some("kB") { BYTES_PER_KIB } else { 1.0 };
        let key = key.trim_end_matches(':').replace('(', "_").replace(')', "");
        out.family(
            format!("node_memory_numa_{key}"),
            format!("{key} of the NUMA node, in bytes or pages, as in its meminfo."),
            MetricKind::Gauge,
        )
        .point([("node", node)], value * unit);
    }
    Ok(())
}

fn numastat(node: &str, text: &str, out: &mut Exposition) -> Result<(), SourceError> {
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap_or_default();
        let value = number(DIR, "a counter", Some(value))?;
        out.family(
            format!("node_memory_numa_{key}_total"),
            format!("Counter {key} of the NUMA node: pages, by where they were wanted and given."),
            MetricKind::Counter,
        )
        .point([("node", node)], value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn each_node_tells_its_memory() {
        let node = "sys/devices/system/node/node";
        Host::default()
            .file(
                &format!("{node}0/meminfo"),
                "\nNode 0 MemTotal:       134182340 kB\nNode 0 Active(anon):    5 kB\n\
                 Node 0 HugePages_Total:     3\n",
            )
            .file(&format!("{node}0/numastat"), "numa_hit 193460335812\nlocal_node 9\n")
            .file(&format!("{node}12/meminfo"), "Node 12 MemTotal:       1 kB\n")
            .file("sys/devices/system/node/possible", "0,12\n")
            .check(collect, &expect![[r##"
                # HELP node_memory_numa_Active_anon Active_anon of the NUMA node, in bytes or pages, as in its meminfo.
                # TYPE node_memory_numa_Active_anon gauge
                node_memory_numa_Active_anon{node="0"} 5120
                # HELP node_memory_numa_HugePages_Total HugePages_Total of the NUMA node, in bytes or pages, as in its meminfo.
                # TYPE node_memory_numa_HugePages_Total gauge
                node_memory_numa_HugePages_Total{node="0"} 3
                # HELP node_memory_numa_MemTotal MemTotal of the NUMA node, in bytes or pages, as in its meminfo.
                # TYPE node_memory_numa_MemTotal gauge
                node_memory_numa_MemTotal{node="0"} 1.3740271616e+11
                node_memory_numa_MemTotal{node="12"} 1024
                # HELP node_memory_numa_local_node_total Counter local_node of the NUMA node: pages, by where they were wanted and given.
                # TYPE node_memory_numa_local_node_total counter
                node_memory_numa_local_node_total{node="0"} 9
                # HELP node_memory_numa_numa_hit_total Counter numa_hit of the NUMA node: pages, by where they were wanted and given.
                # TYPE node_memory_numa_numa_hit_total counter
                node_memory_numa_numa_hit_total{node="0"} 1.93460335812e+11
            "##]]);
    }

    #[test]
    fn a_host_without_nodes_has_no_data_and_what_is_wrong_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no NUMA nodes
        "#]],
        );
        host.file("sys/devices/system/node/node0/numastat", "numa_hit 1\n");
        host.check(collect, &expect![[r#"
            error: cannot read /sys/devices/system/node/node0/meminfo: No such file or directory (os error 2)
        "#]]);
        host.file("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal: much kB\n");
        host.check(
            collect,
            &expect![[r#"
            error: /sys/devices/system/node: a size is not a number: "much"
        "#]],
        );
        host.file("sys/devices/system/node/node0/meminfo", "");
        host.file("sys/devices/system/node/node0/numastat", "numa_hit\n");
        host.check(
            collect,
            &expect![[r#"
            error: /sys/devices/system/node: a counter is not a number: ""
        "#]],
        );
    }
}
