//! What drivers of network devices count and say of themselves, by the ioctl of ethtool.

use std::{
    collections::BTreeMap,
    io,
    net::UdpSocket,
    os::fd::{AsFd as _, BorrowedFd},
};

use serde::Deserialize;
use skep_proto::MetricKind;

use super::{
    Context, SourceError,
    settings::{Pattern, takes},
    syscalls::{ETHTOOL_DRIVER, ETHTOOL_NAMES, ETHTOOL_VALUES},
    sysctl::metric_name,
    sysfs,
};
use crate::exposition::{Exposition, as_f64};

/// Bytes of a name, and of each text about a driver.
const NAME_BYTES: usize = 32;
/// What precedes the names: command, set of names and their number.
const NAMES_AT: usize = 12;
/// The set of names of what a driver counts.
const STATISTICS: u32 = 1;
/// What precedes the values: command and their number.
const VALUES_AT: usize = 8;
/// Where `struct ethtool_drvinfo` has its texts and the number of what is counted.
const TEXTS_AT: usize = 4;
const COUNT_AT: usize = 180;
/// More than any driver has; the kernel is not asked for more.
const STATISTICS_MAX: usize = 16_384;

/// Counters that most drivers have under the same name.
const USUAL: [(&str, &str); 7] = [
    ("rx_bytes", "node_ethtool_received_bytes_total"),
    ("rx_dropped", "node_ethtool_received_dropped_total"),
    ("rx_errors", "node_ethtool_received_errors_total"),
    ("rx_packets", "node_ethtool_received_packets_total"),
    ("tx_bytes", "node_ethtool_transmitted_bytes_total"),
    ("tx_errors", "node_ethtool_transmitted_errors_total"),
    ("tx_packets", "node_ethtool_transmitted_packets_total"),
];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    device_exclude: Option<Pattern>,
    /// Decides alone where it is set.
    device_include: Option<Pattern>,
    /// Which counters are told; all if left out.
    metrics_include: Option<Pattern>,
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let settings = &context.settings.ethtool;
    let failed = |source| SourceError::Kernel { what: "what drivers count", source };
    let devices = sysfs::names(&context.roots.sys.join("class/net"), "network devices")?;
    // Any socket will do; this one is never bound.
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(failed)?;
    for device in devices {
        if !takes(&device, settings.device_exclude.as_ref(), settings.device_include.as_ref()) {
            continue;
        }
        let told = ask_driver(socket.as_fd(), &device).and_then(|driver| {
            let n_statistics = driver.as_ref().map_or(0, |it| it.n_statistics);
            Ok((driver, ask_statistics(socket.as_fd(), &device, n_statistics)?))
        });
        let (driver, statistics) = told.map_err(failed)?;
        if let Some(driver) = driver {
            driver.tell(&device, out);
        }
        tell(&device, &statistics, settings, out);
    }
    Ok(())
}

/// What a driver says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Driver {
    name: String,
    version: String,
    firmware_version: String,
    bus_info: String,
    expansion_rom_version: String,
    n_statistics: usize,
}

impl Driver {
    fn parse(bytes: &[u8]) -> Self {
        let text = |idx: usize| {
            let start = TEXTS_AT + idx * NAME_BYTES;
            name_of(bytes.get(start..start + NAME_BYTES).unwrap_or_default())
        };
        let count = bytes.get(COUNT_AT..).and_then(|it| it.first_chunk());
        let count = count.map(|it| u32::from_ne_bytes(*it)).unwrap_or_default();
        Self {
            name: text(0),
            version: text(1),
            firmware_version: text(2),
            bus_info: text(3),
            expansion_rom_version: text(4),
            n_statistics: usize::try_from(count).unwrap_or(usize::MAX),
        }
    }

