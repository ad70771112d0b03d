//! Every decoder as a function of bytes that may be anything. None may panic, hang or take memory
//! that the bytes do not account for; what comes out is of no interest here.
//!
//! `cargo fuzz` searches with them (see the README beside); `tests/tests/decoders` runs each over
//! examples and what chance makes of them.

use std::{
    borrow::Cow,
    path::Path,
    sync::{Arc, LazyLock},
};

use skep_logql::{
    Pipeline,
    ast::{Expr, LineFilter, LineNeedle, LineOp, Stage},
    logqltest::MemoryStorage,
    pipeline::{Line, LineLabels},
};
use skep_promql::{EvalOptions, Grid, ParseOptions, eval, parse_with, promqltest};
use skep_proto::{Labels, MatchOp, Matcher, TimestampMs, TimestampNs};
use skep_receive::{Limits, exposition, import, loki_push, remote_write};
use skep_wal::{AtRecord, Fs as _, RealFs, SegmentSeq, Wal, WalOptions};

/// A name, and what is done with a fuzzer's bytes.
pub type Target = (&'static str, fn(&[u8]));

/// By name, as the files in `fuzz_targets`.
pub const TARGETS: &[Target] = &[
    ("remote_write_v1", remote_write_v1),
    ("remote_write_v2", remote_write_v2),
    ("loki_protobuf", loki_protobuf),
    ("loki_json", loki_json),
    ("frame", frame),
    ("wal_segment", wal_segment),
    ("wal_record", wal_record),
    ("commit_log", commit_log),
    ("checkpoint", checkpoint),
    ("words_index", words_index),
    ("line_template", line_template),
    ("import_json_lines", import_json_lines),
    ("import_text", import_text),
    ("exposition", exposition),
    ("promql", promql),
    ("promql_eval", promql_eval),
    ("logql", logql),
    ("logql_eval", logql_eval),
    ("logql_template", logql_template),
    ("logql_pattern", logql_pattern),
    ("logql_regex", logql_regex),
    ("logql_pipeline", logql_pipeline),
];

/// Small, so that a bomb shows in a fuzzer's memory limit.
fn limits() -> Limits {
    Limits { body_bytes_max: 1 << 20, plain_bytes_max: 1 << 20, ..Limits::default() }
}

fn remote_write(version: remote_write::Version, bytes: &[u8]) {
    let limits = limits();
    for encoding in [remote_write::Encoding::Snappy, remote_write::Encoding::Zstd] {
        let format = remote_write::Format { version, encoding };
        if let Ok(plain) = remote_write::decompress(format, bytes, &limits) {
            assert!(plain.len() <= limits.plain_bytes_max);
            drop(remote_write::decode(format, &plain, &limits));
        }
        drop(remote_write::decode(format, bytes, &limits));
    }
}

pub fn remote_write_v1(bytes: &[u8]) {
    remote_write(remote_write::Version::V1, bytes);
}

pub fn remote_write_v2(bytes: &[u8]) {
    remote_write(remote_write::Version::V2, bytes);
}

fn loki(message: loki_push::Message, bytes: &[u8]) {
    use loki_push::Encoding;
    let (limits, rules) = (limits(), loki_push::Rules::default());
    let terms = loki_push::Terms { limits: &limits, rules: &rules, now: TimestampMs(0).to_ns() };
    for encoding in [
        Encoding::Identity,
        Encoding::Snappy,
        Encoding::Gzip,
        Encoding::GzipSnappy,
        Encoding::Deflate,
        Encoding::DeflateSnappy,
        Encoding::Zstd,
    ] {
        let format = loki_push::Format { message, encoding };
        if let Ok(plain) = loki_push::decompress(format, bytes, &limits) {
            assert!(plain.len() <= limits.plain_bytes_max);
            drop(loki_push::decode(format, &plain, &terms));
        }
    }
}

pub fn loki_protobuf(bytes: &[u8]) {
    loki(loki_push::Message::Protobuf, bytes);
}

pub fn loki_json(bytes: &[u8]) {
    loki(loki_push::Message::Json, bytes);
}

/// The frames of the agent's spool and of the log.
pub fn frame(bytes: &[u8]) {
    let mut rest = bytes;
    while let skep_proto::frame::Frame::Whole { n_bytes, .. } = skep_proto::frame::read(rest) {
        rest = rest.get(n_bytes..).unwrap_or_default();
    }
}

/// A log with one segment of these bytes, opened and replayed.
pub fn wal_segment(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    replay(dir.path(), bytes);
}

fn replay(dir: &Path, bytes: &[u8]) {
    let mut file = RealFs.create(&dir.join("wal-0000000001.log")).expect("the folder is writable");
    file.append(bytes).expect("the folder is writable");
    let options = WalOptions { committed: SegmentSeq(0), ..WalOptions::default() };
    if let Ok((_, replay)) = Wal::open(dir, &options, Arc::new(RealFs)) {
        drop(replay.run(|_, records| {
            records.iter().for_each(|it| wal_record(it));
            Ok::<(), AtRecord<std::fmt::Error>>(())
        }));
    }
}

pub fn wal_record(bytes: &[u8]) {
    skep_store::fuzz::record(bytes);
}

pub fn commit_log(bytes: &[u8]) {
    skep_store::fuzz::commit_log(bytes);
}

/// The checksum in it is not looked at: it would let nothing through.
pub fn checkpoint(bytes: &[u8]) {
    skep_store::fuzz::checkpoint(bytes);
}

pub fn words_index(bytes: &[u8]) {
    skep_store::fuzz::words(bytes);
}

pub fn line_template(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        skep_store::fuzz::template(text);
    }
}

