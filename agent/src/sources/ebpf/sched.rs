//! On-CPU time and run-queue wait per unit.

use std::collections::HashMap;

use aya::{
    programs::{ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun as _},
    util::online_cpus,
};
use skep_abi::{GroupRun, Histogram, WAIT_BUCKETS, WAIT_SHIFT};
use skep_proto::MetricKind;

use super::{
    by_unit::{ByUnit, Counters, Wrapping as _},
    family::{Collect, CollectError, Family},
    histogram::{self, NS_PER_SECOND},
    loader::{Candidate, Hook, Program, needs, offset},
    maps::Maps,
};
use crate::{
    exposition::{Exposition, as_f64},
    sources::units::Units,
};

pub(super) const FAMILY: Family = Family {
    programs: &[SWITCH, FLUSH],
    offsets: &[
        offset("TASK_SUM_EXEC", "task_struct", &["se", "sum_exec_runtime"]),
        offset("TASK_RUN_DELAY", "task_struct", &["sched_info", "run_delay"]),
    ],
    start: Some(|_maps| Ok(Box::new(Runs::default()))),
    ..Family::EMPTY
};

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

const RUNS_MAP: &str = "GROUP_RUNS";

/// What the scheduler did for every group.
#[derive(Debug, Default)]
struct Runs {
    readings: HashMap<u64, GroupRun>,
    by_unit: ByUnit<u64, GroupRun>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct RunTotal {
    cpu_ns: u64,
    waits: Histogram<WAIT_SHIFT, WAIT_BUCKETS>,
}

impl Counters for GroupRun {
    type Total = RunTotal;

    fn plus(&mut self, other: &Self) {
        self.cpu_ns.wrapping_plus(&other.cpu_ns);
        self.wait_ns.wrapping_plus(&other.wait_ns);
        for (sum, count) in self.waits.iter_mut().zip(other.waits) {
            *sum = sum.wrapping_add(count);
        }
    }

    fn add_since(&self, last: &Self, total: &mut RunTotal) {
        total.cpu_ns += self.cpu_ns.wrapping_sub(last.cpu_ns);
        total.waits.sum_ns += self.wait_ns.wrapping_sub(last.wait_ns);
        let waits = self.waits.iter().zip(&last.waits);
        for (total, (now, last)) in total.waits.counts.iter_mut().zip(waits) {
            *total += u64::from(now.wrapping_sub(*last));
        }
    }
}

impl Collect for Runs {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        // Without it the figures lag behind, but they are right.
        let flushed = run_on_all_cpus(maps, 0).map_err(CollectError::Flush);
        self.readings = read(maps)?;
        flushed
    }

    fn attribute(&mut self, maps: &mut Maps, units: &mut Units) -> Result<(), CollectError> {
        for group in self.by_unit.update(&self.readings, units) {
            run_on_all_cpus(maps, group).map_err(CollectError::Flush)?;
        }
        Ok(())
    }

    fn expose(&self, out: &mut Exposition) {
        expose(&self.by_unit, out);
    }
}

/// Runs [`FLUSH`]: accounts what runs on each CPU right now, or frees the slots of a group that
/// is gone.
fn run_on_all_cpus(maps: &Maps, group: u64) -> Result<(), ProgramError> {
    let Some(program) = maps.kernel.program(FLUSH_FUNCTION) else { return Ok(()) };
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

/// What the maps say of each group, summed over the CPUs.
pub(super) fn read(maps: &Maps) -> Result<HashMap<u64, GroupRun>, CollectError> {
    let mut readings = HashMap::<u64, GroupRun>::new();
    for run in maps.per_cpu_array::<GroupRun>(RUNS_MAP)?.iter().filter(|it| it.group != 0) {
        readings.entry(run.group).or_default().plus(run);
    }
    Ok(readings)
}

/// `unit_cpu_seconds_total` and `unit_run_queue_wait_seconds` of every unit that ran.
fn expose(by_unit: &ByUnit<u64, GroupRun>, out: &mut Exposition) {
    let seconds = out.family(
        "unit_cpu_seconds_total",
        "Time that threads of a unit were on a CPU, as the scheduler counts it.",
        MetricKind::Counter,
    );
    for (unit, (), total) in by_unit.totals() {
        seconds.labelled(unit.labels([]), as_f64(total.cpu_ns) / NS_PER_SECOND);
    }
    let waits = out.family(
        "unit_run_queue_wait_seconds",
        "How long threads of a unit could have run but had to wait for a CPU, once a turn, counted \
         when the turn ends.",
        MetricKind::Histogram,
    );
    for (unit, (), total) in by_unit.totals() {
        if total.waits.counts.iter().any(|it| *it > 0) {
            histogram::add(waits, &unit.labels([]), &total.waits);
        }
    }
    let waits = out.family(
        "ebpf_run_queue_wait_seconds",
        "How long threads of the whole host could have run but had to wait for a CPU, once a turn.",
        MetricKind::Histogram,
    );
    histogram::add(waits, &[], &by_unit.all().waits);
}
