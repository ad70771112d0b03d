//! Btrfs file systems and their devices, from `/sys/fs/btrfs` and the file systems themselves.

mod devices;

use std::{collections::HashMap, fs, path::Path};

use skep_proto::MetricKind::{Counter, Gauge};

use self::devices::{Device, ERRORS};
use super::{Context, SourceError, filesystem, sorted_dir, sysfs};
use crate::exposition::{Exposition, as_f64};

const SECTOR_BYTES: f64 = 512.0;
const SECONDS_PER_MILLISECOND: f64 = 1e-3;

/// What blocks are for.
const BLOCK_GROUPS: [&str; 3] = ["data", "metadata", "system"];

/// A host without a Btrfs file system just has none.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("fs/btrfs");
    let mut names = sorted_dir(&dir);
    names.retain(|it| it.contains('-'));
    if names.is_empty() {
        return Ok(());
    }
    let mut devices = devices_by_fsid(context);
    for name in names {
        let told = devices.remove(&name.replace('-', ""));
        collect_file_system(&dir.join(&name), &name, told, out)?;
    }
    Ok(())
}

fn collect_file_system(
    dir: &Path,
    name: &str,
    told: Option<Vec<Device>>,
    out: &mut Exposition,
) -> Result<(), SourceError> {
    let device_names = sorted_dir(&dir.join("devices"));
    let uuid = sysfs::text_if_any(&dir.join("metadata_uuid"))?.filter(|it| !it.is_empty());
    let uuid = uuid.as_deref().unwrap_or(name);
    let label = sysfs::text_if_any(&dir.join("label"))?.unwrap_or_default();
    out.family("node_btrfs_info", "Always 1; label is the file system's name.", Gauge)
        .point([("uuid", uuid), ("label", &label)], 1.0);
    let reserve_bytes = value(&dir.join("allocation/global_rsv_size"))?;
    out.family("node_btrfs_global_rsv_size_bytes", "Size of the global reserve.", Gauge)
        .point([("uuid", uuid)], reserve_bytes);
    collect_commits(&dir.join("commit_stats"), uuid, out)?;
    for group in BLOCK_GROUPS {
        let group_dir = dir.join("allocation").join(group);
        collect_group(&group_dir, uuid, group, device_names.len(), out)?;
    }
    match told {
        Some(devices) => devices.iter().for_each(|it| collect_device(it, uuid, out)),
        None => {
            for device in device_names {
                let sectors = value(&dir.join("devices").join(&device).join("size"))?;
                out.family("node_btrfs_device_size_bytes", DEVICE_SIZE, Gauge)
                    .point([("uuid", uuid), ("device", &device)], sectors * SECTOR_BYTES);
            }
        }
    }
    Ok(())
}

const DEVICE_SIZE: &str = "Size of a device of the file system.";

/// Lines as `last_commit_ms 1000`. Kernels before 6.0 have none.
fn collect_commits(path: &Path, uuid: &str, out: &mut Exposition) -> Result<(), SourceError> {
    let text = sysfs::text_if_any(path)?.unwrap_or_default();
    for (field, name, kind, unit, help) in [
        ("commits", "node_btrfs_commits_total", Counter, 1.0, "Commits."),
        (
            "last_commit_ms",
            "node_btrfs_last_commit_seconds",
            Gauge,
            SECONDS_PER_MILLISECOND,
            "Seconds that the last commit took.",
        ),
        (
            "max_commit_ms",
            "node_btrfs_max_commit_seconds",
            Gauge,
            SECONDS_PER_MILLISECOND,
            "Seconds that the longest commit took.",
        ),
        (
            "total_commit_ms",
            "node_btrfs_commit_seconds_total",
            Counter,
            SECONDS_PER_MILLISECOND,
            "Seconds that commits took, added up.",
        ),
    ] {
        let number = text.lines().find_map(|it| it.strip_prefix(field)?.strip_prefix(' '));
        let value = number.map_or(Ok(0.0), |it| sysfs::parse(path, it.trim()))?;
        out.family(name, help, kind).point([("uuid", uuid)], value * unit);
    }
    Ok(())
}

