//! Loki push as the API sees it: headers and bodies in, rows or texts out.

mod whole;

use std::{io::Write as _, time::Duration};

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
        label_name_bytes_max: 12,
        label_value_bytes_max: 15,
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
        out += &format!("{}\n", refused.grouped());
    }
    out
}

fn pairs_text(pairs: &[labels::Pair<'_>]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

const NOW: TimestampNs = TimestampNs(1_717_372_800_000_000_000);

/// Without what is derived from the entries.
fn check(format: Format, body: &[u8], expected: &Expect) {
    let plain = Rules { label_names: LabelNames::Identifiers, ..Rules::verbatim() };
    check_with(&plain, format, body, expected);
}

fn check_with(rules: &Rules, format: Format, body: &[u8], expected: &Expect) {
    let limits = small();
    let terms = Terms { limits: &limits, rules, now: NOW };
    let text = match decompress(format, body, &limits) {
        Ok(plain) => match decode(format, &plain, &terms) {
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
                EOF
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
            stream("{}", one()),
            stream("{}", vec![]),
            stream(r#"{a="1", a="2"}"#, one()),
            stream(r#"{a="1234567890123456"}"#, one()),
            stream(r#"{a="fine"}"#, one()),
        ]),
        &expect![[r#"
            {a="fine"}
              1000000005 "x" {}
            refused 3 streams, 3 entries:
            1 errors like: error at least one label pair is required per stream; 1 errors like: stream '{a="1", a="2"}' has duplicate label name: 'a'; 1 errors like: stream '{a="1234567890123456"}' has label value too long: '1234567890123456'
        "#]],
    );
    check(
        PROTOBUF,
        &push(vec![
            stream(r#"{a="1", b="1", c="1", d="1"}"#, one()),
            stream(r#"{a_name_too_long="1"}"#, one()),
            stream(r#"{""="1"}"#, one()),
        ]),
        &expect![[r#"
            refused 3 streams, 3 entries:
            1 errors like: entry for stream '{a="1", b="1", c="1", d="1"}' has 4 label names; limit 3; 1 errors like: stream '{a_name_too_long="1"}' has label name too long: 'a_name_too_long'; 1 errors like: stream '{="1"}' has an empty label name
        "#]],
    );
}

#[test]
fn what_is_not_there_is_empty() {
    check(
        JSON,
        br#"{"Streams": [
            {"stream": {"a": "b"}, "values": [["1"], ["2", "x", {}]]},
            {"stream": {"c": "d"}, "values": null},
            {"stream": {"e": "f"}}
        ]}"#,
        &expect![[r#"
            {a="b"}
              1 "" {}
              2 "x" {}
        "#]],
    );
    check(
        JSON,
        b"{}",
        &expect![[r#"
        error at least one valid stream is required for ingestion
    "#]],
    );
    check(
        JSON,
        br#"{"streams": null}"#,
        &expect![[r#"
        error at least one valid stream is required for ingestion
    "#]],
    );
}

#[test]
fn labels_that_cannot_be_read_refuse_the_request() {
    let fine = || stream("{a=\"b\"}", vec![entry("x", &[])]);
    check(
        PROTOBUF,
        &push(vec![fine(), stream("{a=", vec![])]),
        &expect![[r#"
        couldn't parse labels: 1:4: parse error: unexpected end of input inside braces
    "#]],
    );
    for (labels, expected) in [
        (
            r#"{"a-b": "c"}"#,
            &expect![[r#"
            couldn't parse labels: 1:3: parse error: unexpected character inside braces: '-'
        "#]],
        ),
        (
            r#"{"a\", b": "c"}"#,
            &expect![[r#"
            couldn't parse labels: 1:3: parse error: unexpected string "\", b=\"" in label set, expected "="
        "#]],
        ),
        (
            r#"{"1": "c"}"#,
            &expect![[r#"
            couldn't parse labels: 1:2: parse error: unexpected character inside braces: '1'
        "#]],
        ),
    ] {
        let body = format!(r#"{{"streams":[{{"stream":{labels},"values":[["1","x"]]}}]}}"#);
        check(JSON, body.as_bytes(), expected);
    }
    check(
        JSON,
        br#"{"streams":[{"values":[["1","x"]]}]}"#,
        &expect![[r#"
        couldn't parse labels: 1:1: parse error: unexpected end of input
    "#]],
    );
    let mut body = PushRequest { streams: vec![stream("{a=\"@\"}", vec![])] }.encode_to_vec();
    body.iter_mut().filter(|it| **it == b'@').for_each(|it| *it = 0xff);
    check(
        PROTOBUF,
        &snappy::compress(&body),
        &expect![[r#"
        couldn't parse labels: they are not valid UTF-8
    "#]],
    );
}

#[test]
fn equal_faults_are_told_once_with_their_number() {
    let long = || entry("a line of 22 characters", &[]);
    check(
        PROTOBUF,
        &push(vec![stream("{a=\"b\"}", vec![long(), long()]), stream("{}", vec![long()])]),
        &expect![[r#"
            refused 1 streams, 3 entries:
            2 errors like: max entry size '20' bytes exceeded for stream '{a="b"}' while adding an entry with length '23' bytes; 1 errors like: error at least one label pair is required per stream
        "#]],
    );
}

#[test]
fn levels_and_services_are_discovered() {
    let mut leveled = entry("x", &[("detected_level", "WARNING")]);
    leveled.structured_metadata.push(pair("trace.id", "a\u{fffd}b"));
    check_with(
        &Rules::default(),
        PROTOBUF,
        &push(vec![
            stream(
                "{job=\"j\", app=\"a\"}",
                vec![entry("lvl=dbg", &[]), entry("an error", &[("z", "1")]), leveled],
            ),
            stream("{host=\"h\", level=\"CRIT\"}", vec![entry("lvl=dbg", &[])]),
            stream("{service_name=\"s\", app=\"a\"}", vec![entry("", &[("level", "")])]),
            stream("{}", vec![entry("x", &[])]),
        ]),
        &expect![[r#"
            {app="a", job="j", service_name="a"}
              1000000005 "lvl=dbg" {detected_level="debug"}
              1000000005 "an error" {detected_level="error", z="1"}
            {host="h", level="CRIT", service_name="unknown_service"}
              1000000005 "lvl=dbg" {detected_level="CRIT"}
            {app="a", service_name="s"}
              1000000005 "" {level=""}
            {service_name="unknown_service"}
              1000000005 "x" {detected_level="unknown"}
            refused 0 streams, 1 entries:
            stream '{app="a", job="j", service_name="a"}' has structured metadata too large: '34' bytes, limit: '30' bytes. Please see `limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it.
        "#]],
    );
}

#[test]
fn rules_cut_lines_refuse_metadata_and_tell_equal_times_apart() {
    let rules = Rules {
        truncate: Some("…".to_owned()),
        increment_duplicate_timestamp: true,
        allow_structured_metadata: false,
        ..Rules::verbatim()
    };
    let long = "a line of ä ä ä ä ä ä characters";
    check_with(
        &rules,
        PROTOBUF,
        &push(vec![stream(
            "{a=\"b\"}",
            vec![entry(long, &[]), entry("2", &[]), entry("3", &[("k", "v")]), entry("4", &[])],
        )]),
        &expect![[r#"
            {a="b"}
              1000000005 "a line of ä ä …" {}
              1000000006 "2" {}
              1000000007 "4" {}
            refused 0 streams, 1 entries:
            stream '{a="b"}' includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it.
        "#]],
    );
}

#[test]
fn entries_are_refused_for_their_age() {
    let rules = Rules {
        age_max: Some(Duration::from_secs(60)),
        ahead_max: Some(Duration::from_secs(10)),
        ..Rules::verbatim()
    };
    let at = |seconds: i64| {
        let mut entry = entry("x", &[]);
        let seconds = NOW.0 / 1_000_000_000 + seconds;
        entry.timestamp = Some(Timestamp { seconds, nanos: 0 });
        entry
    };
    check_with(
        &rules,
        PROTOBUF,
        &push(vec![stream("{a=\"b\"}", vec![at(-61), at(-60), at(10), at(11)])]),
        &expect![[r#"
            {a="b"}
              1717372740000000000 "x" {}
              1717372810000000000 "x" {}
            refused 0 streams, 2 entries:
            1 errors like: entry for stream '{a="b"}' has timestamp too old: 2024-06-02T23:58:59Z, oldest acceptable timestamp is: 2024-06-02T23:59:00Z; 1 errors like: entry for stream '{a="b"}' has timestamp too new: 2024-06-03T00:00:11Z
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
            1 errors like: max entry size '20' bytes exceeded for stream '{a="b"}' while adding an entry with length '23' bytes; 1 errors like: stream '{a="b"}' has too many structured metadata labels: '4', limit: '3'. Please see `limits_config.max_structured_metadata_entries_count` or contact your Loki administrator to increase it.; 1 errors like: stream '{a="b"}' has structured metadata too large: '32' bytes, limit: '30' bytes. Please see `limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it.; 1 errors like: entry for stream '{a="b"}' has a timestamp outside the years 1678 to 2262
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
