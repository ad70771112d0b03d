//! One dump of all links over rtnetlink.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;

use crate::sources::netlink::{Ask, Netlink, attributes, text, u32_at};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
const IFLA_STATS64: u16 = 23;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
/// Bytes of `struct ifinfomsg`: the device's number is at 4.
const IFINFO_BYTES: usize = 16;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) device_idx: u32,
    pub(super) name: String,
    pub(super) stats: LinkStats,
    /// Kernels before 5.5 have none.
    pub(super) altnames: Vec<String>,
}

/// `struct rtnl_link_stats64`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LinkStats {
    pub(super) rx_packets: u64,
    pub(super) tx_packets: u64,
    pub(super) rx_bytes: u64,
    pub(super) tx_bytes: u64,
    pub(super) rx_errors: u64,
    pub(super) tx_errors: u64,
    pub(super) rx_dropped: u64,
    pub(super) tx_dropped: u64,
    pub(super) multicast: u64,
    pub(super) collisions: u64,
    pub(super) rx_length_errors: u64,
    pub(super) rx_over_errors: u64,
    pub(super) rx_crc_errors: u64,
    pub(super) rx_frame_errors: u64,
    pub(super) rx_fifo_errors: u64,
    pub(super) rx_missed_errors: u64,
    pub(super) tx_aborted_errors: u64,
    pub(super) tx_carrier_errors: u64,
    pub(super) tx_fifo_errors: u64,
    pub(super) tx_heartbeat_errors: u64,
    pub(super) tx_window_errors: u64,
    pub(super) rx_compressed: u64,
    pub(super) tx_compressed: u64,
    /// Kernels before 4.6 do not count it.
    pub(super) rx_nohandler: u64,
}

/// Every device of this network namespace with its counters, in the kernel's order.
pub(super) fn dump() -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    Netlink::open(NETLINK_ROUTE)?.ask(
        Ask::Dump,
        RTM_GETLINK,
        &[0; IFINFO_BYTES],
        |kind, body| {
            links.extend(read_message(kind, body));
        },
    )?;
    Ok(links)
}

fn read_message(kind: u16, body: &[u8]) -> Option<Link> {
    if kind != RTM_NEWLINK {
        return None;
    }
    let (mut name, mut stats, mut altnames) = (None, None, Vec::new());
    for (kind, value) in attributes(body.get(IFINFO_BYTES..)?) {
        match kind {
            IFLA_IFNAME => name = Some(text(value)),
            IFLA_STATS64 => stats = LinkStats::parse(value),
            IFLA_PROP_LIST => {
                let names = attributes(value).filter(|it| it.0 == IFLA_ALT_IFNAME);
                altnames.extend(names.map(|(_, it)| text(it)));
            }
            _ => {}
        }
    }
    Some(Link { device_idx: u32_at(body, 4)?, name: name?, stats: stats?, altnames })
}

impl LinkStats {
    /// None where there are fewer counters than the oldest kernel has.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (chunks, _) = bytes.as_chunks::<8>();
        let mut counters = chunks.iter().map(|it| u64::from_ne_bytes(*it));
        let mut next = || counters.next();
        Some(Self {
            rx_packets: next()?,
            tx_packets: next()?,
            rx_bytes: next()?,
            tx_bytes: next()?,
            rx_errors: next()?,
            tx_errors: next()?,
            rx_dropped: next()?,
            tx_dropped: next()?,
            multicast: next()?,
            collisions: next()?,
            rx_length_errors: next()?,
            rx_over_errors: next()?,
            rx_crc_errors: next()?,
            rx_frame_errors: next()?,
            rx_fifo_errors: next()?,
            rx_missed_errors: next()?,
            tx_aborted_errors: next()?,
            tx_carrier_errors: next()?,
            tx_fifo_errors: next()?,
            tx_heartbeat_errors: next()?,
            tx_window_errors: next()?,
            rx_compressed: next()?,
            tx_compressed: next()?,
            rx_nohandler: next().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::netlink::attribute;

    fn link(name: &str, n_counters: u64) -> Vec<u8> {
        let counters: Vec<u8> = (1..=n_counters).flat_map(u64::to_ne_bytes).collect();
        let mut body = vec![0; IFINFO_BYTES];
        body[4..8].copy_from_slice(&7_u32.to_ne_bytes());
        body.extend(attribute(IFLA_IFNAME, format!("{name}\0").as_bytes()));
        body.extend(attribute(99, &[1]));
        body.extend(attribute(IFLA_STATS64, &counters));
        body
    }

    #[test]
    fn links_are_read_with_the_counters_their_kernel_has() {
        let Link { device_idx, name, stats, altnames } =
            read_message(RTM_NEWLINK, &link("eth0", 25)).unwrap();
        assert_eq!((device_idx, &*name, altnames.len()), (7, "eth0", 0));
        assert_eq!((stats.rx_packets, stats.rx_nohandler), (1, 24));
        let Link { name, stats, .. } = read_message(RTM_NEWLINK, &link("lo", 23)).unwrap();
        assert_eq!((&*name, stats.rx_packets, stats.rx_nohandler), ("lo", 1, 0));
    }

    #[test]
    fn other_names_of_a_link_are_read() {
        let names: Vec<u8> = ["enp1s0\0", "lan\0"]
            .iter()
            .flat_map(|it| attribute(IFLA_ALT_IFNAME, it.as_bytes()))
            .collect();
        let mut body = link("eth0", 24);
        // The kernel marks it as nested.
        body.extend(attribute(IFLA_PROP_LIST | 0x8000, &names));
        let link = read_message(RTM_NEWLINK, &body).unwrap();
        assert_eq!(link.altnames, ["enp1s0", "lan"]);
    }

    #[test]
    fn messages_that_are_cut_off_or_no_link_tell_nothing() {
        assert_eq!(read_message(RTM_NEWLINK, &link("short", 22)), None);
        assert_eq!(read_message(RTM_NEWLINK, &[0; 3]), None);
        assert_eq!(read_message(17, &link("eth0", 24)), None);
    }
}
