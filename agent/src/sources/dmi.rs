//! What machine this is, from `/sys/class/dmi/id`.

use std::{borrow::Cow, fs};

use skep_proto::MetricKind;

use super::{Context, SourceError, sysfs};
use crate::exposition::Exposition;

/// Files whose names are labels; some are readable by root only and then left out.
const FILES: [&str; 20] = [
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_asset_tag",
    "board_name",
    "board_serial",
    "board_vendor",
    "board_version",
    "chassis_asset_tag",
    "chassis_serial",
    "chassis_vendor",
    "chassis_version",
    "product_family",
    "product_name",
    "product_serial",
    "product_sku",
    "product_uuid",
    "product_version",
    "sys_vendor",
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("class/dmi/id");
    let mut labels = Vec::new();
    for file in FILES {
        if let Ok(bytes) = fs::read(dir.join(file)) {
            let label = if file == "sys_vendor" { "system_vendor" } else { file };
            labels.push((Cow::Borrowed(label), sysfs::valid_utf8(bytes.trim_ascii())));
        }
    }
    if labels.is_empty() {
        return Err(SourceError::NoData { what: "DMI tables" });
    }
    out.family(
        "node_dmi_info",
        "Always 1; the labels are what the firmware tells of the machine in its DMI tables.",
        MetricKind::Gauge,
    )
    .labelled(labels, 1.0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn what_the_machine_tells_is_labels() {
        Host::default()
            .file("sys/class/dmi/id/bios_vendor", "Some Inc.\n")
            .bytes("sys/class/dmi/id/product_version", b"\xff\xfe[\xff\n")
            .file("sys/class/dmi/id/sys_vendor", " \n")
            .file("sys/class/dmi/id/modalias", "dmi:x\n")
            .check(collect, &expect![[r##"
                # HELP node_dmi_info Always 1; the labels are what the firmware tells of the machine in its DMI tables.
                # TYPE node_dmi_info gauge
                node_dmi_info{bios_vendor="Some Inc.",product_version="�[�",system_vendor=""} 1
            "##]]);
        Host::default().check(
            collect,
            &expect![[r#"
            error: this host has no DMI tables
        "#]],
        );
    }
}
