//! One dump of all links over rtnetlink, read by hand: a request of 32 bytes, answers of nested
//! records (<https://docs.kernel.org/userspace-api/netlink/intro.html>).

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const FLAGS: u16 = 0x301;
const IFLA_IFNAME: u16 = 3;
const IFLA_STATS64: u16 = 23;
/// Bytes of `struct nlmsghdr` and of `struct ifinfomsg`.
const HEADER_BYTES: usize = 16;
const IFINFO_BYTES: usize = 16;
/// Datagrams of one dump: 32 KiB each, so about 400,000 devices.
const DATAGRAMS_MAX: usize = 20_000;

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
pub(super) fn dump() -> io::Result<Vec<(String, LinkStats)>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(), 0)?;
    let mut links = Vec::new();
    for _ in 0..DATAGRAMS_MAX {
        let (datagram, _) = socket.recv_from_full()?;
        if read_datagram(&datagram, &mut links)? == Progress::Done {
            return Ok(links);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the list of links does not end"))
}

fn request() -> [u8; HEADER_BYTES + IFINFO_BYTES] {
    let mut request = [0; HEADER_BYTES + IFINFO_BYTES];
    let (len, rest) = request.split_at_mut(4);
    len.copy_from_slice(&(32_u32).to_ne_bytes());
    let (kind, rest) = rest.split_at_mut(2);
    kind.copy_from_slice(&RTM_GETLINK.to_ne_bytes());
    let (flags, _) = rest.split_at_mut(2);
    flags.copy_from_slice(&FLAGS.to_ne_bytes());
    request
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

fn read_datagram(
    mut datagram: &[u8],
    links: &mut Vec<(String, LinkStats)>,
) -> io::Result<Progress> {
    while let Some((header, _)) = datagram.split_first_chunk::<HEADER_BYTES>() {
        let [l0, l1, l2, l3, k0, k1, ..] = *header;
        let len = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let body = datagram.get(HEADER_BYTES..len).ok_or_else(truncated)?;
        match u16::from_ne_bytes([k0, k1]) {
            NLMSG_DONE => return Ok(Progress::Done),
            NLMSG_ERROR => {
                let (code, _) = body.split_first_chunk::<4>().ok_or_else(truncated)?;
                let errno = i32::from_ne_bytes(*code).saturating_neg();
                return Err(io::Error::from_raw_os_error(errno));
            }
            RTM_NEWLINK => {
                let attributes = body.get(IFINFO_BYTES..).ok_or_else(truncated)?;
                links.extend(read_link(attributes));
            }
            _ => {}
        }
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Progress::More)
}

/// None where a link has no name or no counters.
fn read_link(mut attributes: &[u8]) -> Option<(String, LinkStats)> {
    let (mut name, mut stats) = (None, None);
    while let Some(([l0, l1, k0, k1], _)) = attributes.split_first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = attributes.get(4..len)?;
        match u16::from_ne_bytes([*k0, *k1]) {
            IFLA_IFNAME => {
                let text = value.split(|it| *it == 0).next().unwrap_or_default();
                name = Some(String::from_utf8_lossy(text).into_owned());
            }
            IFLA_STATS64 => stats = LinkStats::parse(value),
            _ => {}
        }
        attributes = attributes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    name.zip(stats)
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

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "netlink message is cut off")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(HEADER_BYTES + body.len()).unwrap();
        let mut message = len.to_ne_bytes().to_vec();
        message.extend_from_slice(&kind.to_ne_bytes());
        message.resize(HEADER_BYTES, 0);
        message.extend_from_slice(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(4 + value.len()).unwrap();
        let mut attribute = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        attribute.extend_from_slice(value);
        attribute.resize(attribute.len().next_multiple_of(4), 0);
        attribute
    }

    fn link(name: &str, n_counters: u64) -> Vec<u8> {
        let counters: Vec<u8> = (1..=n_counters).flat_map(u64::to_ne_bytes).collect();
        let mut body = vec![0; IFINFO_BYTES];
        body.extend(attribute(IFLA_IFNAME, format!("{name}\0").as_bytes()));
        body.extend(attribute(99, &[1]));
        body.extend(attribute(IFLA_STATS64, &counters));
        message(RTM_NEWLINK, &body)
    }

    #[test]
    fn links_are_read_until_the_dump_is_done() {
        let mut links = Vec::new();
        let one = [link("eth0", 25), link("lo", 23)].concat();
        assert_eq!(read_datagram(&one, &mut links).unwrap(), Progress::More);
        let two = [link("short", 22), message(NLMSG_DONE, &[0; 4])].concat();
        assert_eq!(read_datagram(&two, &mut links).unwrap(), Progress::Done);
        let names: Vec<&str> = links.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["eth0", "lo"]);
        assert_eq!((links[0].1.rx_packets, links[0].1.rx_nohandler), (1, 24));
        assert_eq!(links[1].1.rx_nohandler, 0);
    }

    #[test]
    fn the_kernels_error_is_passed_on() {
        let error = message(NLMSG_ERROR, &(-1_i32).to_ne_bytes());
        let error = read_datagram(&error, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(1));
    }

    proptest! {
        #[test]
        fn damage_never_panics(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut datagram = link("eth0", 24);
            for (at, byte) in flips {
                let at = at.index(datagram.len());
                datagram[at] = byte;
            }
            let end = cut.index(datagram.len() + 1);
            let mut links = Vec::new();
            if read_datagram(&datagram[..end], &mut links).is_ok() {
                prop_assert!(links.len() <= 1);
            }
        }
    }
}
