//! Routes of this host, over rtnetlink.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_sys::protocols::NETLINK_ROUTE;
use skep_proto::MetricKind;

use super::{
    Context, SourceError, links,
    netlink::{Ask, Netlink, attributes, u32_at},
};
use crate::exposition::{Exposition, as_f64};

const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
/// Bytes of `struct rtmsg`.
const RTMSG_BYTES: usize = 12;
const RTN_UNICAST: u8 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
/// Bytes of `struct rtnexthop`.
const NEXT_HOP_BYTES: usize = 8;

/// Names of who made a route, by the kernel's number.
const PROTOCOLS: [(u8, &str); 21] = [
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (8, "gated"),
    (9, "ra"),
    (10, "mrt"),
    (11, "zebra"),
    (12, "bird"),
    (13, "dnrouted"),
    (14, "xorp"),
    (15, "ntk"),
    (16, "dhcp"),
    (17, "mrouted"),
    (42, "babel"),
    (186, "bgp"),
    (187, "isis"),
    (188, "ospf"),
    (189, "rip"),
    (192, "eigrp"),
];

pub(super) fn collect(_: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let (routes, names) =
        dump().map_err(|source| SourceError::Kernel { what: "routes", source })?;
    tell(&routes, &names, out);
    Ok(())
}

fn dump() -> io::Result<(Vec<Route>, HashMap<u32, String>)> {
    let netlink = Netlink::open(NETLINK_ROUTE)?;
    let names = links::names(&netlink)?;
    let mut routes = Vec::new();
    netlink.ask(Ask::Dump, RTM_GETROUTE, &[0; RTMSG_BYTES], |kind, body| {
        if kind == RTM_NEWROUTE {
            routes.extend(Route::parse(body));
        }
    })?;
    Ok((routes, names))
}

#[derive(Debug, Default)]
struct Route {
    source: String,
    destination: String,
    priority: u32,
    protocol: &'static str,
    hops: Vec<Hop>,
}

#[derive(Debug, Default)]
struct Hop {
    device: u32,
    gateway: String,
    /// Only routes with several hops have weights.
    weight: String,
}

impl Route {
    /// None for routes that lead to no other host, such as those for broadcasts.
    fn parse(body: &[u8]) -> Option<Self> {
        let [_, prefix_len, _, _, _, protocol, _, kind, ..] = *body.first_chunk::<RTMSG_BYTES>()?;
        if kind != RTN_UNICAST {
            return None;
        }
        let protocol = PROTOCOLS.iter().find(|it| it.0 == protocol).map_or("unknown", |it| it.1);
        let mut route = Self { protocol, destination: "default".to_owned(), ..Self::default() };
        let mut hop = Hop::default();
        for (kind, value) in attributes(body.get(RTMSG_BYTES..)?) {
            match kind {
                RTA_DST if prefix_len > 0 => {
                    route.destination = format!("{}/{prefix_len}", address(value));
                }
                RTA_PREFSRC => route.source = address(value),
                RTA_PRIORITY => route.priority = u32_at(value, 0)?,
                RTA_OIF => hop.device = u32_at(value, 0)?,
                RTA_GATEWAY => hop.gateway = address(value),
                RTA_MULTIPATH => route.hops = hops(value),
                _ => {}
            }
        }
        if route.hops.is_empty() {
            route.hops.push(hop);
        }
        Some(route)
    }
}

