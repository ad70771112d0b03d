//! Time in interrupt handlers, by interrupt.

use std::fs;

use skep_abi::Counted;
use skep_proto::MetricKind;

use super::{
    by_unit::counters,
    family::{Collect, CollectError, Family},
    histogram::NS_PER_SECOND,
    loader::{Program, traced},
    maps::Maps,
};
use crate::exposition::{Exposition, as_f64};

pub(super) const FAMILY: Family = Family {
    programs: &[SOFT_BEGIN, SOFT_END, HARD_BEGIN, HARD_END],
    start: Some(|_maps| Ok(Box::new(Interrupts::default()))),
    ..Family::EMPTY
};

const SOFT: &str = "time in soft interrupts";
const HARD: &str = "time in hard interrupts";
const SOFT_BEGIN: Program =
    traced!("softirq_entry", SOFT, "softirq_begin", "softirq_entry", 1, &[]);
const SOFT_END: Program = traced!("softirq_exit", SOFT, "softirq_end", "softirq_exit", 1, &[]);
const HARD_BEGIN: Program =
    traced!("hardirq_entry", HARD, "hardirq_begin", "irq_handler_entry", 1, &[]);
const HARD_END: Program = traced!("hardirq_exit", HARD, "hardirq_end", "irq_handler_exit", 1, &[]);

counters!(Counted { n, ns });

/// The kernel's `softirq_to_name`, as `/proc/softirqs` has them.
const VECTORS: &[&str] =
    &["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"];

#[derive(Debug, Default)]
struct Interrupts {
    soft: Vec<Counted>,
    hard: Vec<(u32, Counted)>,
    /// `/sys/kernel/irq/N/actions`, read when an interrupt is new.
    actions: std::collections::HashMap<u32, String>,
}

impl Collect for Interrupts {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        self.soft = maps.summed("SOFTIRQS")?;
        self.hard = maps.sorted("HARDIRQS")?;
        for (irq, _) in &self.hard {
            self.actions.entry(*irq).or_insert_with(|| {
                let file = maps.sys.join(format!("kernel/irq/{irq}/actions"));
                let text = fs::read_to_string(file);
                text.unwrap_or_default().trim().to_owned()
            });
        }
        Ok(())
    }

    fn expose(&self, out: &mut Exposition) {
        let soft = || VECTORS.iter().zip(&self.soft);
        let seconds = out.family(
            "ebpf_softirq_seconds_total",
            "Time in soft interrupts, without the hard ones that came in between.",
            MetricKind::Counter,
        );
        for (vector, counted) in soft() {
            seconds.point([("vector", vector)], as_f64(counted.ns) / NS_PER_SECOND);
        }
        let runs =
            out.family("ebpf_softirqs_total", "Runs of soft interrupts.", MetricKind::Counter);
        for (vector, counted) in soft() {
            runs.point([("vector", vector)], as_f64(counted.n));
        }
        let hard = || {
            self.hard.iter().map(|(irq, counted)| {
                let action = self.actions.get(irq).map_or("", String::as_str);
                (irq.to_string(), action, counted)
            })
        };
        let seconds = out.family(
            "ebpf_hardirq_seconds_total",
            "Time in the handlers of hard interrupts.",
            MetricKind::Counter,
        );
        for (irq, action, counted) in hard() {
            let labels = [("action", action), ("irq", &irq)];
            seconds.point(labels, as_f64(counted.ns) / NS_PER_SECOND);
        }
        let runs = out.family(
            "ebpf_hardirqs_total",
            "Calls of the handlers of hard interrupts.",
            MetricKind::Counter,
        );
        for (irq, action, counted) in hard() {
            runs.point([("action", action), ("irq", &irq)], as_f64(counted.n));
        }
    }
}
