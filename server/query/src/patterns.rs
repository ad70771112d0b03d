//! The patterns of a selector's lines, mined from a sample when they are asked for.
//!
//! The time is cut into slices, and the newest lines of each are read, so that old and new lines
//! count alike. Where a slice has more lines than were read, its counts are multiplied.

use std::collections::BTreeMap;

use skep_logql::{
    ClusterId, Direction, Drain, DrainLimits, EntryLabels, LogScan, QueryError, RangeLeaf, ShapeId,
    Storage as _, ast::RangeOp,
};
use skep_promql::{Grid, Grouping, StorageError, is_absent};
use skep_proto::{Matcher, TimestampMs};
use tokio::time::timeout_at;

use crate::{Engine, logs::LogStorage};

/// Slices at most: each costs a scan.
const N_SLICES_MAX: i64 = 24;
/// Patterns that are told, as many as Loki tells; those of the most lines.
const N_PATTERNS_MAX: usize = 300;
/// Where a line's level stands.
const LEVEL_LABELS: [&str; 2] = ["detected_level", "level"];
const LEVEL_UNKNOWN: &str = "unknown";

/// What to look for patterns in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternOptions {
    /// Included.
    pub start: TimestampMs,
    /// Excluded.
    pub end: TimestampMs,
    /// The width of a sample.
    pub step_ms: i64,
}

/// One pattern of lines of one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePattern {
    pub pattern: String,
    pub level: String,
    /// Lines by the step they fall into, in order of time.
    pub samples: Vec<(TimestampMs, u64)>,
}

impl LinePattern {
    fn total(&self) -> u64 {
        self.samples.iter().map(|(_, n)| *n).sum()
    }
}

impl Engine {
    /// Reads [`crate::Limits::n_pattern_lines_max`] lines at most. The patterns of the most lines
    /// come first.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn log_patterns(
        &self,
        matchers: &[Matcher],
        options: PatternOptions,
    ) -> Result<Vec<LinePattern>, QueryError> {
        let session = self.begin(None);
        let deadline = session.deadline;
        let storage = LogStorage::new(self.snapshot(), session);
        let mut mine = Mine::new(options, self.limits().n_pattern_lines_max);
        let work = async {
            while let Some(slice) = mine.next_slice() {
                let scan = mine.scan(matchers, slice);
                let streams = storage.entries(&scan).await?;
                let n_read: usize = streams.iter().map(|it| it.entries.len()).sum();
                let n_lines = if n_read < scan.limit {
                    n_read
                } else {
                    count(&storage, matchers, slice).await?.max(n_read)
                };
                mine.begin(n_read, n_lines);
                for stream in &streams {
                    for entry in &stream.entries {
                        mine.add(&stream.labels, entry.ts.to_ms(), &entry.line);
                    }
                }
            }
            Ok::<(), QueryError>(())
        };
        let done = timeout_at(deadline, work).await;
        done.map_err(|_elapsed| QueryError::from(StorageError::Timeout))??;
        Ok(mine.finish())
    }
}

/// From one time to another, which is not included.
type Slice = (TimestampMs, TimestampMs);

async fn count(
    storage: &LogStorage,
    matchers: &[Matcher],
    (start, end): Slice,
) -> Result<usize, QueryError> {
    let leaf = RangeLeaf {
        matchers: matchers.to_vec(),
        stages: Vec::new(),
        unwrap: None,
        op: RangeOp::CountOverTime,
        quantile: None,
        interval_ns: end.0.saturating_sub(start.0).saturating_mul(1_000_000),
        offset_ns: 0,
        grid: Grid::instant(TimestampMs(end.0 - 1)),
        grouping: Some(Grouping::By(Vec::new())),
    };
    let matrix = storage.range(&leaf).await?;
    let values = matrix.rows.iter().filter_map(|it| it.values.first().copied());
    let total: f64 = values.filter(|it| !is_absent(*it)).sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of lines"
    )]
    Ok(total as usize)
}

/// A run under way.
struct Mine {
    drain: Drain,
    step_ms: i64,
    end: TimestampMs,
    /// Where the next slice begins.
    next: TimestampMs,
    slice_ms: i64,
    n_lines_a_slice: usize,
    /// What one line of the current slice stands for.
    weight: f64,
    counts: BTreeMap<(ShapeId, String), BTreeMap<i64, f64>>,
}