fn import(format: import::Format, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(import::decode(format, text, 1, &limits()));
    }
}

pub fn import_json_lines(bytes: &[u8]) {
    import(import::Format::JsonLines, bytes);
}

pub fn import_text(bytes: &[u8]) {
    let default_ts = TimestampMs(0);
    import(import::Format::Prometheus { default_ts }, bytes);
    import(import::Format::OpenMetrics { default_ts }, bytes);
}

/// What a target answers to a scrape.
pub fn exposition(bytes: &[u8]) {
    use exposition::{LabelVec, Line, Lines, Names, Syntax, read_exemplar, read_series};
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut labels = LabelVec::new();
    for syntax in [Syntax::Text, Syntax::OpenMetrics] {
        for line in Lines::new(text, syntax) {
            if let Ok(Line::Sample(sample)) = line {
                drop(read_series(sample.series, Names::Checked, &mut labels));
                drop(sample.exemplar.map(read_exemplar));
            }
        }
    }
}

pub fn promql(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(skep_promql::parse(text));
    }
}

/// Series that a query may find: counters, gauges, and histograms of three kinds.
const SERIES: [&str; 9] = [
    "a{x=\"1\"} 0+1x20",
    "a{x=\"2\"} 5 3 _ stale 7 1e300 -Inf NaN 0 0 1",
    "b{x=\"1\",y=\"2\"} 1-1x20",
    "c_bucket{le=\"1\"} 0+1x20",
    "c_bucket{le=\"+Inf\"} 0+3x20",
    "h {{schema:1 sum:5 count:9 buckets:[1 2 3] n_buckets:[1 2]}}x20",
    "h{x=\"1\"} {{schema:0 sum:1 count:4 z_bucket:1 z_bucket_w:0.01 buckets:[1 2]}}+{{schema:3 sum:2 count:2 buckets:[1 1]}}x20",
    "n {{schema:-53 sum:1 count:6 custom_values:[1 2 5] buckets:[1 2 3]}}x20",
    "m{x=\"1\"} 1 2 {{schema:1 sum:5 count:9 buckets:[4 5]}} 3 stale",
];

/// Any query ends in an answer or an error.
pub fn promql_eval(bytes: &[u8]) {
    static MEMORY: LazyLock<promqltest::Memory> = LazyLock::new(|| {
        let mut memory = promqltest::Memory::default();
        for text in SERIES {
            let series = promqltest::parse_series(text).unwrap().unwrap();
            memory.append_items(series.labels, 15_000, &series.values);
        }
        memory
    });
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(expr) = parse_with(text, ParseOptions { experimental: true }) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for is_instant in [true, false] {
        let grid = match is_instant {
            true => Grid::instant(TimestampMs(60_000)),
            false => Grid::range(TimestampMs(0), TimestampMs(240_000), 30_000).unwrap(),
        };
        let n_values_max = 20_000;
        let options = EvalOptions { is_instant, n_values_max, ..EvalOptions::default() };
        drop(runtime.block_on(eval(text, &expr, grid, &*MEMORY, &options)));
    }
}

pub fn logql(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(expr) = skep_logql::parse(text) else { return };
    let printed = skep_logql::pretty(&expr);
    // A name that is none of Prometheus' is printed in quotes, which no name may have; `-0` is a
    // duration. Both as in Loki.
    let is_odd = !text.is_ascii() || printed.contains("-0");
    let reads = skep_logql::parse(&printed).is_ok() || is_odd;
    assert!(reads, "{text:?} printed as {printed:?}");
}

/// Lines that a query may find, one a second.
const LINES: [&str; 8] = [
    r#"{"a":"x","n":5,"b":{"c":1.5},"l":[1,{"d":2}],"app":"inner"}"#,
    r#"{"a":"y","n":"oops","took":"5ms","_entry":"packed n=1"}"#,
    r#"level=info n=5 took=1m30s size=2KiB msg="two words""#,
    "level=error n=NaN took=-1s size=9EB flag =x",
    r#"10.1.2.3 - bob [now] "GET /a HTTP/1.1" 200 12"#,
    "\u{1b}[31mred\u{1b}[0m 2001:db8::1 日本語",
    "",
    "n=1e308 n=-1e308",
];

