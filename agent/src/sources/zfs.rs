//! What ZFS counts, from `/proc/spl/kstat/zfs`.

use std::path::Path;

use skep_proto::MetricKind::{Gauge, Unknown};

use super::{Context, SourceError, read, sorted_dir, sysfs};
use crate::exposition::Exposition;

/// Files, the prefixes of their statistics and the statistics' help; versions of ZFS differ in
/// which they have.
const FILES: [(&str, &str, &str); 11] = [
    ("abdstats", "node_zfs_abd", "Statistic of scattered and linear buffers, from abdstats."),
    ("arcstats", "node_zfs_arc", "Statistic of the cache of blocks, from arcstats."),
    (
        "dbufstats",
        "node_zfs_dbuf",
        "Statistic of the cache of decompressed blocks, from dbufstats.",
    ),
    ("dmu_tx", "node_zfs_dmu_tx", "Statistic of transactions, from dmu_tx."),
    ("dnodestats", "node_zfs_dnode", "Statistic of objects' dnodes, from dnodestats."),
    ("fm", "node_zfs_fm", "Statistic of fault reports, from fm."),
    (
        "vdev_cache_stats",
        "node_zfs_vdev_cache",
        "Statistic of the devices' caches, from vdev_cache_stats.",
    ),
    (
        "vdev_mirror_stats",
        "node_zfs_vdev_mirror",
        "Statistic of which side of mirrors was read, from vdev_mirror_stats.",
    ),
    ("xuio_stats", "node_zfs_xuio", "Statistic of borrowed buffers, from xuio_stats."),
    ("zfetchstats", "node_zfs_zfetch", "Statistic of reading ahead, from zfetchstats."),
    ("zil", "node_zfs_zil", "Statistic of the intent log, from zil."),
];

/// States a pool can be in.
const STATES: [&str; 7] =
    ["online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.proc.join("spl/kstat/zfs");
    for name in sysfs::names(&dir, "ZFS")? {
        let path = dir.join(&name);
        if let Ok(idx) = FILES.binary_search_by_key(&name.as_str(), |it| it.0)
            && let Some((_, prefix, help)) = FILES.get(idx)
        {
            collect_file(&path, prefix, help, out)?;
        } else if path.is_dir() {
            collect_pool(&path, &name, out)?;
        }
    }
    Ok(())
}

fn collect_file(
    path: &Path,
    prefix: &str,
    help: &'static str,
    out: &mut Exposition,
) -> Result<(), SourceError> {
    let text = read(path)?;
    for stat in stats(&text) {
        if let Some(value) = stat.value(path)? {
            out.family(family_name(prefix, stat.name), help, Unknown).point([], value);
        }
    }
    Ok(())
}

/// A pool's files come and go with it.
fn collect_pool(dir: &Path, pool: &str, out: &mut Exposition) -> Result<(), SourceError> {
    for file in sorted_dir(dir) {
        let path = dir.join(&file);
        if file == "io" {
            collect_io(&path, &read(&path)?, pool, out)?;
        } else if file == "state" {
            collect_state(&read(&path)?, pool, out);
        } else if file.starts_with("objset-") {
            collect_dataset(&path, &read(&path)?, pool, out)?;
        }
    }
    Ok(())
}

/// A line of names and a line of values. Newer versions have no such file.
fn collect_io(
    path: &Path,
    text: &str,
    pool: &str,
    out: &mut Exposition,
) -> Result<(), SourceError> {
    let mut lines = text.lines().skip_while(|it| !it.starts_with("nread"));
    let names = lines.next().unwrap_or_default().split_ascii_whitespace();
    let values = lines.next().unwrap_or_default().split_ascii_whitespace();
    for (name, value) in names.zip(values) {
        let value = sysfs::parse(path, value)?;
        let help = "Statistic of reads and writes of the pool, from io.";
        out.family(family_name("node_zfs_zpool", name), help, Unknown)
            .point([("zpool", pool)], value);
    }
    Ok(())
}

