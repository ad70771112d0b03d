//! What bcachefs did, by file system and device, from `/sys/fs/bcachefs`.

use std::{io, path::Path};

use skep_proto::MetricKind::{Counter, Gauge};

use super::{Context, SourceError, read, sorted_dir, sysfs};
use crate::exposition::{Exposition, as_f64};

/// Suffixes of sizes that are written for people, in steps of 1024.
const SUFFIXES: &str = "kmgtpe";

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("fs/bcachefs");
    let uuids = sysfs::names(&dir, "bcachefs file systems")?;
    if uuids.is_empty() {
        return Err(SourceError::NoData { what: "bcachefs file systems" });
    }
    for uuid in uuids {
        FileSystem { dir: &dir.join(&uuid), uuid: &uuid }.collect(out)?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct FileSystem<'d> {
    dir: &'d Path,
    uuid: &'d str,
}

impl FileSystem<'_> {
    fn collect(self, out: &mut Exposition) -> Result<(), SourceError> {
        out.family("node_bcachefs_info", "1 for each file system.", Gauge)
            .point([("uuid", self.uuid)], 1.0);
        let path = self.dir.join("btree_cache_size");
        let size_bytes = sysfs::text_if_any(&path)?.map_or(Ok(0.0), |it| size(&path, &it))?;
        out.family(
            "node_bcachefs_btree_cache_size_bytes",
            "Memory that the cache of tree nodes takes.",
            Gauge,
        )
        .point([("uuid", self.uuid)], size_bytes);
        self.compression(out)?;
        self.errors(out)?;
        self.counters(out)?;
        self.btree_writes(out)?;
        for name in sorted_dir(self.dir) {
            if let Some(device) = name.strip_prefix("dev-") {
                self.device(&self.dir.join(&name), device, out)?;
            }
        }
        Ok(())
    }

    /// After a line of titles: algorithm, size compressed and not, average extent.
    fn compression(self, out: &mut Exposition) -> Result<(), SourceError> {
        let path = self.dir.join("compression_stats");
        let text = text_if_there(&path)?;
        for line in text.lines().skip(1) {
            let mut columns = line.split_ascii_whitespace();
            let (Some(algorithm), Some(compressed), Some(uncompressed)) =
                (columns.next(), columns.next(), columns.next())
            else {
                continue;
            };
            let labels = [("uuid", self.uuid), ("algorithm", algorithm.trim_end_matches(':'))];
            out.family(
                "node_bcachefs_compression_compressed_bytes",
                "Size of what is compressed, by algorithm.",
                Gauge,
            )
            .point(labels, size(&path, compressed)?);
            out.family(
                "node_bcachefs_compression_uncompressed_bytes",
                "Size that what is compressed had before, by algorithm.",
                Gauge,
            )
            .point(labels, size(&path, uncompressed)?);
        }
        Ok(())
    }

    /// Kind of error, count, time of the last one.
    fn errors(self, out: &mut Exposition) -> Result<(), SourceError> {
        let path = self.dir.join("errors");
        for line in text_if_there(&path)?.lines() {
            let mut columns = line.split_ascii_whitespace();
            let (Some(kind), Some(count)) = (columns.next(), columns.next()) else { continue };
            out.family(
                "node_bcachefs_errors_total",
                "Errors that were found in the file system, by kind.",
                Counter,
            )
            .point([("uuid", self.uuid), ("error_type", kind)], sysfs::parse(&path, count)?);
        }
        Ok(())
    }

    /// One file a counter: since it was mounted and since it was made.
    fn counters(self, out: &mut Exposition) -> Result<(), SourceError> {
        let dir = self.dir.join("counters");
        for name in sorted_dir(&dir) {
            let path = dir.join(&name);
            let text = sysfs::text(&path)?;
            let value = |prefix| text.lines().find_map(|it| it.strip_prefix(prefix));
            let since_creation = match value("since filesystem creation:") {
                Some(text) => size(&path, text)?,
                None if value("since mount:").is_some() => 0.0,
                None => return Err(SourceError::Value { path, text }),
            };
            let name = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_");
            out.family(
                format!("node_bcachefs_{name}_total"),
                "What the file system counted under this name since it was made.",
                Counter,
            )
            .point([("uuid", self.uuid)], since_creation);
        }
        Ok(())
    }

    /// After a line of titles: kind of write, count, average size.
    fn btree_writes(self, out: &mut Exposition) -> Result<(), SourceError> {
        let path = self.dir.join("btree_write_stats");
        let text = text_if_there(&path)?;
        for line in text.lines().skip(1) {
            let mut columns = line.split_ascii_whitespace();
            let (Some(kind), Some(count), Some(average)) =
                (columns.next(), columns.next(), columns.next())
            else {
                continue;
            };
            let labels = [("uuid", self.uuid), ("type", kind.trim_end_matches(':'))];
            out.family(
                "node_bcachefs_btree_writes_total",
                "Writes of tree nodes, by why they were written.",
                Counter,
            )
            .point(labels, sysfs::parse(&path, count)?);
            out.family(
                "node_bcachefs_btree_write_average_size_bytes",
                "Average size of such a write.",
                Gauge,
            )
            .point(labels, size(&path, average)?);
        }
        Ok(())
    }

    fn device(self, dir: &Path, device: &str, out: &mut Exposition) -> Result<(), SourceError> {
        let labels = [("uuid", self.uuid), ("device", device)];
        let text = |file| Ok(sysfs::text_if_any(&dir.join(file))?.unwrap_or_default());
        out.family(
            "node_bcachefs_device_info",
            "Always 1; state is the device's in brackets among those it could be in.",
            Gauge,
        )
        .point(
            [
                ("uuid", self.uuid),
                ("device", device),
                ("label", &text("label")?),
                ("state", &text("state")?),
            ],
            1.0,
        );
        let path = dir.join("bucket_size");
        let bucket_bytes = sysfs::text_if_any(&path)?.map_or(Ok(0.0), |it| size(&path, &it))?;
        out.family("node_bcachefs_device_bucket_size_bytes", "Size of a bucket.", Gauge)
            .point(labels, bucket_bytes);
        for (file, name, help) in [
            ("nbuckets", "node_bcachefs_device_buckets", "Buckets of the device."),
            (
                "durability",
                "node_bcachefs_device_durability",
                "Copies that one on this device counts for.",
            ),
        ] {
            let value = sysfs::value_if_any(&dir.join(file))?.unwrap_or_default();
            out.family(name, help, Gauge).point(labels, value);
        }
        self.io_done(&dir.join("io_done"), device, out)?;
        self.io_errors(&dir.join("io_errors"), device, out)
    }

    /// `read:` and `write:`, and below each the bytes by kind of data.
    fn io_done(self, path: &Path, device: &str, out: &mut Exposition) -> Result<(), SourceError> {
        let text = text_if_there(path)?;
        let mut operation = "";
        for line in text.lines() {
            match line.trim() {
                "read:" => operation = "read",
                "write:" => operation = "write",
                line if !operation.is_empty() => {
                    let Some((kind, bytes)) = line.split_once(':') else { continue };
                    out.family(
                        "node_bcachefs_device_io_done_bytes_total",
                        "Bytes read from and written to the device, by kind of data.",
                        Counter,
                    )
                    .point(
                        [
                            ("uuid", self.uuid),
                            ("device", device),
                            ("operation", operation),
                            ("data_type", kind.trim()),
                        ],
                        sysfs::parse(path, bytes.trim())?,
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// First since the file system was made, then since they were last reset.
    fn io_errors(self, path: &Path, device: &str, out: &mut Exposition) -> Result<(), SourceError> {
        let text = text_if_there(path)?;
        let lines = text
            .lines()
            .skip_while(|it| !it.starts_with("IO errors since filesystem creation"))
            .skip(1)
            .take_while(|it| !it.starts_with("IO errors since "));
        for line in lines {
            let Some((kind, count)) = line.split_once(':') else { continue };
            out.family(
                "node_bcachefs_device_io_errors_total",
                "Reads, writes and checks of the device that failed.",
                Counter,
            )
            .point(
                [("uuid", self.uuid), ("device", device), ("type", kind.trim())],
                sysfs::parse(path, count.trim())?,
            );
        }
        Ok(())
    }
}

/// Versions of bcachefs differ in which files they have.
fn text_if_there(path: &Path) -> Result<String, SourceError> {
    match read(path) {
        Err(SourceError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(String::new())
        }
        result => result,
    }
}

/// `2.05G`; what people need not see is cut off, as node_exporter does.
fn size(path: &Path, text: &str) -> Result<f64, SourceError> {
    let text = text.trim();
    let suffix = text.chars().last().map(|it| it.to_ascii_lowercase());
    let power = suffix.and_then(|it| SUFFIXES.find(it)).map(|it| it + 1);
    let number = match power {
        Some(_) => text.get(..text.len() - 1).unwrap_or_default(),
        None => text,
    };
    let number: Option<f64> = number.trim().parse().ok().filter(|it: &f64| it.is_finite());
    let unit = as_f64(1_u64 << (10 * power.unwrap_or_default()));
    number
        .map(|it| (it * unit).trunc())
        .ok_or_else(|| SourceError::Value { path: path.to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::expect;

    use super::{collect, size};
    use crate::sources::tests::Host;

    fn host() -> Host {
        let host = Host::default();
        for (file, text) in [
            ("btree_cache_size", "1.5M\n"),
            (
                "compression_stats",
                "type              compressed    uncompressed     average extent size\n\
                 lz4                    2k             4k                     62\n\
                 zstd:                   0             0                       0\n",
            ),
            ("errors", "bset_bad_csum                 2       1767112063\n\n"),
            ("counters/data_read", "since mount:   10\nsince filesystem creation:   3k\n"),
            ("counters/new-one", "since mount:   10\n"),
            (
                "btree_write_stats",
                "                   nr        size\ninitial:           32   1.5k\n",
            ),
            ("dev-0/label", "ssd\n"),
            ("dev-0/state", "[rw] ro evacuating spare \n"),
            ("dev-0/bucket_size", "512k\n"),
            ("dev-0/nbuckets", "1000\n"),
            ("dev-0/durability", "1\n"),
            (
                "dev-0/io_done",
                "read:\nsb          :       7\nuser        :8\nwrite:\nsb          :       9\n",
            ),
            (
                "dev-0/io_errors",
                "IO errors since filesystem creation\n  read:    3\n  checksum:5\n\
                 IO errors since 8 y ago\n  read:    1\n",
            ),
        ] {
            host.file(&format!("sys/fs/bcachefs/cafe-1/{file}"), text);
        }
        host
    }

    #[test]
    fn file_systems_and_their_devices_are_told() {
        host().check(collect, &expect![[r##"
            # HELP node_bcachefs_btree_cache_size_bytes Memory that the cache of tree nodes takes.
            # TYPE node_bcachefs_btree_cache_size_bytes gauge
            node_bcachefs_btree_cache_size_bytes{uuid="cafe-1"} 1.572864e+06
            # HELP node_bcachefs_btree_write_average_size_bytes Average size of such a write.
            # TYPE node_bcachefs_btree_write_average_size_bytes gauge
            node_bcachefs_btree_write_average_size_bytes{uuid="cafe-1",type="initial"} 1536
            # HELP node_bcachefs_btree_writes_total Writes of tree nodes, by why they were written.
            # TYPE node_bcachefs_btree_writes_total counter
            node_bcachefs_btree_writes_total{uuid="cafe-1",type="initial"} 32
            # HELP node_bcachefs_compression_compressed_bytes Size of what is compressed, by algorithm.
            # TYPE node_bcachefs_compression_compressed_bytes gauge
            node_bcachefs_compression_compressed_bytes{uuid="cafe-1",algorithm="lz4"} 2048
            node_bcachefs_compression_compressed_bytes{uuid="cafe-1",algorithm="zstd"} 0
            # HELP node_bcachefs_compression_uncompressed_bytes Size that what is compressed had before, by algorithm.
            # TYPE node_bcachefs_compression_uncompressed_bytes gauge
            node_bcachefs_compression_uncompressed_bytes{uuid="cafe-1",algorithm="lz4"} 4096
            node_bcachefs_compression_uncompressed_bytes{uuid="cafe-1",algorithm="zstd"} 0
            # HELP node_bcachefs_data_read_total What the file system counted under this name since it was made.
            # TYPE node_bcachefs_data_read_total counter
            node_bcachefs_data_read_total{uuid="cafe-1"} 3072
            # HELP node_bcachefs_device_bucket_size_bytes Size of a bucket.
            # TYPE node_bcachefs_device_bucket_size_bytes gauge
            node_bcachefs_device_bucket_size_bytes{uuid="cafe-1",device="0"} 524288
            # HELP node_bcachefs_device_buckets Buckets of the device.
            # TYPE node_bcachefs_device_buckets gauge
            node_bcachefs_device_buckets{uuid="cafe-1",device="0"} 1000
            # HELP node_bcachefs_device_durability Copies that one on this device counts for.
            # TYPE node_bcachefs_device_durability gauge
            node_bcachefs_device_durability{uuid="cafe-1",device="0"} 1
            # HELP node_bcachefs_device_info Always 1; state is the device's in brackets among those it could be in.
            # TYPE node_bcachefs_device_info gauge
            node_bcachefs_device_info{uuid="cafe-1",device="0",label="ssd",state="[rw] ro evacuating spare"} 1
            # HELP node_bcachefs_device_io_done_bytes_total Bytes read from and written to the device, by kind of data.
            # TYPE node_bcachefs_device_io_done_bytes_total counter
            node_bcachefs_device_io_done_bytes_total{uuid="cafe-1",device="0",operation="read",data_type="sb"} 7
            node_bcachefs_device_io_done_bytes_total{uuid="cafe-1",device="0",operation="read",data_type="user"} 8
            node_bcachefs_device_io_done_bytes_total{uuid="cafe-1",device="0",operation="write",data_type="sb"} 9
            # HELP node_bcachefs_device_io_errors_total Reads, writes and checks of the device that failed.
            # TYPE node_bcachefs_device_io_errors_total counter
            node_bcachefs_device_io_errors_total{uuid="cafe-1",device="0",type="read"} 3
            node_bcachefs_device_io_errors_total{uuid="cafe-1",device="0",type="checksum"} 5
            # HELP node_bcachefs_errors_total Errors that were found in the file system, by kind.
            # TYPE node_bcachefs_errors_total counter
            node_bcachefs_errors_total{uuid="cafe-1",error_type="bset_bad_csum"} 2
            # HELP node_bcachefs_info 1 for each file system.
            # TYPE node_bcachefs_info gauge
            node_bcachefs_info{uuid="cafe-1"} 1
            # HELP node_bcachefs_new_one_total What the file system counted under this name since it was made.
            # TYPE node_bcachefs_new_one_total counter
            node_bcachefs_new_one_total{uuid="cafe-1"} 0
        "##]]);
    }

    #[test]
    fn what_a_version_does_not_have_is_left_out() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no bcachefs file systems
        "#]],
        );
        host.file("sys/fs/bcachefs/cafe-2/dev-1/label", "\n").check(collect, &expect![[r##"
            # HELP node_bcachefs_btree_cache_size_bytes Memory that the cache of tree nodes takes.
            # TYPE node_bcachefs_btree_cache_size_bytes gauge
            node_bcachefs_btree_cache_size_bytes{uuid="cafe-2"} 0
            # HELP node_bcachefs_device_bucket_size_bytes Size of a bucket.
            # TYPE node_bcachefs_device_bucket_size_bytes gauge
            node_bcachefs_device_bucket_size_bytes{uuid="cafe-2",device="1"} 0
            # HELP node_bcachefs_device_buckets Buckets of the device.
            # TYPE node_bcachefs_device_buckets gauge
            node_bcachefs_device_buckets{uuid="cafe-2",device="1"} 0
            # HELP node_bcachefs_device_durability Copies that one on this device counts for.
            # TYPE node_bcachefs_device_durability gauge
            node_bcachefs_device_durability{uuid="cafe-2",device="1"} 0
            # HELP node_bcachefs_device_info Always 1; state is the device's in brackets among those it could be in.
            # TYPE node_bcachefs_device_info gauge
            node_bcachefs_device_info{uuid="cafe-2",device="1",label="",state=""} 1
            # HELP node_bcachefs_info 1 for each file system.
            # TYPE node_bcachefs_info gauge
            node_bcachefs_info{uuid="cafe-2"} 1
        "##]]);
    }

    #[test]
    fn a_counter_that_is_not_understood_is_named() {
        host().file("sys/fs/bcachefs/cafe-1/counters/data_read", "a new format\n").check(
            collect,
            &expect![[r#"
                error: /sys/fs/bcachefs/cafe-1/counters/data_read: not a number: "a new format"
            "#]],
        );
        host().file("sys/fs/bcachefs/cafe-1/dev-0/bucket_size", "k\n").check(
            collect,
            &expect![[r#"
            error: /sys/fs/bcachefs/cafe-1/dev-0/bucket_size: not a number: "k"
        "#]],
        );
    }

    #[test]
    fn sizes_are_read_back() {
        let path = Path::new("x");
        for (text, bytes) in [("0", 0.0), ("720", 720.0), ("1.26k", 1290.0), ("2.00M", 2_097_152.0)]
        {
            assert!((size(path, text).unwrap() - bytes).abs() < 0.5, "{text}");
        }
        for text in ["", "k", "1x", "inf"] {
            assert!(size(path, text).is_err(), "{text}");
        }
    }
}
