//! What each unit sends and receives.

use aya::programs::CgroupSkbAttachType::{Egress, Ingress};
use skep_abi::GroupNet;
use skep_proto::MetricKind;

use super::{
    by_unit::{ByUnit, GroupCounters, counters},
    family::Family,
    loader::{Candidate, Hook, Program},
};
use crate::exposition::{Exposition, as_f64};

pub(super) const FAMILY: Family = Family {
    programs: &[RECEIVED, SENT],
    start: Some(|maps| GroupCounters::start("GROUP_NET", maps, expose)),
    ..Family::EMPTY
};

const RECEIVED: Program = Program {
    name: "net_received",
    gives: "bytes that units receive",
    candidates: &[Candidate {
        function: "net_received",
        hook: Hook::CgroupSkb(Ingress),
        needs: &[],
    }],
};

const SENT: Program = Program {
    name: "net_sent",
    gives: "bytes that units send",
    candidates: &[Candidate { function: "net_sent", hook: Hook::CgroupSkb(Egress), needs: &[] }],
};

counters!(GroupNet { received_bytes, received_packets, sent_bytes, sent_packets });

/// `unit_network_bytes_total` and `unit_network_packets_total` of every unit that used the network.
fn expose(by_unit: &ByUnit<u64, GroupNet>, out: &mut Exposition) {
    let bytes = out.family(
        "unit_network_bytes_total",
        "Bytes that sockets of a unit received and sent, headers of IP included, loopback too.",
        MetricKind::Counter,
    );
    for (unit, (), total) in by_unit.totals() {
        bytes
            .labelled(unit.labels([("direction", "receive")]), as_f64(total.received_bytes))
            .labelled(unit.labels([("direction", "transmit")]), as_f64(total.sent_bytes));
    }
    let packets = out.family(
        "unit_network_packets_total",
        "Packets that sockets of a unit received and sent, as they are on the wire.",
        MetricKind::Counter,
    );
    for (unit, (), total) in by_unit.totals() {
        packets
            .labelled(unit.labels([("direction", "receive")]), as_f64(total.received_packets))
            .labelled(unit.labels([("direction", "transmit")]), as_f64(total.sent_packets));
    }
}
