//! Properties of network devices, from `/sys/class/net`.

use skep_proto::MetricKind;

use super::{Context, Folder, SourceError, netdev, sorted_dir};
use crate::exposition::{Exposition, Family, as_f64};

/// `IFF_UP` of the device's flags.
const IS_UP: u64 = 1;
const BYTES_PER_MEGABIT: f64 = 125_000.0;

/// Files and the fields they become, with their help; in decimal or, with `0x`, in hexadecimal.
const FIELDS: [(&str, &str, MetricKind, &str); 16] = {
    use MetricKind::{Counter, Gauge};
    [
        (
            "addr_assign_type",
            "address_assign_type",
            Gauge,
            "How it got its address: 0 for good, 1 at random, 2 from another device, 3 by hand.",
        ),
        ("carrier", "carrier", Gauge, "1 if the device has a link on its port, else 0."),
        (
            "carrier_changes",
            "carrier_changes_total",
            Counter,
            "Times the device's link came or went.",
        ),
        ("carrier_up_count", "carrier_up_changes_total", Counter, "Times the device's link came."),
        (
            "carrier_down_count",
            "carrier_down_changes_total",
            Counter,
            "Times the device's link went.",
        ),
        (
            "dev_id",
            "device_id",
            Gauge,
            "Number that tells apart devices with the same hardware address.",
        ),
        (
            "dormant",
            "dormant",
            Gauge,
            "1 if the device waits for something like 802.1X before it can be used, else 0.",
        ),
        ("flags", "flags", Gauge, "The device's IFF_* flags as one number."),
        ("ifindex", "iface_id", Gauge, "Number of the device in the kernel."),
        (
            "iflink",
            "iface_link",
            Gauge,
            "Number of the device this one is stacked on, its own if there is none.",
        ),
        (
            "link_mode",
            "iface_link_mode",
            Gauge,
            "0 if a link makes the device usable at once, 1 if it is dormant first.",
        ),
        ("mtu", "mtu_bytes", Gauge, "Largest payload of one frame, in bytes."),
        (
            "name_assign_type",
            "name_assign_type",
            Gauge,
            "Who named the device: 1 the kernel by counting, 2 the kernel predictably, 3 user space, 4 a renaming.",
        ),
        (
            "netdev_group",
            "net_dev_group",
            Gauge,
            "Number of the group the device is in, 0 by default.",
        ),
        ("tx_queue_len", "transmit_queue_length", Gauge, "Packets that may wait to be sent."),
        ("type", "protocol_type", Gauge, "Kind of link as an ARPHRD_* number: 1 is Ethernet."),
    ]
};

/// A property that a device does not have, or not while it is down, is left out.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let settings = &context.settings.netclass;
    let dir = context.roots.sys.join("class/net");
    for device in sorted_dir(&dir) {
        if settings.ignored_devices.as_ref().is_some_and(|it| it.matches(&device)) {
            continue;
        }
        let Some(folder) = Folder::open(&dir.join(&device)) else { continue };
        info(out, &device, &folder);
        for (file, field, kind, help) in FIELDS {
            let value = folder.trimmed(file).and_then(|it| parse(&it));
            if let Some(value) = value {
                family(out, field, help, kind).point([("device", &device)], as_f64(value));
            }
        }
        let megabits = folder.trimmed("speed").and_then(|it| it.parse().ok());
        if let Some(megabits) =
            megabits.filter(|it: &f64| *it >= 0.0 || !settings.ignore_invalid_speed)
        {
            let speed_bytes = megabits * BYTES_PER_MEGABIT;
            let help = "Speed of the link in bytes per second, negative if it is not known.";
            family(out, "speed_bytes", help, MetricKind::Gauge)
                .point([("device", &device)], speed_bytes);
        }
    }
    if settings.netlink {
        for (device, altname) in netdev::altnames()? {
            let is_ignored =
                settings.ignored_devices.as_ref().is_some_and(|it| it.matches(&device));
            if !is_ignored {
                out.family(
                    "node_network_altnames_info",
                    "1 for each other name of the device.",
                    MetricKind::Gauge,
                )
                .point([("altname", &altname), ("device", &device)], 1.0);
            }
        }
    }
    Ok(())
}

