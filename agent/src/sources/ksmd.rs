//! Merging of equal pages of memory, from `/sys/kernel/mm/ksm`.

use skep_proto::{
    MetricKind,
    MetricKind::{Counter, Gauge},
};

use super::{Context, SourceError, number, read_trimmed};
use crate::exposition::Exposition;

const DIR: &str = "/sys/kernel/mm/ksm";

/// File, metric, help, type, and what a unit of the file is.
const METRICS: [(&str, &str, &str, MetricKind, f64); 10] = [
    (
        "full_scans",
        "node_ksmd_full_scans_total",
        "How often all memory that may be merged was looked at.",
        Counter,
        1.0,
    ),
    (
        "general_profit",
        "node_ksmd_general_profit_bytes",
        "Bytes saved by merging, less what it takes itself.",
        Gauge,
        1.0,
    ),
    (
        "merge_across_nodes",
        "node_ksmd_merge_across_nodes",
        "1 if pages of different NUMA nodes are merged, else 0.",
        Gauge,
        1.0,
    ),
    ("pages_shared", "node_ksmd_pages_shared", "Pages that stand for merged ones.", Gauge, 1.0),
    (
        "pages_sharing",
        "node_ksmd_pages_sharing",
        "Places where a merged page is used, hence how many are saved.",
        Gauge,
        1.0,
    ),
    (
        "pages_to_scan",
        "node_ksmd_pages_to_scan",
        "Pages that are looked at before the next sleep.",
        Gauge,
        1.0,
    ),
    (
        "pages_unshared",
        "node_ksmd_pages_unshared",
        "Pages that may be merged, but are unique.",
        Gauge,
        1.0,
    ),
    (
        "pages_volatile",
        "node_ksmd_pages_volatile",
        "Pages that change too often to be merged.",
        Gauge,
        1.0,
    ),
    (
        "run",
        "node_ksmd_run",
        "1 if pages are being merged, 2 if they are parted, else 0.",
        Gauge,
        1.0,
    ),
    (
        "sleep_millisecs",
        "node_ksmd_sleep_seconds",
        "Sleep between two looks at memory, in seconds.",
        Gauge,
        1e-3,
    ),
];

/// Kernels before 6.4 do not know their profit.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("kernel/mm/ksm");
    let mut has_some = false;
    for (file, name, help, kind, unit) in METRICS {
        let Some(text) = read_trimmed(&dir.join(file)) else { continue };
        let value = number(DIR, file, Some(&text))? * unit;
        out.family(name, help, kind).point([], value);
        has_some = true;
    }
    if has_some { Ok(()) } else { Err(SourceError::NoData { what: "merging of pages" }) }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{METRICS, collect};
    use crate::sources::tests::Host;

    #[test]
    fn each_file_is_a_metric() {
        let host = Host::default();
        for (value, (file, ..)) in (1..).zip(METRICS) {
            host.file(&format!("sys/kernel/mm/ksm/{file}"), &format!("{value}\n"));
        }
        host.file("sys/kernel/mm/ksm/general_profit", "-64\n");
        host.check(collect, &expect![[r#"
            # HELP node_ksmd_full_scans_total How often all memory that may be merged was looked at.
            # TYPE node_ksmd_full_scans_total counter
            node_ksmd_full_scans_total 1
            # HELP node_ksmd_general_profit_bytes Bytes saved by merging, less what it takes itself.
            # TYPE node_ksmd_general_profit_bytes gauge
            node_ksmd_general_profit_bytes -64
            # HELP node_ksmd_merge_across_nodes 1 if pages of different NUMA nodes are merged, else 0.
            # TYPE node_ksmd_merge_across_nodes gauge
            node_ksmd_merge_across_nodes 3
            # HELP node_ksmd_pages_shared Pages that stand for merged ones.
            # TYPE node_ksmd_pages_shared gauge
            node_ksmd_pages_shared 4
            # HELP node_ksmd_pages_sharing Places where a merged page is used, hence how many are saved.
            # TYPE node_ksmd_pages_sharing gauge
            node_ksmd_pages_sharing 5
            # HELP node_ksmd_pages_to_scan Pages that are looked at before the next sleep.
            # TYPE node_ksmd_pages_to_scan gauge
            node_ksmd_pages_to_scan 6
            # HELP node_ksmd_pages_unshared Pages that may be merged, but are unique.
            # TYPE node_ksmd_pages_unshared gauge
            node_ksmd_pages_unshared 7
            # HELP node_ksmd_pages_volatile Pages that change too often to be merged.
            # TYPE node_ksmd_pages_volatile gauge
            node_ksmd_pages_volatile 8
            # HELP node_ksmd_run 1 if pages are being merged, 2 if they are parted, else 0.
            # TYPE node_ksmd_run gauge
            node_ksmd_run 9
            # HELP node_ksmd_sleep_seconds Sleep between two looks at memory, in seconds.
            # TYPE node_ksmd_sleep_seconds gauge
            node_ksmd_sleep_seconds 0.01
        "#]]);
    }

    #[test]
    fn a_kernel_without_it_has_nothing_to_tell_and_what_is_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no merging of pages
        "#]],
        );
        host.file("sys/kernel/mm/ksm/run", "yes\n").check(
            collect,
            &expect![[r#"
            error: /sys/kernel/mm/ksm: run is not a number: "yes"
        "#]],
        );
    }
}
