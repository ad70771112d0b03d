//! Wireless devices made of JSON files: `interfaces.json`, `NAME/bss.json`, `NAME/stationinfo.json`.

use std::{fs, io, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Interface, Mac, Network, Station, Wireless};

const NANOSECONDS_PER_SECOND: f64 = 1e9;

#[derive(Debug)]
pub(super) struct Fixtures {
    pub(super) dir: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InterfaceJson {
    name: String,
    frequency: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NetworkJson {
    ssid: String,
    bssid: String,
    status: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StationJson {
    hardwareaddr: String,
    connected: f64,
    inactive: f64,
    receivebitrate: u64,
    transmitbitrate: u64,
    receivedbytes: u64,
    transmittedbytes: u64,
    signal: i32,
    transmitretries: u64,
    transmitfailed: u64,
    beaconloss: u64,
    receivedpackets: u64,
    transmittedpackets: u64,
}

impl Wireless for Fixtures {
    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let interfaces: Option<Vec<InterfaceJson>> = self.read("interfaces.json")?;
        let interfaces = interfaces.unwrap_or_default().into_iter();
        let interface = |it: InterfaceJson| Interface {
            index: 0,
            name: it.name,
            frequency_megahertz: it.frequency,
        };
        Ok(interfaces.map(interface).collect())
    }

    fn network(&self, interface: &Interface) -> io::Result<Option<Network>> {
        let network: Option<NetworkJson> = self.read(&format!("{}/bss.json", interface.name))?;
        network
            .map(|it| Ok(Network { ssid: it.ssid, bssid: mac(&it.bssid)?, status: it.status }))
            .transpose()
    }

    fn stations(&self, interface: &Interface) -> io::Result<Vec<Station>> {
        let stations: Option<Vec<StationJson>> =
            self.read(&format!("{}/stationinfo.json", interface.name))?;
        stations.unwrap_or_default().iter().map(station).collect()
    }
}

impl Fixtures {
    /// None where there is no such file.
    fn read<T: DeserializeOwned>(&self, file: &str) -> io::Result<Option<T>> {
        match fs::read(self.dir.join(file)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn station(it: &StationJson) -> io::Result<Station> {
    Ok(Station {
        address: mac(&it.hardwareaddr)?,
        connected_seconds: it.connected / NANOSECONDS_PER_SECOND,
        inactive_seconds: it.inactive / NANOSECONDS_PER_SECOND,
        receive_bits_per_second: it.receivebitrate,
        transmit_bits_per_second: it.transmitbitrate,
        received_bytes: it.receivedbytes,
        transmitted_bytes: it.transmittedbytes,
        signal_dbm: it.signal,
        transmit_retries: it.transmitretries,
        transmit_failed: it.transmitfailed,
        beacon_loss: it.beaconloss,
        received_packets: it.receivedpackets,
        transmitted_packets: it.transmittedpackets,
    })
}

fn mac(base64: &str) -> io::Result<Mac> {
    let bytes = BASE64_STANDARD.decode(base64).map_err(io::Error::other)?;
    let mac = bytes.first_chunk().copied();
    mac.ok_or_else(|| io::Error::other(format!("the address {base64:?} has less than six bytes")))
}
