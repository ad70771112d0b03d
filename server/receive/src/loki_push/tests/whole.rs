//! Pushes as a whole: limits, damage, encodings, headers.

use super::*;

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
    let deflate = |plain: &[u8]| {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    for (encoding, body) in [
        (Encoding::Identity, json.to_vec()),
        (Encoding::Gzip, gzip(json)),
        (Encoding::Snappy, snappy::compress(json)),
        (Encoding::GzipSnappy, gzip(&snappy::compress(json))),
        (Encoding::Deflate, deflate(json)),
        (Encoding::DeflateSnappy, deflate(&snappy::compress(json))),
        (Encoding::Zstd, zstd::stream::encode_all(&json[..], 1).unwrap()),
    ] {
        let format = Format { encoding, ..JSON };
        assert_eq!(decompress(format, &body, &small()).unwrap(), json, "{encoding:?}");
    }
}

#[test]
fn headers_choose_the_format() {
    #[track_caller]
    fn check(content_type: Option<&str>, encoding: Option<&str>, expected: &Expect) {
        expected.assert_eq(&match negotiate(content_type, encoding) {
            Ok(Format { message, encoding }) => format!("{message:?} {encoding:?}"),
            Err(error) => error.to_string(),
        });
    }
    check(None, None, &expect!["mime: no media type"]);
    check(Some("text/plain"), None, &expect!["Protobuf Snappy"]);
    check(Some("application/x-protobuf; proto=x"), None, &expect!["Protobuf Snappy"]);
    check(Some("application/x-protobuf"), Some("deflate"), &expect!["Protobuf DeflateSnappy"]);
    check(Some("Application/JSON"), Some("deflate"), &expect!["Json Deflate"]);
    check(Some("application/x-protobuf"), Some("snappy"), &expect!["Protobuf Snappy"]);
    check(Some("application/x-protobuf"), Some("gzip"), &expect!["Protobuf GzipSnappy"]);
    check(Some("application/x-protobuf"), Some("identity"), &expect!["Protobuf Identity"]);
    check(Some("application/json; charset=utf-8"), None, &expect!["Json Identity"]);
    check(Some("application/json"), Some("gzip"), &expect!["Json Gzip"]);
    check(
        Some("application/json"),
        Some("br"),
        &expect![[r#"Content-Encoding "br" not supported"#]],
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
        let (limits, rules) = (Limits::default(), Rules::verbatim());
        let terms = Terms { limits: &limits, rules: &rules, now: NOW };
        let plain = decompress(PROTOBUF, &encode(&streams), &limits).unwrap();
        let decoded = decode(PROTOBUF, &plain, &terms).unwrap();
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
        let (limits, rules) = (small(), Rules::default());
        let terms = Terms { limits: &limits, rules: &rules, now: NOW };
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
                if let Ok(decoded) = decode(format, plain, &terms) {
                    for (labels, entries) in &decoded.rows.streams {
                        // And the name of the service.
                        prop_assert!(!labels.is_empty() && labels.len() <= limits.labels_max + 1);
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
