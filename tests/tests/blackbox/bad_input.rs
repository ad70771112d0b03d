//! What is wrong with a write is answered as Prometheus and Loki answer it, counted by reason, and
//! costs little memory; the next write is taken.

mod bodies;

use std::fs;

use anyhow::{Context as _, ensure};
use skep_proto::{Clock as _, SystemClock, loki_push, remote_write, snappy};
use skep_tests::{Client, Server};

use bodies::{
    Label, PLAIN_BYTES_MAX, bomb_of_gzip, bomb_of_snappy, bomb_of_zstd, gzip, lying_snappy, push,
    write_v1, write_v2,
};

const BODY_BYTES_MAX: usize = 16 << 20;
/// What all bad requests, one after the other, may add to the server's peak: the body unpacked, and
/// what a decoder has made of it until a bound stops it.
const GROWTH_BYTES_MAX: usize = 8 * PLAIN_BYTES_MAX;

const WRITE: &str = "/api/v1/write";
const PUSH: &str = "/loki/api/v1/push";
const V1: Headers = &[("Content-Type", remote_write::CONTENT_TYPE_V1)];
const V2: Headers = &[("Content-Type", remote_write::CONTENT_TYPE_V2)];
const V1_ZSTD: Headers =
    &[("Content-Type", remote_write::CONTENT_TYPE_V1), ("Content-Encoding", "zstd")];
const PROTOBUF: Headers = &[("Content-Type", loki_push::CONTENT_TYPE)];
const PROTOBUF_GZIP: Headers =
    &[("Content-Type", loki_push::CONTENT_TYPE), ("Content-Encoding", "gzip")];
const PROTOBUF_ZSTD: Headers =
    &[("Content-Type", loki_push::CONTENT_TYPE), ("Content-Encoding", "zstd")];
const JSON: Headers = &[("Content-Type", "application/json")];
const JSON_SNAPPY: Headers =
    &[("Content-Type", "application/json"), ("Content-Encoding", "snappy")];
const JSON_GZIP: Headers = &[("Content-Type", "application/json"), ("Content-Encoding", "gzip")];

type Headers = &'static [(&'static str, &'static str)];

/// A request, how its answer begins, and the reason that counts it; none where it is taken.
struct Case {
    path: &'static str,
    headers: Headers,
    body: Vec<u8>,
    answer: &'static str,
    reason: Option<&'static str>,
}

fn case(
    path: &'static str,
    headers: Headers,
    body: Vec<u8>,
    answer: &'static str,
    reason: &'static str,
) -> Case {
    Case { path, headers, body, answer, reason: Some(reason) }
}

#[tokio::test]
async fn bad_writes_are_answered_counted_and_cheap_and_the_next_is_taken() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    // What the first request of each kind sets up is not the bad ones' doing.
    good_writes(&client).await?;
    let before = reset_peak(server.pid())?;
    let pushes = push_cases().into_iter().chain(stream_cases()).chain(json_cases());
    for case in remote_write_cases().into_iter().chain(pushes) {
        let n_before = match case.reason {
            Some(reason) => refused(&client, reason).await?,
            None => 0.0,
        };
        let answer = client.post(case.path, case.headers, case.body).await?;
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        let text = format!("{status} {text}");
        let shown: String = text.chars().take(300).collect();
        ensure!(text.starts_with(case.answer), "{:?} got {shown:?}", case.answer);
        ensure!(text.len() < 20_000, "{} bytes of answer to {:?}", text.len(), case.answer);
        if let Some(reason) = case.reason {
            let n = refused(&client, reason).await?;
            ensure!(n == n_before + 1.0, "{reason}: {n_before} to {n}, {shown:?}");
        }
        good_writes(&client).await.with_context(|| format!("after {:?}", case.answer))?;
    }
    let growth = peak(server.pid())?.saturating_sub(before);
    ensure!(growth <= GROWTH_BYTES_MAX, "the peak grew by {growth} bytes");
    server.stop().await
}

