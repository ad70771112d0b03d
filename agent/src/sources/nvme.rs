//! NVMe controllers and their namespaces, from `/sys/class/nvme`.

use std::path::Path;

use skep_proto::MetricKind::Gauge;

use super::{Context, SourceError, sorted_dir, sysfs};
use crate::exposition::Exposition;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let class = context.roots.sys.join("class/nvme");
    for device in sysfs::names(&class, "NVMe controllers")? {
        let dir = class.join(&device);
        out.family(
            "node_nvme_info",
            "Always 1; the labels tell the controller's model, firmware and state.",
            Gauge,
        )
        .point(
            [
                ("device", &device),
                ("firmware_revision", &sysfs::text(&dir.join("firmware_rev"))?),
                ("model", &sysfs::text(&dir.join("model"))?),
                ("serial", &sysfs::text(&dir.join("serial"))?),
                ("state", &sysfs::text(&dir.join("state"))?),
                ("cntlid", &sysfs::text(&dir.join("cntlid"))?),
            ],
            1.0,
        );
        for name in sorted_dir(&dir) {
            if let Some(nsid) = namespace_id(&name) {
                collect_namespace(&dir.join(&name), &device, nsid, out)?;
            }
        }
    }
    Ok(())
}

fn collect_namespace(
    dir: &Path,
    device: &str,
    nsid: &str,
    out: &mut Exposition,
) -> Result<(), SourceError> {
    let labels = [("device", device), ("nsid", nsid)];
    let ana_state =
        sysfs::text_if_any(&dir.join("ana_state"))?.unwrap_or_else(|| "unknown".to_owned());
    out.family(
        "node_nvme_namespace_info",
        "Always 1; ana_state tells how well the controller reaches the namespace.",
        Gauge,
    )
    .point([("device", device), ("nsid", nsid), ("ana_state", &ana_state)], 1.0);
    let block_bytes = sysfs::value(&dir.join("queue/logical_block_size"))?;
    out.family(
        "node_nvme_namespace_logical_block_size_bytes",
        "Bytes of a block of the namespace.",
        Gauge,
    )
    .point(labels, block_bytes);
    // The kernel counts `size` in 512 bytes, whatever the block; node_exporter multiplies both with
    // the block, and so do we: its dashboards and alerts are made for that.
    let size_bytes = sysfs::value(&dir.join("size"))? * block_bytes;
    out.family(
        "node_nvme_namespace_capacity_bytes",
        "The namespace's size times its block size.",
        Gauge,
    )
    .point(labels, size_bytes);
    out.family(
        "node_nvme_namespace_size_bytes",
        "The namespace's size times its block size.",
        Gauge,
    )
    .point(labels, size_bytes);
    // Kernels before 6.8 do not tell it.
    if let Some(n_used) = sysfs::value_if_any(&dir.join("nuse"))? {
        out.family("node_nvme_namespace_used_bytes", "Bytes of the namespace in use.", Gauge)
            .point(labels, n_used * block_bytes);
    }
    Ok(())
}

/// `nvme0n1`, and `nvme0c1n1` for one path of several, are namespace 1.
fn namespace_id(name: &str) -> Option<&str> {
    let number_end = |text: &str| text.find(|c: char| !c.is_ascii_digit());
    let rest = name.strip_prefix("nvme")?;
    let (_, mut rest) = rest.split_at_checked(number_end(rest)?)?;
    if let Some(path) = rest.strip_prefix('c') {
        rest = path.split_at_checked(number_end(path)?)?.1;
    }
    let nsid = rest.strip_prefix('n')?;
    (!nsid.is_empty() && number_end(nsid).is_none()).then_some(nsid)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{collect, namespace_id};
    use crate::sources::tests::Host;

    fn host() -> Host {
        let host = Host::default();
        for (file, text) in [
            ("firmware_rev", "1.0 \n"),
            ("model", "Some Disk 1TB                           \n"),
            ("serial", "S1\n"),
            ("state", "live\n"),
            ("cntlid", "6\n"),
            ("nvme3n1/size", "2000\n"),
            ("nvme3n1/queue/logical_block_size", "512\n"),
            ("nvme3c3n2/size", "10\n"),
            ("nvme3c3n2/nuse", "4\n"),
            ("nvme3c3n2/ana_state", "optimized\n"),
            ("nvme3c3n2/queue/logical_block_size", "4096\n"),
            ("power/control", "auto\n"),
        ] {
            host.file(&format!("sys/class/nvme/nvme3/{file}"), text);
        }
        host
    }

    #[test]
    fn controllers_and_their_namespaces_are_told() {
        host().check(collect, &expect![[r##"
            # HELP node_nvme_info Always 1; the labels tell the controller's model, firmware and state.
            # TYPE node_nvme_info gauge
            node_nvme_info{device="nvme3",firmware_revision="1.0",model="Some Disk 1TB",serial="S1",state="live",cntlid="6"} 1
            # HELP node_nvme_namespace_capacity_bytes The namespace's size times its block size.
            # TYPE node_nvme_namespace_capacity_bytes gauge
            node_nvme_namespace_capacity_bytes{device="nvme3",nsid="2"} 40960
            node_nvme_namespace_capacity_bytes{device="nvme3",nsid="1"} 1.024e+06
            # HELP node_nvme_namespace_info Always 1; ana_state tells how well the controller reaches the namespace.
            # TYPE node_nvme_namespace_info gauge
            node_nvme_namespace_info{device="nvme3",nsid="2",ana_state="optimized"} 1
            node_nvme_namespace_info{device="nvme3",nsid="1",ana_state="unknown"} 1
            # HELP node_nvme_namespace_logical_block_size_bytes Bytes of a block of the namespace.
            # TYPE node_nvme_namespace_logical_block_size_bytes gauge
            node_nvme_namespace_logical_block_size_bytes{device="nvme3",nsid="2"} 4096
            node_nvme_namespace_logical_block_size_bytes{device="nvme3",nsid="1"} 512
            # HELP node_nvme_namespace_size_bytes The namespace's size times its block size.
            # TYPE node_nvme_namespace_size_bytes gauge
            node_nvme_namespace_size_bytes{device="nvme3",nsid="2"} 40960
            node_nvme_namespace_size_bytes{device="nvme3",nsid="1"} 1.024e+06
            # HELP node_nvme_namespace_used_bytes Bytes of the namespace in use.
            # TYPE node_nvme_namespace_used_bytes gauge
            node_nvme_namespace_used_bytes{device="nvme3",nsid="2"} 16384
        "##]]);
    }

    #[test]
    fn a_size_that_is_no_number_is_named_and_a_host_without_controllers_has_none() {
        Host::default().check(
            collect,
            &expect![[r#"
            error: this host has no NVMe controllers
        "#]],
        );
        host().file("sys/class/nvme/nvme3/nvme3n1/size", "big\n").check(
            collect,
            &expect![[r#"
            error: /sys/class/nvme/nvme3/nvme3n1/size: not a number: "big"
        "#]],
        );
    }

    #[test]
    fn namespaces_are_told_from_other_folders() {
        for (name, nsid) in [
            ("nvme0n1", Some("1")),
            ("nvme12c3n45", Some("45")),
            ("nvme0", None),
            ("nvme0n", None),
            ("nvme0n1p2", None),
            ("hwmon3", None),
        ] {
            assert_eq!(namespace_id(name), nsid, "{name}");
        }
    }
}
