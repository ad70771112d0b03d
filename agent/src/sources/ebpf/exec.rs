//! Processes that start another program, and processes that end.

use std::{borrow::Cow, fmt::Write as _, time::Duration};

use skep_abi::{ExecEvent, ExitEvent, GroupEnds, GroupPart, GroupProcesses, SIGNALED, event_kind};
use skep_proto::MetricKind;

use super::{
    btf::Btf,
    by_unit::{ByUnit, GroupCounters, counters},
    events::{Event, Level, comm, text},
    family::{EventKind, Family},
    loader::{Candidate, Hook, Program, needs, offset},
    raw,
};
use crate::exposition::{Exposition, as_f64};

pub(super) const FAMILY: Family = Family {
    programs: &[EXEC],
    offsets: &[
        offset("TASK_FLAGS", "task_struct", &["flags"]),
        offset("TASK_EXIT_CODE", "task_struct", &["exit_code"]),
        offset("TASK_START_BOOTTIME", "task_struct", &["start_boottime"]),
        offset("TASK_GROUP_LEADER", "task_struct", &["group_leader"]),
        offset("TASK_UTIME", "task_struct", &["utime"]),
        offset("TASK_STIME", "task_struct", &["stime"]),
        offset("TASK_SIGNAL", "task_struct", &["signal"]),
        offset("SIGNAL_UTIME", "signal_struct", &["utime"]),
        offset("SIGNAL_STIME", "signal_struct", &["stime"]),
        offset("SIGNAL_RUNTIME", "signal_struct", &["sum_sched_runtime"]),
        offset("SIGNAL_MAXRSS", "signal_struct", &["maxrss"]),
        offset("MM_ARG_START", "mm_struct", &["arg_start"]),
        offset("BINPRM_FILENAME", "linux_binprm", &["filename"]),
    ],
    globals,
    events: &[EventKind {
        kind: event_kind::EXEC,
        name: "exec",
        is_rare: false,
        describe: |record, _unit| raw::record(record).map(|it| describe_exec(&it)),
    }],
    start: Some(|maps| GroupCounters::start("GROUP_PROCESSES", maps, expose_execs)),
};

pub(super) const ENDS: Family = Family {
    programs: &[EXIT],
    events: &[EventKind {
        kind: event_kind::EXIT,
        name: "exit",
        is_rare: false,
        describe: |record, _unit| raw::record(record).map(|it| describe_exit(&it)),
    }],
    start: Some(|maps| GroupCounters::start("GROUP_ENDS", maps, expose_ends)),
    ..Family::EMPTY
};

counters!(GroupProcesses { execs });
counters!(GroupEnds { n });

pub(super) const EXEC: Program = Program {
    name: "exec",
    gives: "started programs",
    candidates: &[
        Candidate {
            function: "process_exec",
            hook: Hook::BtfTracepoint { name: "sched_process_exec", n_args_min: 3 },
            needs: EXEC_NEEDS,
        },
        Candidate {
            function: "process_exec_raw",
            hook: Hook::RawTracepoint("sched_process_exec"),
            needs: EXEC_NEEDS,
        },
    ],
};
const EXEC_NEEDS: &[&str] =
    needs!["TASK_TGID", "TASK_REAL_PARENT", "TASK_MM", "MM_ARG_START", "BINPRM_FILENAME"];

pub(super) const EXIT: Program = Program {
    name: "exit",
    gives: "ended processes",
    candidates: &[
        Candidate {
            function: "process_exit",
            hook: Hook::BtfTracepoint { name: "sched_process_exit", n_args_min: 1 },
            needs: EXIT_NEEDS,
        },
        Candidate {
            function: "process_exit_raw",
            hook: Hook::RawTracepoint("sched_process_exit"),
            needs: EXIT_NEEDS,
        },
    ],
};
const EXIT_NEEDS: &[&str] = needs![
    "TASK_PID",
    "TASK_TGID",
    "TASK_REAL_PARENT",
    "TASK_FLAGS",
    "TASK_EXIT_CODE",
    "TASK_GROUP_LEADER",
    "TASK_SUM_EXEC",
    "TASK_UTIME",
    "TASK_STIME",
    "TASK_SIGNAL",
    "SIGNAL_UTIME",
    "SIGNAL_STIME",
    "SIGNAL_RUNTIME",
    "SIGNAL_MAXRSS",
];

