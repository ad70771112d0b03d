//! The server's own figures about its requests, and how they print as text.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_receive::Reason;

/// Upper bounds of a request's seconds: from a cached panel to the query timeout.
const SECONDS_BOUNDS: [f64; 12] =
    [0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];

/// Counters of this process; a scrape sees each at about the same time.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    /// By route and status; guarded so that a new route can be added, held for one update.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    /// Writes refused whole or in part; bounded by the number of reasons.
    refused: Mutex<BTreeMap<Reason, u64>>,
    query_seconds: Histogram,
    pub(crate) samples_received: Counter,
    pub(crate) samples_refused: Counter,
    pub(crate) entries_received: Counter,
    pub(crate) entries_refused: Counter,
    /// Bodies as they came over the wire.
    pub(crate) bytes_received: Counter,
    /// Writes that were answered 429 or 507.
    pub(crate) writes_deferred: Counter,
    /// Lines that the query log's disk was too slow for.
    pub(crate) query_log_lost: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Histogram {
    /// One a bound and one above all bounds; not cumulative.
    counts: [AtomicU64; SECONDS_BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket_idx = SECONDS_BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(bucket_idx) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn write_text(&self, out: &mut String, name: &str) -> std::fmt::Result {
        let mut total = 0;
        let bounds = SECONDS_BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {total}")?;
        }
        let sum = Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64();
        writeln!(out, "{name}_sum {sum}\n{name}_count {total}")
    }
}

impl Telemetry {
    pub(crate) fn count_request(&self, route: &str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route.to_owned(), status)).or_default() += 1;
    }

    /// One write that was refused, whole or in part, for each of these reasons.
    pub(crate) fn count_refused(&self, reasons: &[Reason]) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for reason in reasons {
            *refused.entry(*reason).or_default() += 1;
        }
    }

    pub(crate) fn observe_query(&self, took: Duration) {
        self.query_seconds.observe(took);
    }

    /// Prometheus' text format.
    pub(crate) fn to_text(&self) -> String {
        let mut out = String::new();
        self.write_text(&mut out).expect("a String never fails");
        out
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        head(out, "skep_api_requests_total", "counter", "Requests by route and status.")?;
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((route, status), count) in requests {
            writeln!(
                out,
                "skep_api_requests_total{{handler=\"{route}\",code=\"{status}\"}} {count}"
            )?;
        }
        head(out, "skep_query_seconds", "histogram", "Seconds a query took.")?;
        self.query_seconds.write_text(out, "skep_query_seconds")?;
        for (name, help, counter) in [
            ("skep_receive_samples_total", "Samples stored.", &self.samples_received),
            ("skep_receive_samples_refused_total", "Samples refused.", &self.samples_refused),
            ("skep_receive_entries_total", "Log entries stored.", &self.entries_received),
            ("skep_receive_entries_refused_total", "Log entries refused.", &self.entries_refused),
            ("skep_receive_bytes_total", "Bytes of write bodies.", &self.bytes_received),
            (
                "skep_receive_deferred_total",
                "Writes told to come again: the store was busy or the disk full.",
                &self.writes_deferred,
            ),
            (
                "skep_query_log_lost_total",
                "Lines of the query log that its disk was too slow for.",
                &self.query_log_lost,
            ),
        ] {
            head(out, name, "counter", help)?;
            writeln!(out, "{name} {}", counter.get())?;
        }
        let name = "skep_receive_refused_total";
        head(out, name, "counter", "Writes refused, whole or in part, by what was wrong.")?;
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (reason, count) in refused {
            writeln!(out, "{name}{{reason=\"{}\"}} {count}", reason.name())?;
        }
        Ok(())
    }
}

pub(crate) fn head(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_bounds_belong_to_their_bucket() {
        let telemetry = Telemetry::default();
        for ms in [1, 2, 700, 70_000] {
            telemetry.observe_query(Duration::from_millis(ms));
        }
        let text = telemetry.to_text();
        for line in [
            "skep_query_seconds_bucket{le=\"0.0005\"} 0",
            "skep_query_seconds_bucket{le=\"0.001\"} 1",
            "skep_query_seconds_bucket{le=\"0.0025\"} 2",
            "skep_query_seconds_bucket{le=\"1\"} 3",
            "skep_query_seconds_bucket{le=\"+Inf\"} 4",
            "skep_query_seconds_sum 70.703",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
