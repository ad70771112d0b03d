//! CPU seconds by mode, from `/proc/stat`; models, flags and bugs, from `/proc/cpuinfo`; throttling
//! and isolation, from sysfs.

mod info;
mod topology;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use skep_proto::MetricKind;

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/stat";
/// Fields of a `cpu` line, which the kernel counts in ticks.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const GUEST_MODES: [&str; 2] = ["user", "nice"];
const N_FIELDS: usize = MODES.len() + GUEST_MODES.len();
/// `USER_HZ`: the same on every architecture that Linux runs on today.
const TICKS_PER_SECOND: f64 = 100.0;
/// An idle counter that falls by more than this was reset by taking the CPU off and on again; less
/// is the kernel's own imprecision.
const JUMP_BACK_SECONDS: f64 = 3.0;

type Seconds = [f64; N_FIELDS];

/// The largest seconds seen of each CPU, so that a counter never runs backwards.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<BTreeMap<u32, Seconds>>);

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let settings = &context.settings.cpu;
    info::collect(context, out)?;
    let cpus = parse(&context.roots.read_proc("stat")?)?;
    for (cpu, seconds) in context.state.cpu.advance(cpus) {
        let cpu = cpu.to_string();
        let (modes, guest_modes) = seconds.split_at(MODES.len());
        let family = out.family(
            "node_cpu_seconds_total",
            "CPU time since boot by what it was spent on, in seconds.",
            MetricKind::Counter,
        );
        for (mode, seconds) in MODES.iter().zip(modes) {
            family.point([("cpu", &cpu), ("mode", mode)], *seconds);
        }
        if settings.guest {
            let family = out.family(
                "node_cpu_guest_seconds_total",
                "CPU time that virtual machines ran, in seconds; the same mode of node_cpu_seconds_total contains it.",
                MetricKind::Counter,
            );
            for (mode, seconds) in GUEST_MODES.iter().zip(guest_modes) {
                family.point([("cpu", &cpu), ("mode", mode)], *seconds);
            }
        }
    }
    topology::collect(context, out);
    Ok(())
}

impl Seen {
    /// Every CPU ever seen: one taken off keeps its last seconds, as in node_exporter.
    fn advance(&self, cpus: Vec<(u32, Seconds)>) -> BTreeMap<u32, Seconds> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (cpu, now) in cpus {
            let kept = seen.entry(cpu).or_default();
            if idle(kept) - idle(&now) >= JUMP_BACK_SECONDS {
                *kept = Seconds::default();
            }
            for (kept, now) in kept.iter_mut().zip(now) {
                *kept = kept.max(now);
            }
        }
        seen.clone()
    }
}

fn idle(seconds: &Seconds) -> f64 {
    let [_, _, _, idle, ..] = *seconds;
    idle
}

/// Lines `cpu0 …`, without the sum `cpu …`. Old kernels have fewer fields.
fn parse(text: &str) -> Result<Vec<(u32, Seconds)>, SourceError> {
    let mut cpus = Vec::new();
    for line in text.lines() {
        let Some((cpu, fields)) = line.strip_prefix("cpu").and_then(|it| it.split_once(' ')) else {
            continue;
        };
        let Ok(cpu) = cpu.parse() else { continue };
        let mut seconds = Seconds::default();
        for (seconds, ticks) in seconds.iter_mut().zip(fields.split_ascii_whitespace()) {
            *seconds = number(FILE, "a cpu's ticks", Some(ticks))? / TICKS_PER_SECOND;
        }
        cpus.push((cpu, seconds));
    }
    if cpus.is_empty() {
        return Err(SourceError::Missing { file: FILE, what: "a cpu" });
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests;
