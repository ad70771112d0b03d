//! Loki push as the API sees it: headers and bodies in, rows or texts out.

use std::io::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use prost::Message as _;
use skep_proto::{
    Labels, LogEntry, TimestampNs,
    loki_push::{Entry, LabelPair, PushRequest, Stream, Timestamp, encode},
    snappy,
};

use super::*;

const PROTOBUF: Format = Format { message: Message::Protobuf, encoding: Encoding::Snappy };
const JSON: Format = Format { message: Message::Json, encoding: Encoding::Identity };

fn small() -> Limits {
    Limits {
        body_bytes_max: 1 << 16,
        plain_bytes_max: 1 << 16,
        series_max: 5,
        values_max: 10,
        pairs_max: 30,
        labels_max: 3,
        label_name_bytes_max: 8,
        label_value_bytes_max: 8,
        buckets_max: 10,
        line_bytes_max: 20,
        metadata_fields_max: 3,
        metadata_bytes_max: 30,
    }
}

fn render(decoded: &Decoded<'_>) -> String {
    let mut out = String::new();
    for (labels, entries) in &decoded.rows.streams {
        out += &format!("{}\n", pairs_text(labels));
        for entry in entries {
            out += &format!("  {} {:?} {}\n", entry.ts.0, entry.line, pairs_text(&entry.metadata));
        }
    }
    let refused = &decoded.refused;
    if !refused.is_empty() {
        out += &format!("refused {} streams, {} entries:\n", refused.n_series, refused.n_values);
        out += &format!("{refused}\n");
    }
    out
}

