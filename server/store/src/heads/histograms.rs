//! Native histograms in memory, by series. There are few of them beside samples: kept simple.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use skep_proto::{HistogramSample, NativeHistogram, Span, TimestampMs};

use crate::{day::days_of_ms, filter::RowFilter};

/// What a series and a histogram take beside their lists: entries of maps, half of them empty.
const SERIES_BYTES: usize = 256;
const HISTOGRAM_BYTES: usize = size_of::<NativeHistogram>() + 64;

/// Appended to by many, read by queries, then frozen and written out.
#[derive(Debug, Default)]
pub(crate) struct HistogramHeads(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By id and time stamp: the last write of a time stamp stays.
    series: BTreeMap<i64, BTreeMap<i64, Arc<NativeHistogram>>>,
    /// Overwritten ones included.
    n_histograms: usize,
    n_bytes: usize,
    /// Oldest and newest.
    ts: Option<(i64, i64)>,
}

impl HistogramHeads {
    pub(crate) fn append(&self, id: i64, histograms: &[HistogramSample]) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let series = inner.series.entry(id).or_insert_with(|| {
            inner.n_bytes += SERIES_BYTES;
            BTreeMap::new()
        });
        for HistogramSample { ts: TimestampMs(ts), histogram } in histograms {
            inner.n_bytes += bytes_of(histogram);
            inner.ts = Some(inner.ts.map_or((*ts, *ts), |it| (it.0.min(*ts), it.1.max(*ts))));
            series.insert(*ts, Arc::clone(histogram));
        }
        inner.n_histograms += histograms.len();
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.inner().n_bytes
    }

    pub(crate) fn n_histograms(&self) -> usize {
        self.inner().n_histograms
    }

    /// Oldest and newest time stamp.
    pub(crate) fn ts(&self) -> Option<(i64, i64)> {
        self.inner().ts
    }

    /// The ids that have histograms, in order.
    pub(crate) fn ids(&self) -> Vec<i64> {
        self.inner().series.keys().copied().collect()
    }

    /// The days that have histograms, in order.
    pub(crate) fn days(&self) -> BTreeSet<i32> {
        days_of_ms(self.inner().series.values().flat_map(BTreeMap::keys).copied())
    }

    /// One series' histograms inside the filter's time range, in order of time.
    pub(crate) fn read(&self, id: i64, filter: &RowFilter) -> Vec<HistogramSample> {
        if filter.ts_min > filter.ts_max {
            return Vec::new();
        }
        let inner = self.inner();
        let Some(series) = inner.series.get(&id) else { return Vec::new() };
        let sample = |(ts, histogram): (&i64, &Arc<NativeHistogram>)| HistogramSample {
            ts: TimestampMs(*ts),
            histogram: Arc::clone(histogram),
        };
        series.range(filter.ts_min..=filter.ts_max).map(sample).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nothing panics while it holds a head")
    }
}

fn bytes_of(it: &NativeHistogram) -> usize {
    let n_spans = it.positive_spans.len() + it.negative_spans.len();
    let n_floats = it.positive.len() + it.negative.len() + it.custom_values.len();
    HISTOGRAM_BYTES + n_spans * size_of::<Span>() + n_floats * size_of::<f64>()
}
