//! Bytes to and from other hosts: the busiest ones, and all others together.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use aya::programs::CgroupSkbAttachType;
use skep_abi::{PEER_OTHER, Peer, PeerBytes};
use skep_proto::MetricKind;

use super::{
    by_unit::counters,
    family::{Collect, CollectError, Family},
    loader::{Candidate, Hook, Program},
    maps::Maps,
    top::Top,
};
use crate::{
    exposition::{Exposition, as_f64},
    sources::units::Units,
};

pub(super) const FAMILY: Family = Family {
    programs: &[OUT, IN],
    // Tests have no other host to talk to.
    globals: |_btf| vec![("PEERS_ON_LOOPBACK", 0)],
    start: Some(|maps| {
        maps.insert_zero::<Peer, PeerBytes>(MAP, PEER_OTHER)?;
        Ok(Box::new(Peers {
            readings: HashMap::new(),
            top: Top::new(NAMED_MAX, |it: &PeerBytes| it.received + it.sent),
        }))
    }),
    ..Family::EMPTY
};

const MAP: &str = "PEERS";
/// Other hosts with series of their own.
const NAMED_MAX: usize = 50;

const OUT: Program = Program {
    name: "peers_out",
    gives: "bytes to other hosts",
    candidates: &[Candidate {
        function: "peer_out",
        hook: Hook::CgroupSkb(CgroupSkbAttachType::Egress),
        needs: &[],
    }],
};
const IN: Program = Program {
    name: "peers_in",
    gives: "bytes from other hosts",
    candidates: &[Candidate {
        function: "peer_in",
        hook: Hook::CgroupSkb(CgroupSkbAttachType::Ingress),
        needs: &[],
    }],
};

counters!(PeerBytes { received, sent });

#[derive(Debug)]
struct Peers {
    readings: HashMap<Peer, PeerBytes>,
    top: Top<Peer, PeerBytes>,
}

impl Collect for Peers {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        self.readings.clear();
        maps.counters(MAP, &mut self.readings)
    }

    fn attribute(&mut self, maps: &mut Maps, _units: &mut Units) -> Result<(), CollectError> {
        for peer in self.top.update(&self.readings, PEER_OTHER) {
            maps.remove(MAP, &peer)?;
        }
        Ok(())
    }

    fn expose(&self, out: &mut Exposition) {
        for (name, help, value) in [
            (
                "ebpf_peer_receive_bytes_total",
                "Bytes from another host with the headers of IP; the rest as peer=\"other\".",
                (|it| it.received) as fn(&PeerBytes) -> u64,
            ),
            (
                "ebpf_peer_transmit_bytes_total",
                "Bytes to another host with the headers of IP; the rest as peer=\"other\".",
                |it| it.sent,
            ),
        ] {
            let family = out.family(name, help, MetricKind::Counter);
            let (named, other) = self.top.totals();
            for (peer, bytes) in named {
                family.point([("peer", &address(peer.address).to_string())], as_f64(value(bytes)));
            }
            family.point([("peer", "other")], as_f64(value(other)));
        }
    }
}

/// An address as kernel programs tell it; IPv4 as itself.
pub(super) fn address(words: [u32; 4]) -> IpAddr {
    let bits = words.iter().fold(0_u128, |bits, it| bits << 32 | u128::from(u32::from_be(*it)));
    Ipv6Addr::from_bits(bits).to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_kinds_are_written_as_usual() {
        let v4 = [0, 0, 0xffff_u32.to_be(), 0xc0a8_0107_u32.to_be()];
        assert_eq!(address(v4).to_string(), "192.168.1.7");
        let v6 = [0x2001_0db8_u32.to_be(), 0, 0, 1_u32.to_be()];
        assert_eq!(address(v6).to_string(), "2001:db8::1");
    }
}
