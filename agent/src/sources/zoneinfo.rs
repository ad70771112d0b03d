//! Zones of memory, from `/proc/zoneinfo`.

use skep_proto::{
    MetricKind,
    MetricKind::{Counter, Gauge},
};

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/zoneinfo";

/// Key, metric, help, type. What belongs to a whole node stands in the node's first zone.
const METRICS: [(&str, &str, &str, MetricKind); 34] = [
    ("high", "node_zoneinfo_high_pages", "Above this, nothing is reclaimed.", Gauge),
    ("low", "node_zoneinfo_low_pages", "Below this, reclaim starts.", Gauge),
    ("managed", "node_zoneinfo_managed_pages", "Pages that the allocator manages.", Gauge),
    ("min", "node_zoneinfo_min_pages", "Below this, whoever allocates must reclaim.", Gauge),
    ("nr_active_anon", "node_zoneinfo_nr_active_anon_pages", "Anonymous pages used lately.", Gauge),
    ("nr_active_file", "node_zoneinfo_nr_active_file_pages", "Pages of files used lately.", Gauge),
    ("nr_anon_pages", "node_zoneinfo_nr_anon_pages", "Anonymous pages.", Gauge),
    (
        "nr_anon_transparent_hugepages",
        "node_zoneinfo_nr_anon_transparent_hugepages",
        "Anonymous huge pages.",
        Gauge,
    ),
    ("nr_dirtied", "node_zoneinfo_nr_dirtied_total", "Pages that became dirty.", Counter),
    ("nr_dirty", "node_zoneinfo_nr_dirty_pages", "Pages that are dirty.", Gauge),
    ("nr_file_pages", "node_zoneinfo_nr_file_pages", "Pages of files.", Gauge),
    ("nr_free_pages", "node_zoneinfo_nr_free_pages", "Pages that are free.", Gauge),
    (
        "nr_inactive_anon",
        "node_zoneinfo_nr_inactive_anon_pages",
        "Anonymous pages not used lately.",
        Gauge,
    ),
    (
        "nr_inactive_file",
        "node_zoneinfo_nr_inactive_file_pages",
        "Pages of files not used lately.",
        Gauge,
    ),
    (
        "nr_isolated_anon",
        "node_zoneinfo_nr_isolated_anon_pages",
        "Anonymous pages taken off their list for a while.",
        Gauge,
    ),
    (
        "nr_isolated_file",
        "node_zoneinfo_nr_isolated_file_pages",
        "Pages of files taken off their list for a while.",
        Gauge,
    ),
    ("nr_kernel_stack", "node_zoneinfo_nr_kernel_stacks", "Stacks of the kernel, in KiB.", Gauge),
    ("nr_mapped", "node_zoneinfo_nr_mapped_pages", "Pages of files that are mapped.", Gauge),
    (
        "nr_mlock_stack",
        "node_zoneinfo_nr_mlock_stack_pages",
        "Locked pages found on a list of reclaimable ones.",
        Gauge,
    ),
    ("nr_shmem", "node_zoneinfo_nr_shmem_pages", "Pages of shared memory and tmpfs.", Gauge),
    (
        "nr_slab_reclaimable",
        "node_zoneinfo_nr_slab_reclaimable_pages",
        "Pages of slab caches that can be reclaimed.",
        Gauge,
    ),
    (
        "nr_slab_unreclaimable",
        "node_zoneinfo_nr_slab_unreclaimable_pages",
        "Pages of slab caches that cannot be reclaimed.",
        Gauge,
    ),
    (
        "nr_unevictable",
        "node_zoneinfo_nr_unevictable_pages",
        "Pages that cannot be reclaimed.",
        Gauge,
    ),
    ("nr_writeback", "node_zoneinfo_nr_writeback_pages", "Pages that are being written.", Gauge),
    ("nr_written", "node_zoneinfo_nr_written_total", "Pages that were written.", Counter),
    (
        "numa_foreign",
        "node_zoneinfo_numa_foreign_total",
        "Pages wanted here that another node gave.",
        Counter,
    ),
    ("numa_hit", "node_zoneinfo_numa_hit_total", "Pages wanted and given here.", Counter),
    (
        "numa_interleave",
        "node_zoneinfo_numa_interleave_total",
        "Interleaved pages wanted and given here.",
        Counter,
    ),
    (
        "numa_local",
        "node_zoneinfo_numa_local_total",
        "Pages given to a task that ran on this node.",
        Counter,
    ),
    (
        "numa_miss",
        "node_zoneinfo_numa_miss_total",
        "Pages given here though another node was wanted.",
        Counter,
    ),
    (
        "numa_other",
        "node_zoneinfo_numa_other_total",
        "Pages given to a task that ran on another node.",
        Counter,
    ),
    ("present", "node_zoneinfo_present_pages", "Pages there are, without holes.", Gauge),
    ("scanned", "node_zoneinfo_scanned_pages", "Pages looked at since the last reclaim.", Gauge),
    ("spanned", "node_zoneinfo_spanned_pages", "Pages from the first to the last.", Gauge),
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let text = context.roots.read_proc("zoneinfo")?;
    let mut zone = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("Node ") {
            zone = heading.split_once(", zone").map(|(node, name)| [node, name.trim_start()]);
            continue;
        }
        let Some([node, zone]) = zone else { continue };
        let labels = [("node", node), ("zone", zone)];
        let line = line.trim_start();
        if let Some(pages) = line.strip_prefix("protection:") {
            protection(pages, labels, out)?;
            continue;
        }
        let (key, value) = line.split_once(' ').unwrap_or_default();
        // The keys of the per-CPU page sets end with a colon.
        if let Ok(idx) = METRICS.binary_search_by_key(&key, |it| it.0)
            && let Some((_, name, help, kind)) = METRICS.get(idx)
        {
            let value = number(FILE, name, Some(value.trim()))?;
            out.family(*name, *help, *kind).point(labels, value);
        }
    }
    Ok(())
}