impl Mine {
    fn new(options: PatternOptions, n_lines_max: usize) -> Self {
        let PatternOptions { start, end, step_ms } = options;
        let step_ms = step_ms.max(1);
        let next = TimestampMs(start.0.div_euclid(step_ms).saturating_mul(step_ms));
        let n_steps = end.0.saturating_sub(next.0).div_euclid(step_ms).saturating_add(1);
        let slice_ms = n_steps.div_euclid(N_SLICES_MAX).saturating_add(1).saturating_mul(step_ms);
        let n_slices = end.0.saturating_sub(next.0).div_euclid(slice_ms).saturating_add(1);
        let n_slices = usize::try_from(n_slices).unwrap_or(1).max(1);
        Self {
            drain: Drain::new(DrainLimits::default()),
            step_ms,
            end,
            next: start,
            slice_ms,
            n_lines_a_slice: (n_lines_max / n_slices).max(1),
            weight: 1.0,
            counts: BTreeMap::new(),
        }
    }

    fn next_slice(&mut self) -> Option<Slice> {
        let start = self.next;
        if start >= self.end {
            return None;
        }
        let aligned = start.0.div_euclid(self.slice_ms).saturating_add(1);
        self.next = TimestampMs(aligned.saturating_mul(self.slice_ms)).min(self.end);
        Some((start, self.next))
    }

    fn scan(&self, matchers: &[Matcher], (start, end): Slice) -> LogScan {
        LogScan {
            matchers: matchers.to_vec(),
            stages: Vec::new(),
            start: start.to_ns(),
            end: end.to_ns(),
            direction: Direction::Backward,
            limit: self.n_lines_a_slice,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of lines")]
    fn begin(&mut self, n_read: usize, n_lines: usize) {
        self.weight = n_lines as f64 / n_read.max(1) as f64;
    }

    fn add(&mut self, labels: &EntryLabels, ts: TimestampMs, line: &str) {
        let Some(shape) = self.drain.add(line) else { return };
        let lists = [&labels.metadata, &labels.stream];
        let pairs = || lists.into_iter().flatten();
        let level = LEVEL_LABELS.iter().find_map(|name| pairs().find(|(it, _)| it == name));
        let level = level.map_or(LEVEL_UNKNOWN, |(_, value)| value.as_str());
        let step = ts.0.div_euclid(self.step_ms).saturating_mul(self.step_ms);
        let steps = self.counts.entry((shape, level.to_owned())).or_default();
        *steps.entry(step).or_default() += self.weight;
    }

    fn finish(self) -> Vec<LinePattern> {
        let mut by_cluster: BTreeMap<(ClusterId, String), BTreeMap<i64, f64>> = BTreeMap::new();
        for ((shape, level), steps) in self.counts {
            let Some(cluster) = self.drain.cluster_of(shape) else { continue };
            let merged = by_cluster.entry((cluster, level)).or_default();
            for (step, n) in steps {
                *merged.entry(step).or_default() += n;
            }
        }
        let mut patterns: Vec<LinePattern> = by_cluster
            .into_iter()
            .map(|((cluster, level), steps)| LinePattern {
                pattern: self.drain.pattern(cluster),
                level,
                samples: steps.into_iter().map(|(at, n)| (TimestampMs(at), rounded(n))).collect(),
            })
            .collect();
        patterns.sort_by(|left, right| {
            right.total().cmp(&left.total()).then_with(|| left.pattern.cmp(&right.pattern))
        });
        patterns.truncate(N_PATTERNS_MAX);
        patterns
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of lines")]
fn rounded(n: f64) -> u64 {
    n.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(start: i64, end: i64, step_ms: i64) -> PatternOptions {
        PatternOptions { start: TimestampMs(start), end: TimestampMs(end), step_ms }
    }

    #[test]
    fn slices_cover_the_range_once_and_end_at_steps() {
        for (start, end, step_ms) in [(5, 100, 10), (0, 100_000, 7), (3, 4, 60_000), (9, 9, 1)] {
            let mut mine = Mine::new(options(start, end, step_ms), 100);
            let slices: Vec<Slice> = std::iter::from_fn(|| mine.next_slice()).collect();
            assert!(slices.len() <= 26, "{slices:?}");
            let mut at = start;
            for (from, to) in &slices {
                assert_eq!(from.0, at);
                assert!(to.0 == end || to.0 % step_ms == 0);
                at = to.0;
            }
            assert_eq!(at, end);
        }
    }

    #[test]
    fn lines_that_were_not_read_are_counted_by_those_that_were() {
        let mut mine = Mine::new(options(0, 100, 10), 100);
        let labels = EntryLabels::default();
        mine.begin(2, 20);
        mine.add(&labels, TimestampMs(1), "took 5 ms");
        mine.add(&labels, TimestampMs(11), "took 6 ms");
        mine.begin(1, 1);
        mine.add(&labels, TimestampMs(12), "took 7 ms");
        let samples = vec![(TimestampMs(0), 10), (TimestampMs(10), 11)];
        let pattern = LinePattern {
            pattern: "took <_> ms".to_owned(),
            level: LEVEL_UNKNOWN.to_owned(),
            samples,
        };
        assert_eq!(mine.finish(), [pattern]);
    }
}
