//! What the kernel programs themselves cost: the kernel's own statistics of their runs, switched on
//! for a moment at each collection, because counting costs about as much as a short program.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aya::sys::{Stats, enable_stats};
use skep_proto::MetricKind;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::{family::programs, histogram::NS_PER_SECOND, maps::Maps};
use crate::exposition::{Exposition, as_f64};

/// How long the kernel counts after each collection; all the time where collections are closer.
const WINDOW: Duration = Duration::from_secs(1);

/// The times in which the kernel counted.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    window: Arc<Mutex<Window>>,
    closing: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug, Default)]
struct Window {
    /// The kernel counts as long as this descriptor is there; since when it is.
    open: Option<(OwnedFd, Instant)>,
    measured: Duration,
}

impl Window {
    fn close(&mut self) {
        if let Some((counting, since)) = self.open.take() {
            drop(counting);
            self.measured += since.elapsed();
        }
    }
}

impl Statistics {
    /// Lets the kernel count for the next moment. Called within the runtime.
    pub(super) fn open(&mut self) {
        self.closing = None;
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.close();
        match enable_stats(Stats::RunTime) {
            Ok(counting) => window.open = Some((counting, Instant::now())),
            // Takes more than loading programs does: CAP_SYS_ADMIN.
            Err(error) => {
                debug!(%error, "The kernel does not count the runs of programs for us.");
                return;
            }
        }
        let window = Arc::clone(&self.window);
        self.closing = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::time::sleep(WINDOW).await;
            window.lock().unwrap_or_else(PoisonError::into_inner).close();
        })));
    }

    /// Nothing where the kernel never counted.
    pub(super) fn expose(&self, maps: &Maps, out: &mut Exposition) {
        let measured = {
            let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
            let open = window.open.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
            window.measured + open
        };
        if measured.is_zero() {
            return;
        }
        out.counter(
            "ebpf_program_measured_seconds_total",
            "How long the kernel counted the runs of programs; their rates are to be divided by its.",
            measured.as_secs_f64(),
        );
        let costs: Vec<(&str, f64, u64)> = programs()
            .filter_map(|program| {
                let loaded = program
                    .candidates
                    .iter()
                    .filter_map(|candidate| maps.kernel.program(candidate.function)?.info().ok());
                // A candidate that the kernel refused has no statistics.
                let info = loaded.into_iter().next()?;
                let ns = u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX);
                Some((program.name, as_f64(ns) / NS_PER_SECOND, info.run_count()))
            })
            .collect();
        let seconds = out.family(
            "ebpf_program_run_seconds_total",
            "CPU time in a kernel program while the kernel counted.",
            MetricKind::Counter,
        );
        for (program, run_seconds, _) in &costs {
            seconds.point([("program", program)], *run_seconds);
        }
        let runs = out.family(
            "ebpf_program_runs_total",
            "Runs of a kernel program while the kernel counted.",
            MetricKind::Counter,
        );
        for (program, _, n_runs) in &costs {
            runs.point([("program", program)], as_f64(*n_runs));
        }
    }
}
