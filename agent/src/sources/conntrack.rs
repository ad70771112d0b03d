//! The connection tracking table, from `/proc/sys/net/netfilter` and `/proc/net/stat`.

use super::{Context, SourceError, number};
use crate::exposition::{Exposition, as_f64};

const FILE: &str = "/proc/net/stat/nf_conntrack";

/// Columns of the statistics that are told, with their help.
const COLUMNS: [(&str, &str, &str); 8] = [
    (
        "found",
        "node_nf_conntrack_stat_found",
        "Lookups of a connection that found one in the table.",
    ),
    (
        "invalid",
        "node_nf_conntrack_stat_invalid",
        "Packets that belong to no connection and cannot open one.",
    ),
    (
        "ignore",
        "node_nf_conntrack_stat_ignore",
        "Packets that had their connection assigned before they were looked at.",
    ),
    ("insert", "node_nf_conntrack_stat_insert", "Connections added to the table."),
    (
        "insert_failed",
        "node_nf_conntrack_stat_insert_failed",
        "Connections that could not be added, mostly because an equal one was there already.",
    ),
    (
        "drop",
        "node_nf_conntrack_stat_drop",
        "Packets dropped because no new connection could be set up for them.",
    ),
    (
        "early_drop",
        "node_nf_conntrack_stat_early_drop",
        "Connections evicted before their time, because the table was full.",
    ),
    (
        "search_restart",
        "node_nf_conntrack_stat_search_restart",
        "Lookups begun anew because the table was resized meanwhile.",
    ),
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    for (file, name, help) in [
        ("count", "node_nf_conntrack_entries", "Connections that are tracked now."),
        ("max", "node_nf_conntrack_entries_limit", "Connections that can be tracked at most."),
    ] {
        let Ok(text) = context.roots.read_proc(&format!("sys/net/netfilter/nf_conntrack_{file}"))
        else {
            return Err(SourceError::NoData { what: "connection tracking" });
        };
        let value = number("/proc/sys/net/netfilter", "a size", Some(text.trim()))?;
        out.gauge(name, help, value);
    }
    let Ok(table) = context.roots.read_proc("net/stat/nf_conntrack") else {
        return Err(SourceError::NoData { what: "connection tracking statistics" });
    };
    for (column, name, help) in COLUMNS {
        if let Some(sum) = sum(&table, column)? {
            out.gauge(name, help, as_f64(sum));
        }
    }
    Ok(())
}

/// A column over all CPUs: a line each, in hexadecimal, under a line of names.
fn sum(table: &str, column: &str) -> Result<Option<u64>, SourceError> {
    let mut lines = table.lines();
    let mut names = lines.next().unwrap_or_default().split_ascii_whitespace();
    let Some(column_idx) = names.position(|it| it == column) else { return Ok(None) };
    let mut sum = 0_u64;
    for line in lines {
        let text = line
            .split_ascii_whitespace()
            .nth(column_idx)
            .ok_or(SourceError::Missing { file: FILE, what: "a column" })?;
        let value =
            u64::from_str_radix(text, 16).map_err(|std::num::ParseIntError { .. }| {
                SourceError::Number { file: FILE, what: "a column", text: text.to_owned() }
            })?;
        sum = sum.wrapping_add(value);
    }
    Ok(Some(sum))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn cpus_are_summed() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no connection tracking
        "#]],
        );
        host.file("proc/sys/net/netfilter/nf_conntrack_count", "123\n")
            .file("proc/sys/net/netfilter/nf_conntrack_max", "65536\n")
            .file(
                "proc/net/stat/nf_conntrack",
                "entries  clashres found new invalid ignore\n\
                 00000021  00000000 0000000a 00000000 00000003 0000588a\n\
                 00000021  00000000 00000010 00000000 00000002 000056a4\n",
            )
            .check(collect, &expect![[r#"
                # HELP node_nf_conntrack_entries Connections that are tracked now.
                # TYPE node_nf_conntrack_entries gauge
                node_nf_conntrack_entries 123
                # HELP node_nf_conntrack_entries_limit Connections that can be tracked at most.
                # TYPE node_nf_conntrack_entries_limit gauge
                node_nf_conntrack_entries_limit 65536
                # HELP node_nf_conntrack_stat_found Lookups of a connection that found one in the table.
                # TYPE node_nf_conntrack_stat_found gauge
                node_nf_conntrack_stat_found 26
                # HELP node_nf_conntrack_stat_ignore Packets that had their connection assigned before they were looked at.
                # TYPE node_nf_conntrack_stat_ignore gauge
                node_nf_conntrack_stat_ignore 44846
                # HELP node_nf_conntrack_stat_invalid Packets that belong to no connection and cannot open one.
                # TYPE node_nf_conntrack_stat_invalid gauge
                node_nf_conntrack_stat_invalid 5
            "#]]);
        host.file("proc/net/stat/nf_conntrack", "entries found\n1\n");
        host.check(
            collect,
            &expect![[r#"
            error: /proc/net/stat/nf_conntrack: a column is missing
        "#]],
        );
        host.file("proc/net/stat/nf_conntrack", "entries found\n1 x\n");
        host.check(
            collect,
            &expect![[r#"
            error: /proc/net/stat/nf_conntrack: a column is not a number: "x"
        "#]],
        );
    }
}
