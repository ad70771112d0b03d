//! One collection of all metrics: procfs collectors, kernel programs and the agent itself.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::{
    exposition::Exposition,
    own_metrics::OwnMetrics,
    sources::{self, Choice, Context, SourceError, ebpf::Ebpf},
    spool::Spool,
};

/// What a collection needs, shared by the ticks and `/metrics`.
#[derive(Debug)]
pub(crate) struct Collector {
    context: Context,
    own: Arc<OwnMetrics>,
    metrics: Arc<Spool>,
    logs: Arc<Spool>,
    /// Held during a whole collection, so that there is one at a time.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once the agent is stopping.
    ebpf: Option<Ebpf>,
    /// Sources that failed the last time: they are only reported when that changes.
    failing: BTreeSet<&'static str>,
}

impl Collector {
    pub(crate) fn new(
        context: Context,
        ebpf: Ebpf,
        own: Arc<OwnMetrics>,
        metrics: Arc<Spool>,
        logs: Arc<Spool>,
    ) -> Self {
        let state = Mutex::new(State { ebpf: Some(ebpf), failing: BTreeSet::new() });
        Self { context, own, metrics, logs, state }
    }

    /// Blocks while files are read. A source that fails is reported; the others go on.
    pub(crate) fn collect(&self) -> Exposition {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        let mut out = Exposition::default();
        // Before the sources: it walks the tree of control groups for them, too.
        if let Some(ebpf) = &mut state.ebpf {
            ebpf.collect(&mut out);
        }
        let errors = sources::collect_all(&self.context, &mut out);
        report(&mut state.failing, errors);
        self.context.units.lock().unwrap_or_else(PoisonError::into_inner).expose(&mut out);
        self.own.set_collect_duration(started.elapsed());
        self.own.collect(&[("metrics", &self.metrics), ("logs", &self.logs)], &mut out);
        out
    }

    /// As [`Self::collect`], but only of the chosen sources: kernel programs, units and the agent
    /// itself are told unless only some sources are wanted. An error is for whoever chose.
    pub(crate) fn collect_chosen(&self, choice: &Choice) -> Result<Exposition, String> {
        choice.check(&self.context.settings)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = Exposition::default();
        let is_with_rest = !matches!(choice, Choice::Only(_));
        if let Some(ebpf) = state.ebpf.as_mut().filter(|_| is_with_rest) {
            ebpf.collect(&mut out);
        }
        // Those that fail are reported by the collections of all sources.
        for (source, error) in sources::collect_chosen(&self.context, choice, &mut out) {
            let error = format!("{:#}", anyhow::Error::new(error));
            debug!(source, error, "A collector failed; going on without its metrics.");
        }
        if is_with_rest {
            self.context.units.lock().unwrap_or_else(PoisonError::into_inner).expose(&mut out);
            self.own.collect(&[("metrics", &self.metrics), ("logs", &self.logs)], &mut out);
        }
        Ok(out)
    }

    /// Detaches the kernel programs. Waits for a collection that is under way.
    pub(crate) fn stop_ebpf(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(state.ebpf.take());
    }
}

fn report(failing: &mut BTreeSet<&'static str>, errors: Vec<(&'static str, SourceError)>) {
    let mut failed_now = BTreeSet::new();
    for (source, error) in errors {
        failed_now.insert(source);
        let error = format!("{:#}", anyhow::Error::new(error));
        if failing.contains(source) {
            debug!(source, error, "A collector still fails.");
        } else {
            warn!(source, error, "A collector failed; going on without its metrics.");
        }
    }
    for source in failing.difference(&failed_now) {
        info!(source, "A collector works again.");
    }
    *failing = failed_now;
}
