//! The store of the tests: series in memory, leaves by the same window functions as everywhere.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use skep_proto::{
    HistogramSample, Labels, Matcher, NativeHistogram, Sample, TimeRange, TimestampMs,
    is_stale_marker,
};

use super::series::Item;
use crate::{
    HistogramSeries, Leaf, Matrix, RawSeries, Row, Storage, StorageError, absent,
    vector::{Aggregation, aggregate},
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
    histograms: Vec<HistogramSample>,
}

impl Memory {
    /// Appends floats on a grid from time zero; `None` leaves a gap.
    pub fn append(&mut self, labels: Labels, step_ms: i64, values: &[Option<f64>]) {
        let items: Vec<Option<Item>> = values.iter().map(|it| it.map(Item::Float)).collect();
        self.append_items(labels, step_ms, &items);
    }

    /// As above, of floats and histograms; the last write of a time stamp wins.
    pub fn append_items(&mut self, labels: Labels, step_ms: i64, items: &[Option<Item>]) {
        let Some(stored) = self.stored(labels) else {
            return;
        };
        let mut at = 0;
        for item in items {
            match item {
                Some(Item::Float(value)) => stored.put_float(at, *value),
                Some(Item::Histogram { histogram, .. }) => {
                    stored.put_histogram(at, Arc::clone(histogram));
                }
                None => {}
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

impl Stored {
    fn put_float(&mut self, at: i64, value: f64) {
        // The end of a series is told in the kind it has.
        let is_histogram = self.histograms.last().is_some_and(|it| it.ts.0 < at)
            && self
                .ts
                .last()
                .is_none_or(|float| self.histograms.last().is_some_and(|it| it.ts.0 > *float));
        if is_stale_marker(value) && is_histogram {
            return self.put_histogram(at, Arc::new(NativeHistogram::stale()));
        }
        self.histograms.retain(|it| it.ts.0 != at);
        match self.ts.binary_search(&at) {
            Ok(idx) => {
                if let Some(slot) = self.values.get_mut(idx) {
                    *slot = value;
                }
            }
            Err(idx) => {
                self.ts.insert(idx, at);
                self.values.insert(idx, value);
            }
        }
    }

    fn put_histogram(&mut self, at: i64, histogram: Arc<NativeHistogram>) {
        if let Ok(idx) = self.ts.binary_search(&at) {
            self.ts.remove(idx);
            self.values.remove(idx);
        }
        let sample = HistogramSample { ts: TimestampMs(at), histogram };
        match self.histograms.binary_search_by_key(&at, |it| it.ts.0) {
            Ok(idx) => {
                if let Some(slot) = self.histograms.get_mut(idx) {
                    *slot = sample;
                }
            }
            Err(idx) => self.histograms.insert(idx, sample),
        }
    }

    fn samples(&self, range: TimeRange) -> Vec<Sample> {
        self.ts
            .iter()
            .zip(&self.values)
            .map(|(ts, value)| Sample { ts: TimestampMs(*ts), value: *value })
            .filter(|it| range.contains(it.ts))
            .collect()
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
            .filter(Row::has_values)
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
            .map(|it| {
                let mut samples = it.samples(range);
                samples.retain(|it| !is_stale_marker(it.value));
                RawSeries::floats(Arc::clone(&it.labels), samples)
            })
            .filter(|it| !it.samples.is_empty())
            .collect())
    }

    async fn histograms(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<HistogramSeries>, StorageError> {
        Ok(self
            .matching(matchers)
            .map(|it| HistogramSeries {
                labels: Arc::clone(&it.labels),
                samples: it.samples(range),
                histograms: it
                    .histograms
                    .iter()
                    .filter(|it| range.contains(it.ts))
                    .cloned()
                    .collect(),
            })
            .filter(|it| !it.histograms.is_empty())
            .collect())
    }
}
