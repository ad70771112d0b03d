//! Disk counters, from `/proc/diskstats`; what the disks are, from udev's database and sysfs.

use std::{borrow::Cow, collections::HashMap, fs};

use skep_proto::MetricKind;

use super::{Context, SourceError, number, read_trimmed};
use crate::exposition::Exposition;

const FILE: &str = "/proc/diskstats";
/// Both sides of the kernel's interface count in these, whatever the disk has.
const SECTOR_BYTES: f64 = 512.0;
const SECONDS_PER_TICK: f64 = 0.001;

/// The columns behind major, minor and name, in their order; kernels before 4.18 have eleven of
/// them, before 5.5 fifteen.
const COLUMNS: [(&str, &str, MetricKind, f64); 17] = {
    use MetricKind::{Counter, Gauge};
    [
        (
            "node_disk_reads_completed_total",
            "Read requests the device has completed.",
            Counter,
            1.0,
        ),
        (
            "node_disk_reads_merged_total",
            "Reads that were joined with an adjacent one into one request.",
            Counter,
            1.0,
        ),
        ("node_disk_read_bytes_total", "Bytes read from the device.", Counter, SECTOR_BYTES),
        (
            "node_disk_read_time_seconds_total",
            "Seconds that read requests took, added up over all of them.",
            Counter,
            SECONDS_PER_TICK,
        ),
        (
            "node_disk_writes_completed_total",
            "Write requests the device has completed.",
            Counter,
            1.0,
        ),
        (
            "node_disk_writes_merged_total",
            "Writes that were joined with an adjacent one into one request.",
            Counter,
            1.0,
        ),
        ("node_disk_written_bytes_total", "Bytes written to the device.", Counter, SECTOR_BYTES),
        (
            "node_disk_write_time_seconds_total",
            "Seconds that write requests took, added up over all of them.",
            Counter,
            SECONDS_PER_TICK,
        ),
        (
            "node_disk_io_now",
            "Requests that were issued to the device and are not complete.",
            Gauge,
            1.0,
        ),
        (
            "node_disk_io_time_seconds_total",
            "Seconds in which the device had at least one request to work on.",
            Counter,
            SECONDS_PER_TICK,
        ),
        (
            "node_disk_io_time_weighted_seconds_total",
            "Seconds that requests were under way, each counted by itself: the rate is the mean queue length.",
            Counter,
            SECONDS_PER_TICK,
        ),
        (
            "node_disk_discards_completed_total",
            "Discard (TRIM) requests the device has completed.",
            Counter,
            1.0,
        ),
        (
            "node_disk_discards_merged_total",
            "Discards that were joined with an adjacent one into one request.",
            Counter,
            1.0,
        ),
        (
            "node_disk_discarded_sectors_total",
            "Sectors of 512 bytes that were discarded.",
            Counter,
            1.0,
        ),
        (
            "node_disk_discard_time_seconds_total",
            "Seconds that discard requests took, added up over all of them.",
            Counter,
            SECONDS_PER_TICK,
        ),
        (
            "node_disk_flush_requests_total",
            "Flushes of its write cache the device has completed.",
            Counter,
            1.0,
        ),
        (
            "node_disk_flush_requests_time_seconds_total",
            "Seconds that flushes of the write cache took, added up over all of them.",
            Counter,
            SECONDS_PER_TICK,
        ),
    ]
};

/// Gauges of ATA disks by the udev property they come from.
const ATA: [(&str, &str, &str); 3] = [
    (
        "ID_ATA_WRITE_CACHE",
        "node_disk_ata_write_cache",
        "1 if the ATA disk has a write cache, else 0.",
    ),
    (
        "ID_ATA_WRITE_CACHE_ENABLED",
        "node_disk_ata_write_cache_enabled",
        "1 if the ATA disk uses its write cache, else 0.",
    ),
    (
        "ID_ATA_ROTATION_RATE_RPM",
        "node_disk_ata_rotation_rate_rpm",
        "Rotations per minute of the ATA disk, 0 if nothing in it turns.",
    ),
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    for line in context.roots.read_proc("diskstats")?.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(major), Some(minor), Some(device)) =
            (fields.next(), fields.next(), fields.next())
        else {
            return Err(SourceError::Missing { file: FILE, what: "a device's name" });
        };
        if !context.settings.diskstats.takes(device) {
            continue;
        }
        for ((name, help, kind, unit), field) in COLUMNS.into_iter().zip(fields) {
            let value = number(FILE, "a column", Some(field))? * unit;
            out.family(name, help, kind).point([("device", device)], value);
        }
        let database = context.roots.udev.join(format!("b{major}:{minor}"));
        let text = fs::read(database).unwrap_or_default();
        let udev = Udev::parse(&text);
        let queue = context.roots.sys.join("block").join(device).join("queue/rotational");
        let rotational = read_trimmed(&queue).unwrap_or_else(|| "0".to_owned());
        disk_info(out, [major, minor, device], &udev, &rotational);
        layers(out, device, &udev);
    }
    Ok(())
}