fn collect_state(text: &str, pool: &str, out: &mut Exposition) {
    let current = text.trim();
    let family =
        out.family("node_zfs_zpool_state", "1 for the state the pool is in, else 0.", Gauge);
    for state in STATES {
        let is_current = current.eq_ignore_ascii_case(state);
        family.point([("zpool", pool), ("state", state)], f64::from(u8::from(is_current)));
    }
}

fn collect_dataset(
    path: &Path,
    text: &str,
    pool: &str,
    out: &mut Exposition,
) -> Result<(), SourceError> {
    let mut dataset = "";
    for stat in stats(text) {
        if stat.name == "dataset_name" {
            dataset = stat.data;
        } else if let Some(value) = stat.value(path)? {
            let help = "Statistic of the dataset, from objset-*.";
            out.family(family_name("node_zfs_zpool_dataset", stat.name), help, Unknown)
                .point([("zpool", pool), ("dataset", dataset)], value);
        }
    }
    Ok(())
}

/// One line: `name  4  123`.
#[derive(Debug)]
struct Stat<'t> {
    name: &'t str,
    kind: &'t str,
    data: &'t str,
}

impl Stat<'_> {
    /// None where it is no number of 64 bits.
    fn value(&self, path: &Path) -> Result<Option<f64>, SourceError> {
        match self.kind {
            // `KSTAT_DATA_INT64` and `KSTAT_DATA_UINT64`.
            "3" | "4" => sysfs::parse(path, self.data).map(Some),
            _ => Ok(None),
        }
    }
}

/// What follows the line of titles.
fn stats(text: &str) -> impl Iterator<Item = Stat<'_>> {
    let is_title = |line: &str| line.split_ascii_whitespace().eq(["name", "type", "data"]);
    text.lines().skip_while(move |it| !is_title(it)).skip(1).filter_map(|line| {
        let (name, rest) = line.trim().split_once(' ')?;
        let (kind, data) = rest.trim_start().split_once(' ')?;
        Some(Stat { name, kind, data: data.trim_start() })
    })
}

