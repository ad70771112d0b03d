//! A request's content as rows that borrow from its bytes: what receivers make and the store
//! takes. Nothing here owns a string per label.

use std::borrow::Cow;

use crate::{Sample, TimestampNs};

/// Samples by series. Label pairs are sorted by name and unique; receivers see to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleRows<'a> {
    labels: Vec<(&'a str, &'a str)>,
    samples: Vec<Sample>,
    /// Ends of each series' share of `labels` and `samples`.
    ends: Vec<(usize, usize)>,
    /// What a sender told about metrics (type, help, unit); may be empty.
    pub metadata: Vec<MetricMetadata<'a>>,
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
        self.labels.extend(labels);
        self.samples.extend(samples);
        self.ends.push((self.labels.len(), self.samples.len()));
    }

    /// Each series' label pairs and samples, in the order they came.
    pub fn series(&self) -> impl Iterator<Item = (&[(&'a str, &'a str)], &[Sample])> {
        let mut start = (0, 0);
        self.ends.iter().map(move |&end| {
            let labels = self.labels.get(start.0..end.0).unwrap_or_default();
            let samples = self.samples.get(start.1..end.1).unwrap_or_default();
            start = end;
            (labels, samples)
        })
    }

    pub fn n_series(&self) -> usize {
        self.ends.len()
    }

    pub fn n_samples(&self) -> usize {
        self.samples.len()
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
