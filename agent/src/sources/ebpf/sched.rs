//! On-CPU time and run-queue wait per unit.

use std::{collections::HashMap, os::fd::AsFd as _};

use aya::{
    maps::{Map, MapError, PerCpuArray},
    programs::{ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun as _},
    util::online_cpus,
};
use skep_abi::{GROUP_SLOTS, GroupRun, WAIT_BUCKETS, WAIT_SHIFT};
use skep_proto::MetricKind;

use super::{
    loader::{Candidate, Hook, Offset, Program, needs, offset},
    raw,
    totals::{Reading, Totals},
};
use crate::exposition::{Exposition, as_f64};

pub(super) const SWITCH: Program = Program {
    name: "sched",
    gives: "on-CPU time and run-queue wait per unit",
    candidates: &[
        Candidate {
            function: "sched_switch",
            hook: Hook::BtfTracepoint { name: "sched_switch", n_args_min: 3 },
            needs: NEEDS,
        },
        Candidate {
            function: "sched_switch_raw",
            hook: Hook::RawTracepoint("sched_switch"),
            needs: NEEDS,
        },
    ],
};

/// What a measurement subtracts.
#[cfg(test)]
pub(super) const EMPTY: Program = Program {
    name: "sched_empty",
    gives: "the cost of nothing",
    candidates: &[Candidate {
        function: "sched_empty",
        hook: Hook::BtfTracepoint { name: "sched_switch", n_args_min: 3 },
        needs: &[],
    }],
};

pub(super) const FLUSH: Program = Program {
    name: FLUSH_FUNCTION,
    gives: "the time of a thread that keeps its CPU between two collections, and room for new \
            control groups",
    candidates: &[Candidate { function: FLUSH_FUNCTION, hook: Hook::OnDemand, needs: NEEDS }],
};
const FLUSH_FUNCTION: &str = "sched_flush";

const NEEDS: &[&str] = needs!["TASK_PID", "TASK_SUM_EXEC"];

pub(super) const OFFSETS: &[Offset] = &[
    offset("TASK_SUM_EXEC", "task_struct", &["se", "sum_exec_runtime"]),
    offset("TASK_RUN_DELAY", "task_struct", &["sched_info", "run_delay"]),
];

const RUNS_MAP: &str = "GROUP_RUNS";
const NS_PER_SECOND: f64 = 1e9;

/// Accounts what runs on each CPU right now, so that the maps are up to date.
pub(super) fn flush(kernel: &aya::Ebpf) -> Result<(), ProgramError> {
    run_on_all_cpus(kernel, 0)
}

/// Frees the slots of a group that is gone.
pub(super) fn free(kernel: &aya::Ebpf, group: u64) -> Result<(), ProgramError> {
    run_on_all_cpus(kernel, group)
}

fn run_on_all_cpus(kernel: &aya::Ebpf, group: u64) -> Result<(), ProgramError> {
    let Some(program) = kernel.program(FLUSH_FUNCTION) else { return Ok(()) };
    let program: &RawTracePoint = program.try_into()?;
    let cpus = online_cpus().map_err(|(_what, error)| ProgramError::IOError(error))?;
    for cpu in cpus {
        let mut options = RawTracePointRunOptions::new();
        if let Some(arg) = options.args.first_mut() {
            *arg = group;
        }
        options.cpu = Some(cpu);
        program.test_run(options)?;
    }
    Ok(())
}

/// Adds what the maps say to each group's reading.
pub(super) fn read(
    kernel: &aya::Ebpf,
    n_cpus: usize,
    readings: &mut HashMap<u64, Reading>,
) -> Result<(), MapError> {
    let Some(map @ Map::PerCpuArray(data)) = kernel.map(RUNS_MAP) else { return Ok(()) };
    let n_slots = usize::try_from(GROUP_SLOTS).unwrap_or(0) + 1;
    let runs: Vec<GroupRun> = match raw::lookup_all::<u32, _>(data.fd().as_fd(), n_slots, n_cpus) {
        Ok(entries) => entries.into_iter().flat_map(|(_, runs)| runs).collect(),
        // Before Linux 5.13: one call an entry.
        Err(_) => {
            let array: PerCpuArray<_, GroupRun> = map.try_into()?;
            let values = (0..=GROUP_SLOTS).map(|slot| array.get(&slot, 0));
            values.collect::<Result<Vec<_>, _>>()?.iter().flat_map(|it| it.to_vec()).collect()
        }
    };
    for run in runs.iter().filter(|it| it.group != 0) {
        readings.entry(run.group).or_default().add_run(run);
    }
    Ok(())
}

/// `unit_cpu_seconds_total` and `unit_run_queue_wait_seconds` of every unit that ran.
pub(super) fn expose(totals: &Totals, out: &mut Exposition) {
    let seconds = out.family(
        "unit_cpu_seconds_total",
        "Time that threads of a unit were on a CPU, as the scheduler counts it.",
        MetricKind::Counter,
    );
    for (unit, total) in totals.units() {
        seconds.point([("unit", unit)], as_f64(total.cpu_ns) / NS_PER_SECOND);
    }
    let bounds = wait_bounds();
    let waits = out.family(
        "unit_run_queue_wait_seconds",
        "How long threads of a unit could have run but had to wait for a CPU, once a turn, counted \
         when the turn ends.",
        MetricKind::Histogram,
    );
    for (unit, total) in totals.units().filter(|(_, it)| it.waits.iter().any(|it| *it > 0)) {
        let sum = as_f64(total.wait_ns) / NS_PER_SECOND;
        waits.histogram([("unit", unit)], &bounds, &total.waits, sum);
    }
}

/// Upper bounds of all buckets but the last, in seconds.
fn wait_bounds() -> Vec<f64> {
    (WAIT_SHIFT..).take(WAIT_BUCKETS - 1).map(|bits| as_f64(1 << bits) / NS_PER_SECOND).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_buckets_double_from_a_microsecond_to_a_second() {
        let bounds = wait_bounds();
        assert_eq!(bounds.first(), Some(&1.024e-6));
        assert_eq!(bounds.last(), Some(&1.073_741_824));
        assert!(bounds.windows(2).all(|pair| pair[1] == 2.0 * pair[0]));
    }
}
