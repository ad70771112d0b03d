//! Btrfs file systems made of files.

use expect_test::expect;

use super::{Device, collect, collect_file_system, ratio};
use crate::{exposition::Exposition, sources::tests::Host};

const UUID: &str = "0abb23a9-0000-1111-2222-333344445555";

fn host() -> Host {
    let host = Host::default();
    for (file, text) in [
        ("label", "tank\n"),
        ("metadata_uuid", "0abb23a9-0000-1111-2222-333344445555\n"),
        (
            "commit_stats",
            "commits 12\nlast_commit_ms 1000\nmax_commit_ms 51462\ntotal_commit_ms 52000\n",
        ),
        ("allocation/global_rsv_size", "16777216\n"),
        ("allocation/data/bytes_reserved", "1\n"),
        ("allocation/data/raid5/used_bytes", "100\n"),
        ("allocation/data/raid5/total_bytes", "200\n"),
        ("allocation/metadata/bytes_reserved", "2\n"),
        ("allocation/metadata/raid1/used_bytes", "10\n"),
        ("allocation/metadata/raid1/total_bytes", "20\n"),
        ("allocation/metadata/single/used_bytes", "0\n"),
        ("allocation/metadata/single/total_bytes", "5\n"),
        ("devices/sda/size", "4\n"),
        ("devices/sdb/size", "8\n"),
        ("devices/sdc/size", "16\n"),
    ] {
        host.file(&format!("sys/fs/btrfs/{UUID}/{file}"), text);
    }
    host.file("sys/fs/btrfs/features/raid1c34", "0\n");
    host
}

