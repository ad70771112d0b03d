//! Remote-write as the API sees it: headers and bodies in, rows or texts out.

mod histograms;
mod known;

use std::borrow::Cow;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use prost::Message as _;
use skep_proto::{
    Labels, MetricKind, Sample, SeriesKey, TimestampMs,
    remote_write::{
        CONTENT_TYPE_V2, Label, Metadata, SeriesBatch, TimeSeries, TimeSeriesV2, WireSample,
        WriteRequest, WriteRequestV2, encode_v1, encode_v2,
    },
    snappy,
};

use super::*;

const V1: Format = Format { version: Version::V1, encoding: Encoding::Snappy };
const V2: Format = Format { version: Version::V2, encoding: Encoding::Snappy };

fn small() -> Limits {
    Limits {
        body_bytes_max: 1 << 16,
        plain_bytes_max: 1 << 16,
        series_max: 100,
        values_max: 200,
        labels_max: 5,
        label_name_bytes_max: 20,
        label_value_bytes_max: 30,
        ..Limits::default()
    }
}

/// Rows, metadata and refusals as text.
fn render(decoded: &Decoded<'_>) -> String {
    let mut out = String::new();
    for row in decoded.rows.series() {
        out += &labels_text(row.labels());
        for Sample { ts, value } in row.samples() {
            out += &format!(" {value}@{}", ts.0);
        }
        out += "\n";
    }
    for it in &decoded.rows.metadata {
        out += &format!("# {} {} {:?} {:?}\n", it.metric, it.kind.as_str(), it.help, it.unit);
    }
    let Decoded { refused, histograms, exemplars, .. } = decoded;
    for row in &histograms.series {
        if let SeriesKey::Labels(labels, _) = row.key() {
            out += &labels_text(labels);
        }
        for it in &row.items {
            out += &format!(" {:?}@{}", it.histogram, it.ts.0);
        }
        out += "\n";
    }
    for row in &exemplars.series {
        for it in &row.items {
            out += &format!("exemplar {} {}@{}\n", it.labels, it.value, it.ts.0);
        }
    }
    if !refused.is_empty() {
        out += &format!("refused {} series, {} samples:\n", refused.n_series, refused.n_values);
        out += &format!("{refused}\n");
    }
    out
}

fn check(format: Format, body: &[u8], expected: &Expect) {
    let limits = small();
    let text = match decompress(format, body, &limits) {
        Ok(plain) => match decode(format, &plain, &limits) {
            Ok(decoded) => render(&decoded),
            Err(error) => format!("{error}\n"),
        },
        Err(error) => format!("{error}\n"),
    };
    expected.assert_eq(&text);
}

fn series(labels: &[(&str, &str)]) -> TimeSeries {
    TimeSeries {
        labels: labels
            .iter()
            .map(|(name, value)| Label { name: (*name).to_owned(), value: (*value).to_owned() })
            .collect(),
        samples: vec![WireSample { value: 1.5, timestamp: 1000 }],
    }
}

fn v1(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    snappy::compress(&WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec())
}

fn batch() -> Vec<SeriesBatch> {
    let series = |pairs: &[(&str, &str)], kind, help: &'static str| SeriesBatch {
        labels: Labels::from_pairs(pairs.iter().copied()).unwrap(),
        samples: vec![
            Sample { ts: TimestampMs(-1), value: f64::INFINITY },
            Sample { ts: TimestampMs(15_000), value: 4.25 },
        ],
        kind,
        help: Cow::Borrowed(help),
    };
    vec![
        series(&[("__name__", "up"), ("job", "a")], MetricKind::Gauge, "Up."),
        series(&[("__name__", "wait_bucket"), ("le", "1")], MetricKind::Histogram, "Wait."),
        series(&[("__name__", "wait_bucket"), ("le", "+Inf")], MetricKind::Histogram, "Wait."),
        series(&[("__name__", "plain")], MetricKind::Unknown, ""),
        series(&[("__name__", "s_sum")], MetricKind::Summary, "S."),
    ]
}