fn family_name(prefix: &str, stat: &str) -> String {
    format!("{prefix}_{}", stat.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{FILES, collect};
    use crate::sources::tests::Host;

    const DIR: &str = "proc/spl/kstat/zfs";

    fn host() -> Host {
        let host = Host::default();
        for (file, text) in [
            (
                "arcstats",
                "6 1 0x01 91 4368 5266997922 97951858082072\n\
                 name                            type data\n\
                 hits                            4    8772612\n\
                 memory_available_bytes          3    -5\n\
                 some_text                       7    words\n",
            ),
            ("fm", "0 1 0x01 4 192 1 2\nname type data\nerpt-dropped 4 18\n"),
            ("dbgmsg", "not read\n"),
            (
                "tank/io",
                "12 3 0x00 1 80 1 2\n\
                 nread    nwritten reads    writes   wtime    wlentime wupdate  rtime    rlentime rupdate  wcnt     rcnt\n\
                 1884160  3206144  22       132      7155162  1 2 3 4 5 0        0\n",
            ),
            ("tank/state", "ONLINE\n"),
            (
                "tank/objset-0x36",
                "23 1 0x01 7 2160 1 2\n\
                 name                            type data\n\
                 dataset_name                    7    tank/two  words\n\
                 writes                          4    4\n\
                 nwritten                        4    12302\n",
            ),
            ("tank/txgs", "not read\n"),
            ("old/state", "SUSPENDED\n"),
        ] {
            host.file(&format!("{DIR}/{file}"), text);
        }
        host
    }

    #[test]
    fn statistics_pools_and_datasets_are_told() {
        host().check(collect, &expect![[r##"
            # HELP node_zfs_arc_hits Statistic of the cache of blocks, from arcstats.
            # TYPE node_zfs_arc_hits untyped
            node_zfs_arc_hits 8.772612e+06
            # HELP node_zfs_arc_memory_available_bytes Statistic of the cache of blocks, from arcstats.
            # TYPE node_zfs_arc_memory_available_bytes untyped
            node_zfs_arc_memory_available_bytes -5
            # HELP node_zfs_fm_erpt_dropped Statistic of fault reports, from fm.
            # TYPE node_zfs_fm_erpt_dropped untyped
            node_zfs_fm_erpt_dropped 18
            # HELP node_zfs_zpool_dataset_nwritten Statistic of the dataset, from objset-*.
            # TYPE node_zfs_zpool_dataset_nwritten untyped
            node_zfs_zpool_dataset_nwritten{zpool="tank",dataset="tank/two  words"} 12302
            # HELP node_zfs_zpool_dataset_writes Statistic of the dataset, from objset-*.
            # TYPE node_zfs_zpool_dataset_writes untyped
            node_zfs_zpool_dataset_writes{zpool="tank",dataset="tank/two  words"} 4
            # HELP node_zfs_zpool_nread Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_nread untyped
            node_zfs_zpool_nread{zpool="tank"} 1.88416e+06
            # HELP node_zfs_zpool_nwritten Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_nwritten untyped
            node_zfs_zpool_nwritten{zpool="tank"} 3.206144e+06
            # HELP node_zfs_zpool_rcnt Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_rcnt untyped
            node_zfs_zpool_rcnt{zpool="tank"} 0
            # HELP node_zfs_zpool_reads Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_reads untyped
            node_zfs_zpool_reads{zpool="tank"} 22
            # HELP node_zfs_zpool_rlentime Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_rlentime untyped
            node_zfs_zpool_rlentime{zpool="tank"} 4
            # HELP node_zfs_zpool_rtime Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_rtime untyped
            node_zfs_zpool_rtime{zpool="tank"} 3
            # HELP node_zfs_zpool_rupdate Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_rupdate untyped
            node_zfs_zpool_rupdate{zpool="tank"} 5
            # HELP node_zfs_zpool_state 1 for the state the pool is in, else 0.
            # TYPE node_zfs_zpool_state gauge
            node_zfs_zpool_state{zpool="old",state="online"} 0
            node_zfs_zpool_state{zpool="old",state="degraded"} 0
            node_zfs_zpool_state{zpool="old",state="faulted"} 0
            node_zfs_zpool_state{zpool="old",state="offline"} 0
            node_zfs_zpool_state{zpool="old",state="removed"} 0
            node_zfs_zpool_state{zpool="old",state="unavail"} 0
            node_zfs_zpool_state{zpool="old",state="suspended"} 1
            node_zfs_zpool_state{zpool="tank",state="online"} 1
            node_zfs_zpool_state{zpool="tank",state="degraded"} 0
            node_zfs_zpool_state{zpool="tank",state="faulted"} 0
            node_zfs_zpool_state{zpool="tank",state="offline"} 0
            node_zfs_zpool_state{zpool="tank",state="removed"} 0
            node_zfs_zpool_state{zpool="tank",state="unavail"} 0
            node_zfs_zpool_state{zpool="tank",state="suspended"} 0
            # HELP node_zfs_zpool_wcnt Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_wcnt untyped
            node_zfs_zpool_wcnt{zpool="tank"} 0
            # HELP node_zfs_zpool_wlentime Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_wlentime untyped
            node_zfs_zpool_wlentime{zpool="tank"} 1
            # HELP node_zfs_zpool_writes Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_writes untyped
            node_zfs_zpool_writes{zpool="tank"} 132
            # HELP node_zfs_zpool_wtime Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_wtime untyped
            node_zfs_zpool_wtime{zpool="tank"} 7.155162e+06
            # HELP node_zfs_zpool_wupdate Statistic of reads and writes of the pool, from io.
            # TYPE node_zfs_zpool_wupdate untyped
            node_zfs_zpool_wupdate{zpool="tank"} 2
        "##]]);
    }

    #[test]
    fn a_statistic_that_is_no_number_is_named_and_a_host_without_zfs_has_none() {
        Host::default().check(
            collect,
            &expect![[r#"
            error: this host has no ZFS
        "#]],
        );
        host().file(&format!("{DIR}/fm"), "0\nname type data\nerpt-dropped 4 some\n").check(
            collect,
            &expect![[r#"
                error: /proc/spl/kstat/zfs/fm: not a number: "some"
            "#]],
        );
    }

    #[test]
    fn the_files_are_sorted() {
        assert!(FILES.is_sorted_by_key(|it| it.0));
    }
}