fn pairs_text(pairs: &[labels::Pair<'_>]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
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

fn pair(name: &str, value: &str) -> LabelPair {
    LabelPair { name: name.to_owned(), value: value.to_owned() }
}

fn entry(line: &str, metadata: &[(&str, &str)]) -> Entry {
    Entry {
        timestamp: Some(Timestamp { seconds: 1, nanos: 5 }),
        line: line.to_owned(),
        structured_metadata: metadata.iter().map(|(name, value)| pair(name, value)).collect(),
    }
}

fn stream(labels: &str, entries: Vec<Entry>) -> Stream {
    Stream { labels: labels.to_owned(), entries }
}

fn push(streams: Vec<Stream>) -> Vec<u8> {
    snappy::compress(&PushRequest { streams }.encode_to_vec())
}

#[test]
fn a_protobuf_push_arrives_with_sorted_labels_and_metadata() {
    check(
        PROTOBUF,
        &push(vec![
            stream(
                r#"{unit="x\"", host=`a`}"#,
                vec![
                    entry("one", &[("z", "1"), ("a", "2"), ("z", "3"), ("", "x")]),
                    entry("", &[]),
                ],
            ),
            stream("{host=\"b\"}", vec![]),
        ]),
        &expect![[r#"
            {host="a", unit="x\""}
              1000000005 "one" {a="2", z="3"}
              1000000005 "" {}
        "#]],
    );
}

#[test]
fn a_json_push_arrives_the_same() {
    check(
        JSON,
        r#"{"streams": [{"stream": {"unit": "x\"", "host": "a", "no": ""}, "values": [
            ["1000000005", "one\n", {"z": "1", "a": "ä"}],
            ["-1", "two"],
            ["2", "three", {}, "later"]
        ], "other": 1}]}"#
            .as_bytes(),
        &expect![[r#"
            {host="a", unit="x\""}
              1000000005 "one\n" {a="ä", z="1"}
              -1 "two" {}
              2 "three" {}
        "#]],
    );
}

#[test]
fn a_name_that_is_in_a_json_object_twice_has_the_last_value() {
    check(
        JSON,
        br#"{"streams": [{"stream": {"b": "1", "a": "1", "b": "2"}, "values": [["5", "x"]]}]}"#,
        &expect![[r#"
            {a="1", b="2"}
              5 "x" {}
        "#]],
    );
}

#[test]
fn bad_json_is_told_with_its_position() {
    for (body, expected) in [
        (
            "",
            &expect![[r#"
            json: EOF while parsing a value at line 1 column 0
        "#]],
        ),
        (
            "{",
            &expect![[r#"
            json: EOF while parsing an object at line 1 column 1
        "#]],
        ),
        (
            "[]",
            &expect![[r#"
                json: invalid type: sequence, expected an object with an array `streams` at line 1 column 0
            "#]],
        ),
        (
            r#"{"streams": []}"#,
            &expect![[r#"
            error at least one valid stream is required for ingestion
        "#]],
        ),
        (
            r#"{"streams": [{"values": []}]}"#,
            &expect![[r#"
            json: missing field `stream` at line 1 column 27
        "#]],
        ),
        (
            r#"{"streams": [{"stream": {"a": 1}, "values": []}]}"#,
            &expect![[r#"
            json: invalid type: integer `1`, expected a string at line 1 column 31
        "#]],
        ),
        (
            r#"{"streams": [{"stream": {"a": "b"}, "values": [["x", "line"]]}]}"#,
            &expect![[r#"
            json: strconv.ParseInt: parsing "x": invalid syntax at line 1 column 53
        "#]],
        ),
        (
            r#"{"streams": [{"stream": {"a": "b"}, "values": [["9223372036854775808", "line"]]}]}"#,
            &expect![[r#"
                json: strconv.ParseInt: parsing "9223372036854775808": value out of range at line 1 column 71
            "#]],
        ),
        (
            r#"{"streams": [{"stream": {"a": "b"}, "values": [[1, "line"]]}]}"#,
            &expect![[r#"
            json: invalid type: integer `1`, expected a string at line 1 column 49
        "#]],
        ),
        (
            r#"{"streams": [{"stream": {"a": "b"}, "values": [["1"]]}]}"#,
            &expect![[r#"
            json: invalid length 1, expected an array of timestamp, line and metadata at line 1 column 52
        "#]],
        ),
        (
            r#"{"streams": [{"stream": {"a": "b"}, "values": [["1", "x", {"k": 1}]]}]}"#,
            &expect![[r#"
                json: invalid type: integer `1`, expected a string at line 1 column 65
            "#]],
        ),
    ] {
        check(JSON, body.as_bytes(), expected);
    }
}

#[test]
fn bad_streams_are_left_out_and_the_others_kept() {
    let one = || vec![entry("x", &[])];
    check(
        PROTOBUF,
        &push(vec![
            stream("{a=b}", one()),
            stream("{}", one()),
            stream(r#"{a="1", a="2"}"#, one()),
            stream(r#"{a="123456789"}"#, one()),
            stream(r#"{a="fine"}"#, one()),
        ]),
        &expect![[r#"
            {a="fine"}
              1000000005 "x" {}
            refused 4 streams, 4 entries:
            error parsing labels '{a=b}' with error: 1:4: parse error: unexpected identifier "b" in label set, expected string
            error at least one label pair is required per stream
            stream '{a="1", a="2"}' has duplicate label name: 'a'
            stream '{a="123456789"}' has label value too long: '123456789'
        "#]],
    );
    check(
        PROTOBUF,
        &push(vec![
            stream(r#"{a="1", b="1", c="1", d="1"}"#, one()),
            stream(r#"{long_name="1"}"#, one()),
            stream(r#"{""="1"}"#, one()),
        ]),
        &expect![[r#"
            refused 3 streams, 3 entries:
            entry for stream '{a="1", b="1", c="1", d="1"}' has 4 label names; limit 3
            stream '{long_name="1"}' has label name too long: 'long_name'
            stream '{""="1"}' has an empty label name
        "#]],
    );
}

#[test]
fn bad_entries_are_left_out_and_the_others_kept() {
    let mut far = entry("far", &[]);
    far.timestamp = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
    let mut unstamped = entry("no time", &[]);
    unstamped.timestamp = None;
    check(
        PROTOBUF,
        &push(vec![stream(
            r#"{a="b"}"#,
            vec![
                entry("a line of 22 characters", &[]),
                entry("many", &[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")]),
                entry("large", &[("a", "0123456789012345678901234567890")]),
                far,
                unstamped,
                entry("fine", &[]),
            ],
        )]),
        &expect![[r#"
            {a="b"}
              0 "no time" {}
              1000000005 "fine" {}
            refused 0 streams, 4 entries:
            max entry size '20' bytes exceeded for stream '{a="b"}' while adding an entry with length '23' bytes
            stream '{a="b"}' has too many structured metadata labels: '4', limit: '3'
            stream '{a="b"}' has structured metadata too large: '32' bytes, limit: '30' bytes
            entry for stream '{a="b"}' has a timestamp outside the years 1678 to 2262
        "#]],
    );
}

#[test]
fn lines_that_are_not_utf8_are_kept_with_replacement_characters() {
    let mut request =
        PushRequest { streams: vec![stream("{a=\"b\"}", vec![entry("@@", &[])])] }.encode_to_vec();
    let at = request.windows(2).position(|it| it == b"@@").unwrap();
    request[at] = 0xff;
    check(
        PROTOBUF,
        &snappy::compress(&request),
        &expect![[r#"
        {a="b"}
          1000000005 "�@" {}
    "#]],
    );
    let mut json = br#"{"streams": [{"stream": {"a": "@"}, "values": [["5", "@@"]]}]}"#.to_vec();
    let places: Vec<usize> = (0..json.len()).filter(|it| json[*it] == b'@').collect();
    places.iter().take(2).for_each(|it| json[*it] = 0xff);
    check(
        JSON,
        &json,
        &expect![[r#"
        {a="�"}
          5 "�@" {}
    "#]],
    );
    let all_bad = vec![0xff; (1 << 15) + 1];
    check(
        JSON,
        &all_bad,
        &expect![[r#"
        request body too large: it unpacks to more than the limit of 65536 bytes
    "#]],
    );
}

#[test]
fn requests_over_a_limit_are_refused_whole() {
    let many = |n| push(vec![stream("{a=\"b\"}", vec![entry("x", &[])]); n]);
    check(
        PROTOBUF,
        &many(6),
        &expect![[r#"
        request has more than 5 series; send smaller batches
    "#]],
    );
    check(
        PROTOBUF,
        &push(vec![stream("{a=\"b\"}", vec![entry("x", &[]); 11])]),
        &expect![[r#"
        request has more than 10 samples or entries; send smaller batches
    "#]],
    );
    check(
        PROTOBUF,
        &vec![0; (1 << 16) + 1],
        &expect![[r#"
        request body too large: 65537 bytes, limit: 65536 bytes
    "#]],
    );
    check(
        PROTOBUF,
        &snappy::compress(&vec![0; 1 << 17]),
        &expect![[r#"
        request body too large: it unpacks to more than the limit of 65536 bytes
    "#]],
    );
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&vec![b' '; 1 << 17]).unwrap();
    let bomb = gzip.finish().unwrap();
    check(
        Format { encoding: Encoding::Gzip, ..JSON },
        &bomb,
        &expect![[r#"
        request body too large: it unpacks to more than the limit of 65536 bytes
    "#]],
    );
}

#[test]
fn damaged_bodies_are_named() {
    check(
        PROTOBUF,
        b"nonsense",
        &expect![[r#"
        snappy: corrupt input
    "#]],
    );
    check(
        Format { encoding: Encoding::Gzip, ..JSON },
        b"nonsense",
        &expect![[r#"
        gzip: corrupt input
    "#]],
    );
    check(
        PROTOBUF,
        &snappy::compress(&[0x0a, 9, 1]),
        &expect![[r#"
            unexpected EOF
        "#]],
    );
    check(
        PROTOBUF,
        &snappy::compress(b""),
        &expect![[r#"
        error at least one valid stream is required for ingestion
    "#]],
    );
}

#[test]
fn every_encoding_is_unpacked() {
    let json = br#"{"streams": [{"stream": {"a": "b"}, "values": [["1", "x"]]}]}"#;
    let gzip = |plain: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    for (encoding, body) in [
        (Encoding::Identity, json.to_vec()),
        (Encoding::Gzip, gzip(json)),
        (Encoding::Snappy, snappy::compress(json)),
        (Encoding::GzipSnappy, gzip(&snappy::compress(json))),
        (Encoding::Zstd, zstd::stream::encode_all(&json[..], 1).unwrap()),
    ] {
        let format = Format { encoding, ..JSON };
        assert_eq!(decompress(format, &body, &small()).unwrap(), json, "{encoding:?}");
    }
}

#[test]
fn headers_choose_the_format() {
    fn check(content_type: Option<&str>, encoding: Option<&str>, expected: &Expect) {
        expected.assert_eq(&match negotiate(content_type, encoding) {
            Ok(Format { message, encoding }) => format!("{message:?} {encoding:?}"),
            Err(error) => error.to_string(),
        });
    }
    check(None, None, &expect!["Protobuf Snappy"]);
    check(Some("application/x-protobuf"), Some("snappy"), &expect!["Protobuf Snappy"]);
    check(Some("application/x-protobuf"), Some("gzip"), &expect!["Protobuf GzipSnappy"]);
    check(Some("application/x-protobuf"), Some("identity"), &expect!["Protobuf Identity"]);
    check(Some("application/json; charset=utf-8"), None, &expect!["Json Identity"]);
    check(Some("application/json"), Some("gzip"), &expect!["Json Gzip"]);
    check(
        Some("application/json"),
        Some("br"),
        &expect!["Content-Encoding \"br\" not supported; send snappy, gzip, zstd or identity"],
    );
    check(
        Some("text/plain"),
        None,
        &expect![
            "expected application/x-protobuf or application/json as the first (media) part, got text/plain content-type"
        ],
    );
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        streams in prop::collection::vec(
            (
                prop::collection::btree_map("[a-z_]{1,6}", "\\PC{1,6}", 1..4),
                prop::collection::vec(
                    (any::<i64>(), ".{0,20}", prop::collection::btree_map("\\PC{1,6}", ".{0,6}", 0..4)),
                    1..4,
                ),
            ),
            1..4,
        )
    ) {
        let streams: Vec<(Labels, Vec<LogEntry>)> = streams
            .into_iter()
            .map(|(labels, entries)| {
                let entries = entries
                    .into_iter()
                    .map(|(ts, line, metadata)| LogEntry {
                        ts: TimestampNs(ts),
                        line,
                        metadata: metadata.into_iter().collect(),
                    })
                    .collect();
                (Labels::from_pairs(labels).unwrap(), entries)
            })
            .collect();
        let limits = Limits::default();
        let plain = decompress(PROTOBUF, &encode(&streams), &limits).unwrap();
        let decoded = decode(PROTOBUF, &plain, &limits).unwrap();
        prop_assert!(decoded.refused.is_empty(), "{}", decoded.refused);
        let rows = decoded.rows.streams;
        prop_assert_eq!(rows.len(), streams.len());
        for ((labels, entries), (sent_labels, sent)) in rows.iter().zip(&streams) {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
            prop_assert_eq!(labels, sent_labels.iter().collect::<Vec<_>>());
            let entries: Vec<LogEntry> = entries
                .iter()
                .map(|it| LogEntry {
                    ts: it.ts,
                    line: it.line.to_string(),
                    metadata: it
                        .metadata
                        .iter()
                        .map(|(name, value)| (name.to_string(), value.to_string()))
                        .collect(),
                })
                .collect();
            prop_assert_eq!(&entries, sent);
        }
    }

    #[test]
    fn damage_never_panics_and_rows_stay_within_the_limits(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let limits = small();
        let protobuf = PushRequest {
            streams: vec![
                stream(r#"{a="b\n", c="d"}"#, vec![entry("x", &[("k", "v")]), entry("y", &[])]),
                stream(r#"{a=`e`}"#, vec![entry("z", &[])]),
            ],
        };
        let json = br#"{"streams": [{"stream": {"a": "b"}, "values": [["1", "x", {"k": "v"}]]}]}"#;
        for (format, mut plain) in [(PROTOBUF, protobuf.encode_to_vec()), (JSON, json.to_vec())] {
            for (at, byte) in &flips {
                let at = at.index(plain.len());
                plain[at] = *byte;
            }
            let end = cut.index(plain.len() + 1);
            for plain in [&plain[..], &plain[..end]] {
                if let Ok(decoded) = decode(format, plain, &limits) {
                    for (labels, entries) in &decoded.rows.streams {
                        prop_assert!(!labels.is_empty() && labels.len() <= limits.labels_max);
                        prop_assert!(labels.is_sorted_by(|left, right| left.0 < right.0));
                        prop_assert!(entries.iter().all(|it| it.line.len() <= limits.line_bytes_max));
                    }
                }
            }
        }
    }

    #[test]
    fn random_label_texts_never_panic(text in "[{}\"'`\\\\a-b=, \\n0-9ä]{0,24}") {
        let pairs = labels::parse(&text, 3).unwrap_or_default();
        prop_assert!(pairs.len() <= 3);
    }
}

#[test]
fn a_push_with_more_fields_in_all_than_it_may_is_refused() {
    let fields: Vec<(&str, &str)> = vec![("a", "1"); 31];
    let fault = expect![[r"
        request has more than 30 labels and fields of structured metadata; send smaller batches
    "]];
    check(PROTOBUF, &push(vec![stream("{a=\"b\"}", vec![entry("x", &fields)])]), &fault);
    let fields = vec![r#""a":"1""#; 30].join(",");
    let json =
        format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":[["1","x",{{{fields}}}]]}}]}}"#);
    check(JSON, json.as_bytes(), &fault);
}
