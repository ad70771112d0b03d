//! What happens on TCP connections, by the network of the peer: /24 of IPv4, /48 of IPv6.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use skep_abi::{Durations, NETWORK_OTHER, Network, NetworkTcp};
use skep_proto::MetricKind;

use super::{
    by_unit::counters,
    family::{Collect, CollectError, Family},
    histogram::NS_PER_SECOND,
    histogram::{self, labels},
    loader::{Program, offset, traced},
    maps::Maps,
    top::Top,
};
use crate::{
    exposition::{Exposition, as_f64},
    sources::units::Units,
};

pub(super) const FAMILY: Family = Family {
    programs: &[RETRANSMIT, RESET_OUT, RESET_IN, RTT],
    offsets: &[
        offset("PEER_FAMILY", "sock", &["__sk_common", "skc_family"]),
        offset("PEER_ADDRESS", "sock", &["__sk_common", "skc_daddr"]),
        offset("PEER_ADDRESS6", "sock", &["__sk_common", "skc_v6_daddr"]),
        offset("PEER_PROTOCOL", "sock", &["sk_protocol"]),
        offset("PEER_SRTT", "tcp_sock", &["srtt_us"]),
    ],
    start: Some(|maps| {
        maps.insert_zero::<Network, NetworkTcp>(MAP, NETWORK_OTHER)?;
        Ok(Box::new(Networks {
            readings: HashMap::new(),
            top: Top::new(NAMED_MAX, weight),
            rtt: Durations::default(),
        }))
    }),
    ..Family::EMPTY
};

const MAP: &str = "NETWORK_TCP";
/// Networks with series of their own.
const NAMED_MAX: usize = 50;
const AF_INET: u64 = 2;

const RETRANSMIT: Program = traced!(
    "tcp_retransmit",
    "segments sent again, by network",
    "network_retransmit",
    "tcp_retransmit_skb",
    1,
    NEEDS
);
const RESET_OUT: Program = traced!(
    "tcp_reset_out",
    "connections that this host resets, by network",
    "network_reset_out",
    "tcp_send_reset",
    1,
    NEEDS
);
const RESET_IN: Program = traced!(
    "tcp_reset_in",
    "connections that peers reset, by network",
    "network_reset_in",
    "tcp_receive_reset",
    1,
    NEEDS
);
const RTT: Program = traced!(
    "tcp_rtt",
    "round-trip times of TCP connections, by network",
    "network_rtt",
    "inet_sock_set_state",
    3,
    &["PEER_FAMILY", "PEER_ADDRESS", "PEER_SRTT"]
);
const NEEDS: &[&str] = &["PEER_FAMILY", "PEER_ADDRESS"];

counters!(NetworkTcp { retransmits, resets_sent, resets_received, ended, rtt_ns });

/// Trouble counts more than mere use.
fn weight(it: &NetworkTcp) -> u64 {
    10 * (it.retransmits + it.resets_sent + it.resets_received) + it.ended
}

#[derive(Debug)]
struct Networks {
    readings: HashMap<Network, NetworkTcp>,
    top: Top<Network, NetworkTcp>,
    rtt: Durations,
}

type Value = fn(&NetworkTcp) -> u64;

impl Collect for Networks {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        self.readings.clear();
        self.rtt = maps.summed("NETWORK_RTTS")?.into_iter().next().unwrap_or_default();
        maps.counters(MAP, &mut self.readings)
    }

    fn attribute(&mut self, maps: &mut Maps, _units: &mut Units) -> Result<(), CollectError> {
        for network in self.top.update(&self.readings, NETWORK_OTHER) {
            maps.remove(MAP, &network)?;
        }
        Ok(())
    }

    fn expose(&self, out: &mut Exposition) {
        let counters: [(_, _, Value); 3] = [
            (
                "ebpf_tcp_retransmits_total",
                "TCP segments sent again, by the peer's network.",
                |it| it.retransmits,
            ),
            (
                "ebpf_tcp_resets_sent_total",
                "TCP resets that this host sent, by the peer's network.",
                |it| it.resets_sent,
            ),
            (
                "ebpf_tcp_resets_received_total",
                "TCP resets that peers sent, by their network.",
                |it| it.resets_received,
            ),
        ];
        for (name, help, value) in counters {
            let family = out.family(name, help, MetricKind::Counter);
            let (named, other) = self.top.totals();
            for (network, tcp) in named {
                family.point([("network", &prefix(network))], as_f64(value(tcp)));
            }
            family.point([("network", "other")], as_f64(value(other)));
        }
        let family = out.family(
            "ebpf_tcp_network_rtt_seconds",
            "Smoothed round-trip times of TCP connections at their end, by the peer's network.",
            MetricKind::Summary,
        );
        let (named, other) = self.top.totals();
        let named = named.map(|(network, tcp)| (prefix(network), tcp));
        for (network, tcp) in named.chain([("other".to_owned(), other)]) {
            let labels = labels([("network", &network)]);
            family.suffixed("_sum", labels.clone(), as_f64(tcp.rtt_ns) / NS_PER_SECOND);
            family.suffixed("_count", labels, as_f64(tcp.ended));
        }
        let family = out.family(
            "ebpf_tcp_rtt_seconds",
            "Smoothed round-trip times of all TCP connections at their end.",
            MetricKind::Histogram,
        );
        histogram::add(family, &[], &self.rtt);
    }
}

fn prefix(network: &Network) -> String {
    if network.family == AF_INET {
        let bits = u32::try_from(network.prefix << 8).unwrap_or_default();
        format!("{}/24", Ipv4Addr::from_bits(bits))
    } else {
        format!("{}/48", Ipv6Addr::from_bits(u128::from(network.prefix) << 80))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_written_with_their_length() {
        assert_eq!(prefix(&Network { family: AF_INET, prefix: 0x00c0_a801 }), "192.168.1.0/24");
        assert_eq!(prefix(&Network { family: 10, prefix: 0x2001_0db8_0001 }), "2001:db8:1::/48");
    }
}
