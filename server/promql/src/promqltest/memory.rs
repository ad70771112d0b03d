//! The store of the tests: series in memory, leaves by the same window functions as everywhere.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use skep_proto::{Labels, Matcher, Sample, TimeRange, TimestampMs, is_stale_marker};

use crate::{
    Leaf, Matrix, RawSeries, Row, Storage, StorageError, absent,
    vector::{Aggregation, aggregate, has_values},
};

/// Series in the order they came in, as a store keeps them.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    series: Vec<Stored>,
    idx_of: HashMap<Arc<Labels>, usize>,
}

/// Time stamps rising, a value each.
#[derive(Debug, Clone, Default)]
struct Stored {
    labels: Arc<Labels>,
    ts: Vec<i64>,
    values: Vec<f64>,
}

impl Memory {
    /// Appends values on a grid from time zero; `None` leaves a gap.
    pub fn append(&mut self, labels: Labels, step_ms: i64, values: &[Option<f64>]) {
        let Some(Stored { ts, values: held, .. }) = self.stored(labels) else {
            return;
        };
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

    /// Puts in a whole series, time stamps rising; replaces one with these labels.
    pub fn insert(&mut self, labels: Labels, ts: Vec<i64>, values: Vec<f64>) {
        if let Some(stored) = self.stored(labels) {
            (stored.ts, stored.values) = (ts, values);
        }
    }

    fn stored(&mut self, labels: Labels) -> Option<&mut Stored> {
        let (labels, next) = (Arc::new(labels), self.series.len());
        let idx = *self.idx_of.entry(Arc::clone(&labels)).or_insert(next);
        if idx == next {
            self.series.push(Stored { labels, ..Stored::default() });
        }
        self.series.get_mut(idx)
    }

    fn matching<'a>(&'a self, matchers: &'a [Matcher]) -> impl Iterator<Item = &'a Stored> {
        self.series
            .iter()
            .filter(move |it| matchers.iter().all(|matcher| matcher.matches_labels(&it.labels)))
    }
}

#[async_trait]
impl Storage for Memory {
    async fn leaf(&self, leaf: &Leaf) -> Result<Matrix, StorageError> {
        let rows = self
            .matching(&leaf.matchers)
            .map(|it| {
                let mut out = vec![absent(); leaf.grid.n_steps()];
                leaf.window.apply(&it.ts, &it.values, &leaf.grid, leaf.window_ms, &mut out);
                Row::floats(Arc::clone(&it.labels), out)
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
            .map(|it| RawSeries {
                labels: Arc::clone(&it.labels),
                histograms: Vec::new(),
                samples: it
                    .ts
                    .iter()
                    .zip(&it.values)
                    .map(|(ts, value)| Sample { ts: TimestampMs(*ts), value: *value })
                    .filter(|it| range.contains(it.ts) && !is_stale_marker(it.value))
                    .collect(),
            })
            .filter(|it| !it.samples.is_empty())
            .collect())
    }
}