fn remote_write_cases() -> Vec<Case> {
    let now_ms = SystemClock.now().to_ms().0;
    let mut cases = vec![
        case(WRITE, V1, bomb_of_snappy(), "413 request body too large", "unpacked_body_too_large"),
        case(WRITE, V1, lying_snappy(), "413 request body too large", "unpacked_body_too_large"),
        case(WRITE, V1_ZSTD, bomb_of_zstd(), "413 request body", "unpacked_body_too_large"),
        case(WRITE, V1, b"nonsense".to_vec(), "400 snappy: corrupt input\n", "corrupt_encoding"),
        case(WRITE, V1_ZSTD, b"nonsense".to_vec(), "400 zstd: corrupt", "corrupt_encoding"),
        case(
            WRITE,
            &[("Content-Type", "text/plain")],
            write_v1(&[("__name__", b"up")], now_ms),
            "415 expected application/x-protobuf as the first (media) part, got text/plain \
             content-type\n",
            "content_type",
        ),
        case(
            WRITE,
            &[("Content-Type", "application/x-protobuf;proto=made.up")],
            write_v1(&[("__name__", b"up")], now_ms),
            "415 got application/x-protobuf;proto=made.up content type; unknown type for remote \
             write protobuf message made.up",
            "content_type",
        ),
        case(
            WRITE,
            &[("Content-Encoding", "gzip")],
            write_v1(&[("__name__", b"up")], now_ms),
            "415 gzip encoding (compression) is not accepted by this server; only snappy or zstd \
             is acceptable\n",
            "content_encoding",
        ),
        case(
            WRITE,
            V1,
            vec![0; BODY_BYTES_MAX + 1],
            "413 request body too large",
            "request_body_too_large",
        ),
    ];
    cases.extend(series_cases(V1, write_v1, now_ms));
    cases.extend(series_cases(V2, write_v2, now_ms));
    cases
}

