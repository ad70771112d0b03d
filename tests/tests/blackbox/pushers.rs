//! What senders of log lines really send, over TLS, in their formats and with their headers: it is
//! found again with its labels and metadata, and what is wrong is refused in Loki's words.

use std::io::Write as _;

use anyhow::{Context as _, ensure};
use prost::Message as _;
use serde_json::Value;
use skep_proto::{
    Clock as _, SystemClock,
    loki_push::{Entry, LabelPair, PushRequest, Stream, Timestamp},
    snappy,
};
use skep_tests::{Client, Server};

const PUSH: &str = "/loki/api/v1/push";

/// A sender, how it sends, and what comes of it: labels and metadata of its line, told together.
struct Sender {
    name: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: fn(i64) -> Vec<u8>,
    found: &'static str,
}

const SENDERS: &[Sender] = &[
    Sender {
        name: "promtail",
        path: PUSH,
        headers: &[
            ("Content-Type", "application/x-protobuf"),
            ("User-Agent", "promtail/3.6.2"),
            ("X-Scope-OrgID", "tenant-1"),
        ],
        body: promtail,
        found: r#"{"detected_level":"warn","filename":"/var/log/messages","job":"varlogs","sender":"promtail","service_name":"varlogs"}"#,
    },
    Sender {
        name: "alloy",
        path: PUSH,
        headers: &[
            ("Content-Type", "application/x-protobuf"),
            ("User-Agent", "Alloy/v1.11.3 (linux; docker)"),
            ("X-Agent-Id", "01JX0000000000000000000000"),
        ],
        body: alloy,
        found: r#"{"component":"api","detected_level":"error","sender":"alloy","service_name":"api","trace_id":"7f"}"#,
    },
    Sender {
        name: "agent",
        path: PUSH,
        headers: &[
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
            ("User-Agent", "GrafanaAgent/v0.44.2 (static; linux; binary)"),
        ],
        body: grafana_agent,
        found: r#"{"detected_level":"info","sender":"agent","service_name":"unknown_service"}"#,
    },
    Sender {
        name: "fluent-bit",
        path: PUSH,
        headers: &[
            ("Content-Type", "application/json"),
            ("Content-Encoding", "gzip"),
            ("User-Agent", "Fluent-Bit"),
        ],
        body: fluent_bit,
        found: r#"{"detected_level":"error","job":"fluent-bit","pod":"web-1","sender":"fluent-bit","service_name":"fluent-bit"}"#,
    },
    Sender {
        name: "vector",
        path: PUSH,
        headers: &[
            ("Content-Type", "application/json"),
            ("Content-Encoding", "gzip"),
            ("User-Agent", "Vector/0.50.0 (x86_64-unknown-linux-gnu)"),
        ],
        body: vector,
        found: r#"{"detected_level":"debug","forwarder":"vector","host_id":"h7","sender":"vector","service_name":"unknown_service"}"#,
    },
    Sender {
        name: "docker",
        path: "/api/prom/push",
        headers: &[("Content-Type", "application/json"), ("User-Agent", "loki-docker-driver/3.6")],
        body: docker,
        found: r#"{"container_name":"web","detected_level":"unknown","sender":"docker","service_name":"web","source":"stdout"}"#,
    },
];

