//! Every fuzz target over examples of what it decodes and over mutations of them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(unreachable_pub, reason = "there it is a library's")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use skep_proto::{
    Labels, LogEntry, MetricKind, Sample, TimestampMs, TimestampNs, frame, loki_push,
    remote_write::{self, SeriesBatch},
};
use skep_wal::sim::{Seeded, each_seed};

/// Of each target; `SKEP_SEEDS` runs more.
const N_SEEDS: u64 = 400;

fn batch() -> Vec<SeriesBatch> {
    let series = |n: i32| SeriesBatch {
        labels: Labels::from_pairs([("__name__", "up"), ("n", &n.to_string())]).unwrap(),
        samples: vec![Sample { ts: TimestampMs(1_790_000_000_000), value: f64::from(n) }],
        kind: MetricKind::Gauge,
        help: "Whether it is up.".into(),
    };
    (0..3).map(series).collect()
}

fn streams() -> Vec<(Labels, Vec<LogEntry>)> {
    let entry = LogEntry {
        ts: TimestampNs(1_790_000_000_000_000_000),
        line: "level=info msg=\"a line\"".to_owned(),
        metadata: vec![("_PID".to_owned(), "7".to_owned())],
    };
    vec![(Labels::from_pairs([("unit", "a.service")]).unwrap(), vec![entry.clone(), entry])]
}

fn segment() -> Vec<u8> {
    let mut bytes = b"SKEPWAL\0".to_vec();
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([1_u64, 0, 0].iter().flat_map(|it| it.to_le_bytes()));
    bytes.extend(crc32c(&bytes).to_le_bytes());
    for _ in 0..3 {
        frame::append(&mut bytes, &[&40_u64.to_le_bytes()[..], b"\x01\x01\x04\0\0\0abcd"].concat());
    }
    bytes
}

/// Bit by bit: the frames carry one each, and the crate for it is not ours to import here.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

fn examples(target: &str) -> Vec<Vec<u8>> {
    let text = |it: &[&str]| it.iter().map(|it| it.as_bytes().to_vec()).collect();
    match target {
        "remote_write_v1" => vec![remote_write::encode_v1(&batch())],
        "remote_write_v2" => vec![remote_write::encode_v2(&batch())],
        "loki_protobuf" => vec![loki_push::encode(&streams())],
        "loki_json" => text(&[
            r#"{"streams":[{"stream":{"a":"b"},"values":[["1790000000000000000","line",{"k":"v"}]]}]}"#,
            r#"{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"2026-11-22T10:00:00Z","line":"x"}]}]}"#,
        ]),
        "frame" | "wal_segment" => vec![segment()],
        "wal_record" => [1_u8, 2]
            .into_iter()
            .flat_map(|version| (0..5).map(move |kind| vec![version, kind, 8, 0, 0, 0, 1, 2, 3, 4]))
            .collect(),
        "commit_log" => text(&[
            r#"{"add":{"path":"day=2026-11-22/a.parquet","size":12,"tags":{"skep.day":"20779","skep.rank":"7","skep.level":"0","skep.crc32c":"99","skep.rows":"10","skep.id_min":"1","skep.id_max":"3","skep.ts_min":"1","skep.ts_max":"2"}}}"#,
            r#"{"remove":{"path":"day=2026-11-22/a.parquet"}}"#,
            r#"{"txn":{"appId":"skep-wal-all","version":7}}"#,
        ]),
        // What a file of one's own data would have to be is made by the store's tests.
        "checkpoint" => vec![b"PAR1\x15\x04\x15\0\0\0\0\x04\0\0\0PAR1".to_vec()],
        // Version 1, a page of ten rows with a filter of one block, two words.
        "words_index" => vec![
            [
                &[1, 7, 4, 1, 10, 2, 0, 4, 9, 1, 40, 99, 0, 9][..],
                b"\0abc\0def\0",
                &[2, 0, 1, 2, 0, 1],
            ]
            .concat(),
        ],
        "line_template" => text(&["a {} b {{\"x\":{}}} {}", "{}{}{}{}{}{}{}{}{}", "{", "}x"]),
        "import_json_lines" => text(&[
            r#"{"metric":{"__name__":"up","a":"b"},"values":[1,null,"NaN"],"timestamps":[1790000000000,2,3]}"#,
        ]),
        "import_text" => text(&[
            "# HELP up Whether.\n# TYPE up gauge\nup{a=\"b\\n\",c=\"d\"} 1 1790000000000\nx NaN\n# EOF\n",
            "x_bucket{le=\"0.1\"} 1 1790000000.5 # {trace=\"a\"} 0.05 1790000000.4\n",
        ]),
        "exposition" => text(&[
            "# HELP up Whe\\ther.\n# TYPE up gauge\nup{a=\"b\\n\",\"c.d\"=\"}\",} +Inf 1790000000000\n{\"x.y\"} NaN\n",
            "# TYPE x_seconds histogram\n# UNIT x_seconds seconds\nx_seconds_bucket{le=\"0.1\"} 1 1790000000.5 # {trace=\"a\"} 0.05 1790000000.4\n# EOF\n",
        ]),
        "promql" => text(&[
            "sum by (job) (rate(x{a=~\"b.*\"}[5m] offset 1h)) > bool 1",
            "histogram_quantile(0.9, a) or on (b) group_left (c) d unless e @ start()",
            "-1 ^ 2 % 3 == \"\u{e9}\"",
            "a[5m:1m] atan2 0x1f + 1e-3",
        ]),
        "promql_eval" => text(&[
            "sum by (x) (rate(a[1m] offset 15s)) / on (x) group_left () b > bool 1",
            "histogram_quantile(0.9, rate(h[1m])) or histogram_quantile(0.5, c_bucket)",
            "max_over_time(histogram_sum(n)[2m:30s]) unless a @ start()",
            "topk(2, {__name__=~\"a|b\"}) + ignoring (y) -m </ 2",
            "label_replace(increase(h[1m] smoothed), \"z\", \"$1\", \"x\", \"(.*)\") * 2",
            "limit_ratio(-0.5, a) and avg without (x) (n) >/ 1",
        ]),
        other => logql_examples(other),
    }
}

