//! TCP connections of each unit.

use skep_abi::{GroupTcp, connect_failure};
use skep_proto::MetricKind;

use super::{
    btf::Btf,
    by_unit::{ByUnit, GroupCounters, counters},
    family::Family,
    histogram,
    loader::{Candidate, Hook, Program, offset},
};
use crate::exposition::{Exposition, as_f64};

pub(super) const FAMILY: Family = Family {
    programs: &[STATE, RETRANSMIT],
    offsets: &[
        offset("SOCK_CGROUP", "sock", &["sk_cgrp_data"]),
        offset("SOCK_PROTOCOL", "sock", &["sk_protocol"]),
        offset("SOCK_ERR", "sock", &["sk_err"]),
    ],
    globals,
    start: Some(|maps| GroupCounters::start("GROUP_TCP", maps, expose)),
    ..Family::EMPTY
};

const STATE: Program = Program {
    name: "unit_tcp_state",
    gives: "TCP connections per unit",
    candidates: &[
        Candidate {
            function: "tcp_state",
            hook: Hook::BtfTracepoint { name: "inet_sock_set_state", n_args_min: 3 },
            needs: STATE_NEEDS,
        },
        Candidate {
            function: "tcp_state_raw",
            hook: Hook::RawTracepoint("inet_sock_set_state"),
            needs: STATE_NEEDS,
        },
    ],
};
const STATE_NEEDS: &[&str] =
    &["SOCK_CGROUP", "SOCK_PROTOCOL", "SOCK_ERR", "CGROUP_KN", "KERNFS_NODE_ID"];

const RETRANSMIT: Program = Program {
    name: "unit_tcp_retransmit",
    gives: "TCP segments sent again per unit",
    candidates: &[
        Candidate {
            function: "tcp_retransmit",
            hook: Hook::BtfTracepoint { name: "tcp_retransmit_skb", n_args_min: 2 },
            needs: RETRANSMIT_NEEDS,
        },
        Candidate {
            function: "tcp_retransmit_raw",
            hook: Hook::RawTracepoint("tcp_retransmit_skb"),
            needs: RETRANSMIT_NEEDS,
        },
    ],
};
const RETRANSMIT_NEEDS: &[&str] = &["SOCK_CGROUP", "CGROUP_KN", "KERNFS_NODE_ID"];

/// Since 6.15 the tracepoint also tells of tries that failed.
fn globals(btf: &Btf<'_>) -> Vec<(&'static str, u32)> {
    let has_err = btf.tracepoint_args("tcp_retransmit_skb").is_some_and(|it| it >= 3);
    vec![("RETRANSMIT_ERR_ARG", u32::from(has_err))]
}

counters!(GroupTcp { accepted, retransmits, failed, connect });

/// The label `reason` of connections that were not made.
const REASONS: [(usize, &str); connect_failure::KINDS] = [
    (connect_failure::REFUSED, "refused"),
    (connect_failure::TIMED_OUT, "timeout"),
    (connect_failure::ABORTED, "aborted"),
    (connect_failure::OTHER, "other"),
];

fn expose(by_unit: &ByUnit<u64, GroupTcp>, out: &mut Exposition) {
    let mut counter = |name, help, value: fn(&GroupTcp) -> u64| {
        let family = out.family(name, help, MetricKind::Counter);
        for (unit, (), total) in by_unit.totals() {
            family.labelled(unit.labels([]), as_f64(value(total)));
        }
    };
    counter(
        "unit_tcp_accepted_total",
        "TCP connections that others made to sockets of a unit.",
        |it| it.accepted,
    );
    counter(
        "unit_tcp_retransmits_total",
        "Times that TCP sent data of a unit again, for want of an acknowledgement.",
        |it| it.retransmits,
    );
    counter("unit_tcp_connects_total", "TCP connections that a unit made.", |it| {
        it.connect.counts.iter().sum()
    });
    let failures = out.family(
        "unit_tcp_connect_failures_total",
        "TCP connections that a unit tried to make in vain. aborted: it gave up itself.",
        MetricKind::Counter,
    );
    for (unit, (), total) in by_unit.totals() {
        for (idx, reason) in REASONS {
            let n = total.failed.get(idx).copied().unwrap_or(0);
            failures.labelled(unit.labels([("reason", reason)]), as_f64(n));
        }
    }
    let latencies = out.family(
        "unit_tcp_connect_seconds",
        "From the first packet of a TCP connection that a unit makes until it is established.",
        MetricKind::Histogram,
    );
    for (unit, (), total) in by_unit.totals() {
        if total.connect.counts.iter().any(|it| *it > 0) {
            histogram::add(latencies, &unit.labels([]), &total.connect);
        }
    }
}