/// Each begins with its length, as an attribute does, but has its own attributes behind.
fn hops(mut bytes: &[u8]) -> Vec<Hop> {
    let mut hops = Vec::new();
    while let Some(([l0, l1, _, weight, i0, i1, i2, i3], _)) =
        bytes.split_first_chunk::<NEXT_HOP_BYTES>()
    {
        let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let Some(inner) = bytes.get(NEXT_HOP_BYTES..len) else { break };
        let gateway = attributes(inner).find(|it| it.0 == RTA_GATEWAY);
        hops.push(Hop {
            device: u32::from_ne_bytes([*i0, *i1, *i2, *i3]),
            gateway: gateway.map(|it| address(it.1)).unwrap_or_default(),
            weight: (u16::from(*weight) + 1).to_string(),
        });
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

fn address(bytes: &[u8]) -> String {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Ipv4Addr::from(bytes).to_string();
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(bytes) => IpAddr::from(Ipv6Addr::from(bytes)).to_canonical().to_string(),
        Err(_) => String::new(),
    }
}

fn tell(routes: &[Route], names: &HashMap<u32, String>, out: &mut Exposition) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let family = out.family(
        "node_network_route_info",
        "Always 1; the labels tell a route of this host.",
        MetricKind::Gauge,
    );
    for Route { source, destination, priority, protocol, hops } in routes {
        let priority = priority.to_string();
        for Hop { device, gateway, weight } in hops {
            let device = names.get(device).map_or("", |it| it);
            *counts.entry(device).or_default() += 1;
            family.point(
                [
                    ("device", device),
                    ("src", source),
                    ("dest", destination),
                    ("gw", gateway),
                    ("priority", &priority),
                    ("proto", protocol),
                    ("weight", weight),
                ],
                1.0,
            );
        }
    }
    let family = out.family("node_network_routes", "Routes through the device.", MetricKind::Gauge);
    for (device, count) in counts {
        family.point([("device", device)], as_f64(count));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::sources::{netlink::attribute, tests::Host};

    fn message(prefix_len: u8, protocol: u8, kind: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![2, prefix_len, 0, 0, 254, protocol, 0, kind, 0, 0, 0, 0];
        body.extend(attributes.concat());
        body
    }

    fn number(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_ne_bytes())
    }

    fn next_hop(device: u32, weight: u8, gateway: &[u8]) -> Vec<u8> {
        let gateway = attribute(RTA_GATEWAY, gateway);
        let len = u16::try_from(NEXT_HOP_BYTES + gateway.len()).unwrap();
        [&len.to_ne_bytes()[..], &[0, weight], &device.to_ne_bytes(), &gateway].concat()
    }

    #[test]
    fn routes_are_told_with_each_of_their_hops() {
        let v6: [u8; 16] = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        let several = [next_hop(2, 0, &[10, 0, 0, 1]), next_hop(3, 4, &v6)].concat();
        let messages = [
            message(
                0,
                16,
                1,
                &[
                    number(RTA_OIF, 2),
                    attribute(RTA_GATEWAY, &[10, 0, 0, 1]),
                    number(RTA_PRIORITY, 100),
                ],
            ),
            message(
                24,
                2,
                1,
                &[
                    attribute(RTA_DST, &[10, 0, 0, 0]),
                    number(RTA_OIF, 2),
                    attribute(RTA_PREFSRC, &[10, 0, 0, 7]),
                ],
            ),
            message(64, 99, 1, &[attribute(RTA_DST, &v6), attribute(RTA_MULTIPATH, &several)]),
            // A broadcast, and one whose device is gone.
            message(32, 2, 3, &[attribute(RTA_DST, &[10, 0, 0, 255])]),
            message(8, 4, 1, &[attribute(RTA_DST, &[11, 0, 0, 0]), number(RTA_OIF, 77)]),
        ];
        let routes: Vec<Route> = messages.iter().filter_map(|it| Route::parse(it)).collect();
        let names = HashMap::from([(2, "eth0".to_owned()), (3, "wg0".to_owned())]);
        let mut out = Exposition::default();
        tell(&routes, &names, &mut out);
        expect![[r##"
            # HELP node_network_route_info Always 1; the labels tell a route of this host.
            # TYPE node_network_route_info gauge
            node_network_route_info{device="eth0",src="",dest="default",gw="10.0.0.1",priority="100",proto="dhcp",weight=""} 1
            node_network_route_info{device="eth0",src="10.0.0.7",dest="10.0.0.0/24",gw="",priority="0",proto="kernel",weight=""} 1
            node_network_route_info{device="eth0",src="",dest="2001:db8::1/64",gw="10.0.0.1",priority="0",proto="unknown",weight="1"} 1
            node_network_route_info{device="wg0",src="",dest="2001:db8::1/64",gw="2001:db8::1",priority="0",proto="unknown",weight="5"} 1
            node_network_route_info{device="",src="",dest="11.0.0.0/8",gw="",priority="0",proto="static",weight=""} 1
            # HELP node_network_routes Routes through the device.
            # TYPE node_network_routes gauge
            node_network_routes{device=""} 1
            node_network_routes{device="eth0"} 3
            node_network_routes{device="wg0"} 1
        "##]].assert_eq(&out.to_text());
    }

    #[test]
    fn routes_that_are_cut_off_or_strange_do_no_harm() {
        assert!(Route::parse(&[0; 5]).is_none());
        let route = Route::parse(&message(8, 0, 1, &[attribute(RTA_DST, &[1, 2])])).unwrap();
        assert_eq!(route.destination, "/8");
        assert!(hops(&[200, 0, 0, 0, 1, 0, 0, 0]).is_empty());
    }

    #[test]
    fn the_kernel_answers() {
        assert!(!Host::default().text(collect).starts_with("error"));
    }
}
