//! Caches in front of disks, from `/sys/fs/bcache`.

use std::path::Path;

use serde::Deserialize;
use skep_proto::MetricKind::{self, Counter, Gauge};

use super::{Context, SourceError, read, sorted_dir, sysfs};
use crate::exposition::{Exposition, as_f64};

const NANOSECOND: f64 = 1e-9;
/// Suffixes of sizes that are written for people, in steps of 1024.
const SUFFIXES: &str = "kMGTPEZY";

/// Files, families, kinds, unit and help.
type Fields = [(&'static str, &'static str, MetricKind, f64, &'static str)];

/// Of a set of caches.
const SET: &Fields = &[
    (
        "average_key_size",
        "node_bcache_average_key_size_sectors",
        Gauge,
        1.0,
        "Average data of a key, in sectors.",
    ),
    (
        "btree_cache_size",
        "node_bcache_btree_cache_size_bytes",
        Gauge,
        1.0,
        "Memory that the cache of tree nodes takes.",
    ),
    (
        "cache_available_percent",
        "node_bcache_cache_available_percent",
        Gauge,
        1.0,
        "Share of the cache without data still to be written back, in percent.",
    ),
    (
        "congested",
        "node_bcache_congested",
        Gauge,
        1.0,
        "How congested the cache is; reads and writes then go past it.",
    ),
    (
        "root_usage_percent",
        "node_bcache_root_usage_percent",
        Gauge,
        1.0,
        "Share of the tree's root in use, in percent.",
    ),
    ("tree_depth", "node_bcache_tree_depth", Gauge, 1.0, "Levels of the tree below its root."),
    (
        "internal/active_journal_entries",
        "node_bcache_active_journal_entries",
        Gauge,
        1.0,
        "Journal entries newer than the tree.",
    ),
    ("internal/btree_nodes", "node_bcache_btree_nodes", Gauge, 1.0, "Nodes of the tree."),
    (
        "internal/btree_read_average_duration_us",
        "node_bcache_btree_read_average_duration_seconds",
        Gauge,
        NANOSECOND,
        "Average time to read a node.",
    ),
    (
        "internal/cache_read_races",
        "node_bcache_cache_read_races_total",
        Counter,
        1.0,
        "Reads whose place in the cache was given away before they ended.",
    ),
];

/// Of a disk behind the cache.
const BACKING_DEVICE: &Fields = &[
    (
        "dirty_data",
        "node_bcache_dirty_data_bytes",
        Gauge,
        1.0,
        "Bytes in the cache still to be written to the disk.",
    ),
    (
        "stats_total/bypassed",
        "node_bcache_bypassed_bytes_total",
        Counter,
        1.0,
        "Bytes read and written past the cache.",
    ),
    (
        "stats_total/cache_hits",
        "node_bcache_cache_hits_total",
        Counter,
        1.0,
        "Reads and writes the cache answered.",
    ),
    (
        "stats_total/cache_misses",
        "node_bcache_cache_misses_total",
        Counter,
        1.0,
        "Reads and writes the cache could not answer.",
    ),
    (
        "stats_total/cache_bypass_hits",
        "node_bcache_cache_bypass_hits_total",
        Counter,
        1.0,
        "Reads and writes past the cache that it could have answered.",
    ),
    (
        "stats_total/cache_bypass_misses",
        "node_bcache_cache_bypass_misses_total",
        Counter,
        1.0,
        "Reads and writes past the cache that it could not have answered.",
    ),
    (
        "stats_total/cache_miss_collisions",
        "node_bcache_cache_miss_collisions_total",
        Counter,
        1.0,
        "Data not put into the cache because a write had just done so.",
    ),
];

/// Kernels since 5.9 do not count it; it is then 0, as node_exporter tells it.
const READAHEADS: &str = "stats_total/cache_readaheads";

/// Of a disk's `writeback_rate_debug`: names, families and help.
const WRITEBACK: [(&str, &str, &str); 5] = [
    ("rate", "node_bcache_writeback_rate", "Bytes a second written back to the disk."),
    ("target", "node_bcache_dirty_target_bytes", "Bytes that may wait to be written back."),
    (
        "proportional",
        "node_bcache_writeback_rate_proportional_term",
        "Part of the rate that follows how far the waiting bytes are from their target.",
    ),
    (
        "integral",
        "node_bcache_writeback_rate_integral_term",
        "Part of the rate that follows for how long they have been.",
    ),
    ("change", "node_bcache_writeback_change", "How much the rate changed the last time."),
];

/// Of a caching disk.
const CACHE_DEVICE: &Fields = &[
    (
        "io_errors",
        "node_bcache_io_errors",
        Gauge,
        1.0,
        "Errors of the caching disk, of which half are forgotten after a while.",
    ),
    (
        "metadata_written",
        "node_bcache_metadata_written_bytes_total",
        Counter,
        1.0,
        "Bytes written to the caching disk that were no data.",
    ),
    (
        "written",
        "node_bcache_written_bytes_total",
        Counter,
        1.0,
        "Bytes of data written to the caching disk.",
    ),
];

/// Of a caching disk's `priority_stats`.
const PRIORITY: [(&str, &str, &str); 2] = [
    (
        "Unused",
        "node_bcache_priority_stats_unused_percent",
        "Share of the caching disk without data, in percent.",
    ),
    (
        "Metadata",
        "node_bcache_priority_stats_metadata_percent",
        "Share of the caching disk for its own needs, in percent.",
    ),
];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BcacheSettings {
    /// Whether `priority_stats` is read, which costs the kernel a walk over the whole cache.
    #[serde(alias = "priorityStats")]
    pub(crate) priority_stats: bool,
}

/// A host without a cache just has none.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("fs/bcache");
    for uuid in sorted_dir(&dir).iter().filter(|it| it.contains('-')) {
        let set_dir = dir.join(uuid);
        emit(SET, &set_dir, &[("uuid", uuid)], out)?;
        for name in sorted_dir(&set_dir) {
            let device_dir = set_dir.join(&name);
            if is_numbered(&name, "bdev") {
                let labels = [("uuid", uuid.as_str()), ("backing_device", &name)];
                collect_backing_device(&device_dir, labels, out)?;
            } else if is_numbered(&name, "cache") {
                let labels = [("uuid", uuid.as_str()), ("cache_device", &name)];
                emit(CACHE_DEVICE, &device_dir, &labels, out)?;
                if context.settings.bcache.priority_stats {
                    collect_priority(&device_dir, labels, out)?;
                }
            }
        }
    }
    Ok(())
}

fn collect_backing_device(
    dir: &Path,
    labels: [(&'static str, &str); 2],
    out: &mut Exposition,
) -> Result<(), SourceError> {
    emit(BACKING_DEVICE, dir, &labels, out)?;
    let path = dir.join(READAHEADS);
    let value = sysfs::text_if_any(&path)?.map_or(Ok(0.0), |it| size(&path, &it))?;
    out.family(
        "node_bcache_cache_readaheads_total",
        "Times data was read ahead into the cache.",
        Counter,
    )
    .point(labels, value);
    let path = dir.join("writeback_rate_debug");
    let text = read(&path)?;
    for (name, family, help) in WRITEBACK {
        let value = field(&text, name).map(|it| it.trim_end_matches("/sec"));
        let value = value.map_or(Ok(0.0), |it| size(&path, it))?;
        out.family(family, help, Gauge).point(labels, value);
    }
    Ok(())
}

fn collect_priority(
    dir: &Path,
    labels: [(&'static str, &str); 2],
    out: &mut Exposition,
) -> Result<(), SourceError> {
    let path = dir.join("priority_stats");
    let text = read(&path)?;
    for (name, family, help) in PRIORITY {
        let percent = field(&text, name).unwrap_or_default().trim_end_matches('%');
        out.family(family, help, Gauge).point(labels, sysfs::parse(&path, percent)?);
    }
    Ok(())
}

fn emit(
    fields: &Fields,
    dir: &Path,
    labels: &[(&'static str, &str)],
    out: &mut Exposition,
) -> Result<(), SourceError> {
    for (file, name, kind, unit, help) in fields {
        let path = dir.join(file);
        let value = size(&path, &sysfs::text(&path)?)? * unit;
        let labels = labels.iter().map(|(name, it)| ((*name).into(), (*it).to_owned()));
        out.family(*name, *help, *kind).labelled(labels.collect(), value);
    }
    Ok(())
}

/// What follows `name:` on its line.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit()))
}

/// The kernel writes `1.1M` where it means 1 and 1·100/1024 MiB: the digits after the point are
/// hundredths of 1024. As node_exporter does, each of them counts 1/10.24.
fn size(path: &Path, text: &str) -> Result<f64, SourceError> {
    let parse = || {
        let (sign, text) = text.strip_prefix('-').map_or((1.0, text), |it| (-1.0, it));
        let power = text.chars().last().and_then(|it| SUFFIXES.find(it)).map(|it| it + 1);
        let digits = match power {
            Some(_) => text.get(..text.len() - 1)?,
            None => text,
        };
        let number = |it: &str| it.parse::<u64>().ok().map(as_f64);
        let value = match digits.split_once('.') {
            Some((whole, fraction)) if power.is_some() => {
                number(whole)? + number(fraction)? / 10.24
            }
            _ => number(digits)?,
        };
        let power = i32::try_from(power.unwrap_or_default()).ok()?;
        Some(sign * (value * 1024_f64.powi(power)).trunc())
    };
    parse().ok_or_else(|| SourceError::Value { path: path.to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::expect;

    use super::{BACKING_DEVICE, CACHE_DEVICE, SET, collect, size};
    use crate::sources::tests::Host;

    const DIR: &str = "sys/fs/bcache/cafe-1";

    fn host() -> Host {
        let host = Host::default();
        for (dir, fields) in [("", SET), ("bdev0/", BACKING_DEVICE), ("cache0/", CACHE_DEVICE)] {
            for (idx, (file, ..)) in fields.iter().enumerate() {
                host.file(&format!("{DIR}/{dir}{file}"), &format!("{idx}\n"));
            }
        }
        host.file(
            &format!("{DIR}/bdev0/writeback_rate_debug"),
            "rate:\t\t1.1M/sec\ndirty:\t\t20.4G\ntarget:\t\t20.4G\nproportional:\t-2.0k\n\
             integral:\t790\nchange:\t\t-321.5k/sec\nnext io:\t17ms\n",
        );
        host.file(
            &format!("{DIR}/cache0/priority_stats"),
            "Unused:\t\t99%\nMetadata:\t1%\nAverage:\t10\n",
        );
        host.file("sys/fs/bcache/register", "not read");
        host
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "the golden is long")]
    fn sets_disks_and_caches_are_told() {
        host().check(collect, &expect![[r##"
            # HELP node_bcache_active_journal_entries Journal entries newer than the tree.
            # TYPE node_bcache_active_journal_entries gauge
            node_bcache_active_journal_entries{uuid="cafe-1"} 6
            # HELP node_bcache_average_key_size_sectors Average data of a key, in sectors.
            # TYPE node_bcache_average_key_size_sectors gauge
            node_bcache_average_key_size_sectors{uuid="cafe-1"} 0
            # HELP node_bcache_btree_cache_size_bytes Memory that the cache of tree nodes takes.
            # TYPE node_bcache_btree_cache_size_bytes gauge
            node_bcache_btree_cache_size_bytes{uuid="cafe-1"} 1
            # HELP node_bcache_btree_nodes Nodes of the tree.
            # TYPE node_bcache_btree_nodes gauge
            node_bcache_btree_nodes{uuid="cafe-1"} 7
            # HELP node_bcache_btree_read_average_duration_seconds Average time to read a node.
            # TYPE node_bcache_btree_read_average_duration_seconds gauge
            node_bcache_btree_read_average_duration_seconds{uuid="cafe-1"} 8e-09
            # HELP node_bcache_bypassed_bytes_total Bytes read and written past the cache.
            # TYPE node_bcache_bypassed_bytes_total counter
            node_bcache_bypassed_bytes_total{uuid="cafe-1",backing_device="bdev0"} 1
            # HELP node_bcache_cache_available_percent Share of the cache without data still to be written back, in percent.
            # TYPE node_bcache_cache_available_percent gauge
            node_bcache_cache_available_percent{uuid="cafe-1"} 2
            # HELP node_bcache_cache_bypass_hits_total Reads and writes past the cache that it could have answered.
            # TYPE node_bcache_cache_bypass_hits_total counter
            node_bcache_cache_bypass_hits_total{uuid="cafe-1",backing_device="bdev0"} 4
            # HELP node_bcache_cache_bypass_misses_total Reads and writes past the cache that it could not have answered.
            # TYPE node_bcache_cache_bypass_misses_total counter
            node_bcache_cache_bypass_misses_total{uuid="cafe-1",backing_device="bdev0"} 5
            # HELP node_bcache_cache_hits_total Reads and writes the cache answered.
            # TYPE node_bcache_cache_hits_total counter
            node_bcache_cache_hits_total{uuid="cafe-1",backing_device="bdev0"} 2
            # HELP node_bcache_cache_miss_collisions_total Data not put into the cache because a write had just done so.
            # TYPE node_bcache_cache_miss_collisions_total counter
            node_bcache_cache_miss_collisions_total{uuid="cafe-1",backing_device="bdev0"} 6
            # HELP node_bcache_cache_misses_total Reads and writes the cache could not answer.
            # TYPE node_bcache_cache_misses_total counter
            node_bcache_cache_misses_total{uuid="cafe-1",backing_device="bdev0"} 3
            # HELP node_bcache_cache_read_races_total Reads whose place in the cache was given away before they ended.
            # TYPE node_bcache_cache_read_races_total counter
            node_bcache_cache_read_races_total{uuid="cafe-1"} 9
            # HELP node_bcache_cache_readaheads_total Times data was read ahead into the cache.
            # TYPE node_bcache_cache_readaheads_total counter
            node_bcache_cache_readaheads_total{uuid="cafe-1",backing_device="bdev0"} 0
            # HELP node_bcache_congested How congested the cache is; reads and writes then go past it.
            # TYPE node_bcache_congested gauge
            node_bcache_congested{uuid="cafe-1"} 3
            # HELP node_bcache_dirty_data_bytes Bytes in the cache still to be written to the disk.
            # TYPE node_bcache_dirty_data_bytes gauge
            node_bcache_dirty_data_bytes{uuid="cafe-1",backing_device="bdev0"} 0
            # HELP node_bcache_dirty_target_bytes Bytes that may wait to be written back.
            # TYPE node_bcache_dirty_target_bytes gauge
            node_bcache_dirty_target_bytes{uuid="cafe-1",backing_device="bdev0"} 2.189426688e+10
            # HELP node_bcache_io_errors Errors of the caching disk, of which half are forgotten after a while.
            # TYPE node_bcache_io_errors gauge
            node_bcache_io_errors{uuid="cafe-1",cache_device="cache0"} 0
            # HELP node_bcache_metadata_written_bytes_total Bytes written to the caching disk that were no data.
            # TYPE node_bcache_metadata_written_bytes_total counter
            node_bcache_metadata_written_bytes_total{uuid="cafe-1",cache_device="cache0"} 1
            # HELP node_bcache_root_usage_percent Share of the tree's root in use, in percent.
            # TYPE node_bcache_root_usage_percent gauge
            node_bcache_root_usage_percent{uuid="cafe-1"} 4
            # HELP node_bcache_tree_depth Levels of the tree below its root.
            # TYPE node_bcache_tree_depth gauge
            node_bcache_tree_depth{uuid="cafe-1"} 5
            # HELP node_bcache_writeback_change How much the rate changed the last time.
            # TYPE node_bcache_writeback_change gauge
            node_bcache_writeback_change{uuid="cafe-1",backing_device="bdev0"} -329204
            # HELP node_bcache_writeback_rate Bytes a second written back to the disk.
            # TYPE node_bcache_writeback_rate gauge
            node_bcache_writeback_rate{uuid="cafe-1",backing_device="bdev0"} 1.150976e+06
            # HELP node_bcache_writeback_rate_integral_term Part of the rate that follows for how long they have been.
            # TYPE node_bcache_writeback_rate_integral_term gauge
            node_bcache_writeback_rate_integral_term{uuid="cafe-1",backing_device="bdev0"} 790
            # HELP node_bcache_writeback_rate_proportional_term Part of the rate that follows how far the waiting bytes are from their target.
            # TYPE node_bcache_writeback_rate_proportional_term gauge
            node_bcache_writeback_rate_proportional_term{uuid="cafe-1",backing_device="bdev0"} -2048
            # HELP node_bcache_written_bytes_total Bytes of data written to the caching disk.
            # TYPE node_bcache_written_bytes_total counter
            node_bcache_written_bytes_total{uuid="cafe-1",cache_device="cache0"} 2
        "##]]);
    }

    #[test]
    fn priorities_are_read_where_they_are_asked_for() {
        let mut host = host();
        assert!(!host.text(collect).contains("priority"));
        host.settings().bcache.priority_stats = true;
        let text = host.text(collect);
        let lines = text.lines().filter(|it| it.contains("priority") && !it.starts_with('#'));
        expect![[r#"
            node_bcache_priority_stats_metadata_percent{uuid="cafe-1",cache_device="cache0"} 1
            node_bcache_priority_stats_unused_percent{uuid="cafe-1",cache_device="cache0"} 99"#]]
        .assert_eq(&lines.collect::<Vec<_>>().join("\n"));
        host.file(&format!("{DIR}/cache0/priority_stats"), "Unused:\t\tmost\n").check(
            collect,
            &expect![[r#"
                error: /sys/fs/bcache/cafe-1/cache0/priority_stats: not a number: "most"
            "#]],
        );
    }

    #[test]
    fn a_size_that_is_not_understood_is_named_and_a_host_without_caches_has_none() {
        Host::default().check(collect, &expect![""]);
        host().file(&format!("{DIR}/bdev0/dirty_data"), "lots\n").check(
            collect,
            &expect![[r#"
            error: /sys/fs/bcache/cafe-1/bdev0/dirty_data: not a number: "lots"
        "#]],
        );
    }

    #[test]
    fn sizes_are_read_back() {
        for (text, value) in [
            ("0", 0.0),
            ("512", 512.0),
            ("1.1M", 1_150_976.0),
            ("-2.0k", -2048.0),
            ("3G", 3_221_225_472.0),
        ] {
            assert!((size(Path::new("x"), text).unwrap() - value).abs() < 0.5, "{text}");
        }
        for text in ["", "k", "-", "1.k", "1.1", "x1"] {
            assert!(size(Path::new("x"), text).is_err(), "{text}");
        }
    }
}