fn globals(btf: &Btf<'_>) -> Vec<(&'static str, u32)> {
    let has_group_dead = btf.tracepoint_args("sched_process_exit").is_some_and(|it| it >= 2);
    vec![("EXIT_GROUP_DEAD_ARG", u32::from(has_group_dead))]
}

/// The log entry of a started program.
fn describe_exec(event: &ExecEvent) -> Event {
    let header = &event.header;
    let (filename, argv0) = (text(&event.filename), text(&event.argv0));
    let line = format!(
        "started {filename} as pid {}, child of {}, for uid {}",
        header.pid, header.parent_pid, header.uid
    );
    let metadata = vec![
        ("argv0", argv0),
        ("comm", comm(header)),
        ("filename", filename),
        ("pid", header.pid.to_string()),
        ("ppid", header.parent_pid.to_string()),
        ("uid", header.uid.to_string()),
    ];
    Event { name: "exec", level: Level::Info, line, metadata }
}

/// The log entry of an ended process.
fn describe_exit(event: &ExitEvent) -> Event {
    let header = &event.header;
    // As `waitpid` says it: a signal in the low 7 bits, else an exit code in the byte above.
    let (signal, exit_code) = (event.status & 0x7f, event.status >> 8 & 0xff);
    let duration = Duration::from_nanos(event.duration_ns);
    let mut metadata = vec![("comm", comm(header))];
    let mut line = format!("{} (pid {}) ", comm(header), header.pid);
    let written = if signal == 0 {
        metadata.push(("exit_code", exit_code.to_string()));
        write!(line, "exited with code {exit_code}")
    } else {
        metadata.push(("signal", signal.to_string()));
        write!(line, "was killed by signal {signal}")
    };
    written.and_then(|()| write!(line, " after {duration:.1?}")).expect("a String never fails");
    let (user, system) = cpu_times(event);
    metadata.extend([
        ("cpu_system_seconds", system.as_secs_f64().to_string()),
        ("cpu_user_seconds", user.as_secs_f64().to_string()),
        (
            "rss_max_bytes",
            event.rss_pages_max.saturating_mul(u64::from(raw::page_bytes())).to_string(),
        ),
        ("duration_seconds", duration.as_secs_f64().to_string()),
        ("pid", header.pid.to_string()),
        ("ppid", header.parent_pid.to_string()),
        ("uid", header.uid.to_string()),
    ]);
    metadata.sort_unstable();
    Event { name: "exit", level: Level::Info, line, metadata }
}

/// User and system time as `getrusage` has them: what the scheduler counted, split as the ticks
/// say.
fn cpu_times(event: &ExitEvent) -> (Duration, Duration) {
    let cpu = Duration::from_nanos(event.cpu_ns);
    let ticks = event.user_ns.saturating_add(event.system_ns);
    if event.system_ns == 0 {
        return (cpu, Duration::ZERO);
    }
    let system_ns = u128::from(event.cpu_ns) * u128::from(event.system_ns) / u128::from(ticks);
    let system = Duration::from_nanos(u64::try_from(system_ns).unwrap_or(u64::MAX)).min(cpu);
    (cpu - system, system)
}