#[test]
fn both_versions_arrive_as_they_were_sent() {
    check(
        V1,
        &encode_v1(&batch()),
        &expect![[r#"
            {__name__="up", job="a"} inf@-1 4.25@15000
            {__name__="wait_bucket", le="1"} inf@-1 4.25@15000
            {__name__="wait_bucket", le="+Inf"} inf@-1 4.25@15000
            {__name__="plain"} inf@-1 4.25@15000
            {__name__="s_sum"} inf@-1 4.25@15000
            # s summary "S." ""
            # up gauge "Up." ""
            # wait histogram "Wait." ""
        "#]],
    );
    check(
        V2,
        &encode_v2(&batch()),
        &expect![[r#"
            {__name__="up", job="a"} inf@-1 4.25@15000
            {__name__="wait_bucket", le="1"} inf@-1 4.25@15000
            {__name__="wait_bucket", le="+Inf"} inf@-1 4.25@15000
            {__name__="plain"} inf@-1 4.25@15000
            {__name__="s_sum"} inf@-1 4.25@15000
            # up gauge "Up." ""
            # wait histogram "Wait." ""
            # s summary "S." ""
        "#]],
    );
}

#[test]
fn zstd_bodies_are_read_too() {
    let plain = snappy::decompress(&encode_v2(&batch()), 1 << 20).unwrap();
    let body = zstd::stream::encode_all(plain.as_slice(), 3).unwrap();
    let format = Format { encoding: Encoding::Zstd, ..V2 };
    let limits = Limits::default();
    let unpacked = decompress(format, &body, &limits).unwrap();
    assert_eq!(decode(format, &unpacked, &limits).unwrap().rows.n_series(), 5);
}

#[test]
fn labels_are_sorted_and_empty_values_dropped() {
    check(
        V1,
        &v1(vec![series(&[("z", "1"), ("gone", ""), ("__name__", "up"), ("a", "2")])]),
        &expect![[r#"
            {__name__="up", a="2", z="1"} 1.5@1000
        "#]],
    );
}

#[test]
fn bad_series_are_left_out_and_the_others_kept() {
    let long = "x".repeat(31);
    let mut no_utf8 = WriteRequest {
        timeseries: vec![series(&[("__name__", "up"), ("bad", "@@@@")])],
        metadata: Vec::new(),
    }
    .encode_to_vec();
    let at = no_utf8.windows(4).position(|it| it == b"@@@@").unwrap();
    no_utf8[at] = 0xff;
    let rest = WriteRequest {
        timeseries: vec![
            series(&[("job", "a")]),
            series(&[("__name__", ""), ("job", "a")]),
            series(&[("__name__", "up"), ("", "a")]),
            series(&[("__name__", "up"), ("a", "1"), ("a", "2")]),
            series(&[
                ("__name__", "up"),
                ("a", "1"),
                ("b", "1"),
                ("c", "1"),
                ("d", "1"),
                ("e", "1"),
            ]),
            series(&[("__name__", "up"), (&long, "1")]),
            series(&[("__name__", "up"), ("a", &long)]),
            series(&[("__name__", "fine"), ("ä b", "\"")]),
        ],
        metadata: vec![Metadata { kind: 1, ..Metadata::default() }],
    };
    no_utf8.extend_from_slice(&rest.encode_to_vec());
    check(
        V1,
        &snappy::compress(&no_utf8),
        &expect![[r#"
            {__name__="fine", "ä b"="\""} 1.5@1000
            refused 8 series, 8 samples:
            invalid metric name or labels, got {__name__="up"}
            invalid metric name or labels, got {job="a"} (2 times)
            invalid metric name or labels, got {""="a", __name__="up"}
            invalid labels for series, labels {__name__="up", a="1", a="2"}, duplicated label a
            series has more than 5 labels, labels {__name__="up", a="1", b="1", c="1", d="1"}
            label name is longer than 20 bytes, labels {__name__="up", xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx="1"}
            value of label a is longer than 30 bytes, labels {__name__="up", a="xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}
        "#]],
    );
}

#[test]
fn references_outside_the_symbols_are_told() {
    let request = |labels_refs: Vec<u32>| {
        let timeseries = vec![TimeSeriesV2 {
            labels_refs,
            samples: vec![WireSample { value: 1.0, timestamp: 1 }],
            metadata: None,
        }];
        let symbols = ["", "__name__", "up"].map(str::to_owned).to_vec();
        snappy::compress(&WriteRequestV2 { symbols, timeseries }.encode_to_vec())
    };
    check(
        V2,
        &request(vec![1, 2]),
        &expect![[r#"
        {__name__="up"} 1@1
    "#]],
    );
    check(
        V2,
        &request(vec![1, 7]),
        &expect![[r#"
        refused 1 series, 1 samples:
        labelRefs 7 outside of symbols table (size 3)
    "#]],
    );
    check(
        V2,
        &request(vec![1]),
        &expect![[r#"
        refused 1 series, 1 samples:
        invalid labelRefs: 1 is an odd number of references
    "#]],
    );
    check(
        V2,
        &request(vec![]),
        &expect![[r#"
        refused 1 series, 1 samples:
        invalid metric name or labels, got {}
    "#]],
    );
}

#[test]
fn requests_over_a_limit_are_refused_whole() {
    let many = |n| v1(vec![series(&[("__name__", "up")]); n]);
    check(
        V1,
        &many(101),
        &expect![[r#"
        request has more than 100 series; send smaller batches
    "#]],
    );
    let samples = vec![WireSample { value: 1.0, timestamp: 1 }; 201];
    let series = TimeSeries { samples, ..series(&[("__name__", "up")]) };
    check(
        V1,
        &v1(vec![series]),
        &expect![[r#"
        request has more than 200 samples or entries; send smaller batches
    "#]],
    );
    check(
        V1,
        &vec![0; (1 << 16) + 1],
        &expect![[r#"
        request body too large: 65537 bytes, limit: 65536 bytes
    "#]],
    );
    check(
        V1,
        &snappy::compress(&vec![0; 1 << 17]),
        &expect![[r#"
        request body too large: it unpacks to more than the limit of 65536 bytes
    "#]],
    );
    let bomb = zstd::stream::encode_all(vec![0; 1 << 17].as_slice(), 3).unwrap();
    check(
        Format { encoding: Encoding::Zstd, ..V1 },
        &bomb,
        &expect![[r#"
            request body too large: it unpacks to more than the limit of 65536 bytes
        "#]],
    );
}

#[test]
fn damaged_bodies_are_named() {
    check(
        V1,
        b"",
        &expect![[r#"
        snappy: corrupt input
    "#]],
    );
    check(
        V1,
        b"nonsense",
        &expect![[r#"
        snappy: corrupt input
    "#]],
    );
    check(
        Format { encoding: Encoding::Zstd, ..V1 },
        b"nonsense",
        &expect![[r#"
        zstd: corrupt input
    "#]],
    );
    check(
        V1,
        &snappy::compress(&[0x0a, 9, 1]),
        &expect![[r#"
            unexpected EOF
        "#]],
    );
    check(
        V1,
        &snappy::compress(&[0x08, 9]),
        &expect![[r#"
        proto: wrong wire type for field 1
    "#]],
    );
}

#[test]
fn headers_choose_the_format() {
    fn check(content_type: Option<&str>, encoding: Option<&str>, expected: &Expect) {
        expected.assert_eq(&match negotiate(content_type, encoding) {
            Ok(Format { version, encoding }) => format!("{version:?} {encoding:?}"),
            Err(error) => error.to_string(),
        });
    }
    check(None, None, &expect!["V1 Snappy"]);
    check(Some("application/x-protobuf"), Some("snappy"), &expect!["V1 Snappy"]);
    check(
        Some("application/x-protobuf;proto=prometheus.WriteRequest"),
        None,
        &expect!["V1 Snappy"],
    );
    check(Some(CONTENT_TYPE_V2), Some("Snappy"), &expect!["V2 Snappy"]);
    check(Some(CONTENT_TYPE_V2), Some("zstd"), &expect!["V2 Zstd"]);
    check(
        Some("application/x-protobuf; x=y; proto=io.prometheus.write.v2.Request"),
        None,
        &expect!["V2 Snappy"],
    );
    check(
        Some("application/json"),
        None,
        &expect![
            "expected application/x-protobuf as the first (media) part, got application/json content-type"
        ],
    );
    check(
        Some("application/x-protobuf;proto=other"),
        None,
        &expect![
            "got application/x-protobuf;proto=other content type; unknown type for remote write protobuf message other, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"
        ],
    );
    check(
        Some("application/x-protobuf;proto"),
        None,
        &expect![
            "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got proto in application/x-protobuf;proto content-type"
        ],
    );
    check(
        Some("application/x-protobuf"),
        Some("gzip"),
        &expect![
            "gzip encoding (compression) is not accepted by this server; only snappy or zstd is acceptable"
        ],
    );
}

fn label_text() -> impl Strategy<Value = String> {
    "[a-zä_]{1,6}"
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        batch in prop::collection::vec(
            (
                prop::collection::btree_map(label_text(), label_text(), 0..4),
                prop::collection::vec((any::<i64>(), any::<u64>()), 1..4),
            ),
            0..8,
        )
    ) {
        let batch: Vec<SeriesBatch> = batch
            .into_iter()
            .map(|(labels, samples)| SeriesBatch {
                labels: Labels::from_pairs(
                    labels.into_iter().chain([("__name__".to_owned(), "m".to_owned())]),
                )
                .unwrap(),
                samples: samples
                    .into_iter()
                    .map(|(ts, bits)| Sample { ts: TimestampMs(ts), value: f64::from_bits(bits) })
                    .collect(),
                kind: MetricKind::Gauge,
                help: Cow::Borrowed("h"),
            })
            .collect();
        for (format, body) in [(V1, encode_v1(&batch)), (V2, encode_v2(&batch))] {
            let limits = Limits::default();
            let plain = decompress(format, &body, &limits).unwrap();
            let decoded = decode(format, &plain, &limits).unwrap();
            prop_assert!(decoded.refused.is_empty());
            prop_assert_eq!(decoded.rows.n_series(), batch.len());
            for (row, sent) in decoded.rows.series().zip(&batch) {
                prop_assert_eq!(row.labels(), sent.labels.iter().collect::<Vec<_>>());
                let (ts, bits): (Vec<_>, Vec<_>) =
                    sent.samples.iter().map(|it| (it.ts.0, it.value.to_bits())).unzip();
                prop_assert_eq!((row.ts, row.bits), (ts.as_slice(), bits.as_slice()));
            }
        }
    }

    #[test]
    fn damage_never_panics_and_rows_stay_within_the_limits(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let limits = small();
        for (format, body) in [(V1, encode_v1(&batch())), (V2, encode_v2(&batch()))] {
            let mut plain = snappy::decompress(&body, 1 << 20).unwrap();
            for (at, byte) in &flips {
                let at = at.index(plain.len());
                plain[at] = *byte;
            }
            let end = cut.index(plain.len() + 1);
            for plain in [&plain[..], &plain[..end]] {
                if let Ok(decoded) = decode(format, plain, &limits) {
                    prop_assert!(decoded.rows.n_series() <= limits.series_max);
                    for row in decoded.rows.series() {
                        let labels = row.labels();
                        prop_assert!(labels.len() <= limits.labels_max);
                        prop_assert!(labels.is_sorted_by(|left, right| left.0 < right.0));
                        prop_assert!(labels.iter().all(|it| !it.0.is_empty() && !it.1.is_empty()));
                    }
                }
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let limits = small();
        for encoding in [Encoding::Snappy, Encoding::Zstd] {
            if let Ok(plain) = decompress(Format { encoding, ..V1 }, &body, &limits) {
                prop_assert!(plain.len() <= limits.plain_bytes_max);
            }
        }
        prop_assert!(decode(V1, &body, &limits).map_or(true, |it| it.rows.n_series() <= 100));
        prop_assert!(decode(V2, &body, &limits).map_or(true, |it| it.rows.n_series() <= 100));
    }
}