/// Any query over lines ends in an answer or an error.
pub fn logql_eval(bytes: &[u8]) {
    static MEMORY: LazyLock<MemoryStorage> = LazyLock::new(|| {
        let mut memory = MemoryStorage::default();
        for app in ["web", "db"] {
            let stream = Labels::from_pairs([("app", app), ("env", "prod")]).unwrap();
            for (i, line) in (1..).zip(LINES) {
                let metadata = vec![("trace".to_owned(), format!("t{}", i % 3))];
                memory.push(&stream, TimestampNs(i * 1_000_000_000), line, metadata);
            }
        }
        memory
    });
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(expr) = skep_logql::parse(text) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let range = Grid::range(TimestampMs(0), TimestampMs(12_000), 3_000).unwrap();
    for grid in [Grid::instant(TimestampMs(9_000)), range] {
        let options = skep_logql::EvalOptions {
            start: TimestampNs(0),
            end: TimestampNs(12_000_000_000),
            direction: skep_logql::Direction::Backward,
            limit: 10,
            grid,
            n_series_max: 100,
        };
        drop(runtime.block_on(skep_logql::eval(&expr, &options, &*MEMORY)));
    }
}

/// A line through stages, with labels of its own.
fn run(stages: &[Stage], line: &str) {
    let Ok(pipeline) = Pipeline::compile(stages) else { return };
    let mut labels = LineLabels::new(pipeline.hints().clone());
    labels.set_stream(&Labels::from_pairs([("app", "web")]).expect("one label is unique"));
    labels.add_metadata([("trace", "t1"), ("n", "42")]);
    let mut line =
        Line { ts_ns: 1_717_372_835_000_849_739, text: line.into(), labels: &mut labels };
    pipeline.process(&mut line);
    assert!(line.text.len() < 1 << 22);
}

/// The first line of the bytes, and the rest.
fn two_texts(bytes: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.split_once('\n').unwrap_or((text, "")))
}

/// A template, and the line it is run on.
pub fn logql_template(bytes: &[u8]) {
    let Some((template, line)) = two_texts(bytes) else { return };
    run(&[Stage::LineFormat(template.to_owned())], line);
}

/// A pattern as a parser and as a filter, and a line.
pub fn logql_pattern(bytes: &[u8]) {
    let Some((pattern, line)) = two_texts(bytes) else { return };
    let needle = LineNeedle { text: pattern.to_owned(), is_ip: false };
    let filter = LineFilter { op: LineOp::Pattern, alternatives: vec![needle] };
    run(&[Stage::Pattern(pattern.to_owned())], line);
    run(&[Stage::LineFilter(filter)], line);
}

/// A regular expression over a line and over a label, and a line.
pub fn logql_regex(bytes: &[u8]) {
    let Some((pattern, line)) = two_texts(bytes) else { return };
    let Ok(matcher) = Matcher::new("trace", MatchOp::Regex, pattern) else { return };
    let needle = LineNeedle { text: pattern.to_owned(), is_ip: false };
    let filter = LineFilter { op: LineOp::Regex, alternatives: vec![needle] };
    let of_label = skep_logql::ast::LabelFilter::Text(matcher);
    run(&[Stage::LineFilter(filter), Stage::LabelFilter(of_label)], line);
    run(&[Stage::Regexp(pattern.to_owned())], line);
}

/// Every parser over any line.
pub fn logql_pipeline(bytes: &[u8]) {
    static PIPELINES: LazyLock<Vec<Vec<Stage>>> = LazyLock::new(|| {
        let texts = [
            "| json",
            r#"| json a="b[0].c", d="e", f="[\"g h\"]""#,
            "| logfmt",
            r#"| logfmt --strict --keep-empty a, b="c""#,
            r#"| pattern "<a> <b>x<c>""#,
            r#"| regexp "(?P<x>.+) (?P<y>.*)""#,
            "| unpack",
            "| decolorize",
            r#"|= ip("::1/64") or ip("10.0.0.0/8") |> "<_>a<_>""#,
            r#"| logfmt | a > 5 or b < 1s and c = ip("10.0.0.1"), d > 1KB | drop e, f="g" | keep h"#,
        ];
        let parse = |it: &&str| match skep_logql::parse(&format!("{{app=\"web\"}} {it}")) {
            Ok(Expr::Log(log)) => log.stages,
            _ => panic!("{it} is no pipeline"),
        };
        texts.iter().map(parse).collect()
    });
    let line: Cow<'_, str> = String::from_utf8_lossy(bytes);
    PIPELINES.iter().for_each(|it| run(it, &line));
}
