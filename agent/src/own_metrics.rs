//! What the agent tells about itself, under `skep_agent_`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_proto::MetricKind;
use tokio::time::Instant;

use crate::{
    exposition::{Exposition, as_f64},
    pipeline::LogMetrics,
    spool::Spool,
};

/// Counters that several tasks add to; each is a fact of its own, so relaxed order will do.
#[derive(Debug, Default)]
pub(crate) struct OwnMetrics {
    journal_entries: AtomicU64,
    journal_errors: AtomicU64,
    files_followed: AtomicU64,
    files_lines: AtomicU64,
    files_long_lines: AtomicU64,
    files_errors: AtomicU64,
    /// What the stages of log pipelines count.
    pub(crate) pipeline: Arc<LogMetrics>,
    ticks_missed: AtomicU64,
    collect_micros: AtomicU64,
    /// Requests by kind of data and HTTP status, or `error` where there was no answer.
    requests: Mutex<BTreeMap<(&'static str, String), u64>>,
    /// Samples or entries the server refused, by kind of data.
    rejected: Mutex<BTreeMap<&'static str, u64>>,
}

impl OwnMetrics {
    pub(crate) fn count_journal_entry(&self) {
        self.journal_entries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_journal_error(&self) {
        self.journal_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_files_followed(&self, n_files: usize) {
        self.files_followed.store(u64::try_from(n_files).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn count_files_line(&self) {
        self.files_lines.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_files_long_line(&self) {
        self.files_long_lines.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_files_error(&self) {
        self.files_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_ticks_missed(&self, n_ticks: u64) {
        self.ticks_missed.fetch_add(n_ticks, Ordering::Relaxed);
    }

    pub(crate) fn set_collect_duration(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.collect_micros.store(micros, Ordering::Relaxed);
    }

    /// `code` is a status or `error`: a handful of values.
    pub(crate) fn count_request(&self, kind: &'static str, code: String) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((kind, code)).or_default() += 1;
    }

    pub(crate) fn count_rejected(&self, kind: &'static str, n_items: u32) {
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        *rejected.entry(kind).or_default() += u64::from(n_items);
    }

    /// Adds everything, with the state of `spools` (by kind of data).
    pub(crate) fn collect(&self, spools: &[(&'static str, &Spool)], out: &mut Exposition) {
        let value = |counter: &AtomicU64| as_f64(counter.load(Ordering::Relaxed));
        out.family(
            "skep_agent_build_info",
            "The running version; the value is always 1.",
            MetricKind::Gauge,
        )
        .point([("version", env!("CARGO_PKG_VERSION"))], 1.0);
        out.gauge(
            "skep_agent_collect_seconds",
            "How long the last collection of metrics took.",
            value(&self.collect_micros) / 1e6,
        );
        out.counter(
            "skep_agent_ticks_missed_total",
            "Collections left out since the one before took too long or the clock jumped.",
            value(&self.ticks_missed),
        );
        out.counter(
            "skep_agent_journal_entries_total",
            "Entries read from the journal.",
            value(&self.journal_entries),
        );
        out.counter(
            "skep_agent_journal_errors_total",
            "Errors while reading the journal.",
            value(&self.journal_errors),
        );
        out.gauge(
            "skep_agent_files_followed",
            "Log files that are open.",
            value(&self.files_followed),
        );
        for (name, help, counter) in [
            ("skep_agent_files_lines_total", "Lines read from log files.", &self.files_lines),
            (
                "skep_agent_files_long_lines_total",
                "Lines of log files that were longer than lines may be.",
                &self.files_long_lines,
            ),
            (
                "skep_agent_files_errors_total",
                "Log files that could not be opened or read.",
                &self.files_errors,
            ),
        ] {
            out.counter(name, help, value(counter));
        }
        self.pipeline.collect(Instant::now(), out);
        self.collect_requests(out);
        for (kind, spool) in spools {
            collect_spool(kind, spool, out);
        }
    }

    fn collect_requests(&self, out: &mut Exposition) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let family = out.family(
            "skep_agent_ship_requests_total",
            "Requests to the server, by HTTP status; error means no answer.",
            MetricKind::Counter,
        );
        for ((kind, code), n_requests) in requests.iter() {
            family.point([("code", code), ("kind", kind)], as_f64(*n_requests));
        }
        drop(requests);
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        let family = out.family(
            "skep_agent_ship_rejected_total",
            "Samples or log entries the server refused for good.",
            MetricKind::Counter,
        );
        for (kind, n_items) in rejected.iter() {
            family.point([("kind", kind)], as_f64(*n_items));
        }
    }
}

fn collect_spool(kind: &'static str, spool: &Spool, out: &mut Exposition) {
    let waiting = spool.waiting();
    for (name, help, value) in [
        (
            "skep_agent_spool_bytes",
            "Bytes of the batches that wait for the server.",
            waiting.n_bytes,
        ),
        ("skep_agent_spool_batches", "Batches that wait for the server.", waiting.n_batches),
        ("skep_agent_spool_items", "Samples or log entries that wait.", waiting.n_items),
    ] {
        out.family(name, help, MetricKind::Gauge).point([("kind", kind)], as_f64(value));
    }
    out.family(
        "skep_agent_spool_dropped_total",
        "Samples or log entries given up because of the spool's limits or a damaged disk.",
        MetricKind::Counter,
    )
    .point([("kind", kind)], as_f64(spool.n_items_dropped()));
}
