//! Processes that the kernel killed for their memory.

use std::collections::HashMap;

use skep_abi::{ABSENT, GroupKills, OomEvent, event_kind};
use skep_proto::MetricKind;

use super::{
    btf::Btf,
    by_unit::{ByUnit, GroupKey as _, counters},
    events::{Event, Level, comm, text},
    family::{Collect, CollectError, EventKind, Family},
    loader::{Candidate, Hook, Program, needs, offset},
    maps::Maps,
    raw,
};
use crate::{
    exposition::{Exposition, as_f64},
    sources::units::{Units, groups::Unit},
};

pub(super) const FAMILY: Family = Family {
    programs: &[VICTIM],
    offsets: &[
        offset("TASK_COMM", "task_struct", &["comm"]),
        offset("VICTIM_PID", RECORD, &["pid"]),
        offset("VICTIM_COMM_LOC", RECORD, &["__data_loc_comm"]),
        offset("VICTIM_ANON_KB", RECORD, &["anon_rss"]),
        offset("VICTIM_FILE_KB", RECORD, &["file_rss"]),
        offset("VICTIM_SHMEM_KB", RECORD, &["shmem_rss"]),
        offset("VICTIM_UID", RECORD, &["uid"]),
    ],
    globals,
    events: &[EventKind {
        kind: event_kind::OOM_KILL,
        name: "oom",
        is_rare: true,
        describe: |record, unit| raw::record(record).map(|it| describe(&it, unit)),
    }],
    start: Some(|maps| {
        maps.insert_zero::<u64, GroupKills>(KILLS_MAP, u64::other())?;
        Ok(Box::new(Kills::default()))
    }),
};

const KILLS_MAP: &str = "GROUP_KILLS";
const RECORD: &str = "trace_event_raw_mark_victim";

pub(super) const VICTIM: Program = Program {
    name: "oom",
    gives: "OOM kills",
    candidates: &[
        // Two arguments since 6.9, the first of them the victim; before that a mere pid.
        Candidate {
            function: "oom_victim",
            hook: Hook::BtfTracepoint { name: "mark_victim", n_args_min: 2 },
            needs: needs!["TASK_TGID", "TASK_REAL_PARENT", "TASK_COMM", "TASK_MM"],
        },
        Candidate {
            function: "oom_victim_classic",
            hook: Hook::Tracepoint { category: "oom", name: "mark_victim" },
            needs: &["VICTIM_PID"],
        },
    ],
};

/// Where a process' page counters are: an array of `percpu_counter` since 6.2, before that a
/// struct around an array of integers.
fn globals(btf: &Btf<'_>) -> Vec<(&'static str, u32)> {
    let as_struct = btf.offset("mm_struct", &["rss_stat", "count"]).map(|it| (it, 8));
    let as_counters = || {
        let array = btf.offset("mm_struct", &["rss_stat"])?;
        let count = btf.offset("percpu_counter", &["count"])?;
        Some((array + count, btf.size("percpu_counter")?))
    };
    let (first, stride) = as_struct.or_else(as_counters).unwrap_or((ABSENT, 0));
    vec![("MM_RSS", first), ("MM_RSS_STRIDE", stride), ("PAGE_BYTES", raw::page_bytes())]
}

/// The log entry of a kill.
fn describe(event: &OomEvent, unit: &str) -> Event {
    let header = &event.header;
    let comm = comm(header);
    let mut metadata = vec![("comm", comm.clone()), ("pid", header.pid.to_string())];
    let mut line = format!("out of memory: killed {comm} (pid {}) of {unit}", header.pid);
    if event.rss_bytes != u64::MAX {
        line.push_str(&format!(", which held {} MiB", event.rss_bytes >> 20));
        metadata.push(("rss_bytes", event.rss_bytes.to_string()));
    }
    if header.uid != u32::MAX {
        metadata.push(("uid", header.uid.to_string()));
    }
    Event { name: "oom", level: Level::Error, line: text(line.as_bytes()), metadata }
}

counters!(GroupKills { oom });

/// Kills by the group of the victim, also of those whose group the kernel did not say.
#[derive(Debug, Default)]
struct Kills {
    readings: HashMap<u64, GroupKills>,
    by_unit: ByUnit<u64, GroupKills>,
}

impl Collect for Kills {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        self.readings.clear();
        maps.counters(KILLS_MAP, &mut self.readings)
    }

    fn attribute(&mut self, maps: &mut Maps, units: &mut Units) -> Result<(), CollectError> {
        for group in self.by_unit.update(&self.readings, units) {
            maps.remove(KILLS_MAP, &group)?;
        }
        // Told also where it is 0: an increase from nothing is none.
        for unit in units.admitted() {
            self.by_unit.total_mut(unit.clone(), ());
        }
        Ok(())
    }

    fn add_oom_kill(&mut self, unit: &Unit, units: &mut Units) {
        self.by_unit.total_mut(units.admit(unit.clone()), ()).oom += 1;
    }

    /// `unit_oom_kills_total` of every unit.
    fn expose(&self, out: &mut Exposition) {
        let kills = out.family(
            "unit_oom_kills_total",
            "Processes of a unit that the kernel killed for their memory.",
            MetricKind::Counter,
        );
        for (unit, (), total) in self.by_unit.totals() {
            kills.labelled(unit.labels([]), as_f64(total.oom));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use skep_abi::EventHeader;

    use super::*;

    fn kill(rss_bytes: u64, uid: u32) -> OomEvent {
        let mut comm = [0; 16];
        comm[..3].copy_from_slice(b"hog");
        let header = EventHeader {
            boot_ns: 1,
            group: 7,
            kind: event_kind::OOM_KILL,
            pid: 42,
            parent_pid: 1,
            uid,
            comm,
        };
        OomEvent { header, rss_bytes }
    }

    #[test]
    fn a_kill_tells_who_and_how_big() {
        expect![[r#"
            Event {
                name: "oom",
                level: Error,
                line: "out of memory: killed hog (pid 42) of demo.service, which held 30 MiB",
                metadata: [
                    (
                        "comm",
                        "hog",
                    ),
                    (
                        "pid",
                        "42",
                    ),
                    (
                        "rss_bytes",
                        "31457280",
                    ),
                    (
                        "uid",
                        "1000",
                    ),
                ],
            }
        "#]]
        .assert_debug_eq(&describe(&kill(30 << 20, 1000), "demo.service"));
    }

    #[test]
    fn what_an_older_kernel_does_not_say_is_left_out() {
        let event = describe(&kill(u64::MAX, u32::MAX), "/");
        assert_eq!(event.line, "out of memory: killed hog (pid 42) of /");
        assert_eq!(event.metadata.len(), 2);
    }
}
