//! What comes beside samples between decoding and storing: native histograms and exemplars, by
//! series.

use crate::{Exemplar, Fingerprint, HistogramSample, SeriesKey, SeriesRef};

/// Native histograms by series.
pub type HistogramRows<'a> = KeyedRows<'a, HistogramSample>;
/// Exemplars by series.
pub type ExemplarRows<'a> = KeyedRows<'a, Exemplar>;

/// Items by series, in the order they came.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyedRows<'a, T> {
    pub series: Vec<KeyedRow<'a, T>>,
}

/// One series of [`KeyedRows`].
#[derive(Debug, Clone, PartialEq)]
pub struct KeyedRow<'a, T> {
    known: Option<SeriesRef>,
    labels: Vec<(&'a str, &'a str)>,
    fingerprint: Option<Fingerprint>,
    pub items: Vec<T>,
}

impl<T> Default for KeyedRows<'_, T> {
    fn default() -> Self {
        Self { series: Vec::new() }
    }
}

impl<'a, T> KeyedRow<'a, T> {
    pub fn of_known(series: SeriesRef, items: Vec<T>) -> Self {
        Self { known: Some(series), labels: Vec::new(), fingerprint: None, items }
    }

    /// With label pairs that are sorted by name, unique, none empty.
    pub fn of_unknown(
        labels: Vec<(&'a str, &'a str)>,
        fingerprint: Option<Fingerprint>,
        items: Vec<T>,
    ) -> Self {
        Self { known: None, labels, fingerprint, items }
    }

    pub fn key(&self) -> SeriesKey<'_, 'a> {
        match self.known {
            Some(series) => SeriesKey::Known(series),
            None => SeriesKey::Labels(&self.labels, self.fingerprint),
        }
    }
}

impl<T> KeyedRows<'_, T> {
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}