fn collect_group(
    dir: &Path,
    uuid: &str,
    group: &str,
    n_devices: usize,
    out: &mut Exposition,
) -> Result<(), SourceError> {
    // Where data and metadata share their blocks there is neither of the two.
    let Some(reserved_bytes) = sysfs::value_if_any(&dir.join("bytes_reserved"))? else {
        return Ok(());
    };
    out.family(
        "node_btrfs_reserved_bytes",
        "Bytes set aside for what is about to be written.",
        Gauge,
    )
    .point([("uuid", uuid), ("block_group_type", group)], reserved_bytes);
    for layout in layouts(dir) {
        let labels = [("uuid", uuid), ("block_group_type", group), ("mode", layout.as_str())];
        let layout_dir = dir.join(&layout);
        out.family("node_btrfs_used_bytes", "Bytes in use, by layout.", Gauge)
            .point(labels, value(&layout_dir.join("used_bytes"))?);
        out.family("node_btrfs_size_bytes", "Bytes allocated, by layout.", Gauge)
            .point(labels, value(&layout_dir.join("total_bytes"))?);
        out.family("node_btrfs_allocation_ratio", "Bytes on disk for each byte, by layout.", Gauge)
            .point(labels, ratio(&layout, n_devices));
    }
    Ok(())
}

fn collect_device(device: &Device, uuid: &str, out: &mut Exposition) {
    let name = device.path.rsplit('/').next().unwrap_or_default();
    let labels = [("uuid", uuid), ("device", name), ("btrfs_dev_uuid", device.uuid.as_str())];
    out.family("node_btrfs_device_size_bytes", DEVICE_SIZE, Gauge)
        .point(labels, as_f64(device.total_bytes));
    out.family(
        "node_btrfs_device_unused_bytes",
        "Bytes of a device of the file system that are not allocated.",
        Gauge,
    )
    .point(labels, as_f64(device.total_bytes.saturating_sub(device.used_bytes)));
    let family = out.family(
        "node_btrfs_device_errors_total",
        "Errors of a device of the file system, by kind.",
        Counter,
    );
    for (kind, count) in ERRORS.into_iter().zip(device.errors) {
        let [uuid, name, device_uuid] = labels;
        family.point([uuid, ("type", kind), name, device_uuid], as_f64(count));
    }
}

/// Only the file systems know of errors. One that does not answer, as where the agent may not ask,
/// is told by what sysfs has.
fn devices_by_fsid(context: &Context) -> HashMap<String, Vec<Device>> {
    let roots = &context.roots;
    let table = roots.read_proc("1/mountinfo").or_else(|_| roots.read_proc("self/mountinfo"));
    let table = table.unwrap_or_default();
    let mut by_fsid = HashMap::new();
    let mut asked = Vec::new();
    for mut mount in table.lines().filter_map(filesystem::parse_mount) {
        if mount.fs_type != "btrfs" || asked.contains(&mount.device) {
            continue;
        }
        mount.strip_root(&roots.root);
        let mount_point = roots.root.join(mount.mount_point.trim_start_matches('/'));
        if let Ok((fsid, devices)) = devices::ask(&mount_point) {
            by_fsid.insert(fsid, devices);
            asked.push(mount.device);
        }
    }
    by_fsid
}

/// Of a file that need not be there: kernels differ.
fn value(path: &Path) -> Result<f64, SourceError> {
    Ok(sysfs::value_if_any(path)?.unwrap_or_default())
}

/// They are the folders among the group's figures.
fn layouts(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|it| it.file_type().is_ok_and(|it| it.is_dir()));
    let mut names: Vec<String> = dirs.filter_map(|it| it.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

fn ratio(layout: &str, n_devices: usize) -> f64 {
    let n_devices = as_f64(u64::try_from(n_devices).unwrap_or(u64::MAX));
    match layout {
        "single" | "raid0" => 1.0,
        "dup" | "raid1" | "raid10" => 2.0,
        "raid1c3" => 3.0,
        "raid1c4" => 4.0,
        "raid5" => n_devices / (n_devices - 1.0),
        "raid6" => n_devices / (n_devices - 2.0),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests;
