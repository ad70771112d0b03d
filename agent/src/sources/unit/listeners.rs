//! Listening sockets by the unit whose process made them, from the kernel's socket diagnosis, which
//! tells a socket's control group since Linux 5.8.

use std::{collections::BTreeMap, io};

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use skep_proto::MetricKind;

use crate::{
    exposition::{Exposition, as_f64},
    sources::{
        netlink::{Ask, Netlink, attributes},
        units::{Units, groups::Unit},
    },
};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_CGROUP_ID: u16 = 21;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Bytes of `struct inet_diag_req_v2` and of `struct inet_diag_msg`.
const REQUEST_BYTES: usize = 56;
const SOCKET_BYTES: usize = 72;

/// Protocol, its number, and the state (a bit) that listens: a UDP socket without a peer is closed
/// to the kernel.
const PROTOCOLS: [(&str, u8, u32); 2] = [("tcp", 6, 1 << 10), ("udp", 17, 1 << 7)];

/// Sockets by their group.
type Counts = BTreeMap<u64, u64>;

/// `unit_listening_sockets` of every unit that has some, in the agent's network namespace.
pub(super) fn collect(units: &mut Units, out: &mut Exposition) -> io::Result<()> {
    let netlink = Netlink::open(NETLINK_SOCK_DIAG)?;
    let family = out.family(
        "unit_listening_sockets",
        "Sockets of a unit that wait for connections (tcp) or datagrams from anyone (udp).",
        MetricKind::Gauge,
    );
    for (protocol, number, states) in PROTOCOLS {
        let mut counts = Counts::new();
        for address_family in [AF_INET, AF_INET6] {
            let request = request(address_family, number, states);
            netlink.ask(Ask::Dump, SOCK_DIAG_BY_FAMILY, &request, |_, socket| {
                count(socket, &mut counts);
            })?;
        }
        let mut by_unit = BTreeMap::<Unit, u64>::new();
        for (group, n) in counts {
            *by_unit.entry(units.name(group)).or_default() += n;
        }
        for (unit, n) in by_unit {
            family.labelled(unit.labels([("protocol", protocol)]), as_f64(n));
        }
    }
    Ok(())
}

fn request(address_family: u8, protocol: u8, states: u32) -> Vec<u8> {
    let mut request = vec![address_family, protocol, 0, 0];
    request.extend_from_slice(&states.to_ne_bytes());
    request.resize(REQUEST_BYTES, 0);
    request
}

/// A socket without a group, as of older kernels, is not counted.
fn count(socket: &[u8], counts: &mut Counts) {
    let mut attributes = attributes(socket.get(SOCKET_BYTES..).unwrap_or_default());
    let group = attributes.find(|(kind, _)| *kind == INET_DIAG_CGROUP_ID);
    if let Some(id) = group.and_then(|(_, value)| value.first_chunk()) {
        *counts.entry(u64::from_ne_bytes(*id)).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::netlink::attribute;

    #[test]
    fn sockets_are_counted_by_the_group_that_they_name() {
        let socket = |attributes: &[u8]| [&[0; SOCKET_BYTES], attributes].concat();
        let group = |id: u64| attribute(INET_DIAG_CGROUP_ID, &id.to_ne_bytes());
        let mut counts = Counts::new();
        for bytes in [
            socket(&[attribute(8, &[0]), group(7)].concat()),
            socket(&group(7)),
            socket(&group(9)),
            socket(&[]),
            socket(&attribute(INET_DIAG_CGROUP_ID, &[1, 2])),
            vec![1; 10],
        ] {
            count(&bytes, &mut counts);
        }
        assert_eq!(counts, Counts::from([(7, 2), (9, 1)]));
    }

    #[test]
    fn a_request_asks_for_one_protocol_and_state() {
        let request = request(AF_INET6, 6, 1 << 10);
        assert_eq!(request.len(), REQUEST_BYTES);
        assert_eq!(request[..8], [AF_INET6, 6, 0, 0, 0, 4, 0, 0]);
    }
}