/// `E:` lines of an entry of udev's database.
struct Udev<'a>(HashMap<&'a [u8], &'a [u8]>);

impl<'a> Udev<'a> {
    fn parse(text: &'a [u8]) -> Self {
        let properties = text.split(|it| *it == b'\n').filter_map(|line| {
            let property = line.strip_prefix(b"E:")?;
            let at = property.iter().position(|it| *it == b'=')?;
            Some((property.get(..at)?, property.get(at + 1..)?))
        });
        Self(properties.collect())
    }

    /// Empty where it is absent.
    fn get(&self, property: &str) -> Cow<'a, str> {
        String::from_utf8_lossy(self.0.get(property.as_bytes()).copied().unwrap_or_default())
    }
}

fn disk_info(out: &mut Exposition, ids: [&str; 3], udev: &Udev<'_>, rotational: &str) {
    let [major, minor, device] = ids;
    // The first is what is printed on the disk, the last what virtio disks have.
    let serial = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"]
        .map(|it| udev.get(it))
        .into_iter()
        .find(|it| !it.is_empty())
        .unwrap_or_default();
    out.family("node_disk_info", "Always 1; the labels tell which disk it is.", MetricKind::Gauge)
        .point(
            [
                ("device", device),
                ("major", major),
                ("minor", minor),
                ("path", &udev.get("ID_PATH")),
                ("wwn", &udev.get("ID_WWN")),
                ("model", &udev.get("ID_MODEL")),
                ("serial", &serial),
                ("revision", &udev.get("ID_REVISION")),
                ("rotational", rotational),
            ],
            1.0,
        );
}

