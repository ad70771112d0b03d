//! Wireless devices, the networks they are in and the stations they talk to, over nl80211.

mod fixtures;
mod nl80211;

use std::{io, path::PathBuf};

use serde::Deserialize;
use skep_proto::{
    MetricKind,
    MetricKind::{Counter, Gauge},
};

use self::nl80211::Nl80211;
use super::{Context, SourceError};
use crate::exposition::{Exposition, as_f64};

/// What a station tells, in the order of [`Station::values`].
const STATION: [(&str, &str, MetricKind); 12] = [
    (
        "node_wifi_station_connected_seconds_total",
        "How long the station has been connected, in seconds.",
        Counter,
    ),
    (
        "node_wifi_station_inactive_seconds",
        "How long the station has been silent, in seconds.",
        Gauge,
    ),
    (
        "node_wifi_station_receive_bits_per_second",
        "Rate at which the station is heard, in bits a second.",
        Gauge,
    ),
    (
        "node_wifi_station_transmit_bits_per_second",
        "Rate at which is sent to the station, in bits a second.",
        Gauge,
    ),
    ("node_wifi_station_receive_bytes_total", "Bytes received from the station.", Counter),
    ("node_wifi_station_transmit_bytes_total", "Bytes sent to the station.", Counter),
    ("node_wifi_station_signal_dbm", "Strength of the station's signal, in dBm.", Gauge),
    (
        "node_wifi_station_transmit_retries_total",
        "How often a packet to the station was sent again.",
        Counter,
    ),
    (
        "node_wifi_station_transmit_failed_total",
        "Packets to the station that did not arrive.",
        Counter,
    ),
    ("node_wifi_station_beacon_loss_total", "How often the station's beacon was lost.", Counter),
    ("node_wifi_station_received_packets_total", "Packets received from the station.", Counter),
    ("node_wifi_station_transmitted_packets_total", "Packets sent to the station.", Counter),
];
const HERTZ_PER_MEGAHERTZ: f64 = 1e6;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// A folder of JSON files that are told instead of the kernel's answers, as node_exporter's own
    /// test has one.
    fixtures: Option<PathBuf>,
}

/// Who tells of wireless devices.
trait Wireless {
    fn interfaces(&self) -> io::Result<Vec<Interface>>;
    /// The network the device is in, if it is in one.
    fn network(&self, interface: &Interface) -> io::Result<Option<Network>>;
    fn stations(&self, interface: &Interface) -> io::Result<Vec<Station>>;
}

/// A device; some that are virtual have no name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interface {
    index: u32,
    name: String,
    frequency_megahertz: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Network {
    ssid: String,
    bssid: Mac,
    /// As in `enum nl80211_bss_status`.
    status: u32,
}

#[derive(Debug, Default, PartialEq)]
struct Station {
    address: Mac,
    connected_seconds: f64,
    inactive_seconds: f64,
    receive_bits_per_second: u64,
    transmit_bits_per_second: u64,
    received_bytes: u64,
    transmitted_bytes: u64,
    signal_dbm: i32,
    transmit_retries: u64,
    transmit_failed: u64,
    beacon_loss: u64,
    received_packets: u64,
    transmitted_packets: u64,
}

type Mac = [u8; 6];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let told = match &context.settings.wifi.fixtures {
        Some(dir) => tell(&fixtures::Fixtures { dir: dir.clone() }, out),
        None => Nl80211::open().and_then(|it| tell(&it, out)),
    };
    told.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SourceError::NoData { what: "wireless devices" },
        _ => SourceError::Kernel { what: "wireless devices", source },
    })
}

fn tell(wireless: &impl Wireless, out: &mut Exposition) -> io::Result<()> {
    for interface in wireless.interfaces()?.iter().filter(|it| !it.name.is_empty()) {
        let device = &*interface.name;
        out.family(
            "node_wifi_interface_frequency_hertz",
            "Frequency of the channel the device is on, in hertz.",
            Gauge,
        )
        .point(
            [("device", device)],
            f64::from(interface.frequency_megahertz) * HERTZ_PER_MEGAHERTZ,
        );
        if let Some(network) = wireless.network(interface)? {
            let mode = match network.status {
                0 | 1 => "client",
                2 => "ad-hoc",
                _ => "unknown",
            };
            out.family(
                "node_wifi_station_info",
                "Always 1; the labels tell the network the device is in.",
                Gauge,
            )
            .point(
                [
                    ("device", device),
                    ("bssid", &hex(network.bssid)),
                    ("ssid", &network.ssid),
                    ("mode", mode),
                ],
                1.0,
            );
        }
        for station in wireless.stations(interface)? {
            let address = hex(station.address);
            for ((name, help, kind), value) in STATION.into_iter().zip(station.values()) {
                out.family(name, help, kind)
                    .point([("device", device), ("mac_address", &address)], value);
            }
        }
    }
    Ok(())
}

impl Station {
    fn values(&self) -> [f64; 12] {
        [
            self.connected_seconds,
            self.inactive_seconds,
            as_f64(self.receive_bits_per_second),
            as_f64(self.transmit_bits_per_second),
            as_f64(self.received_bytes),
            as_f64(self.transmitted_bytes),
            f64::from(self.signal_dbm),
            as_f64(self.transmit_retries),
            as_f64(self.transmit_failed),
            as_f64(self.beacon_loss),
            as_f64(self.received_packets),
            as_f64(self.transmitted_packets),
        ]
    }
}

