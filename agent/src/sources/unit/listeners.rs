//! Listening sockets by the unit whose process made them, from the kernel's socket diagnosis, which
//! tells a socket's control group since Linux 5.8.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

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

/// Where `struct inet_diag_msg` has the port, in the network's order.
const PORT_AT: usize = 4;
/// From here on (`net.ipv4.ip_local_port_range`) the kernel gives ports to who asks for none: a
/// series for each of them would be another one every minute.
const FIRST_GIVEN_PORT: u16 = 32_768;
/// Of a unit and protocol; the lowest are told.
const PORTS_MAX: usize = 16;

/// What listens in a group or a unit.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listeners {
    n: u64,
    /// Those that were asked for by number.
    ports: BTreeSet<u16>,
}

impl Listeners {
    fn plus(&mut self, other: Self) {
        self.n += other.n;
        self.ports.extend(other.ports);
    }
}

/// By their group.
type Groups = BTreeMap<u64, Listeners>;

/// `unit_listening_sockets` and `unit_listening_port` of every unit that has some, in the agent's
/// network namespace.
pub(super) fn collect(units: &mut Units, out: &mut Exposition) -> io::Result<()> {
    let netlink = Netlink::open(NETLINK_SOCK_DIAG)?;
    let mut by_protocol = Vec::new();
    for (protocol, number, states) in PROTOCOLS {
        let mut groups = Groups::new();
        for address_family in [AF_INET, AF_INET6] {
            let request = request(address_family, number, states);
            netlink.ask(Ask::Dump, SOCK_DIAG_BY_FAMILY, &request, |_, socket| {
                count(socket, &mut groups);
            })?;
        }
        let mut by_unit = BTreeMap::<Unit, Listeners>::new();
        for (group, listeners) in groups {
            by_unit.entry(units.name(group)).or_default().plus(listeners);
        }
        by_protocol.push((protocol, by_unit));
    }
    expose(&by_protocol, out);
    Ok(())
}

fn expose(by_protocol: &[(&'static str, BTreeMap<Unit, Listeners>)], out: &mut Exposition) {
    let each =
        || by_protocol.iter().flat_map(|(protocol, it)| it.iter().map(move |it| (*protocol, it)));
    let sockets = out.family(
        "unit_listening_sockets",
        "Sockets of a unit that wait for connections (tcp) or datagrams from anyone (udp).",
        MetricKind::Gauge,
    );
    for (protocol, (unit, listeners)) in each() {
        sockets.labelled(unit.labels([("protocol", protocol)]), as_f64(listeners.n));
    }
    let ports = out.family(
        "unit_listening_port",
        "1 for each port below 32768 that a socket of a unit waits on.",
        MetricKind::Gauge,
    );
    for (protocol, (unit, listeners)) in each() {
        for port in listeners.ports.iter().take(PORTS_MAX) {
            let labels = unit.labels([("port", port.to_string().as_str()), ("protocol", protocol)]);
            ports.labelled(labels, 1.0);
        }
    }
}

fn request(address_family: u8, protocol: u8, states: u32) -> Vec<u8> {
    let mut request = vec![address_family, protocol, 0, 0];
    request.extend_from_slice(&states.to_ne_bytes());
    request.resize(REQUEST_BYTES, 0);
    request
}

/// A socket without a group, as of older kernels, is not counted.
fn count(socket: &[u8], groups: &mut Groups) {
    let Some((head, rest)) = socket.split_at_checked(SOCKET_BYTES) else { return };
    let group = attributes(rest).find(|(kind, _)| *kind == INET_DIAG_CGROUP_ID);
    let Some(id) = group.and_then(|(_, value)| value.first_chunk()) else { return };
    let listeners = groups.entry(u64::from_ne_bytes(*id)).or_default();
    listeners.n += 1;
    let port = head.get(PORT_AT..).and_then(<[u8]>::first_chunk).map(|it| u16::from_be_bytes(*it));
    listeners.ports.extend(port.filter(|it| (1..FIRST_GIVEN_PORT).contains(it)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::netlink::attribute;

    #[test]
    fn sockets_are_counted_by_the_group_that_they_name_with_the_ports_asked_for() {
        let socket = |port: u16, attributes: &[u8]| {
            let mut head = [0; SOCKET_BYTES];
            head[PORT_AT..PORT_AT + 2].copy_from_slice(&port.to_be_bytes());
            [&head, attributes].concat()
        };
        let group = |id: u64| attribute(INET_DIAG_CGROUP_ID, &id.to_ne_bytes());
        let mut groups = Groups::new();
        for bytes in [
            socket(443, &[attribute(8, &[0]), group(7)].concat()),
            socket(443, &group(7)),
            socket(80, &group(7)),
            socket(40_000, &group(9)),
            socket(1, &[]),
            socket(1, &attribute(INET_DIAG_CGROUP_ID, &[1, 2])),
            vec![1; 10],
        ] {
            count(&bytes, &mut groups);
        }
        let listeners = |n, ports: &[u16]| Listeners { n, ports: ports.iter().copied().collect() };
        assert_eq!(groups, Groups::from([(7, listeners(3, &[80, 443])), (9, listeners(1, &[]))]));
    }

    #[test]
    fn a_request_asks_for_one_protocol_and_state() {
        let request = request(AF_INET6, 6, 1 << 10);
        assert_eq!(request.len(), REQUEST_BYTES);
        assert_eq!(request[..8], [AF_INET6, 6, 0, 0, 0, 4, 0, 0]);
    }
}
