//! Free blocks of memory by size, from `/proc/buddyinfo`.

use skep_proto::MetricKind;

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/buddyinfo";

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let text = context.roots.read_proc("buddyinfo")?;
    let family = out.family(
        "node_buddyinfo_blocks",
        "Free blocks of 2^size pages, by node and zone of the memory.",
        MetricKind::Gauge,
    );
    for line in text.lines() {
        let (node, zone, counts) = zone(line)?;
        for (size, count) in counts.split_ascii_whitespace().enumerate() {
            let count = number(FILE, "a number of blocks", Some(count))?;
            let labels = [("node", node), ("zone", zone), ("size", &size.to_string())];
            family.point(labels, count);
        }
    }
    Ok(())
}

/// Node and zone, and the numbers behind: `Node 0, zone   Normal   4381   1093 …`.
fn zone(line: &str) -> Result<(&str, &str, &str), SourceError> {
    let parts = || {
        let (node, rest) = line.strip_prefix("Node ")?.split_once(',')?;
        let rest = rest.trim_start().strip_prefix("zone")?.trim_start();
        let (zone, counts) = rest.split_once(' ')?;
        Some((node, zone, counts))
    };
    parts().ok_or(SourceError::Missing { file: FILE, what: "a node or zone" })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn blocks_are_told_by_node_zone_and_size() {
        let text = "Node 0, zone      DMA      1      0      3 \n\
            Node 12, zone   Normal   4381   1093    185 \n";
        Host::default().file("proc/buddyinfo", text).check(collect, &expect![[r##"
            # HELP node_buddyinfo_blocks Free blocks of 2^size pages, by node and zone of the memory.
            # TYPE node_buddyinfo_blocks gauge
            node_buddyinfo_blocks{node="0",zone="DMA",size="0"} 1
            node_buddyinfo_blocks{node="0",zone="DMA",size="1"} 0
            node_buddyinfo_blocks{node="0",zone="DMA",size="2"} 3
            node_buddyinfo_blocks{node="12",zone="Normal",size="0"} 4381
            node_buddyinfo_blocks{node="12",zone="Normal",size="1"} 1093
            node_buddyinfo_blocks{node="12",zone="Normal",size="2"} 185
        "##]]);
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /proc/buddyinfo: No such file or directory (os error 2)
        "#]],
        );
        host.file("proc/buddyinfo", "Node 0, zone\n").check(
            collect,
            &expect![[r#"
            error: /proc/buddyinfo: a node or zone is missing
        "#]],
        );
        host.file("proc/buddyinfo", "Node 0, zone DMA 1 x\n").check(
            collect,
            &expect![[r#"
            error: /proc/buddyinfo: a number of blocks is not a number: "x"
        "#]],
        );
    }
}