/// `(0, 2039, 31932)`
fn protection(
    pages: &str,
    labels: [(&'static str, &str); 2],
    out: &mut Exposition,
) -> Result<(), SourceError> {
    let pages = pages.trim().trim_start_matches('(').trim_end_matches(')');
    for (idx, value) in pages.split(", ").enumerate() {
        let value = number(FILE, "a protection", Some(value))?;
        out.family(
            format!("node_zoneinfo_protection_{idx}"),
            format!("Pages kept from allocations that zone {idx} could serve."),
            Gauge,
        )
        .point(labels, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{METRICS, collect};
    use crate::sources::tests::Host;

    #[test]
    fn zones_are_told_and_what_belongs_to_the_node_once() {
        let text = "Node 0, zone      DMA\n\
            \x20 per-node stats\n\
            \x20     nr_inactive_anon 95612\n\
            \x20     nr_dirtied   1189097\n\
            \x20     nr_new_kind  1\n\
            \x20 pages free     2949\n\
            \x20       min      8\n\
            \x20       high     14\n\
            \x20       protection: (0, 2039)\n\
            \x20     nr_free_pages 2949\n\
            \x20     numa_hit     1\n\
            \x20 pagesets\n\
            \x20   cpu: 0\n\
            \x20             count: 3\n\
            \x20             high:  9\n\
            \x20 node_unreclaimable:  0\n\
            Node 0, zone   Normal\n\
            \x20 pages free     5\n\
            \x20       min      7\n";
        Host::default().file("proc/zoneinfo", text).check(
            collect,
            &expect![[r##"
            # HELP node_zoneinfo_high_pages Above this, nothing is reclaimed.
            # TYPE node_zoneinfo_high_pages gauge
            node_zoneinfo_high_pages{node="0",zone="DMA"} 14
            # HELP node_zoneinfo_min_pages Below this, whoever allocates must reclaim.
            # TYPE node_zoneinfo_min_pages gauge
            node_zoneinfo_min_pages{node="0",zone="DMA"} 8
            node_zoneinfo_min_pages{node="0",zone="Normal"} 7
            # HELP node_zoneinfo_nr_dirtied_total Pages that became dirty.
            # TYPE node_zoneinfo_nr_dirtied_total counter
            node_zoneinfo_nr_dirtied_total{node="0",zone="DMA"} 1.189097e+06
            # HELP node_zoneinfo_nr_free_pages Pages that are free.
            # TYPE node_zoneinfo_nr_free_pages gauge
            node_zoneinfo_nr_free_pages{node="0",zone="DMA"} 2949
            # HELP node_zoneinfo_nr_inactive_anon_pages Anonymous pages not used lately.
            # TYPE node_zoneinfo_nr_inactive_anon_pages gauge
            node_zoneinfo_nr_inactive_anon_pages{node="0",zone="DMA"} 95612
            # HELP node_zoneinfo_numa_hit_total Pages wanted and given here.
            # TYPE node_zoneinfo_numa_hit_total counter
            node_zoneinfo_numa_hit_total{node="0",zone="DMA"} 1
            # HELP node_zoneinfo_protection_0 Pages kept from allocations that zone 0 could serve.
            # TYPE node_zoneinfo_protection_0 gauge
            node_zoneinfo_protection_0{node="0",zone="DMA"} 0
            # HELP node_zoneinfo_protection_1 Pages kept from allocations that zone 1 could serve.
            # TYPE node_zoneinfo_protection_1 gauge
            node_zoneinfo_protection_1{node="0",zone="DMA"} 2039
        "##]],
        );
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /proc/zoneinfo: No such file or directory (os error 2)
        "#]],
        );
        host.file("proc/zoneinfo", "Node 0, zone DMA\n min few\n").check(
            collect,
            &expect![[r#"
            error: /proc/zoneinfo: node_zoneinfo_min_pages is not a number: "few"
        "#]],
        );
        host.file("proc/zoneinfo", "Node 0, zone DMA\n protection: ()\n").check(
            collect,
            &expect![[r#"
                error: /proc/zoneinfo: a protection is not a number: ""
            "#]],
        );
    }

    #[test]
    fn keys_are_sorted_so_that_they_are_found() {
        assert!(METRICS.is_sorted_by_key(|it| it.0));
    }
}
