//! Bonded network devices, from `/sys/class/net`.

use skep_proto::MetricKind;

use super::{Context, SourceError, sysfs};
use crate::exposition::Exposition;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("class/net");
    let Some(masters) = sysfs::text_if_any(&dir.join("bonding_masters"))? else {
        return Err(SourceError::NoData { what: "bonded devices" });
    };
    for master in masters.split_ascii_whitespace() {
        let master_dir = dir.join(master);
        let (mut n_slaves, mut n_active) = (0_u32, 0_u32);
        for slave in sysfs::text(&master_dir.join("bonding/slaves"))?.split_ascii_whitespace() {
            // Kernels before 3.18 say `slave_`.
            let status = master_dir.join(format!("lower_{slave}/bonding_slave/mii_status"));
            let status = match sysfs::text_if_any(&status)? {
                Some(status) => status,
                None => sysfs::text(
                    &master_dir.join(format!("slave_{slave}/bonding_slave/mii_status")),
                )?,
            };
            n_slaves += 1;
            n_active += u32::from(status == "up");
        }
        out.family(
            "node_bonding_slaves",
            "Devices that belong to the bonded device.",
            MetricKind::Gauge,
        )
        .point([("master", master)], f64::from(n_slaves));
        out.family(
            "node_bonding_active",
            "Devices of the bonded device whose link is up.",
            MetricKind::Gauge,
        )
        .point([("master", master)], f64::from(n_active));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn slaves_are_counted_and_those_whose_link_is_up() {
        let host = Host::default();
        for (file, text) in [
            ("bonding_masters", "bond0 bond1\n"),
            ("bond0/bonding/slaves", "eth0 eth1\n"),
            ("bond0/lower_eth0/bonding_slave/mii_status", "up\n"),
            ("bond0/slave_eth1/bonding_slave/mii_status", "down\n"),
            ("bond1/bonding/slaves", "\n"),
        ] {
            host.file(&format!("sys/class/net/{file}"), text);
        }
        host.check(
            collect,
            &expect![[r##"
                # HELP node_bonding_active Devices of the bonded device whose link is up.
                # TYPE node_bonding_active gauge
                node_bonding_active{master="bond0"} 1
                node_bonding_active{master="bond1"} 0
                # HELP node_bonding_slaves Devices that belong to the bonded device.
                # TYPE node_bonding_slaves gauge
                node_bonding_slaves{master="bond0"} 2
                node_bonding_slaves{master="bond1"} 0
            "##]],
        );
    }

    #[test]
    fn a_slave_without_a_status_is_named_and_a_host_without_bonds_has_none() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no bonded devices
        "#]],
        );
        host.file("sys/class/net/bonding_masters", "bond0\n")
            .file("sys/class/net/bond0/bonding/slaves", "eth0\n")
            .check(collect, &expect![[r#"
                error: cannot read /sys/class/net/bond0/slave_eth0/bonding_slave/mii_status: No such file or directory (os error 2)
            "#]]);
    }
}