fn series_cases(
    headers: Headers,
    write: fn(&[Label<'_>], i64) -> Vec<u8>,
    now_ms: i64,
) -> Vec<Case> {
    let bad_series = |labels: &[Label<'_>], answer, reason| {
        case(WRITE, headers, write(labels, now_ms), answer, reason)
    };
    // 1.0 is answered as Prometheus does, which leaves such series out without a word.
    let bad_labels = |labels: &[Label<'_>], answer, reason| {
        bad_series(labels, if headers == V1 { "204 " } else { answer }, reason)
    };
    let mut truncated = snappy::decompress(&write(&[("__name__", b"up")], now_ms), 1 << 20)
        .expect("it was compressed here");
    truncated.truncate(truncated.len() - 3);
    let many_names: Vec<String> = (0..100_000).map(|it| format!("l{it:06}")).collect();
    let many: Vec<Label<'_>> = many_names.iter().map(|it| (it.as_str(), &b"v"[..])).collect();
    let long = vec![b'x'; 1 << 20];
    vec![
        case(WRITE, headers, snappy::compress(&truncated), "400 unexpected EOF\n", "protobuf"),
        bad_series(
            &[("__name__", b"up"), ("a", &long)],
            "400 value of label a is longer than 4096 bytes, labels {__name__=\"up\", a=\"xx",
            "label_value_too_long",
        ),
        bad_labels(
            &[("__name__", b"up"), ("a", b"1"), ("a", b"2")],
            "400 invalid labels for series, labels {__name__=\"up\", a=\"1\", a=\"2\"}, \
                 duplicated label a\n",
            "duplicate_label_names",
        ),
        bad_series(
            &many,
            "400 series has more than 64 labels, labels {l000000=\"v\", l000001=",
            "max_label_names_per_series",
        ),
        bad_labels(
            &[("__name__", b"up"), ("a", b"\xff\xfe")],
            "400 invalid metric name or labels, got {__name__=\"up\"",
            "invalid_labels",
        ),
        bad_labels(
            &[("job", b"nameless")],
            "400 invalid metric name or labels, got {job=\"nameless\"}\n",
            "invalid_labels",
        ),
        case(
            WRITE,
            headers,
            write(&[("__name__", b"up")], i64::MAX),
            "400 sample of up has time stamp",
            "too_far_in_future",
        ),
    ]
}

fn push_cases() -> Vec<Case> {
    let now_ns = SystemClock.now().0;
    let good = push(br#"{job="bad_input"}"#, now_ns, b"x");
    let mut truncated = snappy::decompress(&good, 1 << 20).expect("it was compressed here");
    truncated.truncate(truncated.len() - 3);
    vec![
        case(PUSH, PROTOBUF, bomb_of_snappy(), "413 request body", "unpacked_body_too_large"),
        case(PUSH, PROTOBUF, lying_snappy(), "413 request body", "unpacked_body_too_large"),
        case(PUSH, PROTOBUF_GZIP, bomb_of_gzip(), "413 request body", "unpacked_body_too_large"),
        case(PUSH, PROTOBUF_ZSTD, bomb_of_zstd(), "413 request body", "unpacked_body_too_large"),
        case(PUSH, PROTOBUF, b"nonsense".to_vec(), "400 snappy: corrupt", "corrupt_encoding"),
        case(PUSH, PROTOBUF_GZIP, b"nonsense".to_vec(), "400 gzip: corrupt", "corrupt_encoding"),
        case(PUSH, &[], good.clone(), "400 mime: no media type\n", "content_type"),
        case(
            PUSH,
            &[("Content-Type", "text/plain")],
            br#"{"streams": []}"#.to_vec(),
            "400 snappy: corrupt input\n",
            "corrupt_encoding",
        ),
        case(
            PUSH,
            &[("Content-Type", loki_push::CONTENT_TYPE), ("Content-Encoding", "br")],
            good,
            "400 Content-Encoding \"br\" not supported\n",
            "content_encoding",
        ),
        case(
            PUSH,
            PROTOBUF,
            vec![0; BODY_BYTES_MAX + 1],
            "413 request body too large",
            "request_body_too_large",
        ),
        case(PUSH, PROTOBUF, snappy::compress(&truncated), "400 unexpected EOF\n", "protobuf"),
        case(
            PUSH,
            PROTOBUF,
            snappy::compress(b""),
            "422 error at least one valid stream is required for ingestion\n",
            "missing_streams",
        ),
    ]
}

fn stream_cases() -> Vec<Case> {
    let now_ns = SystemClock.now().0;
    let bad_stream = |labels: &[u8], answer, reason| {
        case(PUSH, PROTOBUF, push(labels, now_ns, b"x"), answer, reason)
    };
    let many: Vec<String> = (0..100_000).map(|it| format!("l{it:06}=\"v\"")).collect();
    let long = "x".repeat(1 << 20);
    vec![
        // It gets the name of an unknown service.
        Case {
            path: PUSH,
            headers: PROTOBUF,
            body: push(b"{}", now_ns, b"x"),
            answer: "204 ",
            reason: None,
        },
        bad_stream(
            b"{a=",
            "400 couldn't parse labels: 1:4: parse error: unexpected end of input inside braces\n",
            "invalid_labels",
        ),
        bad_stream(b"{a=\"\xff\"}", "400 couldn't parse labels", "invalid_labels"),
        bad_stream(
            br#"{a="1", a="2"}"#,
            "400 stream '{a=\"1\", a=\"2\", service_name=\"unknown_service\"}' has duplicate label \
             name: 'a'\n",
            "duplicate_label_names",
        ),
        bad_stream(
            format!("{{a=\"{long}\"}}").as_bytes(),
            "400 stream '{a=\"xxxx",
            "label_value_too_long",
        ),
        bad_stream(
            format!("{{{}}}", many.join(",")).as_bytes(),
            "400 entry for stream '{l000000=\"v\",l000001",
            "max_label_names_per_series",
        ),
        case(
            PUSH,
            PROTOBUF,
            push(br#"{a="b"}"#, now_ns, &vec![b'x'; 1 << 20]),
            "400 max entry size '262144' bytes exceeded for stream '{a=\"b\", \
             service_name=\"unknown_service\"}' while adding an entry with length '1048576' \
             bytes\n",
            "line_too_long",
        ),
        case(
            PUSH,
            PROTOBUF,
            push(br#"{a="b"}"#, i64::MAX, b"x"),
            "400 entry for stream '{a=\"b\", service_name=\"unknown_service\"}' has timestamp too \
             new: 2262-04-11T23:47:16Z\n",
            "too_far_in_future",
        ),
        // A line is kept whatever its bytes are.
        Case {
            path: PUSH,
            headers: PROTOBUF,
            body: push(br#"{a="b"}"#, now_ns, b"\xff\xfe"),
            answer: "204 ",
            reason: None,
        },
    ]
}

fn json_cases() -> Vec<Case> {
    let now_ns = SystemClock.now().0;
    let json = |stream: &str, ts: &str| {
        format!(r#"{{"streams":[{{"stream":{stream},"values":[[{ts},"x"]]}}]}}"#).into_bytes()
    };
    let good_ts = format!("\"{now_ns}\"");
    let bad_stream =
        |stream: &str, answer, reason| case(PUSH, JSON, json(stream, &good_ts), answer, reason);
    let many: Vec<String> = (0..100_000).map(|it| format!("\"l{it:06}\":\"v\"")).collect();
    let long = "x".repeat(1 << 20);
    let mut not_utf8 = json(r#"{"a":"@"}"#, &good_ts);
    not_utf8.iter_mut().filter(|it| **it == b'@').for_each(|it| *it = 0xff);
    // As many rows as fit: each is far larger in memory than in text.
    let rows = "[\"1\",\"\"],".repeat((PLAIN_BYTES_MAX - 100) / 9);
    let rows = rows.trim_end_matches(',');
    let rows = format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":[{rows}]}}]}}"#);
    let fields = format!("\"a\":\"\",{}", "\"\":\"\",".repeat((PLAIN_BYTES_MAX - 200) / 6));
    let fields = format!("{{{}}}", fields.trim_end_matches(','));
    let fields =
        format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":[["1","x",{fields}]]}}]}}"#);
    vec![
        case(PUSH, JSON_SNAPPY, bomb_of_snappy(), "413 request body", "unpacked_body_too_large"),
        case(PUSH, JSON_GZIP, bomb_of_gzip(), "413 request body", "unpacked_body_too_large"),
        case(PUSH, JSON_GZIP, gzip(rows.as_bytes()), "413 request has more", "too_many_rows"),
        case(PUSH, JSON_GZIP, gzip(fields.as_bytes()), "413 request has more", "too_many_rows"),
        case(PUSH, JSON, b"{\"streams\": [".to_vec(), "400 json: EOF", "json"),
        case(PUSH, JSON, vec![b'['; 1 << 20], "400 json: ", "json"),
        case(
            PUSH,
            JSON,
            json(r#"{"a":"b"}"#, "\"NaN\""),
            "400 json: strconv.ParseInt: parsing \"NaN\": invalid syntax",
            "json",
        ),
        case(PUSH, JSON, json(r#"{"a":"b"}"#, "NaN"), "400 json: expected value", "json"),
        case(PUSH, JSON, json(r#"{"a":"b"}"#, "1e999"), "400 json: ", "json"),
        bad_stream(
            r#"{"a-b":"c"}"#,
            "400 couldn't parse labels: 1:3: parse error: unexpected character inside braces: \
             '-'\n",
            "invalid_labels",
        ),
        case(PUSH, JSON, Vec::new(), "400 EOF\n", "json"),
        bad_stream(
            &format!("{{\"a\":\"{long}\"}}"),
            "400 stream '{a=\"xxxx",
            "label_value_too_long",
        ),
        bad_stream(
            &format!("{{{}}}", many.join(",")),
            "400 entry for stream '{l000000=\"v\", l000001",
            "max_label_names_per_series",
        ),
        Case {
            path: PUSH,
            headers: JSON,
            body: json(r#"{"a":"1","a":"2"}"#, &good_ts),
            answer: "204 ",
            reason: None,
        },
        Case { path: PUSH, headers: JSON, body: not_utf8, answer: "204 ", reason: None },
    ]
}

async fn good_writes(client: &Client) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let write = write_v1(&[("__name__", b"fine"), ("job", b"bad_input")], now.to_ms().0);
    let written = client.post(WRITE, V1, write).await?.status();
    ensure!(written == 204, "a good write got {written}");
    let pushed = client.post(PUSH, PROTOBUF, push(br#"{job="bad_input"}"#, now.0, b"fine")).await?;
    ensure!(pushed.status() == 204, "a good push got {}", pushed.status());
    Ok(())
}

/// How many writes were refused for this reason.
async fn refused(client: &Client, reason: &str) -> anyhow::Result<f64> {
    let metrics = client.get("/metrics", &[]).await?.text().await?;
    let line = format!("skep_receive_refused_total{{reason=\"{reason}\"}} ");
    let count = metrics.lines().find_map(|it| it.strip_prefix(&line));
    Ok(count.map_or(Ok(0.0), str::parse)?)
}

/// Has the kernel count the peak from here on, and returns what it begins with.
fn reset_peak(pid: u32) -> anyhow::Result<usize> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    peak(pid)
}

/// The most memory the process ever had.
fn peak(pid: u32) -> anyhow::Result<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}