fn logql_examples(target: &str) -> Vec<Vec<u8>> {
    let text = |it: &[&str]| it.iter().map(|it| it.as_bytes().to_vec()).collect();
    match target {
        "logql" => text(&[
            "sum by (a) (count_over_time({a=\"b\"} |= \"x\" | json | c > 5ms [1m]))",
            "{a=\"b\"} | logfmt | line_format \"{{.x | upper}}\" | pattern `<ip> <_>`",
            "quantile_over_time(0.9, {a!~\"b\"} | unwrap bytes(c) [5m]) by (d)",
        ]),
        "logql_eval" => text(&[
            "sum by (app) (rate({env=\"prod\"} | json | logfmt | unwrap duration(took) | __error__=\"\" [5s]))",
            "topk(1, quantile_over_time(0.9, {app=\"web\"} | logfmt | unwrap n [9s]) by (level)) > bool 2",
            "{app=~\"w.+\"} | unpack | json c=\"b.c\" | label_format x=a, y=\"{{.a}}\" | keep x, y",
            "absent_over_time({app=\"no\"}[5s]) or vector(1) / on () group_left () count_over_time({app=\"db\"}[3s] offset 2s)",
            "variants(bytes_rate({app=\"db\"}[3s]), avg_over_time({app=\"db\"} | logfmt | unwrap bytes(size) [9s])) of ({app=\"db\"}[3s])",
            "label_replace(stddev_over_time({env!=\"\"} | logfmt n | unwrap n [9s]), \"z\", \"$1\", \"app\", \"(.*)\")",
        ]),
        "logql_template" => text(&[
            "{{ if eq .app \"web\" }}{{ .n | int | add 1 }}{{ else }}x{{ end }}\nline",
            "{{ range $i, $x := fromJson __line__ }}{{ $i }}={{ printf \"%5.2f|%q\" $x .app }}{{ end }}\n[1,2]",
            "{{ __timestamp__ | date \"2006-01-02 15:04:05.000 MST\" }}{{ substr 1 3 .trace | upper }}\n",
            "{{ define \"t\" }}{{ . }}{{ end }}{{ with $x := .app }}{{ template \"t\" $x }}{{ end }}\n",
            "{{ regexReplaceAll \"(a)(b)?\" __line__ \"$2\" | trunc -3 | alignLeft 5 | b64enc }}\naab",
            "{{ divf 1 3 | round 2 }}{{ toDate \"Jan _2 2006\" \"Nov  2 2021\" | unixEpoch }}\n",
        ]),
        "logql_pattern" => {
            text(&["<ip> - <_> [<time>] \"<a>\"\n1.2.3.4 - x [now] \"y\"", "<_>a<_>\nxay"])
        }
        "logql_regex" => {
            text(&["(?i)(?P<a>\\w+)|err.*[^a-c\\d]{2,3}\nan error", "warn|warning|x.+|.*\nwarn"])
        }
        "logql_pipeline" => text(&[
            "{\"a\":{\"b\":[{\"c\":1}]},\"d\":\"\\u00e9\",\"_entry\":\"x\"}",
            "level=info a=\"q\\\"uoted\" b=5s c=10.0.0.1 d=1KiB e= =x",
            "\u{1b}[31mred\u{1b}[0m ::1 10.1.2.3 x",
        ]),
        other => panic!("{other} has no examples"),
    }
}

/// A few changes of the kinds that decoders trip over.
fn mutate(bytes: &mut Vec<u8>, random: &mut Seeded) {
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 => bytes.truncate(at),
            1 | 2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            // A length that cannot be.
            4 => drop(bytes.splice(at..at, [0xff; 9].into_iter().take(1 + random.below(9)))),
            5 => {
                let end = (at + random.below(40)).min(bytes.len());
                let piece = bytes[at..end].repeat(1 + random.below(40));
                drop(bytes.splice(at..at, piece));
            }
            _ => drop(bytes.splice(at..at, *b"({[\"")),
        }
        bytes.truncate(64 << 10);
    }
}

fn run(target: fn(&[u8]), examples: &[Vec<u8>]) {
    examples.iter().for_each(|it| target(it));
    each_seed(N_SEEDS, |seed| {
        let mut random = Seeded::new(seed);
        let mut bytes = examples[random.below(examples.len())].clone();
        mutate(&mut bytes, &mut random);
        target(&bytes);
    });
}

#[test]
fn no_decoder_panics_whatever_it_is_given() {
    for (name, target) in targets::TARGETS {
        println!("{name}");
        run(*target, &examples(name));
    }
}

#[test]
fn the_examples_are_ones_that_are_understood() {
    let v1 = &examples("remote_write_v1")[0];
    let format = skep_receive::remote_write::negotiate(None, None).unwrap();
    let limits = skep_receive::Limits::default();
    let plain = skep_receive::remote_write::decompress(format, v1, &limits).unwrap();
    assert!(skep_receive::remote_write::decode(format, &plain, &limits).is_ok());
    for query in examples("promql").iter().take(1).chain(&examples("promql_eval")) {
        let options = skep_promql::ParseOptions { experimental: true };
        skep_promql::parse_with(std::str::from_utf8(query).unwrap(), options).unwrap();
    }
    let segment = segment();
    let frames = frame::read(&segment[40..]);
    assert!(matches!(frames, frame::Frame::Whole { .. }), "{frames:?}");
}