fn expose_ends(by_unit: &ByUnit<GroupPart, GroupEnds>, out: &mut Exposition) {
    let exits = out.family(
        "unit_process_exits_total",
        "Processes of a unit that exited, by their exit code.",
        MetricKind::Counter,
    );
    for (unit, part, total) in by_unit.totals().filter(|(_, part, _)| *part < SIGNALED) {
        exits.labelled(unit.labels([("code", &part.to_string())]), as_f64(total.n));
    }
    let signals = out.family(
        "unit_process_fatal_signals_total",
        "Processes of a unit that a signal ended.",
        MetricKind::Counter,
    );
    for (unit, part, total) in by_unit.totals().filter(|(_, part, _)| *part >= SIGNALED) {
        let name = signal_name(part - SIGNALED);
        signals.labelled(unit.labels([("signal", &name)]), as_f64(total.n));
    }
}

/// As `kill -l` says it; real-time signals have numbers only.
pub(super) fn signal_name(signal: u64) -> Cow<'static, str> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let idx = usize::try_from(signal).ok().and_then(|it| it.checked_sub(1));
    let name = idx.and_then(|it| NAMES.get(it));
    name.map_or_else(|| signal.to_string().into(), |it| Cow::Borrowed(*it))
}

fn expose_execs(by_unit: &ByUnit<u64, GroupProcesses>, out: &mut Exposition) {
    let execs = out.family(
        "unit_process_execs_total",
        "Programs that processes of a unit started.",
        MetricKind::Counter,
    );
    for (unit, (), total) in by_unit.totals() {
        execs.labelled(unit.labels([]), as_f64(total.execs));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use skep_abi::{ARGV0_BYTES, EventHeader, FILENAME_BYTES};

    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        bytes
    }

    fn header(kind: u32) -> EventHeader {
        EventHeader {
            boot_ns: 5,
            group: 1,
            kind,
            pid: 42,
            parent_pid: 7,
            uid: 1000,
            comm: bytes("sleep"),
        }
    }

    #[test]
    fn a_started_program_is_told_with_its_path_and_first_argument() {
        let event = ExecEvent {
            header: header(event_kind::EXEC),
            filename: bytes::<FILENAME_BYTES>("/usr/bin/sleep"),
            argv0: bytes::<ARGV0_BYTES>("sleep"),
        };
        let event = describe_exec(&event);
        expect!["started /usr/bin/sleep as pid 42, child of 7, for uid 1000"]
            .assert_eq(&event.line);
        expect![[r#"[("argv0", "sleep"), ("comm", "sleep"), ("filename", "/usr/bin/sleep"), ("pid", "42"), ("ppid", "7"), ("uid", "1000")]"#]]
            .assert_eq(&format!("{:?}", event.metadata));
    }

    fn check_exit(status: u32, line: &str, field: (&str, &str)) {
        let event = ExitEvent {
            header: header(event_kind::EXIT),
            duration_ns: 1_500_000_000,
            status,
            reserved: 0,
            cpu_ns: 800_000_000,
            user_ns: 300_000_000,
            system_ns: 100_000_000,
            rss_pages_max: 2,
        };
        let event = describe_exit(&event);
        assert_eq!(event.line, line);
        assert!(event.metadata.contains(&(field.0, field.1.to_owned())), "{:?}", event.metadata);
        for (name, value) in [("cpu_user_seconds", "0.6"), ("cpu_system_seconds", "0.2")] {
            assert!(event.metadata.contains(&(name, value.to_owned())), "{:?}", event.metadata);
        }
        assert!(event.metadata.is_sorted());
    }

    #[test]
    fn an_end_is_told_with_its_code_or_signal() {
        check_exit(0, "sleep (pid 42) exited with code 0 after 1.5s", ("exit_code", "0"));
        check_exit(3 << 8, "sleep (pid 42) exited with code 3 after 1.5s", ("exit_code", "3"));
        check_exit(9, "sleep (pid 42) was killed by signal 9 after 1.5s", ("signal", "9"));
        // Bit 7 says that a core was dumped.
        check_exit(0x8b, "sleep (pid 42) was killed by signal 11 after 1.5s", ("signal", "11"));
    }
}
