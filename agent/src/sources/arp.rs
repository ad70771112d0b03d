//! Entries of the ARP table by device, from `/proc/net/arp`.

use std::collections::BTreeMap;

use skep_proto::MetricKind;

use super::{Context, SourceError};
use crate::exposition::{Exposition, as_f64};

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let text = context.roots.read_proc("net/arp")?;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for line in text.lines().skip(1).filter(|it| !it.trim().is_empty()) {
        let device = line
            .split_ascii_whitespace()
            .nth(5)
            .ok_or(SourceError::Missing { file: "/proc/net/arp", what: "a device" })?;
        *counts.entry(device).or_default() += 1;
    }
    let family = out.family(
        "node_arp_entries",
        "Neighbours in the device's IPv4 ARP table.",
        MetricKind::Gauge,
    );
    for (device, count) in counts {
        if context.settings.arp.takes(device) {
            family.point([("device", device)], as_f64(count));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    const HEAD: &str = "IP address       HW type     Flags       HW address     Mask     Device\n";

    #[test]
    fn entries_are_counted_by_device() {
        let mut host = Host::default();
        host.settings().arp.device_exclude = Some("^veth".to_owned().try_into().unwrap());
        let entry = |device: &str| format!("10.0.0.1  0x1  0x2  cc:aa:dd:ee:aa:bb  *  {device}\n");
        let text = [HEAD, &entry("eth0"), &entry("veth1"), &entry("eth0"), &entry("eth1")].concat();
        host.file("proc/net/arp", &text).check(
            collect,
            &expect![[r##"
                # HELP node_arp_entries Neighbours in the device's IPv4 ARP table.
                # TYPE node_arp_entries gauge
                node_arp_entries{device="eth0"} 2
                node_arp_entries{device="eth1"} 1
            "##]],
        );
        host.file("proc/net/arp", &format!("{HEAD}10.0.0.1\n")).check(
            collect,
            &expect![[r#"
            error: /proc/net/arp: a device is missing
        "#]],
        );
    }
}