/// What lies on the disk, and what ATA disks tell besides.
fn layers(out: &mut Exposition, device: &str, udev: &Udev<'_>) {
    let fs_type = udev.get("ID_FS_TYPE");
    if !fs_type.is_empty() {
        out.family(
            "node_disk_filesystem_info",
            "Always 1; the labels tell which file system lies on the device.",
            MetricKind::Gauge,
        )
        .point(
            [
                ("device", device),
                ("type", &fs_type),
                ("usage", &udev.get("ID_FS_USAGE")),
                ("uuid", &udev.get("ID_FS_UUID")),
                ("version", &udev.get("ID_FS_VERSION")),
            ],
            1.0,
        );
    }
    let name = udev.get("DM_NAME");
    if !name.is_empty() {
        out.family(
            "node_disk_device_mapper_info",
            "Always 1; the labels tell which device-mapper volume it is.",
            MetricKind::Gauge,
        )
        .point(
            [
                ("device", device),
                ("name", &name),
                ("uuid", &udev.get("DM_UUID")),
                ("vg_name", &udev.get("DM_VG_NAME")),
                ("lv_name", &udev.get("DM_LV_NAME")),
                ("lv_layer", &udev.get("DM_LV_LAYER")),
            ],
            1.0,
        );
    }
    if !udev.get("ID_ATA").is_empty() {
        for (property, name, help) in ATA {
            if let Ok(value) = udev.get(property).parse() {
                out.family(name, help, MetricKind::Gauge).point([("device", device)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn every_column_has_its_metric_and_unit() {
        Host::default()
            .file("proc/diskstats", "8 32 sdc 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n")
            .check(collect, &expect![[r##"
                # HELP node_disk_discard_time_seconds_total Seconds that discard requests took, added up over all of them.
                # TYPE node_disk_discard_time_seconds_total counter
                node_disk_discard_time_seconds_total{device="sdc"} 0.015
                # HELP node_disk_discarded_sectors_total Sectors of 512 bytes that were discarded.
                # TYPE node_disk_discarded_sectors_total counter
                node_disk_discarded_sectors_total{device="sdc"} 14
                # HELP node_disk_discards_completed_total Discard (TRIM) requests the device has completed.
                # TYPE node_disk_discards_completed_total counter
                node_disk_discards_completed_total{device="sdc"} 12
                # HELP node_disk_discards_merged_total Discards that were joined with an adjacent one into one request.
                # TYPE node_disk_discards_merged_total counter
                node_disk_discards_merged_total{device="sdc"} 13
                # HELP node_disk_flush_requests_time_seconds_total Seconds that flushes of the write cache took, added up over all of them.
                # TYPE node_disk_flush_requests_time_seconds_total counter
                node_disk_flush_requests_time_seconds_total{device="sdc"} 0.017
                # HELP node_disk_flush_requests_total Flushes of its write cache the device has completed.
                # TYPE node_disk_flush_requests_total counter
                node_disk_flush_requests_total{device="sdc"} 16
                # HELP node_disk_info Always 1; the labels tell which disk it is.
                # TYPE node_disk_info gauge
                node_disk_info{device="sdc",major="8",minor="32",path="",wwn="",model="",serial="",revision="",rotational="0"} 1
                # HELP node_disk_io_now Requests that were issued to the device and are not complete.
                # TYPE node_disk_io_now gauge
                node_disk_io_now{device="sdc"} 9
                # HELP node_disk_io_time_seconds_total Seconds in which the device had at least one request to work on.
                # TYPE node_disk_io_time_seconds_total counter
                node_disk_io_time_seconds_total{device="sdc"} 0.01
                # HELP node_disk_io_time_weighted_seconds_total Seconds that requests were under way, each counted by itself: the rate is the mean queue length.
                # TYPE node_disk_io_time_weighted_seconds_total counter
                node_disk_io_time_weighted_seconds_total{device="sdc"} 0.011
                # HELP node_disk_read_bytes_total Bytes read from the device.
                # TYPE node_disk_read_bytes_total counter
                node_disk_read_bytes_total{device="sdc"} 1536
                # HELP node_disk_read_time_seconds_total Seconds that read requests took, added up over all of them.
                # TYPE node_disk_read_time_seconds_total counter
                node_disk_read_time_seconds_total{device="sdc"} 0.004
                # HELP node_disk_reads_completed_total Read requests the device has completed.
                # TYPE node_disk_reads_completed_total counter
                node_disk_reads_completed_total{device="sdc"} 1
                # HELP node_disk_reads_merged_total Reads that were joined with an adjacent one into one request.
                # TYPE node_disk_reads_merged_total counter
                node_disk_reads_merged_total{device="sdc"} 2
                # HELP node_disk_write_time_seconds_total Seconds that write requests took, added up over all of them.
                # TYPE node_disk_write_time_seconds_total counter
                node_disk_write_time_seconds_total{device="sdc"} 0.008
                # HELP node_disk_writes_completed_total Write requests the device has completed.
                # TYPE node_disk_writes_completed_total counter
                node_disk_writes_completed_total{device="sdc"} 5
                # HELP node_disk_writes_merged_total Writes that were joined with an adjacent one into one request.
                # TYPE node_disk_writes_merged_total counter
                node_disk_writes_merged_total{device="sdc"} 6
                # HELP node_disk_written_bytes_total Bytes written to the device.
                # TYPE node_disk_written_bytes_total counter
                node_disk_written_bytes_total{device="sdc"} 3584
            "##]]);
    }

    #[test]
    fn older_kernels_have_fewer_columns_and_partitions_are_left_out() {
        let text = Host::default()
            .file(
                "proc/diskstats",
                "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n\
                 \x20  8      16 sdb 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n\
                 \x20  8      17 sdb1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n\
                 \x20  7       0 loop0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n",
            )
            .text(collect);
        let n_series = |device: &str| text.matches(&format!("{{device=\"{device}\"")).count();
        // And one node_disk_info each.
        assert_eq!(["sda", "sdb", "sdb1", "loop0"].map(n_series), [12, 16, 0, 0]);
    }

    #[test]
    fn udev_tells_what_a_disk_is() {
        let mut host = Host::default();
        host.settings().diskstats.device_include =
            Some("^(sda|dm-0|vda)$".to_owned().try_into().unwrap());
        host.file("proc/diskstats", "8 0 sda 1\n252 0 dm-0 1\n254 0 vda 1\n9 9 sdz 1\n")
            .file("sys/block/sda/queue/rotational", "1\n")
            .file(
                "udev/b8:0",
                "S:disk/by-id/x\nE:ID_ATA=1\nE:ID_MODEL=FAST=SSD\nE:ID_REVISION=0102\n\
                 E:ID_SERIAL=LONG\nE:ID_SERIAL_SHORT=SHORT\nE:ID_ATA_WRITE_CACHE=1\n\
                 E:ID_ATA_WRITE_CACHE_ENABLED=0\nE:ID_ATA_ROTATION_RATE_RPM=7200\n\
                 E:ID_WWN=0x7c\nE:ID_PATH=pci-0000:3b:00.0\nE:ID_FS_TYPE=ext4\n\
                 E:ID_FS_USAGE=filesystem\nE:ID_FS_UUID=u\nE:ID_FS_VERSION=1.0\n",
            )
            .file(
                "udev/b252:0",
                "E:DM_NAME=system-root\nE:DM_UUID=LVM-1\nE:DM_VG_NAME=system\n\
                 E:DM_LV_NAME=root\n",
            )
            .file("udev/b254:0", "E:ID_SERIAL=virtio\n")
            .check(collect, &expect![[r##"
                # HELP node_disk_ata_rotation_rate_rpm Rotations per minute of the ATA disk, 0 if nothing in it turns.
                # TYPE node_disk_ata_rotation_rate_rpm gauge
                node_disk_ata_rotation_rate_rpm{device="sda"} 7200
                # HELP node_disk_ata_write_cache 1 if the ATA disk has a write cache, else 0.
                # TYPE node_disk_ata_write_cache gauge
                node_disk_ata_write_cache{device="sda"} 1
                # HELP node_disk_ata_write_cache_enabled 1 if the ATA disk uses its write cache, else 0.
                # TYPE node_disk_ata_write_cache_enabled gauge
                node_disk_ata_write_cache_enabled{device="sda"} 0
                # HELP node_disk_device_mapper_info Always 1; the labels tell which device-mapper volume it is.
                # TYPE node_disk_device_mapper_info gauge
                node_disk_device_mapper_info{device="dm-0",name="system-root",uuid="LVM-1",vg_name="system",lv_name="root",lv_layer=""} 1
                # HELP node_disk_filesystem_info Always 1; the labels tell which file system lies on the device.
                # TYPE node_disk_filesystem_info gauge
                node_disk_filesystem_info{device="sda",type="ext4",usage="filesystem",uuid="u",version="1.0"} 1
                # HELP node_disk_info Always 1; the labels tell which disk it is.
                # TYPE node_disk_info gauge
                node_disk_info{device="sda",major="8",minor="0",path="pci-0000:3b:00.0",wwn="0x7c",model="FAST=SSD",serial="SHORT",revision="0102",rotational="1"} 1
                node_disk_info{device="dm-0",major="252",minor="0",path="",wwn="",model="",serial="",revision="",rotational="0"} 1
                node_disk_info{device="vda",major="254",minor="0",path="",wwn="",model="",serial="virtio",revision="",rotational="0"} 1
                # HELP node_disk_reads_completed_total Read requests the device has completed.
                # TYPE node_disk_reads_completed_total counter
                node_disk_reads_completed_total{device="sda"} 1
                node_disk_reads_completed_total{device="dm-0"} 1
                node_disk_reads_completed_total{device="vda"} 1
            "##]]);
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.file("proc/diskstats", "8 0\n").check(
            collect,
            &expect![[r#"
            error: /proc/diskstats: a device's name is missing
        "#]],
        );
        host.file("proc/diskstats", "8 0 sda 1 x\n").check(
            collect,
            &expect![[r#"
            error: /proc/diskstats: a column is not a number: "x"
        "#]],
        );
    }
}
