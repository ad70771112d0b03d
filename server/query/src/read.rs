//! Whole series in order of their labels, as remote read wants them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use skep_promql::StorageError;
use skep_proto::{Labels, Matcher, Sample, SeriesId, TimeRange, TimestampMs};

use crate::{Engine, Snapshot};

/// Samples that are held at once, as far as the time range tells.
const SAMPLES_PER_GROUP: i64 = 1_000_000;
/// Nearly all series have a sample every so often, or seldomer.
const INTERVAL_MS: i64 = 10_000;
/// Few enough to list.
const SERIES_PER_GROUP_MAX: usize = 1_000;

/// One series with all its samples in the range, in order of time, stale markers included.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeSeries {
    pub labels: Arc<Labels>,
    pub samples: Vec<Sample>,
}

/// Series in order of their labels, group by group. Dropping it ends the work.
#[derive(Debug)]
pub struct WholeSeriesReader {
    engine: Engine,
    snapshot: Snapshot,
    range: TimeRange,
    waiting: VecDeque<(SeriesId, Arc<Labels>)>,
    n_per_group: usize,
}

impl Engine {
    /// The matching series with their samples, both ends included.
    ///
    /// # Errors
    /// The matchers find more series than the limit.
    pub fn read_series(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<WholeSeriesReader, StorageError> {
        let snapshot = self.snapshot();
        let mut series = snapshot.series.select(matchers, range);
        self.limits().check_series(series.len())?;
        series.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
        let n_samples = (range.end.0.saturating_sub(range.start.0) / INTERVAL_MS).max(1);
        let n_per_group = usize::try_from(SAMPLES_PER_GROUP / n_samples).unwrap_or(1);
        Ok(WholeSeriesReader {
            engine: self.clone(),
            snapshot,
            range,
            waiting: series.into(),
            n_per_group: n_per_group.clamp(1, SERIES_PER_GROUP_MAX),
        })
    }
}

impl WholeSeriesReader {
    /// The next series that have samples; empty only after the last.
    ///
    /// # Errors
    /// The store, or memory.
    pub async fn next(&mut self) -> Result<Vec<WholeSeries>, StorageError> {
        while !self.waiting.is_empty() {
            let n = self.n_per_group.min(self.waiting.len());
            let group: Vec<_> = self.waiting.drain(..n).collect();
            let found = self.group(&group).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    async fn group(
        &self,
        group: &[(SeriesId, Arc<Labels>)],
    ) -> Result<Vec<WholeSeries>, StorageError> {
        let mut rows = self.engine.export_series(&self.snapshot, group, self.range)?;
        let mut samples: HashMap<Arc<Labels>, Vec<Sample>> = HashMap::new();
        loop {
            let runs = rows.next_samples().await?;
            if runs.is_empty() {
                break;
            }
            for run in runs {
                let pairs = run.ts_ms.iter().zip(&run.values);
                let of_run =
                    pairs.map(|(ts, value)| Sample { ts: TimestampMs(*ts), value: *value });
                samples.entry(run.labels).or_default().extend(of_run);
            }
        }
        let series = group.iter().filter_map(|(_, labels)| {
            let samples = samples.remove(labels)?;
            Some(WholeSeries { labels: Arc::clone(labels), samples })
        });
        Ok(series.collect())
    }
}
