//! Addresses of network devices, over rtnetlink.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_sys::protocols::NETLINK_ROUTE;

use crate::sources::netlink::{Ask, Netlink, attributes, u32_at};

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
/// The address; of a link with two ends, that of the other end.
const IFA_ADDRESS: u16 = 1;
/// The address at this end.
const IFA_LOCAL: u16 = 2;
/// Bytes of `struct ifaddrmsg`: family, length of the prefix, flags, scope, number of the device.
const IFADDR_BYTES: usize = 8;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) device_idx: u32,
    pub(super) ip: IpAddr,
    pub(super) prefix_len: u8,
}

/// Every address of this network namespace.
pub(super) fn dump() -> io::Result<Vec<Address>> {
    let mut addresses = Vec::new();
    Netlink::open(NETLINK_ROUTE)?.ask(
        Ask::Dump,
        RTM_GETADDR,
        &[0; IFADDR_BYTES],
        |kind, body| addresses.extend(read_message(kind, body)),
    )?;
    Ok(addresses)
}

fn read_message(kind: u16, body: &[u8]) -> Option<Address> {
    let (&[_, prefix_len, ..], rest) = body.split_first_chunk::<IFADDR_BYTES>()?;
    if kind != RTM_NEWADDR {
        return None;
    }
    let find = |wanted| attributes(rest).find(|(kind, _)| *kind == wanted).map(|it| it.1);
    let bytes = find(IFA_LOCAL).or_else(|| find(IFA_ADDRESS))?;
    let ip = match bytes.len() {
        4 => Ipv4Addr::from(*bytes.first_chunk::<4>()?).into(),
        _ => Ipv6Addr::from(*bytes.first_chunk::<16>()?).into(),
    };
    Some(Address { device_idx: u32_at(body, 4)?, ip, prefix_len })
}

/// How far an address reaches, in node_exporter's words.
pub(super) fn scope(ip: IpAddr) -> &'static str {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || matches!(ip.octets(), [224, 0, 0, _]),
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || matches!(ip.octets(), [0xff, scope, ..] if scope & 0xf == 2)
        }
    };
    let is_interface_local = matches!(ip, IpAddr::V6(ip) if matches!(ip.octets(), [0xff, scope, ..] if scope & 0xf == 1));
    if ip.is_loopback() || is_link_local {
        "link-local"
    } else if is_interface_local {
        "interface-local"
    } else if ip.is_multicast() || ip.is_unspecified() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        ""
    } else {
        "global"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::netlink::attribute;

    fn body(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![2, 24, 0, 0];
        body.extend_from_slice(&7_u32.to_ne_bytes());
        for (kind, value) in attributes {
            body.extend(attribute(*kind, value));
        }
        body
    }

    #[test]
    fn this_ends_address_counts() {
        let address =
            |ip: &str| Some(Address { device_idx: 7, ip: ip.parse().unwrap(), prefix_len: 24 });
        let both = body(&[(IFA_ADDRESS, &[10, 0, 0, 2]), (IFA_LOCAL, &[10, 0, 0, 1])]);
        assert_eq!(read_message(RTM_NEWADDR, &both), address("10.0.0.1"));
        let ip = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        let one = body(&[(IFA_ADDRESS, &ip)]);
        assert_eq!(read_message(RTM_NEWADDR, &one), address("2001:db8::1"));
    }

    #[test]
    fn messages_that_are_cut_off_or_no_address_tell_nothing() {
        assert_eq!(read_message(RTM_NEWADDR, &body(&[(IFA_LOCAL, &[10, 0, 0])])), None);
        assert_eq!(read_message(RTM_NEWADDR, &[2, 24, 0]), None);
        assert_eq!(read_message(RTM_NEWADDR, &body(&[])), None);
        assert_eq!(read_message(21, &body(&[(IFA_LOCAL, &[10, 0, 0, 1])])), None);
    }

    #[test]
    fn scopes_are_gos() {
        for (ip, expected) in [
            ("127.0.0.1", "link-local"),
            ("::1", "link-local"),
            ("169.254.3.4", "link-local"),
            ("fe80::1", "link-local"),
            ("ff02::1", "link-local"),
            ("ff01::1", "interface-local"),
            ("192.168.1.5", "global"),
            ("fd00::5", "global"),
            ("2001:db8::5", "global"),
            ("239.1.2.3", ""),
            ("0.0.0.0", ""),
        ] {
            assert_eq!(scope(ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
