//! How long a unit's programs wait until their data is on the disk.

use skep_abi::GroupSync;
use skep_proto::MetricKind;

use super::{
    by_unit::{ByUnit, GroupCounters, counters},
    family::Family,
    histogram,
    loader::{Candidate, Hook, Program},
};
use crate::exposition::Exposition;

pub(super) const FAMILY: Family = Family {
    programs: PROGRAMS,
    start: Some(|maps| GroupCounters::start("GROUP_SYNCS", maps, expose)),
    ..Family::EMPTY
};

/// The functions of the system calls themselves: those below are inlined by some kernels, here and
/// there. Where a kernel lets nobody look at its functions, the calls' tracepoints stand in: those
/// make every system call of the host slower.
macro_rules! function {
    ($call:literal) => {
        if cfg!(target_arch = "aarch64") {
            concat!("__arm64_sys_", $call)
        } else {
            concat!("__x64_sys_", $call)
        }
    };
}

macro_rules! program {
    ($call:literal, $end:literal, $hook:ident) => {
        Program {
            name: concat!($call, "_", $end),
            gives: concat!("latency of ", $call, " per unit"),
            candidates: &[
                Candidate {
                    function: concat!($call, "_", $end),
                    hook: Hook::$hook(function!($call)),
                    needs: &[],
                },
                Candidate {
                    function: concat!($call, "_", $end, "_classic"),
                    hook: Hook::Tracepoint {
                        category: "syscalls",
                        name: concat!("sys_", $end, "_", $call),
                    },
                    needs: &[],
                },
            ],
        }
    };
}

const PROGRAMS: &[Program] = &[
    program!("fsync", "enter", FunctionEntry),
    program!("fsync", "exit", FunctionExit),
    program!("fdatasync", "enter", FunctionEntry),
    program!("fdatasync", "exit", FunctionExit),
];

counters!(GroupSync { latency });

fn expose(by_unit: &ByUnit<u64, GroupSync>, out: &mut Exposition) {
    let latencies = out.family(
        "unit_fsync_seconds",
        "How long fsync and fdatasync kept programs of a unit waiting.",
        MetricKind::Histogram,
    );
    for (unit, (), GroupSync { latency }) in by_unit.totals() {
        histogram::add(latencies, &unit.labels([]), latency);
    }
}
