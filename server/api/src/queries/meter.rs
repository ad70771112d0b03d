//! What a query has taken so far.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use super::Cost;

/// Written by the query, read by who lists it; each figure stands alone, so relaxed order will do.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    is_begun: AtomicBool,
    queued_us: AtomicU64,
    cpu_ns: AtomicU64,
    rows: AtomicU64,
    read_bytes: AtomicU64,
    answer_bytes: AtomicU64,
}

impl Meter {
    /// It has its turn, after this long.
    pub(crate) fn begun(&self, waited: Duration) {
        let us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.queued_us.store(us, Ordering::Relaxed);
        self.is_begun.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.is_begun.load(Ordering::Relaxed)
    }

    /// Runs one step and adds what it took of this thread.
    pub(crate) fn step<T>(&self, step: impl FnOnce() -> T) -> T {
        let before = thread_cpu();
        let done = step();
        let took = thread_cpu().saturating_sub(before);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.cpu_ns.fetch_add(ns, Ordering::Relaxed);
        done
    }

    pub(crate) fn read(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, bytes: u64) {
        self.answer_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn cost(&self, took: Duration) -> Cost {
        let of = |it: &AtomicU64| it.load(Ordering::Relaxed);
        // Until it has its turn, all it does is wait.
        let queued =
            if self.is_begun() { Duration::from_micros(of(&self.queued_us)) } else { took };
        Cost {
            seconds: took.as_secs_f64(),
            queued_seconds: queued.as_secs_f64(),
            cpu_seconds: Duration::from_nanos(of(&self.cpu_ns)).as_secs_f64(),
            rows: of(&self.rows),
            read_bytes: of(&self.read_bytes),
            answer_bytes: of(&self.answer_bytes),
        }
    }
}

/// What this thread has had of a CPU.
fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}
