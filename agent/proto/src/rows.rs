//! A request's content as rows that borrow from its bytes: what receivers make and the store
//! takes. Nothing here owns a string per label.

use std::borrow::Cow;

use crate::{Fingerprint, Sample, SeriesRef, TimestampMs, TimestampNs};

/// Samples by series, in columns. A series is either one that the store knows, or has its label
/// pairs here, sorted by name and unique; receivers see to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleRows<'a> {
    series: Vec<SeriesEnd>,
    /// Of the series that are not known, in the same order.
    unknown: Vec<Unknown>,
    labels: Vec<(&'a str, &'a str)>,
    ts: Vec<i64>,
    bits: Vec<u64>,
    /// What a sender told about metrics (type, help, unit); may be empty.
    pub metadata: Vec<MetricMetadata<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct SeriesEnd {
    /// `None`: the next of `unknown`.
    known: Option<SeriesRef>,
    /// End of its share of the samples.
    n_samples: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Unknown {
    fingerprint: Option<Fingerprint>,
    /// End of its share of the labels.
    n_labels: usize,
}

/// One series of [`SampleRows`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesRow<'r, 'a> {
    pub key: SeriesKey<'r, 'a>,
    /// Milliseconds.
    pub ts: &'r [i64],
    /// The bits of a double each.
    pub bits: &'r [u64],
}

/// Which series it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SeriesKey<'r, 'a> {
    Known(SeriesRef),
    /// Label pairs, and how they were spelled, for the store to know them by the next time.
    Labels(&'r [(&'a str, &'a str)], Option<Fingerprint>),
}

/// What a metric is, as `/api/v1/metadata` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricMetadata<'a> {
    pub metric: &'a str,
    pub kind: MetricKind,
    pub help: &'a str,
    pub unit: &'a str,
}

/// Metric types of Prometheus' exposition formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricKind {
    #[default]
    Unknown,
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
}

impl MetricKind {
    /// As the HTTP API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

impl<'a> SampleRows<'a> {
    /// Adds one series with its label pairs (sorted by name, unique, none empty) and samples.
    pub fn push(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        for sample in samples {
            self.push_sample(sample.ts.0, sample.value.to_bits());
        }
        self.end_unknown(labels, None);
    }

    /// Adds a sample of the series that the next call of an `end` function names.
    pub fn push_sample(&mut self, ts: i64, bits: u64) {
        self.ts.push(ts);
        self.bits.push(bits);
    }

    /// The samples since the last series are of this one.
    pub fn end_known(&mut self, series: SeriesRef) {
        self.series.push(SeriesEnd { known: Some(series), n_samples: self.ts.len() });
    }

    /// The samples since the last series are of the one with these label pairs, as in
    /// [`Self::push`].
    pub fn end_unknown(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        fingerprint: Option<Fingerprint>,
    ) {
        self.labels.extend(labels);
        self.unknown.push(Unknown { fingerprint, n_labels: self.labels.len() });
        self.series.push(SeriesEnd { known: None, n_samples: self.ts.len() });
    }

    /// Drops the samples since the last series; how many they were.
    pub fn drop_unended(&mut self) -> usize {
        let n_samples = self.n_unended();
        let n_kept = self.ts.len() - n_samples;
        self.ts.truncate(n_kept);
        self.bits.truncate(n_kept);
        n_samples
    }

    /// Samples since the last series.
    pub fn n_unended(&self) -> usize {
        self.ts.len() - self.series.last().map_or(0, |it| it.n_samples)
    }

    /// In the order they came.
    pub fn series(&self) -> impl Iterator<Item = SeriesRow<'_, 'a>> {
        let mut unknown = self.unknown.iter();
        let (mut n_samples, mut n_labels) = (0, 0);
        self.series.iter().map(move |end| {
            let samples = n_samples..end.n_samples;
            n_samples = end.n_samples;
            let key = match (end.known, unknown.as_slice()) {
                (Some(series), _) => SeriesKey::Known(series),
                (None, []) => SeriesKey::Labels(&[], None),
                (None, [it, ..]) => {
                    let labels = self.labels.get(n_labels..it.n_labels).unwrap_or_default();
                    n_labels = it.n_labels;
                    unknown.next();
                    SeriesKey::Labels(labels, it.fingerprint)
                }
            };
            SeriesRow {
                key,
                ts: self.ts.get(samples.clone()).unwrap_or_default(),
                bits: self.bits.get(samples).unwrap_or_default(),
            }
        })
    }

    pub fn n_series(&self) -> usize {
        self.series.len()
    }

    pub fn n_samples(&self) -> usize {
        self.ts.len()
    }
}

impl<'a> SeriesRow<'_, 'a> {
    /// Label pairs; none where the series is a known one.
    pub fn labels(&self) -> &[(&'a str, &'a str)] {
        match self.key {
            SeriesKey::Known(_) => &[],
            SeriesKey::Labels(labels, _) => labels,
        }
    }

    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        self.ts
            .iter()
            .zip(self.bits)
            .map(|(ts, bits)| Sample { ts: TimestampMs(*ts), value: f64::from_bits(*bits) })
    }
}

/// Name and value pairs, sorted by name and unique.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Log entries by stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogRows<'a> {
    /// Each stream's label pairs (sorted by name, unique, none empty) and entries.
    pub streams: Vec<(Pairs<'a>, Vec<LogRow<'a>>)>,
}

/// One entry of a push request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow<'a> {
    pub ts: TimestampNs,
    pub line: Cow<'a, str>,
    /// Structured metadata, sorted by name.
    pub metadata: Pairs<'a>,
}

impl LogRows<'_> {
    pub fn n_entries(&self) -> usize {
        self.streams.iter().map(|(_, entries)| entries.len()).sum()
    }
}
