//! Disks that are reached over several paths, from `/sys/block/dm-*`.

use std::path::Path;

use skep_proto::MetricKind::Gauge;

use super::{Context, SourceError, sorted_dir, sysfs};
use crate::exposition::Exposition;

const SECTOR_BYTES: f64 = 512.0;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let block = context.roots.sys.join("block");
    for sysfs_name in sysfs::names(&block, "block devices")? {
        if !sysfs_name.starts_with("dm-") {
            continue;
        }
        let uuid = sysfs::text_if_any(&block.join(&sysfs_name).join("dm/uuid"))?;
        if let Some(uuid) = uuid.filter(|it| it.starts_with("mpath-")) {
            collect_device(&block, &sysfs_name, &uuid, out)?;
        }
    }
    Ok(())
}

fn collect_device(
    block: &Path,
    sysfs_name: &str,
    uuid: &str,
    out: &mut Exposition,
) -> Result<(), SourceError> {
    let dir = block.join(sysfs_name);
    let device = sysfs::text(&dir.join("dm/name"))?;
    let is_suspended = sysfs::value(&dir.join("dm/suspended"))? > 0.0;
    let size_bytes = sysfs::value(&dir.join("size"))? * SECTOR_BYTES;
    out.family(
        "node_dmmultipath_device_info",
        "Always 1; the labels tell the device's names and its identifier.",
        Gauge,
    )
    .point([("device", &device), ("sysfs_name", sysfs_name), ("uuid", uuid)], 1.0);
    let (mut n_active, mut n_failed) = (0_u32, 0_u32);
    for path in sorted_dir(&dir.join("slaves")) {
        let state = sysfs::text(&block.join(&path).join("device/state"))?;
        // SCSI disks run, NVMe controllers live.
        if state == "running" || state == "live" {
            n_active += 1;
        } else {
            n_failed += 1;
        }
        out.family(
            "node_dmmultipath_path_state",
            "1 for the state that the disk at the end of the path is in.",
            Gauge,
        )
        .point([("device", &device), ("path", &path), ("state", &state)], 1.0);
    }
    for (name, help, value) in [
        (
            "node_dmmultipath_device_active",
            "1 if the device can be used, 0 if it is suspended.",
            f64::from(u8::from(!is_suspended)),
        ),
        ("node_dmmultipath_device_size_bytes", "Size of the device.", size_bytes),
        (
            "node_dmmultipath_device_paths",
            "Paths to the device.",
            f64::from(n_active) + f64::from(n_failed),
        ),
        (
            "node_dmmultipath_device_paths_active",
            "Paths to the device that can be used.",
            f64::from(n_active),
        ),
        (
            "node_dmmultipath_device_paths_failed",
            "Paths to the device that cannot be used.",
            f64::from(n_failed),
        ),
    ] {
        out.family(name, help, Gauge)
            .point([("device", &device), ("sysfs_name", sysfs_name)], value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    fn host() -> Host {
        let host = Host::default();
        for (file, text) in [
            ("dm-0/dm/uuid", "LVM-abc\n"),
            ("dm-1/size", "8\n"),
            ("dm-7/dm/uuid", "mpath-36001\n"),
            ("dm-7/dm/name", "data\n"),
            ("dm-7/dm/suspended", "0\n"),
            ("dm-7/size", "2048\n"),
            ("dm-7/slaves/sda/uevent", ""),
            ("dm-7/slaves/sdb/uevent", ""),
            ("dm-7/slaves/nvme0n1/uevent", ""),
            ("sda/device/state", "running\n"),
            ("sdb/device/state", "offline\n"),
            ("nvme0n1/device/state", "live\n"),
        ] {
            host.file(&format!("sys/block/{file}"), text);
        }
        host
    }

    #[test]
    fn paths_are_counted_by_whether_they_can_be_used() {
        host().check(collect, &expect![[r##"
            # HELP node_dmmultipath_device_active 1 if the device can be used, 0 if it is suspended.
            # TYPE node_dmmultipath_device_active gauge
            node_dmmultipath_device_active{device="data",sysfs_name="dm-7"} 1
            # HELP node_dmmultipath_device_info Always 1; the labels tell the device's names and its identifier.
            # TYPE node_dmmultipath_device_info gauge
            node_dmmultipath_device_info{device="data",sysfs_name="dm-7",uuid="mpath-36001"} 1
            # HELP node_dmmultipath_device_paths Paths to the device.
            # TYPE node_dmmultipath_device_paths gauge
            node_dmmultipath_device_paths{device="data",sysfs_name="dm-7"} 3
            # HELP node_dmmultipath_device_paths_active Paths to the device that can be used.
            # TYPE node_dmmultipath_device_paths_active gauge
            node_dmmultipath_device_paths_active{device="data",sysfs_name="dm-7"} 2
            # HELP node_dmmultipath_device_paths_failed Paths to the device that cannot be used.
            # TYPE node_dmmultipath_device_paths_failed gauge
            node_dmmultipath_device_paths_failed{device="data",sysfs_name="dm-7"} 1
            # HELP node_dmmultipath_device_size_bytes Size of the device.
            # TYPE node_dmmultipath_device_size_bytes gauge
            node_dmmultipath_device_size_bytes{device="data",sysfs_name="dm-7"} 1.048576e+06
            # HELP node_dmmultipath_path_state 1 for the state that the disk at the end of the path is in.
            # TYPE node_dmmultipath_path_state gauge
            node_dmmultipath_path_state{device="data",path="nvme0n1",state="live"} 1
            node_dmmultipath_path_state{device="data",path="sda",state="running"} 1
            node_dmmultipath_path_state{device="data",path="sdb",state="offline"} 1
        "##]]);
    }

    #[test]
    fn a_size_that_is_no_number_is_named_and_a_host_without_disks_has_none() {
        Host::default().check(
            collect,
            &expect![[r#"
            error: this host has no block devices
        "#]],
        );
        host().file("sys/block/dm-7/size", "\n").check(
            collect,
            &expect![[r#"
            error: /sys/block/dm-7/size: not a number: ""
        "#]],
        );
    }
}
