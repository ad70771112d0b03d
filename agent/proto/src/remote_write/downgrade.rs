//! A 2.0 request said again in 1.0, for a server that does not speak the newer one.

use std::collections::BTreeMap;

use prost::Message as _;

use super::{Label, Metadata, TimeSeries, WriteRequest, WriteRequestV2, family_name, wire_kind_v1};
use crate::{
    MetricKind,
    names::METRIC_NAME,
    snappy::{self, SnappyError},
};

#[derive(Debug, thiserror::Error)]
pub enum DowngradeError {
    #[error(transparent)]
    Snappy(#[from] SnappyError),
    #[error("request is no remote-write 2.0 protobuf")]
    Protobuf(#[source] prost::DecodeError),
    #[error("request refers to symbol {symbol_ref}, it has {n_symbols}")]
    Symbol { symbol_ref: u32, n_symbols: usize },
    #[error("a series has an odd number of label references: {0}")]
    OddLabels(usize),
}

/// Takes a whole 2.0 request body (snappy and protobuf) and returns a whole 1.0 one with the same
/// samples in the same order.
///
/// # Errors
/// A body that is no 2.0 request, or one that unpacks to more than `size_bytes_max`.
pub fn v2_to_v1(body: &[u8], size_bytes_max: usize) -> Result<Vec<u8>, DowngradeError> {
    let plain = snappy::decompress(body, size_bytes_max)?;
    let request = WriteRequestV2::decode(plain.as_slice()).map_err(DowngradeError::Protobuf)?;
    let symbols = &request.symbols;
    let mut families: BTreeMap<String, Metadata> = BTreeMap::new();
    let mut timeseries = Vec::with_capacity(request.timeseries.len());
    for series in request.timeseries {
        if !series.labels_refs.len().is_multiple_of(2) {
            return Err(DowngradeError::OddLabels(series.labels_refs.len()));
        }
        let mut labels = Vec::with_capacity(series.labels_refs.len() / 2);
        for pair in series.labels_refs.array_windows::<2>().step_by(2) {
            let [name, value] = pair.map(|symbol_ref| symbol(symbols, symbol_ref));
            labels.push(Label { name: name?.to_owned(), value: value?.to_owned() });
        }
        let metadata = series.metadata.unwrap_or_default();
        let kind = kind_of_v2(metadata.kind);
        let name = labels.iter().find(|it| it.name == METRIC_NAME);
        if let (Some(name), true) = (name, kind != MetricKind::Unknown) {
            let family = family_name(&name.value, kind).to_owned();
            let help = symbol(symbols, metadata.help_ref)?.to_owned();
            let unit = symbol(symbols, metadata.unit_ref)?.to_owned();
            families.entry(family.clone()).or_insert(Metadata {
                kind: wire_kind_v1(kind),
                metric_family_name: family,
                help,
                unit,
            });
        }
        timeseries.push(TimeSeries { labels, samples: series.samples });
    }
    let metadata = families.into_values().collect();
    Ok(snappy::compress(&WriteRequest { timeseries, metadata }.encode_to_vec()))
}

fn symbol(symbols: &[String], symbol_ref: u32) -> Result<&str, DowngradeError> {
    usize::try_from(symbol_ref)
        .ok()
        .and_then(|idx| symbols.get(idx))
        .map(String::as_str)
        .ok_or(DowngradeError::Symbol { symbol_ref, n_symbols: symbols.len() })
}

/// The reverse of [`super::wire_kind_v2`]; numbers of a later version are unknown kinds.
fn kind_of_v2(number: i32) -> MetricKind {
    match number {
        1 => MetricKind::Counter,
        2 => MetricKind::Gauge,
        3 => MetricKind::Histogram,
        4 => MetricKind::Summary,
        5 => MetricKind::GaugeHistogram,
        6 => MetricKind::Info,
        7 => MetricKind::StateSet,
        _ => MetricKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::{
        Labels, Sample, TimestampMs,
        remote_write::{SeriesBatch, TimeSeriesV2, encode_v1, encode_v2, wire_kind_v2},
    };

    #[test]
    fn is_what_would_have_been_encoded_as_version_1() {
        let series = |name: &str, le: &str, kind, value| SeriesBatch {
            labels: Labels::from_pairs([(METRIC_NAME, name), ("le", le), ("host", "é")]).unwrap(),
            samples: vec![
                Sample { ts: TimestampMs(15_000), value },
                Sample { ts: TimestampMs(-1), value: -0.0 },
            ],
            kind,
            help: Cow::Borrowed("Says what it is."),
        };
        let batch = [
            series("wait_seconds_bucket", "0.1", MetricKind::Histogram, 4.0),
            series("wait_seconds_bucket", "+Inf", MetricKind::Histogram, f64::INFINITY),
            series("wait_seconds_sum", "", MetricKind::Histogram, 1e-9),
            series("up", "", MetricKind::Gauge, 1.0),
            series("odd", "", MetricKind::Unknown, 1.0),
        ];
        assert_eq!(v2_to_v1(&encode_v2(&batch), 1 << 20).unwrap(), encode_v1(&batch));
    }

    #[test]
    fn every_kind_comes_back_from_its_number() {
        for kind in [
            MetricKind::Unknown,
            MetricKind::Counter,
            MetricKind::Gauge,
            MetricKind::Histogram,
            MetricKind::GaugeHistogram,
            MetricKind::Summary,
            MetricKind::Info,
            MetricKind::StateSet,
        ] {
            assert_eq!(kind_of_v2(wire_kind_v2(kind)), kind);
        }
    }

    #[track_caller]
    fn check_refused(labels_refs: Vec<u32>, message: &str) {
        let timeseries = vec![TimeSeriesV2 { labels_refs, samples: Vec::new(), metadata: None }];
        let request = WriteRequestV2 { symbols: vec![String::new()], timeseries };
        let body = snappy::compress(&request.encode_to_vec());
        assert_eq!(v2_to_v1(&body, 1 << 20).unwrap_err().to_string(), message);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        check_refused(vec![0, 7], "request refers to symbol 7, it has 1");
        check_refused(vec![0], "a series has an odd number of label references: 1");
        assert!(v2_to_v1(b"\xff\xff", 1 << 20).is_err());
        assert!(v2_to_v1(&snappy::compress(b"\xff"), 1 << 20).is_err());
    }
}
