//! Size and free space of mounted file systems, from the mount table and `statfs`.

mod mounts;
mod statfs;

use std::collections::HashSet;

use skep_proto::MetricKind;

pub(super) use self::{mounts::parse as parse_mount, statfs::Mounts};
use self::{
    mounts::{Mount, parse},
    statfs::Usage,
};
use super::{Context, SourceError};
use crate::exposition::Exposition;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let Context { roots, settings, state, .. } = context;
    // The table of the first process is the host's; hidepid may hide it.
    let table = roots.read_proc("1/mountinfo").or_else(|_| roots.read_proc("self/mountinfo"))?;
    let mut seen = HashSet::new();
    for line in table.lines() {
        let Some(mut mount) = parse(line) else {
            return Err(SourceError::Missing { file: "/proc/1/mountinfo", what: "a field" });
        };
        mount.strip_root(&roots.root);
        let key = (mount.device.clone(), mount.mount_point.clone(), mount.fs_type);
        if !settings.filesystem.takes(&mount.mount_point, mount.fs_type) || !seen.insert(key) {
            continue;
        }
        let path = roots.root.join(mount.mount_point.trim_start_matches('/'));
        let answer = state
            .filesystem
            .usage(&path, settings.filesystem.mount_timeout)
            .map_err(|source| SourceError::Kernel { what: "file systems", source })?;
        match answer {
            Ok(usage) => {
                status(out, &mount, "");
                sizes(out, &mount, &usage);
            }
            Err(error) => status(out, &mount, &error),
        }
    }
    Ok(())
}

fn status(out: &mut Exposition, mount: &Mount<'_>, error: &str) {
    let has_failed = f64::from(u8::from(!error.is_empty()));
    let read_only = f64::from(u8::from(mount.is_read_only));
    for (name, help, value) in [
        (
            "node_filesystem_device_error",
            "1 if the kernel did not tell the file system's figures, else 0; the label device_error says why.",
            has_failed,
        ),
        (
            "node_filesystem_readonly",
            "1 if the file system is mounted read-only, else 0.",
            read_only,
        ),
    ] {
        out.family(name, help, MetricKind::Gauge).point(labels(mount, error), value);
    }
}

fn sizes(out: &mut Exposition, mount: &Mount<'_>, usage: &Usage) {
    for (name, help, value) in [
        ("node_filesystem_size_bytes", "Size of the file system, in bytes.", usage.size_bytes),
        (
            "node_filesystem_free_bytes",
            "Unused space, what is reserved for root included, in bytes.",
            usage.free_bytes,
        ),
        (
            "node_filesystem_avail_bytes",
            "Unused space that everybody may write to, in bytes.",
            usage.avail_bytes,
        ),
        ("node_filesystem_files", "Inodes of the file system, used or not.", usage.files),
        ("node_filesystem_files_free", "Inodes that are not used.", usage.files_free),
    ] {
        out.family(name, help, MetricKind::Gauge).point(labels(mount, ""), value);
    }
    out.family(
        "node_filesystem_mount_info",
        "Always 1; the labels tell the mount point and the device's numbers.",
        MetricKind::Gauge,
    )
    .point(
        [
            ("device", &mount.device),
            ("major", mount.major),
            ("minor", mount.minor),
            ("mountpoint", &mount.mount_point),
        ],
        1.0,
    );
}

fn labels<'m>(mount: &'m Mount<'_>, error: &'m str) -> [(&'static str, &'m str); 4] {
    [
        ("device", &mount.device),
        ("mountpoint", &mount.mount_point),
        ("fstype", mount.fs_type),
        ("device_error", error),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    /// Sizes are the test machine's: only whether they are there is compared.
    fn text(host: &Host) -> String {
        let text = host.text(collect);
        let lines = text.lines().filter(|it| !it.starts_with('#')).map(|line| {
            let is_size = ["_bytes{", "_files{", "_files_free{"].iter().any(|it| line.contains(it));
            match line.rsplit_once(' ') {
                Some((series, value)) if is_size => {
                    assert!(value.parse::<f64>().unwrap() >= 0.0);
                    format!("{series} <n>\n")
                }
                _ => format!("{line}\n"),
            }
        });
        lines.collect()
    }

    #[test]
    fn mounts_are_told_with_their_sizes() {
        let host = Host::default();
        std::fs::create_dir_all(host.path("my data")).unwrap();
        host.file(
            "proc/1/mountinfo",
            "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
             27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda1 ro,discard\n\
             28 1 254:1 / /my\\040data ro,relatime - xfs /dev/vdb rw\n\
             29 1 254:1 / /my\\040data rw - xfs /dev/vdb rw\n",
        );
        expect![[r#"
            node_filesystem_avail_bytes{device="/dev/vda1",mountpoint="/",fstype="ext4",device_error=""} <n>
            node_filesystem_avail_bytes{device="/dev/vdb",mountpoint="/my data",fstype="xfs",device_error=""} <n>
            node_filesystem_device_error{device="/dev/vda1",mountpoint="/",fstype="ext4",device_error=""} 0
            node_filesystem_device_error{device="/dev/vdb",mountpoint="/my data",fstype="xfs",device_error=""} 0
            node_filesystem_files{device="/dev/vda1",mountpoint="/",fstype="ext4",device_error=""} <n>
            node_filesystem_files{device="/dev/vdb",mountpoint="/my data",fstype="xfs",device_error=""} <n>
            node_filesystem_files_free{device="/dev/vda1",mountpoint="/",fstype="ext4",device_error=""} <n>
            node_filesystem_files_free{device="/dev/vdb",mountpoint="/my data",fstype="xfs",device_error=""} <n>
            node_filesystem_free_bytes{device="/dev/vda1",mountpoint="/",fstype="ext4",device_error=""} <n>
            node_filesystem_free_bytes{device="/dev/vdb",mountpoint="/my data",fstype="xfs",device_error=""} <n>
            node_filesystem_mount_info{device="/dev/vda1",major="254",minor="0",mountpoint="/"} 1
            node_filesystem_mount_info{device="/dev/vdb",major="254",minor="1",mountpoint="/my data"} 1
            node_filesystem_readonly{device="/dev/vda1",mountpoint="/",fstype="ext4",device_error=""} 1
            node_filesystem_readonly{device="/dev/vdb",mountpoint="/my data",fstype="xfs",device_error=""} 1
            node_filesystem_size_bytes{device="/dev/vda1",mountpoint="/",fstype="ext4",device_error=""} <n>
            node_filesystem_size_bytes{device="/dev/vdb",mountpoint="/my data",fstype="xfs",device_error=""} <n>
        "#]].assert_eq(&text(&host));
    }

    #[test]
    fn a_mount_that_cannot_be_asked_is_told_with_its_error() {
        let host = Host::default();
        host.file("proc/self/mountinfo", "28 1 8:1 / /gone rw - ext4 /dev/sda1 rw\n");
        expect![[r#"
            node_filesystem_device_error{device="/dev/sda1",mountpoint="/gone",fstype="ext4",device_error="no such file or directory"} 1
            node_filesystem_readonly{device="/dev/sda1",mountpoint="/gone",fstype="ext4",device_error="no such file or directory"} 0
        "#]].assert_eq(&text(&host));
    }

    #[test]
    fn what_is_missing_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /proc/self/mountinfo: No such file or directory (os error 2)
        "#]],
        );
        host.file("proc/1/mountinfo", "28 1 8:1 / /gone rw - ext4\n");
        host.check(
            collect,
            &expect![[r#"
            error: /proc/1/mountinfo: a field is missing
        "#]],
        );
    }
}