#[test]
fn a_file_system_is_told_by_what_sysfs_has_where_it_does_not_answer() {
    let host = host();
    host.file("proc/1/mountinfo", "36 35 0:40 / /data rw - btrfs /dev/sda rw,subvol=/\n");
    host.check(collect, &expect![[r##"
        # HELP node_btrfs_allocation_ratio Bytes on disk for each byte, by layout.
        # TYPE node_btrfs_allocation_ratio gauge
        node_btrfs_allocation_ratio{uuid="0abb23a9-0000-1111-2222-333344445555",block_group_type="data",mode="raid5"} 1.5
        node_btrfs_allocation_ratio{uuid="0abb23a9-0000-1111-2222-333344445555",block_group_type="metadata",mode="raid1"} 2
        node_btrfs_allocation_ratio{uuid="0abb23a9-0000-1111-2222-333344445555",block_group_type="metadata",mode="single"} 1
        # HELP node_btrfs_commit_seconds_total Seconds that commits took, added up.
        # TYPE node_btrfs_commit_seconds_total counter
        node_btrfs_commit_seconds_total{uuid="0abb23a9-0000-1111-2222-333344445555"} 52
        # HELP node_btrfs_commits_total Commits.
        # TYPE node_btrfs_commits_total counter
        node_btrfs_commits_total{uuid="0abb23a9-0000-1111-2222-333344445555"} 12
        # HELP node_btrfs_device_size_bytes Size of a device of the file system.
        # TYPE node_btrfs_device_size_bytes gauge
        node_btrfs_device_size_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",device="sda"} 2048
        node_btrfs_device_size_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",device="sdb"} 4096
        node_btrfs_device_size_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",device="sdc"} 8192
        # HELP node_btrfs_global_rsv_size_bytes Size of the global reserve.
        # TYPE node_btrfs_global_rsv_size_bytes gauge
        node_btrfs_global_rsv_size_bytes{uuid="0abb23a9-0000-1111-2222-333344445555"} 1.6777216e+07
        # HELP node_btrfs_info Always 1; label is the file system's name.
        # TYPE node_btrfs_info gauge
        node_btrfs_info{uuid="0abb23a9-0000-1111-2222-333344445555",label="tank"} 1
        # HELP node_btrfs_last_commit_seconds Seconds that the last commit took.
        # TYPE node_btrfs_last_commit_seconds gauge
        node_btrfs_last_commit_seconds{uuid="0abb23a9-0000-1111-2222-333344445555"} 1
        # HELP node_btrfs_max_commit_seconds Seconds that the longest commit took.
        # TYPE node_btrfs_max_commit_seconds gauge
        node_btrfs_max_commit_seconds{uuid="0abb23a9-0000-1111-2222-333344445555"} 51.462
        # HELP node_btrfs_reserved_bytes Bytes set aside for what is about to be written.
        # TYPE node_btrfs_reserved_bytes gauge
        node_btrfs_reserved_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",block_group_type="data"} 1
        node_btrfs_reserved_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",block_group_type="metadata"} 2
        # HELP node_btrfs_size_bytes Bytes allocated, by layout.
        # TYPE node_btrfs_size_bytes gauge
        node_btrfs_size_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",block_group_type="data",mode="raid5"} 200
        node_btrfs_size_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",block_group_type="metadata",mode="raid1"} 20
        node_btrfs_size_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",block_group_type="metadata",mode="single"} 5
        # HELP node_btrfs_used_bytes Bytes in use, by layout.
        # TYPE node_btrfs_used_bytes gauge
        node_btrfs_used_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",block_group_type="data",mode="raid5"} 100
        node_btrfs_used_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",block_group_type="metadata",mode="raid1"} 10
        node_btrfs_used_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",block_group_type="metadata",mode="single"} 0
    "##]]);
}

#[test]
fn devices_are_told_with_their_errors_where_it_answers() {
    let device = Device {
        path: "/dev/mapper/tank".to_owned(),
        uuid: "01020304-0506-0708-090a-0b0c0d0e0f10".to_owned(),
        total_bytes: 1000,
        used_bytes: 400,
        errors: [1, 2, 3, 4, 5],
    };
    let dir = host();
    let dir = dir.path(&format!("sys/fs/btrfs/{UUID}"));
    let mut out = Exposition::default();
    collect_file_system(&dir, UUID, Some(vec![device]), &mut out).unwrap();
    let text = out.to_text();
    let lines = text.lines().filter(|it| it.contains("_device_"));
    expect![[r##"
        # HELP node_btrfs_device_errors_total Errors of a device of the file system, by kind.
        # TYPE node_btrfs_device_errors_total counter
        node_btrfs_device_errors_total{uuid="0abb23a9-0000-1111-2222-333344445555",type="write",device="tank",btrfs_dev_uuid="01020304-0506-0708-090a-0b0c0d0e0f10"} 1
        node_btrfs_device_errors_total{uuid="0abb23a9-0000-1111-2222-333344445555",type="read",device="tank",btrfs_dev_uuid="01020304-0506-0708-090a-0b0c0d0e0f10"} 2
        node_btrfs_device_errors_total{uuid="0abb23a9-0000-1111-2222-333344445555",type="flush",device="tank",btrfs_dev_uuid="01020304-0506-0708-090a-0b0c0d0e0f10"} 3
        node_btrfs_device_errors_total{uuid="0abb23a9-0000-1111-2222-333344445555",type="corruption",device="tank",btrfs_dev_uuid="01020304-0506-0708-090a-0b0c0d0e0f10"} 4
        node_btrfs_device_errors_total{uuid="0abb23a9-0000-1111-2222-333344445555",type="generation",device="tank",btrfs_dev_uuid="01020304-0506-0708-090a-0b0c0d0e0f10"} 5
        # HELP node_btrfs_device_size_bytes Size of a device of the file system.
        # TYPE node_btrfs_device_size_bytes gauge
        node_btrfs_device_size_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",device="tank",btrfs_dev_uuid="01020304-0506-0708-090a-0b0c0d0e0f10"} 1000
        # HELP node_btrfs_device_unused_bytes Bytes of a device of the file system that are not allocated.
        # TYPE node_btrfs_device_unused_bytes gauge
        node_btrfs_device_unused_bytes{uuid="0abb23a9-0000-1111-2222-333344445555",device="tank",btrfs_dev_uuid="01020304-0506-0708-090a-0b0c0d0e0f10"} 600"##]].assert_eq(&lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_size_that_is_no_number_is_named_and_a_host_without_btrfs_has_none() {
    Host::default().check(collect, &expect![""]);
    host()
        .file(&format!("sys/fs/btrfs/{UUID}/allocation/data/raid5/used_bytes"), "some\n")
        .check(collect, &expect![[r#"
            error: /sys/fs/btrfs/0abb23a9-0000-1111-2222-333344445555/allocation/data/raid5/used_bytes: not a number: "some"
        "#]]);
}

#[test]
fn layouts_take_more_than_they_hold() {
    for (layout, expected) in [
        ("single", 1.0),
        ("dup", 2.0),
        ("raid1c3", 3.0),
        ("raid1c4", 4.0),
        ("raid6", 2.0),
        ("new", 0.0),
    ] {
        assert!((ratio(layout, 4) - expected).abs() < 1e-9, "{layout}");
    }
}