/// One stream, one line.
fn protobuf(labels: &str, ts: i64, line: &str, metadata: &[(&str, &str)]) -> Vec<u8> {
    let pair = |(name, value): &(&str, &str)| LabelPair {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    let nanos = i32::try_from(ts.rem_euclid(1_000_000_000)).expect("less than a billion");
    let entry = Entry {
        timestamp: Some(Timestamp { seconds: ts.div_euclid(1_000_000_000), nanos }),
        line: line.to_owned(),
        structured_metadata: metadata.iter().map(pair).collect(),
    };
    let stream = Stream { labels: labels.to_owned(), entries: vec![entry] };
    snappy::compress(&PushRequest { streams: vec![stream] }.encode_to_vec())
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

fn promtail(ts: i64) -> Vec<u8> {
    let labels = r#"{filename="/var/log/messages", job="varlogs", sender="promtail"}"#;
    protobuf(labels, ts, "Nov 23 10:00:00 lab kernel: WARNING: the line of promtail", &[])
}

fn alloy(ts: i64) -> Vec<u8> {
    let labels = r#"{component="api", sender="alloy"}"#;
    let line = r#"{"severity":"ERROR","msg":"the line of alloy"}"#;
    protobuf(labels, ts, line, &[("trace.id", "7f")])
}

fn grafana_agent(ts: i64) -> Vec<u8> {
    let labels = r#"{sender="agent",}"#;
    protobuf(labels, ts, "ts=2026-11-23T10:00:00Z level=info msg=\"the line of agent\"", &[])
}

fn fluent_bit(ts: i64) -> Vec<u8> {
    gzip(&format!(
        r#"{{"streams":[{{"stream":{{"job":"fluent-bit","sender":"fluent-bit"}},"values":[["{ts}","{{\"log\":\"the line of fluent-bit\",\"stream\":\"stderr\",\"level\":\"err\"}}",{{"pod":"web-1"}}]]}}]}}"#
    ))
}

fn vector(ts: i64) -> Vec<u8> {
    gzip(&format!(
        r#"{{"streams":[{{"stream":{{"forwarder":"vector","sender":"vector"}},"values":[["{ts}","dbg: the line of vector, debug",{{"host_id":"h7"}}]]}}]}}"#
    ))
}

fn docker(ts: i64) -> Vec<u8> {
    format!(
        r#"{{"streams":[{{"stream":{{"container_name":"web","source":"stdout","sender":"docker"}},"values":[["{ts}","the line of docker"]]}}]}}"#
    )
    .into_bytes()
}

#[tokio::test]
async fn lines_of_every_known_sender_are_found_with_their_labels_and_metadata() -> anyhow::Result<()>
{
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    let now = SystemClock.now().0;
    for sender in SENDERS {
        let answer = client.post(sender.path, sender.headers, (sender.body)(now)).await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 204 && text.is_empty(), "{}: {status} {text}", sender.name);
        // As it is sent again after an answer that was lost.
        let again = client.post(sender.path, sender.headers, (sender.body)(now)).await?;
        ensure!(again.status() == 204, "{}: {}", sender.name, again.status());
        let (labels, line) = only_line(&client, sender.name).await?;
        assert_eq!(labels, sender.found, "{}", sender.name);
        assert!(line.contains(&format!("the line of {}", sender.name)), "{line}");
    }
    server.stop().await
}

/// The stream of the one line that a sender has sent, metadata included, as JSON.
async fn only_line(client: &Client, sender: &str) -> anyhow::Result<(String, String)> {
    let query = format!("{{sender=\"{sender}\"}} |= `the line of {sender}`");
    let params = [("query", query.as_str()), ("since", "1h")];
    let data = client.data("/loki/api/v1/query_range", &params).await?;
    let streams = data.get("result").and_then(Value::as_array).context("no result")?;
    let [stream] = streams.as_slice() else {
        anyhow::bail!("{sender}: {} streams", streams.len());
    };
    let values = stream.get("values").and_then(Value::as_array).context("no values")?;
    ensure!(values.len() == 1, "{sender}: {} lines", values.len());
    let line = stream.pointer("/values/0/1").and_then(Value::as_str).unwrap_or_default();
    Ok((stream.get("stream").context("no labels")?.to_string(), line.to_owned()))
}

#[tokio::test]
async fn equal_time_stamps_keep_their_order_and_late_lines_are_taken() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    let now = SystemClock.now().0;
    let json = [("Content-Type", "application/json")];
    let values = |entries: &[(i64, &str)]| {
        let entries: Vec<String> =
            entries.iter().map(|(ts, line)| format!("[\"{ts}\",\"{line}\"]")).collect();
        let values = entries.join(",");
        format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":[{values}]}}]}}"#).into_bytes()
    };
    let two_hours = 7_200_000_000_000;
    for body in [
        values(&[(now, "zulu"), (now, "alpha"), (now, "zulu"), (now, "mike")]),
        values(&[(now - two_hours, "late"), (now - 1, "early")]),
    ] {
        let answer = client.post(PUSH, &json, body).await?;
        ensure!(answer.status() == 204, "{}", answer.text().await?);
    }
    let params = [("query", "{a=\"b\"}"), ("since", "3h"), ("direction", "forward")];
    let data = client.data("/loki/api/v1/query_range", &params).await?;
    let streams = data.get("result").and_then(Value::as_array).context("no result")?;
    let lines: Vec<&str> = streams
        .iter()
        .filter_map(|it| it.get("values")?.as_array())
        .flatten()
        .filter_map(|it| it.get(1)?.as_str())
        .collect();
    assert_eq!(lines, ["late", "early", "zulu", "alpha", "mike"]);
    server.stop().await
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_lokis_words_and_the_rest_is_taken() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = "[receive]\nmax_line_size = '1KiB'\nreject_old_samples = true\n\
        reject_old_samples_max_age = '1d'\ncreation_grace_period = '10m'";
    let mut server = Server::start(dir.path(), settings).await?;
    let client = server.client()?;
    let now = SystemClock.now().0;
    let long = "x".repeat(2_000);
    let (past, future) = (now - 2 * 86_400_000_000_000, now + 3_600_000_000_000);
    let body = format!(
        r#"{{"streams":[{{"stream":{{"app":"a"}},"values":[["{past}","old"],["{future}","new"],["{now}","{long}"],["{now}","{long}"],["{now}","fine"]]}}]}}"#
    );
    let json = [("Content-Type", "application/json")];
    let answer = client.post(PUSH, &json, body.into_bytes()).await?;
    let content_type = answer.headers().get("Content-Type").cloned().context("no type")?;
    ensure!(content_type.to_str()?.starts_with("text/plain"), "{content_type:?}");
    let (status, text) = (answer.status().as_u16(), answer.text().await?);
    let name = r#"{app="a", service_name="a"}"#;
    assert_eq!(status, 400);
    for part in [
        format!("1 errors like: entry for stream '{name}' has timestamp too old: 20"),
        "Z, oldest acceptable timestamp is: 20".to_owned(),
        format!("; 1 errors like: entry for stream '{name}' has timestamp too new: 20"),
        format!(
            "; 2 errors like: max entry size '1024' bytes exceeded for stream '{name}' while \
             adding an entry with length '2000' bytes\n"
        ),
    ] {
        assert!(text.contains(&part), "no {part:?} in {text:?}");
    }
    let lines = client.lines("{app=\"a\"}", 10).await?;
    assert_eq!(lines, [(now, "fine".to_owned())]);
    server.stop().await
}