    fn tell(&self, device: &str, out: &mut Exposition) {
        out.family(
            "node_ethtool_info",
            "Always 1; the labels tell the device's driver and its versions.",
            MetricKind::Gauge,
        )
        .point(
            [
                ("bus_info", &self.bus_info),
                ("device", device),
                ("driver", &self.name),
                ("expansion_rom_version", &self.expansion_rom_version),
                ("firmware_version", &self.firmware_version),
                ("version", &self.version),
            ],
            1.0,
        );
    }
}

/// None where the device has no driver of this kind, or is gone.
fn ask_driver(socket: BorrowedFd<'_>, device: &str) -> io::Result<Option<Driver>> {
    let mut bytes = ETHTOOL_DRIVER.room();
    match ETHTOOL_DRIVER.ask(socket, device, &mut bytes) {
        Ok(()) => Ok(Some(Driver::parse(&bytes))),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn ask_statistics(
    socket: BorrowedFd<'_>,
    device: &str,
    n_statistics: usize,
) -> io::Result<Vec<(String, u64)>> {
    if !(1..=STATISTICS_MAX).contains(&n_statistics) {
        return Ok(Vec::new());
    }
    let mut names = ETHTOOL_NAMES.room();
    if let Some(set) = names.get_mut(4..8) {
        set.copy_from_slice(&STATISTICS.to_ne_bytes());
    }
    let mut values = ETHTOOL_VALUES.room();
    let asked = ETHTOOL_NAMES
        .ask(socket, device, &mut names)
        .and_then(|()| ETHTOOL_VALUES.ask(socket, device, &mut values));
    match asked {
        Ok(()) => Ok(parse_statistics(&names, &values, n_statistics)),
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENODEV))
}

fn parse_statistics(names: &[u8], values: &[u8], n_statistics: usize) -> Vec<(String, u64)> {
    let names = names.get(NAMES_AT..).unwrap_or_default().chunks_exact(NAME_BYTES).map(name_of);
    let (values, _) = values.get(VALUES_AT..).unwrap_or_default().as_chunks::<8>();
    names.zip(values.iter().map(|it| u64::from_ne_bytes(*it))).take(n_statistics).collect()
}

fn name_of(bytes: &[u8]) -> String {
    let text = bytes.split(|it| *it == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).trim().to_owned()
}

/// Counters whose names become the same are not told: nobody could tell them apart.
fn tell(device: &str, statistics: &[(String, u64)], settings: &Settings, out: &mut Exposition) {
    let mut by_family: BTreeMap<String, Vec<(&str, u64)>> = BTreeMap::new();
    for (name, value) in statistics {
        let is_wanted = settings.metrics_include.as_ref().is_none_or(|it| it.matches(name));
        if is_wanted && !name.is_empty() {
            by_family.entry(family(name)).or_default().push((name, *value));
        }
    }
    for (family, counters) in by_family {
        if let [(name, value)] = counters[..] {
            let help = format!("What the driver counts as {name}.");
            out.family(family, help, MetricKind::Unknown)
                .point([("device", device)], as_f64(value));
        }
    }
}

/// `rx_queue_0_drops` becomes `node_ethtool_received_queue_0_drops`.
fn family(name: &str) -> String {
    if let Some((_, family)) = USUAL.iter().find(|it| it.0 == name) {
        return (*family).to_owned();
    }
    let name = metric_name(name).to_ascii_lowercase();
    let name = replace_word(name.trim_start_matches('_'), "rx", "received");
    format!("node_ethtool_{}", replace_word(&name, "tx", "transmitted"))
}

/// As node_exporter's pattern does it, `word` behind another `word` stays: `tx_tx_timeouts` becomes
/// `transmitted_tx_timeouts`.
fn replace_word(name: &str, word: &str, by: &str) -> String {
    let mut is_replaced = false;
    let words = name.split('_').map(|it| {
        is_replaced = it == word && !is_replaced;
        if is_replaced { by } else { it }
    });
    words.collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::sources::tests::Host;

    fn padded(texts: &[&str]) -> Vec<u8> {
        let pad = |it: &&str| {
            let mut bytes = it.as_bytes().to_vec();
            bytes.resize(NAME_BYTES, 0);
            bytes
        };
        texts.iter().flat_map(pad).collect()
    }

    #[test]
    fn what_a_driver_counts_is_told_under_names_that_fit() {
        let names =
            ["rx_bytes", "tx_tx_timeouts", "rx_queue_0_drops", " TX-Late[1]", "a b", "a-b", ""];
        let names = [vec![0; NAMES_AT], padded(&names)].concat();
        let values: Vec<u8> = (1..=7_u64).flat_map(u64::to_ne_bytes).collect();
        let values = [vec![0; VALUES_AT], values].concat();
        let statistics = parse_statistics(&names, &values, 7);
        let mut out = Exposition::default();
        tell("eth0", &statistics, &Settings::default(), &mut out);
        let texts = padded(&["igb", "5.14", "1.67, 0x80000d38", "0000:45:00.0", ""]);
        let driver = [vec![0; TEXTS_AT], texts, vec![0; 16], 7_u32.to_ne_bytes().to_vec()].concat();
        let driver = Driver::parse(&driver);
        assert_eq!(driver.n_statistics, 7);
        driver.tell("eth0", &mut out);
        expect![[r##"
            # HELP node_ethtool_info Always 1; the labels tell the device's driver and its versions.
            # TYPE node_ethtool_info gauge
            node_ethtool_info{bus_info="0000:45:00.0",device="eth0",driver="igb",expansion_rom_version="",firmware_version="1.67, 0x80000d38",version="5.14"} 1
            # HELP node_ethtool_received_bytes_total What the driver counts as rx_bytes.
            # TYPE node_ethtool_received_bytes_total untyped
            node_ethtool_received_bytes_total{device="eth0"} 1
            # HELP node_ethtool_received_queue_0_drops What the driver counts as rx_queue_0_drops.
            # TYPE node_ethtool_received_queue_0_drops untyped
            node_ethtool_received_queue_0_drops{device="eth0"} 3
            # HELP node_ethtool_transmitted_late_1_ What the driver counts as TX-Late[1].
            # TYPE node_ethtool_transmitted_late_1_ untyped
            node_ethtool_transmitted_late_1_{device="eth0"} 4
            # HELP node_ethtool_transmitted_tx_timeouts What the driver counts as tx_tx_timeouts.
            # TYPE node_ethtool_transmitted_tx_timeouts untyped
            node_ethtool_transmitted_tx_timeouts{device="eth0"} 2
        "##]].assert_eq(&out.to_text());
    }

    #[test]
    fn counters_can_be_chosen_and_answers_may_be_short() {
        let statistics = [("rx_bytes".to_owned(), 1), ("tx_bytes".to_owned(), 2)];
        let settings = toml::from_str("metrics_include = \"^tx\"").unwrap();
        let mut out = Exposition::default();
        tell("eth0", &statistics, &settings, &mut out);
        expect![[r##"
            # HELP node_ethtool_transmitted_bytes_total What the driver counts as tx_bytes.
            # TYPE node_ethtool_transmitted_bytes_total untyped
            node_ethtool_transmitted_bytes_total{device="eth0"} 2
        "##]]
        .assert_eq(&out.to_text());
        assert_eq!(parse_statistics(&[0; 50], &[0; 9], 5), []);
        assert_eq!(Driver::parse(&[]).n_statistics, 0);
    }

    #[test]
    fn the_running_kernel_is_asked_and_devices_may_be_gone() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no network devices
        "#]],
        );
        host.file("sys/class/net/gone0/mtu", "1").check(collect, &expect![[""]]);
        for device in std::fs::read_dir("/sys/class/net").unwrap() {
            let device = device.unwrap().file_name().into_string().unwrap();
            host.file(&format!("sys/class/net/{device}/mtu"), "1");
        }
        let text = host.text(collect);
        assert!(!text.starts_with("error"), "{text}");
    }
}
