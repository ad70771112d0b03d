//! The store of the tests: series in memory, leaves by the same window functions as everywhere.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use skep_proto::{Labels, Matcher, Sample, TimeRange, TimestampMs, is_stale_marker};

use crate::{
    Leaf, Matrix, RawSeries, Row, Storage, StorageError, absent,
    vector::{Aggregation, aggregate, has_values},
};

/// Series and their samples, time stamps rising.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    series: BTreeMap<Labels, (Vec<i64>, Vec<f64>)>,
}

impl Memory {
    /// Appends values on a grid from time zero; `None` leaves a gap.
    pub fn append(&mut self, labels: Labels, step_ms: i64, values: &[Option<f64>]) {
        let (ts, held) = self.series.entry(labels).or_default();
        let mut at = 0;
        for value in values {
            if let Some(value) = value {
                match ts.binary_search(&at) {
                    Ok(idx) => {
                        if let Some(slot) = held.get_mut(idx) {
                            *slot = *value;
                        }
                    }
                    Err(idx) => {
                        ts.insert(idx, at);
                        held.insert(idx, *value);
                    }
                }
            }
            at += step_ms;
        }
    }

    fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
    ) -> impl Iterator<Item = (&'a Labels, &'a (Vec<i64>, Vec<f64>))> {
        self.series
            .iter()
            .filter(move |(labels, _)| matchers.iter().all(|it| it.matches_labels(labels)))
    }
}

#[async_trait]
impl Storage for Memory {
    async fn leaf(&self, leaf: &Leaf) -> Result<Matrix, StorageError> {
        let rows = self
            .matching(&leaf.matchers)
            .map(|(labels, (ts, values))| {
                let mut out = vec![absent(); leaf.grid.n_steps()];
                leaf.window.apply(ts, values, &leaf.grid, leaf.window_ms, &mut out);
                Row { labels: Arc::new(labels.clone()), values: out }
            })
            .filter(has_values)
            .collect();
        let matrix = Matrix { grid: leaf.grid, rows };
        Ok(match &leaf.fused {
            Some(fused) => aggregate(&matrix, &Aggregation::from(fused.op), &fused.grouping),
            None => matrix,
        })
    }

    async fn raw(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<RawSeries>, StorageError> {
        Ok(self
            .matching(matchers)
            .map(|(labels, (ts, values))| RawSeries {
                labels: Arc::new(labels.clone()),
                samples: ts
                    .iter()
                    .zip(values)
                    .map(|(ts, value)| Sample { ts: TimestampMs(*ts), value: *value })
                    .filter(|it| range.contains(it.ts) && !is_stale_marker(it.value))
                    .collect(),
            })
            .filter(|it| !it.samples.is_empty())
            .collect())
    }
}
