//! What one log query has read, as its answer tells it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use datafusion::physical_plan::ExecutionPlan;

/// Names of the counters a log leaf keeps.
pub(crate) mod counter {
    /// Lines that came out of the table.
    pub(crate) const LINES: &str = "lines";
    /// Those that line filters at the start did not drop.
    pub(crate) const LINES_MATCHED: &str = "lines_matched";
    /// Bytes of the lines.
    pub(crate) const LINE_BYTES: &str = "line_bytes";
    /// Bytes of their structured metadata.
    pub(crate) const METADATA_BYTES: &str = "metadata_bytes";
}

/// Adds up what the leaves of a query say.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    n_leaves: AtomicU64,
    n_lines: AtomicU64,
    n_lines_matched: AtomicU64,
    line_bytes: AtomicU64,
    metadata_bytes: AtomicU64,
}

/// What a log query cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogqlStats {
    /// From the parsed text to the answer.
    pub took: Duration,
    /// Scans, each over one slice of time.
    pub n_leaves: u64,
    pub n_lines: u64,
    pub n_lines_matched: u64,
    pub line_bytes: u64,
    pub metadata_bytes: u64,
}

impl Tally {
    /// Adds what a finished leaf read.
    pub(crate) fn add(&self, plan: &dyn ExecutionPlan) {
        let add = |to: &AtomicU64, n: usize| {
            to.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
        };
        add(&self.n_leaves, 1);
        let Some(metrics) = plan.metrics() else { return };
        for (name, to) in [
            (counter::LINES, &self.n_lines),
            (counter::LINES_MATCHED, &self.n_lines_matched),
            (counter::LINE_BYTES, &self.line_bytes),
            (counter::METADATA_BYTES, &self.metadata_bytes),
        ] {
            add(to, metrics.sum_by_name(name).map_or(0, |it| it.as_usize()));
        }
    }

    pub(crate) fn told(&self, took: Duration) -> LogqlStats {
        let of = |it: &AtomicU64| it.load(Ordering::Relaxed);
        LogqlStats {
            took,
            n_leaves: of(&self.n_leaves),
            n_lines: of(&self.n_lines),
            n_lines_matched: of(&self.n_lines_matched),
            line_bytes: of(&self.line_bytes),
            metadata_bytes: of(&self.metadata_bytes),
        }
    }
}
