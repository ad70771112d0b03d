//! How long a unit's programs wait until their data is on the disk.

use skep_abi::{GroupSync, LATENCY_BUCKETS, LATENCY_SHIFT};
use skep_proto::MetricKind;

use super::{
    by_unit::{ByUnit, GroupCounters, counters},
    family::Family,
    histogram::{NS_PER_SECOND, bounds_seconds},
    loader::{Candidate, Hook, Program},
};
use crate::exposition::{Exposition, as_f64};

pub(super) const FAMILY: Family = Family {
    programs: &[ENTER, EXIT],
    start: Some(|maps| GroupCounters::start("GROUP_SYNCS", maps, expose)),
    ..Family::EMPTY
};

/// Both system calls come by here, and writes to files that are opened to be synchronous. Where a
/// kernel lets nobody look at its functions, the tracepoints of the system calls stand in: those
/// make every system call of the host slower.
const FUNCTION: &str = "vfs_fsync_range";

const ENTER: Program = Program {
    name: "fsync_enter",
    gives: "fsync latency per unit",
    candidates: &[
        Candidate { function: "fsync_enter", hook: Hook::FunctionEntry(FUNCTION), needs: &[] },
        Candidate {
            function: "fsync_enter_classic",
            hook: Hook::Tracepoints {
                category: "syscalls",
                names: &["sys_enter_fsync", "sys_enter_fdatasync"],
            },
            needs: &[],
        },
    ],
};

const EXIT: Program = Program {
    name: "fsync_exit",
    gives: "fsync latency per unit",
    candidates: &[
        Candidate { function: "fsync_exit", hook: Hook::FunctionExit(FUNCTION), needs: &[] },
        Candidate {
            function: "fsync_exit_classic",
            hook: Hook::Tracepoints {
                category: "syscalls",
                names: &["sys_exit_fsync", "sys_exit_fdatasync"],
            },
            needs: &[],
        },
    ],
};

counters!(GroupSync { latency });

fn expose(by_unit: &ByUnit<u64, GroupSync>, out: &mut Exposition) {
    let bounds = bounds_seconds(LATENCY_SHIFT, LATENCY_BUCKETS);
    let latencies = out.family(
        "unit_fsync_seconds",
        "How long fsync and fdatasync kept programs of a unit waiting.",
        MetricKind::Histogram,
    );
    for (unit, (), GroupSync { latency }) in by_unit.totals() {
        let sum = as_f64(latency.sum_ns) / NS_PER_SECOND;
        latencies.histogram(&unit.labels([]), &bounds, &latency.counts, sum);
    }
}