fn hex([a, b, c, d, e, f]: Mac) -> String {
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn devices_are_told_with_their_network_and_stations() {
        let mut host = Host::default();
        let dir = host.path("wifi");
        host.settings().wifi = toml::from_str(&format!("fixtures = {dir:?}")).unwrap();
        host.file(
            "wifi/interfaces.json",
            r#"[{"name": "wlan0", "frequency": 2412}, {"name": "wlan1", "frequency": 5180}, {"type": 10}]"#,
        )
        .file("wifi/wlan0/bss.json", r#"{"ssid": "Bees", "bssid": "AAECAwT/", "status": 1}"#)
        .file(
            "wifi/wlan0/stationinfo.json",
            r#"[{"hardwareaddr": "qrvM3e7/", "connected": 30000000000, "inactive": 400000000,
                 "receivebitrate": 128000000, "transmitbitrate": 164000000, "signal": -52,
                 "transmitretries": 10, "transmitfailed": 2, "beaconloss": 1,
                 "receivedbytes": 5, "transmittedbytes": 6, "receivedpackets": 7,
                 "transmittedpackets": 8}]"#,
        );
        host.check(collect, &expect![[r##"
            # HELP node_wifi_interface_frequency_hertz Frequency of the channel the device is on, in hertz.
            # TYPE node_wifi_interface_frequency_hertz gauge
            node_wifi_interface_frequency_hertz{device="wlan0"} 2.412e+09
            node_wifi_interface_frequency_hertz{device="wlan1"} 5.18e+09
            # HELP node_wifi_station_beacon_loss_total How often the station's beacon was lost.
            # TYPE node_wifi_station_beacon_loss_total counter
            node_wifi_station_beacon_loss_total{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} 1
            # HELP node_wifi_station_connected_seconds_total How long the station has been connected, in seconds.
            # TYPE node_wifi_station_connected_seconds_total counter
            node_wifi_station_connected_seconds_total{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} 30
            # HELP node_wifi_station_inactive_seconds How long the station has been silent, in seconds.
            # TYPE node_wifi_station_inactive_seconds gauge
            node_wifi_station_inactive_seconds{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} 0.4
            # HELP node_wifi_station_info Always 1; the labels tell the network the device is in.
            # TYPE node_wifi_station_info gauge
            node_wifi_station_info{device="wlan0",bssid="00:01:02:03:04:ff",ssid="Bees",mode="client"} 1
            # HELP node_wifi_station_receive_bits_per_second Rate at which the station is heard, in bits a second.
            # TYPE node_wifi_station_receive_bits_per_second gauge
            node_wifi_station_receive_bits_per_second{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} 1.28e+08
            # HELP node_wifi_station_receive_bytes_total Bytes received from the station.
            # TYPE node_wifi_station_receive_bytes_total counter
            node_wifi_station_receive_bytes_total{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} 5
            # HELP node_wifi_station_received_packets_total Packets received from the station.
            # TYPE node_wifi_station_received_packets_total counter
            node_wifi_station_received_packets_total{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} 7
            # HELP node_wifi_station_signal_dbm Strength of the station's signal, in dBm.
            # TYPE node_wifi_station_signal_dbm gauge
            node_wifi_station_signal_dbm{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} -52
            # HELP node_wifi_station_transmit_bits_per_second Rate at which is sent to the station, in bits a second.
            # TYPE node_wifi_station_transmit_bits_per_second gauge
            node_wifi_station_transmit_bits_per_second{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} 1.64e+08
            # HELP node_wifi_station_transmit_bytes_total Bytes sent to the station.
            # TYPE node_wifi_station_transmit_bytes_total counter
            node_wifi_station_transmit_bytes_total{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} 6
            # HELP node_wifi_station_transmit_failed_total Packets to the station that did not arrive.
            # TYPE node_wifi_station_transmit_failed_total counter
            node_wifi_station_transmit_failed_total{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} 2
            # HELP node_wifi_station_transmit_retries_total How often a packet to the station was sent again.
            # TYPE node_wifi_station_transmit_retries_total counter
            node_wifi_station_transmit_retries_total{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} 10
            # HELP node_wifi_station_transmitted_packets_total Packets sent to the station.
            # TYPE node_wifi_station_transmitted_packets_total counter
            node_wifi_station_transmitted_packets_total{device="wlan0",mac_address="aa:bb:cc:dd:ee:ff"} 8
        "##]]);
        host.file("wifi/wlan0/bss.json", r#"{"bssid": "AAE="}"#).check(
            collect,
            &expect![[r#"
                error: cannot ask the kernel for wireless devices: the address "AAE=" has less than six bytes
            "#]],
        );
    }

    #[test]
    fn a_host_without_wireless_devices_is_no_fault() {
        let text = Host::default().text(collect);
        let is_well = text.is_empty() || text.starts_with("# HELP");
        assert!(is_well || text == "error: this host has no wireless devices\n", "{text}");
    }
}