fn family<'e>(
    out: &'e mut Exposition,
    field: &str,
    help: &'static str,
    kind: MetricKind,
) -> &'e mut Family {
    out.family(format!("node_network_{field}"), help, kind)
}

fn info(out: &mut Exposition, device: &str, folder: &Folder) {
    let text = |file: &str| folder.trimmed(file).unwrap_or_default();
    let operstate = text("operstate");
    out.family(
        "node_network_up",
        "1 if the device is ready to carry packets (operstate up), else 0.",
        MetricKind::Gauge,
    )
    .point([("device", device)], f64::from(u8::from(operstate == "up")));
    let is_up = parse(&text("flags")).is_some_and(|it| it & IS_UP != 0);
    out.family(
        "node_network_info",
        "Always 1; the labels tell the device's addresses, duplex mode, states and alias.",
        MetricKind::Gauge,
    )
    .point(
        [
            ("device", device),
            ("address", &text("address")),
            ("broadcast", &text("broadcast")),
            ("duplex", &text("duplex")),
            ("operstate", &operstate),
            ("adminstate", if is_up { "up" } else { "down" }),
            ("ifalias", &text("ifalias")),
        ],
        1.0,
    );
}

fn parse(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    fn host() -> Host {
        let host = Host::default();
        for (file, text) in [
            ("bonding_masters", "bond0"),
            ("eth0/operstate", "up\n"),
            ("eth0/flags", "0x1003\n"),
            ("eth0/address", "01:01:01:01:01:01\n"),
            ("eth0/carrier_up_count", "2\n"),
            ("eth0/mtu", "1500\n"),
            ("eth0/speed", "1000\n"),
            ("wlan0/operstate", "down\n"),
            ("wlan0/speed", "-1\n"),
            ("dmz/mtu", "9000\n"),
        ] {
            host.file(&format!("sys/class/net/{file}"), text);
        }
        host
    }

    #[test]
    fn properties_of_each_device_are_read() {
        let mut host = host();
        host.settings().netclass.ignored_devices = Some("^dmz$".to_owned().try_into().unwrap());
        host.check(collect, &expect![[r##"
            # HELP node_network_carrier_up_changes_total Times the device's link came.
            # TYPE node_network_carrier_up_changes_total counter
            node_network_carrier_up_changes_total{device="eth0"} 2
            # HELP node_network_flags The device's IFF_* flags as one number.
            # TYPE node_network_flags gauge
            node_network_flags{device="eth0"} 4099
            # HELP node_network_info Always 1; the labels tell the device's addresses, duplex mode, states and alias.
            # TYPE node_network_info gauge
            node_network_info{device="eth0",address="01:01:01:01:01:01",broadcast="",duplex="",operstate="up",adminstate="up",ifalias=""} 1
            node_network_info{device="wlan0",address="",broadcast="",duplex="",operstate="down",adminstate="down",ifalias=""} 1
            # HELP node_network_mtu_bytes Largest payload of one frame, in bytes.
            # TYPE node_network_mtu_bytes gauge
            node_network_mtu_bytes{device="eth0"} 1500
            # HELP node_network_speed_bytes Speed of the link in bytes per second, negative if it is not known.
            # TYPE node_network_speed_bytes gauge
            node_network_speed_bytes{device="eth0"} 1.25e+08
            node_network_speed_bytes{device="wlan0"} -125000
            # HELP node_network_up 1 if the device is ready to carry packets (operstate up), else 0.
            # TYPE node_network_up gauge
            node_network_up{device="eth0"} 1
            node_network_up{device="wlan0"} 0
        "##]]);
    }

    #[test]
    fn an_unknown_speed_can_be_left_out() {
        let mut host = host();
        host.settings().netclass.ignore_invalid_speed = true;
        let text = host.text(collect);
        assert!(text.contains("node_network_speed_bytes{device=\"eth0\"} 1.25e+08\n"), "{text}");
        assert!(!text.contains("node_network_speed_bytes{device=\"wlan0\"}"), "{text}");
    }
}
