//! The kernel's answers about wireless devices (`linux/nl80211.h`).

use std::io;

use netlink_sys::protocols::NETLINK_GENERIC;

use super::{Interface, Mac, Network, Station, Wireless};
use crate::sources::netlink::{Ask, Netlink, attribute, attributes, text, u32_at};

/// The family that tells the numbers of the others.
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// Bytes of `struct genlmsghdr`.
const HEADER_BYTES: usize = 4;

const GET_INTERFACE: u8 = 5;
const GET_STATION: u8 = 17;
const GET_SCAN: u8 = 32;
const INTERFACE_INDEX: u16 = 3;
const INTERFACE_NAME: u16 = 4;
const ADDRESS: u16 = 6;
const STATION_INFO: u16 = 21;
const FREQUENCY: u16 = 38;
const BSS: u16 = 47;

const BSS_ADDRESS: u16 = 1;
const BSS_ELEMENTS: u16 = 6;
/// Only the network the device is in has it.
const BSS_STATUS: u16 = 9;
/// The information element that is the network's name.
const SSID: u8 = 0;

const INACTIVE_MILLISECONDS: u16 = 1;
const RX_BYTES: u16 = 2;
const TX_BYTES: u16 = 3;
const SIGNAL: u16 = 7;
const TX_RATE: u16 = 8;
const RX_PACKETS: u16 = 9;
const TX_PACKETS: u16 = 10;
const TX_RETRIES: u16 = 11;
const TX_FAILED: u16 = 12;
const RX_RATE: u16 = 14;
const CONNECTED_SECONDS: u16 = 16;
const BEACON_LOSS: u16 = 18;
const RX_BYTES_64: u16 = 23;
const TX_BYTES_64: u16 = 24;
const RATE: u16 = 1;
const RATE_32: u16 = 5;
/// Rates are in units of 100,000 bits a second.
const BITS_PER_RATE: u64 = 100_000;
const SECONDS_PER_MILLISECOND: f64 = 1e-3;

#[derive(Debug)]
pub(super) struct Nl80211 {
    netlink: Netlink,
    family: u16,
}

impl Nl80211 {
    /// `NotFound` where the kernel has no wireless devices.
    pub(super) fn open() -> io::Result<Self> {
        let netlink = Netlink::open(NETLINK_GENERIC)?;
        let mut family = None;
        let name = attribute(FAMILY_NAME, b"nl80211\0");
        netlink.ask(Ask::One, CONTROLLER, &request(GET_FAMILY, &name), |_, body| {
            family = read_family(body).or(family);
        })?;
        Ok(Self { netlink, family: family.ok_or(io::ErrorKind::NotFound)? })
    }

    fn dump(&self, command: u8, interface: u32, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let index = match interface {
            0 => Vec::new(),
            index => attribute(INTERFACE_INDEX, &index.to_ne_bytes()),
        };
        let asked = self.netlink.ask(Ask::Dump, self.family, &request(command, &index), |_, it| {
            each(it.get(HEADER_BYTES..).unwrap_or_default());
        });
        match asked {
            // What this kind of device has none of, or a device that went away.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENODEV)) => {
                Ok(())
            }
            asked => asked,
        }
    }
}

impl Wireless for Nl80211 {
    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let mut interfaces = Vec::new();
        self.dump(GET_INTERFACE, 0, |it| interfaces.push(read_interface(it)))?;
        Ok(interfaces)
    }

    fn network(&self, interface: &Interface) -> io::Result<Option<Network>> {
        let mut network = None;
        self.dump(GET_SCAN, interface.index, |it| {
            if let Some(found) = read_network(it) {
                network.get_or_insert(found);
            }
        })?;
        Ok(network)
    }

    fn stations(&self, interface: &Interface) -> io::Result<Vec<Station>> {
        let mut stations = Vec::new();
        self.dump(GET_STATION, interface.index, |it| stations.extend(read_station(it)))?;
        Ok(stations)
    }
}

