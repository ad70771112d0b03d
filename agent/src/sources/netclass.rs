//! Properties of network devices, from `/sys/class/net`.

use std::path::Path;

use skep_proto::MetricKind;

use super::{Context, SourceError, read_trimmed, sorted_dir};
use crate::exposition::{Exposition, as_f64};

/// `IFF_UP` of the device's flags.
const IS_UP: u64 = 1;
const BYTES_PER_MEGABIT: f64 = 125_000.0;

/// Files and the fields they become, in decimal or, with `0x`, in hexadecimal.
const FIELDS: [(&str, &str, MetricKind); 16] = {
    use MetricKind::{Counter, Gauge};
    [
        ("addr_assign_type", "address_assign_type", Gauge),
        ("carrier", "carrier", Gauge),
        ("carrier_changes", "carrier_changes_total", Counter),
        ("carrier_up_count", "carrier_up_changes_total", Counter),
        ("carrier_down_count", "carrier_down_changes_total", Counter),
        ("dev_id", "device_id", Gauge),
        ("dormant", "dormant", Gauge),
        ("flags", "flags", Gauge),
        ("ifindex", "iface_id", Gauge),
        ("iflink", "iface_link", Gauge),
        ("link_mode", "iface_link_mode", Gauge),
        ("mtu", "mtu_bytes", Gauge),
        ("name_assign_type", "name_assign_type", Gauge),
        ("netdev_group", "net_dev_group", Gauge),
        ("tx_queue_len", "transmit_queue_length", Gauge),
        ("type", "protocol_type", Gauge),
    ]
};

/// A property that a device does not have, or not while it is down, is left out.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let settings = &context.settings.netclass;
    let dir = context.roots.sys.join("class/net");
    for device in sorted_dir(&dir) {
        let device_dir = dir.join(&device);
        let is_ignored = settings.ignored_devices.as_ref().is_some_and(|it| it.matches(&device));
        if is_ignored || !device_dir.is_dir() {
            continue;
        }
        info(out, &device, &device_dir);
        for (file, field, kind) in FIELDS {
            let value = read_trimmed(&device_dir.join(file)).and_then(|it| parse(&it));
            if let Some(value) = value {
                property(out, field, kind, &device, as_f64(value));
            }
        }
        let megabits = read_trimmed(&device_dir.join("speed")).and_then(|it| it.parse().ok());
        if let Some(megabits) =
            megabits.filter(|it: &f64| *it >= 0.0 || !settings.ignore_invalid_speed)
        {
            let speed_bytes = megabits * BYTES_PER_MEGABIT;
            property(out, "speed_bytes", MetricKind::Gauge, &device, speed_bytes);
        }
    }
    Ok(())
}

fn property(out: &mut Exposition, field: &str, kind: MetricKind, device: &str, value: f64) {
    out.family(format!("node_network_{field}"), format!("Network device property: {field}"), kind)
        .point([("device", device)], value);
}

fn info(out: &mut Exposition, device: &str, dir: &Path) {
    let text = |file: &str| read_trimmed(&dir.join(file)).unwrap_or_default();
    let operstate = text("operstate");
    out.family(
        "node_network_up",
        "Value is 1 if operstate is 'up', 0 otherwise.",
        MetricKind::Gauge,
    )
    .point([("device", device)], f64::from(u8::from(operstate == "up")));
    let is_up = parse(&text("flags")).is_some_and(|it| it & IS_UP != 0);
    out.family(
        "node_network_info",
        "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
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
            # HELP node_network_carrier_up_changes_total Network device property: carrier_up_changes_total
            # TYPE node_network_carrier_up_changes_total counter
            node_network_carrier_up_changes_total{device="eth0"} 2
            # HELP node_network_flags Network device property: flags
            # TYPE node_network_flags gauge
            node_network_flags{device="eth0"} 4099
            # HELP node_network_info Non-numeric data from /sys/class/net/<iface>, value is always 1.
            # TYPE node_network_info gauge
            node_network_info{device="eth0",address="01:01:01:01:01:01",broadcast="",duplex="",operstate="up",adminstate="up",ifalias=""} 1
            node_network_info{device="wlan0",address="",broadcast="",duplex="",operstate="down",adminstate="down",ifalias=""} 1
            # HELP node_network_mtu_bytes Network device property: mtu_bytes
            # TYPE node_network_mtu_bytes gauge
            node_network_mtu_bytes{device="eth0"} 1500
            # HELP node_network_speed_bytes Network device property: speed_bytes
            # TYPE node_network_speed_bytes gauge
            node_network_speed_bytes{device="eth0"} 1.25e+08
            node_network_speed_bytes{device="wlan0"} -125000
            # HELP node_network_up Value is 1 if operstate is 'up', 0 otherwise.
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
