//! What is said about a scrape itself: `up` and its kin.

use std::{sync::Arc, time::Duration};

use skep_proto::{Labels, names::METRIC_NAME, stale_marker};

use crate::{append::Counts, batch::Batch};

/// The series of one target, in the order they are written.
#[derive(Debug)]
pub(crate) struct Report(Vec<Arc<Labels>>);

/// How a scrape went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) is_up: bool,
    pub(crate) took: Duration,
    pub(crate) counts: Counts,
    pub(crate) timeout: Duration,
    pub(crate) sample_limit: u64,
    /// -1 if there was more than is allowed.
    pub(crate) body_bytes: i64,
}

const NAMES: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];
const EXTRA_NAMES: [&str; 3] =
    ["scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes"];

impl Report {
    pub(crate) fn new(target: &Labels, has_extra: bool) -> Self {
        let extra = EXTRA_NAMES.iter().filter(|_| has_extra);
        let named = |name: &&str| {
            let mut labels = target.to_builder();
            labels.set(METRIC_NAME, name);
            Arc::new(labels.build())
        };
        Self(NAMES.iter().chain(extra).map(named).collect())
    }

    pub(crate) fn push(&self, batch: &mut Batch, ts_ms: i64, outcome: &Outcome) {
        let Outcome { is_up, took, counts, timeout, sample_limit, body_bytes } = *outcome;
        let values = [
            f64::from(u8::from(is_up)),
            took.as_secs_f64(),
            count(counts.scraped),
            count(counts.after_relabelling),
            count(counts.series_added),
            timeout.as_secs_f64(),
            count(sample_limit),
            if body_bytes < 0 { -1.0 } else { count(body_bytes.unsigned_abs()) },
        ];
        for (labels, value) in self.0.iter().zip(values) {
            batch.push(labels, ts_ms, value);
        }
    }

    /// The target has gone.
    pub(crate) fn push_stale(&self, batch: &mut Batch, ts_ms: i64) {
        for labels in &self.0 {
            batch.push(labels, ts_ms, stale_marker());
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no scrape has 2^53 samples")]
fn count(n: u64) -> f64 {
    n as f64
}