fn request(command: u8, attributes: &[u8]) -> Vec<u8> {
    [&[command, 1, 0, 0], attributes].concat()
}

fn read_family(body: &[u8]) -> Option<u16> {
    let id = attributes(body.get(HEADER_BYTES..)?).find(|it| it.0 == FAMILY_ID)?.1;
    id.first_chunk().map(|it| u16::from_ne_bytes(*it))
}

fn read_interface(bytes: &[u8]) -> Interface {
    let mut interface = Interface::default();
    for (kind, value) in attributes(bytes) {
        let number = || u32_at(value, 0).unwrap_or_default();
        match kind {
            INTERFACE_INDEX => interface.index = number(),
            INTERFACE_NAME => interface.name = text(value),
            FREQUENCY => interface.frequency_megahertz = number(),
            _ => {}
        }
    }
    interface
}

fn read_network(bytes: &[u8]) -> Option<Network> {
    let bss = attributes(bytes).find(|it| it.0 == BSS)?.1;
    let (mut network, mut status) = (Network::default(), None);
    for (kind, value) in attributes(bss) {
        match kind {
            BSS_ADDRESS => network.bssid = mac(value)?,
            BSS_ELEMENTS => network.ssid = ssid(value),
            BSS_STATUS => status = u32_at(value, 0),
            _ => {}
        }
    }
    network.status = status?;
    Some(network)
}

/// Elements are a type, a length and so many bytes.
fn ssid(mut elements: &[u8]) -> String {
    while let Some(([kind, len], rest)) = elements.split_first_chunk::<2>() {
        let Some((value, rest)) = rest.split_at_checked(usize::from(*len)) else { break };
        if *kind == SSID {
            return String::from_utf8_lossy(value).into_owned();
        }
        elements = rest;
    }
    String::new()
}

fn read_station(bytes: &[u8]) -> Option<Station> {
    let mut station = Station::default();
    let mut has_info = false;
    for (kind, value) in attributes(bytes) {
        match kind {
            ADDRESS => station.address = mac(value)?,
            STATION_INFO => {
                attributes(value).for_each(|(kind, value)| station.read(kind, value));
                has_info = true;
            }
            _ => {}
        }
    }
    has_info.then_some(station)
}

impl Station {
    /// Counts of 64 bits come behind those of 32, and win.
    fn read(&mut self, kind: u16, value: &[u8]) {
        let number = || u32_at(value, 0).unwrap_or_default();
        let count = || u64::from(number());
        let long = || value.first_chunk().map(|it| u64::from_ne_bytes(*it)).unwrap_or_default();
        match kind {
            INACTIVE_MILLISECONDS => {
                self.inactive_seconds = f64::from(number()) * SECONDS_PER_MILLISECOND;
            }
            CONNECTED_SECONDS => self.connected_seconds = f64::from(number()),
            RX_BYTES => self.received_bytes = count(),
            TX_BYTES => self.transmitted_bytes = count(),
            RX_BYTES_64 => self.received_bytes = long(),
            TX_BYTES_64 => self.transmitted_bytes = long(),
            RX_PACKETS => self.received_packets = count(),
            TX_PACKETS => self.transmitted_packets = count(),
            TX_RETRIES => self.transmit_retries = count(),
            TX_FAILED => self.transmit_failed = count(),
            BEACON_LOSS => self.beacon_loss = count(),
            RX_RATE => self.receive_bits_per_second = rate(value),
            TX_RATE => self.transmit_bits_per_second = rate(value),
            SIGNAL => {
                let signal = value.first_chunk().map(|it| i8::from_ne_bytes(*it));
                self.signal_dbm = signal.unwrap_or_default().into();
            }
            _ => {}
        }
    }
}

