//! Prometheus remote-write: the protobuf messages of 1.0 and 2.0 and how a batch is encoded.
//!
//! Specifications: <https://prometheus.io/docs/specs/prw/remote_write_spec/> and
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>. Native histograms and exemplars
//! are not part of these messages yet; receivers skip fields they do not know.

pub mod downgrade;

use std::{borrow::Cow, collections::HashMap};

use prost::Message as _;

use crate::{Labels, MetricKind, Sample, snappy};

/// `Content-Type` of a 1.0 request.
pub const CONTENT_TYPE_V1: &str = "application/x-protobuf";
/// `Content-Type` of a 2.0 request.
pub const CONTENT_TYPE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
pub const VERSION_V1: &str = "0.1.0";
pub const VERSION_V2: &str = "2.0.0";

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<Metadata>,
}

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<WireSample>,
}

/// `prometheus.Label`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Label {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `prometheus.Sample`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct WireSample {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// `prometheus.MetricMetadata`; `kind` as in [`wire_kind_v1`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Metadata {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(string, tag = "2")]
    pub metric_family_name: String,
    #[prost(string, tag = "4")]
    pub help: String,
    #[prost(string, tag = "5")]
    pub unit: String,
}

/// `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequestV2 {
    /// The first symbol is always the empty string.
    #[prost(string, repeated, tag = "4")]
    pub symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub timeseries: Vec<TimeSeriesV2>,
}

/// `io.prometheus.write.v2.TimeSeries`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeriesV2 {
    /// Indices into the symbols: name, value, name, value…
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<WireSample>,
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<MetadataV2>,
}

/// `io.prometheus.write.v2.Metadata`; `kind` as in [`wire_kind_v2`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct MetadataV2 {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(uint32, tag = "3")]
    pub help_ref: u32,
    #[prost(uint32, tag = "4")]
    pub unit_ref: u32,
}

/// One series to send.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesBatch {
    pub labels: Labels,
    pub samples: Vec<Sample>,
    pub kind: MetricKind,
    pub help: Cow<'static, str>,
}

/// The number of a metric type in 1.0's `MetricMetadata.MetricType`.
pub fn wire_kind_v1(kind: MetricKind) -> i32 {
    match kind {
        MetricKind::Unknown => 0,
        MetricKind::Counter => 1,
        MetricKind::Gauge => 2,
        MetricKind::Histogram => 3,
        MetricKind::GaugeHistogram => 4,
        MetricKind::Summary => 5,
        MetricKind::Info => 6,
        MetricKind::StateSet => 7,
    }
}

/// The number of a metric type in 2.0's `Metadata.MetricType`: summary and gauge histogram have
/// changed places.
pub fn wire_kind_v2(kind: MetricKind) -> i32 {
    match kind {
        MetricKind::Summary => 4,
        MetricKind::GaugeHistogram => 5,
        _ => wire_kind_v1(kind),
    }
}

/// A whole 1.0 request body: protobuf in a snappy block. Metadata goes along once per metric.
pub fn encode_v1(batch: &[SeriesBatch]) -> Vec<u8> {
    let timeseries = batch
        .iter()
        .map(|series| TimeSeries {
            labels: series
                .labels
                .iter()
                .map(|(name, value)| Label { name: name.to_owned(), value: value.to_owned() })
                .collect(),
            samples: wire_samples(&series.samples),
        })
        .collect();
    let mut families: HashMap<&str, &SeriesBatch> = HashMap::new();
    for series in batch.iter().filter(|it| it.kind != MetricKind::Unknown) {
        let family = family_name(series.labels.metric_name(), series.kind);
        families.entry(family).or_insert(series);
    }
    let mut metadata: Vec<Metadata> = families
        .into_iter()
        .map(|(family, series)| Metadata {
            kind: wire_kind_v1(series.kind),
            metric_family_name: family.to_owned(),
            help: series.help.to_string(),
            unit: String::new(),
        })
        .collect();
    metadata.sort_unstable_by(|left, right| left.metric_family_name.cmp(&right.metric_family_name));
    snappy::compress(&WriteRequest { timeseries, metadata }.encode_to_vec())
}

/// A whole 2.0 request body: protobuf with a symbol table, in a snappy block.
pub fn encode_v2(batch: &[SeriesBatch]) -> Vec<u8> {
    let mut symbols = Symbols::default();
    let timeseries = batch
        .iter()
        .map(|series| TimeSeriesV2 {
            labels_refs: series
                .labels
                .iter()
                .flat_map(|(name, value)| [name, value])
                .map(|it| symbols.intern(it))
                .collect(),
            samples: wire_samples(&series.samples),
            metadata: Some(MetadataV2 {
                kind: wire_kind_v2(series.kind),
                help_ref: symbols.intern(&series.help),
                unit_ref: 0,
            }),
        })
        .collect();
    let symbols = symbols.into_list();
    snappy::compress(&WriteRequestV2 { symbols, timeseries }.encode_to_vec())
}

fn wire_samples(samples: &[Sample]) -> Vec<WireSample> {
    samples.iter().map(|it| WireSample { value: it.value, timestamp: it.ts.0 }).collect()
}

/// The family a series belongs to, which is what metadata names: classic histograms and summaries
/// have suffixed series.
pub fn family_name(metric: &str, kind: MetricKind) -> &str {
    let suffixes: &[&str] = match kind {
        MetricKind::Histogram | MetricKind::GaugeHistogram => &["_bucket", "_sum", "_count"],
        MetricKind::Summary => &["_sum", "_count"],
        _ => &[],
    };
    suffixes.iter().find_map(|it| metric.strip_suffix(it)).unwrap_or(metric)
}

#[derive(Default)]
struct Symbols<'a> {
    refs: HashMap<&'a str, u32>,
    list: Vec<String>,
}

impl<'a> Symbols<'a> {
    fn intern(&mut self, text: &'a str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        *self.refs.entry(text).or_insert_with(|| {
            self.list.push(text.to_owned());
            u32::try_from(self.list.len()).expect("a batch has fewer symbols than bytes")
        })
    }

    fn into_list(mut self) -> Vec<String> {
        self.list.insert(0, String::new());
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TimestampMs;

    fn batch() -> Vec<SeriesBatch> {
        [("le", "0.1"), ("le", "+Inf")]
            .map(|pair| SeriesBatch {
                labels: Labels::from_pairs([("__name__", "wait_seconds_bucket"), pair]).unwrap(),
                samples: vec![Sample { ts: TimestampMs(15_000), value: 4.0 }],
                kind: MetricKind::Histogram,
                help: Cow::Borrowed("Wait."),
            })
            .to_vec()
    }

    #[test]
    fn version_1_names_the_family_once() {
        let plain = snappy::decompress(&encode_v1(&batch()), 1 << 20).unwrap();
        let request = WriteRequest::decode(plain.as_slice()).unwrap();
        assert_eq!(request.timeseries.len(), 2);
        assert_eq!(request.metadata.len(), 1);
        assert_eq!(request.metadata[0].metric_family_name, "wait_seconds");
        assert_eq!(request.metadata[0].kind, 3);
    }

    #[test]
    fn version_2_says_each_string_once() {
        let plain = snappy::decompress(&encode_v2(&batch()), 1 << 20).unwrap();
        let request = WriteRequestV2::decode(plain.as_slice()).unwrap();
        assert_eq!(
            request.symbols,
            ["", "__name__", "wait_seconds_bucket", "le", "0.1", "Wait.", "+Inf"]
        );
        assert_eq!(request.timeseries[1].labels_refs, [1, 2, 3, 6]);
    }
}
