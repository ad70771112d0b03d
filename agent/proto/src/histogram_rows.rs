//! Native histograms between decoding and storing: by series, apart from the samples.

use crate::{Fingerprint, HistogramSample, SeriesKey, SeriesRef};

/// Native histograms by series, in the order they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistogramRows<'a> {
    pub series: Vec<HistogramRow<'a>>,
}

/// One series of [`HistogramRows`].
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramRow<'a> {
    known: Option<SeriesRef>,
    labels: Vec<(&'a str, &'a str)>,
    fingerprint: Option<Fingerprint>,
    pub histograms: Vec<HistogramSample>,
}

impl<'a> HistogramRow<'a> {
    pub fn of_known(series: SeriesRef, histograms: Vec<HistogramSample>) -> Self {
        Self { known: Some(series), labels: Vec::new(), fingerprint: None, histograms }
    }

    /// With label pairs that are sorted by name, unique, none empty.
    pub fn of_unknown(
        labels: Vec<(&'a str, &'a str)>,
        fingerprint: Option<Fingerprint>,
        histograms: Vec<HistogramSample>,
    ) -> Self {
        Self { known: None, labels, fingerprint, histograms }
    }

    pub fn key(&self) -> SeriesKey<'_, 'a> {
        match self.known {
            Some(series) => SeriesKey::Known(series),
            None => SeriesKey::Labels(&self.labels, self.fingerprint),
        }
    }
}

impl HistogramRows<'_> {
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub fn n_histograms(&self) -> usize {
        self.series.iter().map(|it| it.histograms.len()).sum()
    }
}