fn rate(bytes: &[u8]) -> u64 {
    let (mut short, mut long) = (None, None);
    for (kind, value) in attributes(bytes) {
        match kind {
            RATE => short = value.first_chunk().map(|it| u64::from(u16::from_ne_bytes(*it))),
            RATE_32 => long = u32_at(value, 0).map(u64::from),
            _ => {}
        }
    }
    long.or(short).unwrap_or_default() * BITS_PER_RATE
}

fn mac(value: &[u8]) -> Option<Mac> {
    value.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_ne_bytes())
    }

    fn station() -> Vec<u8> {
        let info = [
            number(INACTIVE_MILLISECONDS, 400),
            number(CONNECTED_SECONDS, 30),
            number(RX_BYTES, 1),
            attribute(RX_BYTES_64, &5_000_000_000_u64.to_ne_bytes()),
            number(TX_BYTES, 6),
            attribute(SIGNAL, &[0xcc]),
            attribute(
                RX_RATE,
                &[attribute(RATE, &10_u16.to_ne_bytes()), number(RATE_32, 1280)].concat(),
            ),
            attribute(TX_RATE, &attribute(RATE, &1640_u16.to_ne_bytes())),
            number(RX_PACKETS, 7),
            number(TX_PACKETS, 8),
            number(TX_RETRIES, 10),
            number(TX_FAILED, 2),
            number(BEACON_LOSS, 1),
        ];
        [attribute(ADDRESS, &[1, 2, 3, 4, 5, 6]), attribute(STATION_INFO, &info.concat())].concat()
    }

    #[test]
    fn stations_are_read() {
        let expected = Station {
            address: [1, 2, 3, 4, 5, 6],
            connected_seconds: 30.0,
            inactive_seconds: 0.4,
            receive_bits_per_second: 128_000_000,
            transmit_bits_per_second: 164_000_000,
            received_bytes: 5_000_000_000,
            transmitted_bytes: 6,
            signal_dbm: -52,
            transmit_retries: 10,
            transmit_failed: 2,
            beacon_loss: 1,
            received_packets: 7,
            transmitted_packets: 8,
        };
        assert_eq!(read_station(&station()), Some(expected));
        assert_eq!(read_station(&attribute(ADDRESS, &[1; 6])), None);
    }

    #[test]
    fn interfaces_and_the_network_they_are_in_are_read() {
        let interface = [
            number(INTERFACE_INDEX, 3),
            attribute(INTERFACE_NAME, b"wlan0\0"),
            number(FREQUENCY, 2412),
        ];
        let expected = Interface { index: 3, name: "wlan0".to_owned(), frequency_megahertz: 2412 };
        assert_eq!(read_interface(&interface.concat()), expected);
        let elements = [&[1, 2, 0x82, 0x84, SSID, 4][..], b"Bees"].concat();
        let bss = |status: &[u8]| {
            let inner = [attribute(BSS_ADDRESS, &[9; 6]), attribute(BSS_ELEMENTS, &elements)];
            attribute(BSS, &[&inner.concat(), status].concat())
        };
        let expected = Network { ssid: "Bees".to_owned(), bssid: [9; 6], status: 1 };
        assert_eq!(read_network(&bss(&number(BSS_STATUS, 1))), Some(expected));
        // A neighbour's.
        assert_eq!(read_network(&bss(&[])), None);
        assert_eq!(ssid(&[SSID, 9, b'x']), "");
        let family = [&[1, 2, 0, 0][..], &attribute(FAMILY_ID, &28_u16.to_ne_bytes())].concat();
        assert_eq!(read_family(&family), Some(28));
    }

    proptest! {
        #[test]
        fn damage_never_panics(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = station();
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let end = cut.index(bytes.len() + 1);
            let station = read_station(&bytes[..end]);
            prop_assert!(station.is_none_or(|it| it.connected_seconds >= 0.0));
            prop_assert_eq!(read_network(&bytes[..end]).is_some() && end == 0, false);
            prop_assert!(read_interface(&bytes[..end]).name.len() <= bytes.len() * 3);
        }
    }
}
