//! Native histograms of both versions: what they become, and what is wrong with others.

use super::*;

/// `Histogram` and the series around it, as far as senders of these tests use them.
#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(uint64, optional, tag = "1")]
    count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    count_float: Option<f64>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, tag = "6")]
    zero_count: u64,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<WireSpan>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<WireSpan>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    positive_counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    ts: i64,
    #[prost(double, repeated, tag = "16")]
    custom_values: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct WireSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SeriesV1 {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Wire>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestV1 {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<SeriesV1>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SeriesV2 {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Wire>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestV2 {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<SeriesV2>,
}

fn span(offset: i32, length: u32) -> WireSpan {
    WireSpan { offset, length }
}

/// 3 buckets with 1, 3 and 2 observations, and 1 about zero.
fn valid() -> Wire {
    Wire {
        count: Some(7),
        sum: 18.5,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1,
        positive_spans: vec![span(0, 2), span(1, 1)],
        positive_deltas: vec![1, 2, -1],
        ts: 1000,
        ..Wire::default()
    }
}

fn request_v1(histograms: Vec<Wire>) -> Vec<u8> {
    let labels = vec![Label { name: "__name__".to_owned(), value: "h".to_owned() }];
    let request = RequestV1 { timeseries: vec![SeriesV1 { labels, histograms }] };
    snappy::compress(&request.encode_to_vec())
}

#[track_caller]
fn check_one(histogram: Wire, expected: &Expect) {
    check(V1, &request_v1(vec![histogram]), expected);
}

#[test]
fn integer_deltas_become_absolute_counts() {
    check_one(
        valid(),
        &expect![[r#"
        {__name__="h"} NativeHistogram { reset_hint: Unknown, schema: 1, zero_threshold: 0.001, zero_count: 1.0, count: 7.0, sum: 18.5, positive_spans: [Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }], negative_spans: [], positive: [1.0, 3.0, 2.0], negative: [], custom_values: [] }@1000
    "#]],
    );
}

#[test]
fn both_versions_read_the_same() {
    let symbols = ["", "__name__", "h"].map(str::to_owned).to_vec();
    let timeseries = vec![SeriesV2 { labels_refs: vec![1, 2], histograms: vec![valid()] }];
    let v2 = snappy::compress(&RequestV2 { symbols, timeseries }.encode_to_vec());
    let text = |format, body: &[u8]| {
        let plain = decompress(format, body, &small()).unwrap();
        render(&decode(format, &plain, &small()).unwrap())
    };
    assert_eq!(text(V2, &v2), text(V1, &request_v1(vec![valid()])));
}

#[test]
fn custom_buckets_keep_their_bounds() {
    let histogram = Wire {
        count: None,
        count_float: Some(1.5),
        schema: -53,
        zero_threshold: 0.0,
        zero_count: 0,
        positive_spans: vec![span(1, 2)],
        positive_deltas: Vec::new(),
        positive_counts: vec![0.5, 1.0],
        custom_values: vec![1.0, 2.5],
        reset_hint: 3,
        ..valid()
    };
    check_one(
        histogram,
        &expect![[r#"
        {__name__="h"} NativeHistogram { reset_hint: Gauge, schema: -53, zero_threshold: 0.0, zero_count: 0.0, count: 1.5, sum: 18.5, positive_spans: [Span { offset: 1, length: 2 }], negative_spans: [], positive: [0.5, 1.0], negative: [], custom_values: [1.0, 2.5] }@1000
    "#]],
    );
}

#[test]
fn a_stale_marker_is_kept() {
    let stale = Wire { sum: skep_proto::stale_marker(), ts: 5, ..Wire::default() };
    let body = request_v1(vec![stale]);
    let plain = decompress(V1, &body, &small()).unwrap();
    let decoded = decode(V1, &plain, &small()).unwrap();
    assert!(decoded.histograms.series[0].items[0].histogram.is_stale());
}

#[test]
fn finer_schemas_are_made_as_coarse_as_the_finest_that_is_stored() {
    // Of 2^-9, buckets 1 to 4 are two of 2^-8.
    let histogram = Wire {
        schema: 9,
        positive_spans: vec![span(1, 3), span(0, 1), span(3, 1)],
        positive_deltas: vec![1, 0, 0, 0, 1],
        count: Some(7),
        ..valid()
    };
    check_one(
        histogram,
        &expect![[r#"
        {__name__="h"} NativeHistogram { reset_hint: Unknown, schema: 8, zero_threshold: 0.001, zero_count: 1.0, count: 7.0, sum: 18.5, positive_spans: [Span { offset: 1, length: 2 }, Span { offset: 1, length: 1 }], negative_spans: [], positive: [2.0, 2.0, 2.0], negative: [], custom_values: [] }@1000
    "#]],
    );
}

#[test]
fn a_histogram_with_too_many_buckets_loses_resolution() {
    let histogram = Wire {
        positive_spans: vec![span(-5, 12)],
        positive_deltas: std::iter::once(1).chain([0; 11]).collect(),
        count: Some(13),
        ..valid()
    };
    let limits = Limits { buckets_max: 4, ..small() };
    let body = request_v1(vec![histogram]);
    let plain = decompress(V1, &body, &limits).unwrap();
    expect![[r#"
        {__name__="h"} NativeHistogram { reset_hint: Unknown, schema: -1, zero_threshold: 0.001, zero_count: 1.0, count: 13.0, sum: 18.5, positive_spans: [Span { offset: -1, length: 4 }], negative_spans: [], positive: [2.0, 4.0, 4.0, 2.0], negative: [], custom_values: [] }@1000
    "#]].assert_eq(&render(&decode(V1, &plain, &limits).unwrap()));
}

#[test]
fn what_is_wrong_is_told_in_prometheus_words_and_the_others_are_kept() {
    let custom = Wire {
        schema: -53,
        zero_threshold: 0.0,
        zero_count: 0,
        count: Some(6),
        custom_values: vec![1.0, 2.0, 3.0],
        ..valid()
    };
    let wrong = [
        Wire { schema: 53, ..valid() },
        Wire { schema: -5, ..valid() },
        Wire { count: Some(8), ..valid() },
        Wire { count: Some(6), sum: f64::NAN, ..valid() },
        Wire { positive_spans: vec![span(0, 2)], ..valid() },
        Wire { positive_spans: vec![span(0, 2), span(-1, 1)], ..valid() },
        Wire { positive_deltas: vec![1, -2, 1], ..valid() },
        Wire { custom_values: vec![1.0], ..valid() },
        Wire { custom_values: vec![1.0, 1.0, 3.0], ..custom.clone() },
    ];
    let more = [
        Wire { custom_values: vec![1.0], ..custom.clone() },
        Wire { custom_values: vec![1.0, 2.0, f64::INFINITY], ..custom.clone() },
        Wire { custom_values: vec![1.0, f64::NAN, 2.0], ..custom.clone() },
        Wire { zero_count: 1, ..custom.clone() },
        Wire { negative_spans: vec![span(0, 0)], ..custom },
        Wire { count_float: Some(-1.0), count: None, ..Wire::default() },
        Wire { positive_spans: vec![span(i32::MAX, 3)], ..valid() },
    ];
    check(
        V1,
        &request_v1([&[valid()], &wrong[..]].concat()),
        &expect![[r#"
        {__name__="h"} NativeHistogram { reset_hint: Unknown, schema: 1, zero_threshold: 0.001, zero_count: 1.0, count: 7.0, sum: 18.5, positive_spans: [Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }], negative_spans: [], positive: [1.0, 3.0, 2.0], negative: [], custom_values: [] }@1000
        refused 0 series, 9 samples:
        histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema 53 for series {__name__="h"}
        histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema -5 for series {__name__="h"}
        7 observations found in buckets, but the Count field is 8: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN) for series {__name__="h"}
        7 observations found in buckets, but the Count field is 6: histogram's observation count should be at least the number of observations found in the buckets for series {__name__="h"}
        positive side: spans need 2 buckets, have 3 buckets: histogram spans specify different number of buckets than provided for series {__name__="h"}
        positive side: span number 2 with offset -1: histogram has a span whose offset is negative for series {__name__="h"}
        positive side: bucket number 2 has observation count of -1: histogram has a bucket whose observation count is negative for series {__name__="h"}
        histogram with exponential schema must not have custom bounds for series {__name__="h"}
        custom buckets: previous bound is 1.000000 and current is 1.000000: histogram custom bounds must be in strictly increasing order for series {__name__="h"}
    "#]],
    );
    check(
        V1,
        &request_v1(more.to_vec()),
        &expect![[r#"
        refused 0 series, 7 samples:
        custom buckets: only 1 custom bounds defined which is insufficient to cover total span length of 4: histogram custom bounds are too few for series {__name__="h"}
        custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite for series {__name__="h"}
        custom buckets: histogram custom bounds must not be NaN for series {__name__="h"}
        custom buckets: must have zero count of 0 for series {__name__="h"}
        custom buckets: must not have negative spans for series {__name__="h"}
        observation count is -1: histogram's observation count is negative for series {__name__="h"}
        positive side: histogram has a bucket whose index is beyond 32 bits for series {__name__="h"}
    "#]],
    );
}

#[test]
fn too_many_histograms_are_refused_whole() {
    check(
        V1,
        &request_v1(vec![valid(); 201]),
        &expect![[r#"
        request has more than 200 native histograms; send smaller batches
    "#]],
    );
}
