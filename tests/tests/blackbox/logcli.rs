//! What `logcli` asks: lines page by page in both directions, and everything else it lists.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use skep_proto::{Clock as _, Labels, LogEntry, SystemClock, TimestampNs};
use skep_tests::{Client, Server};

const N_LINES: usize = 1_000;
/// So many lines share a time stamp, over two streams.
const N_TIES: usize = 7;
const PAGE: usize = 20;

/// Time stamp, labels, text.
type Line = (i64, String, String);

async fn push(client: &Client, now: i64) -> anyhow::Result<()> {
    let entries = |host: usize| -> Vec<LogEntry> {
        let own = (0..N_LINES).filter(|it| it % 2 == host);
        own.map(|it| {
            let steps = i64::try_from(it / N_TIES).unwrap_or(0);
            LogEntry {
                ts: TimestampNs(now - 60_000_000_000 + steps * 1_000_000),
                line: format!("line {it}"),
                metadata: Vec::new(),
            }
        })
        .collect()
    };
    for (at, host) in ["a", "b"].into_iter().enumerate() {
        let labels = Labels::from_pairs([("app", "web"), ("host", host)])?;
        let status = client.push(&[(labels, entries(at))]).await?;
        ensure!(status.is_success(), "push: {status}");
    }
    Ok(())
}

async fn page(client: &Client, params: &[(&str, &str)]) -> anyhow::Result<Vec<Line>> {
    let data = client.data("/loki/api/v1/query_range", params).await?;
    let mut lines = Vec::new();
    for stream in data.get("result").and_then(Value::as_array).context("no result")? {
        let labels = stream.get("stream").map(Value::to_string).context("no labels")?;
        for value in stream.get("values").and_then(Value::as_array).context("no values")? {
            let text = |at: usize| Some(value.get(at)?.as_str()?.to_owned());
            let ts = text(0).context("no time")?.parse()?;
            lines.push((ts, labels.clone(), text(1).context("no line")?));
        }
    }
    Ok(lines)
}

/// As `logcli query --batch` goes on: from the last time stamp, without what it has seen of it.
async fn all_pages(client: &Client, direction: &str, now: i64) -> anyhow::Result<Vec<Line>> {
    let (mut start, mut end) = (now - 3_600_000_000_000, now);
    let mut found: Vec<Line> = Vec::new();
    loop {
        let (from, to, limit) = (start.to_string(), end.to_string(), PAGE.to_string());
        let params = [
            ("query", r#"{app="web"} |= "line""#),
            ("start", &from),
            ("end", &to),
            ("limit", &limit),
            ("direction", direction),
        ];
        let mut lines = page(client, &params).await?;
        let is_full = lines.len() == PAGE;
        lines.sort_by_key(|it| if direction == "forward" { it.0 } else { -it.0 });
        let Some(last) = lines.last().map(|it| it.0) else { break };
        let seen: BTreeSet<Line> = found.iter().rev().take(2 * N_TIES).cloned().collect();
        lines.retain(|it| !seen.contains(it));
        ensure!(!lines.is_empty() || !is_full, "no way on from {last}");
        found.extend(lines);
        if !is_full {
            break;
        }
        if direction == "forward" { start = last } else { end = last + 1 }
    }
    Ok(found)
}

#[tokio::test]
async fn pages_lead_to_the_end_without_loss_or_repeat_at_equal_times() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    let now = SystemClock.now().0;
    push(&client, now).await?;
    // From memory, and from files.
    for flushed in [false, true] {
        if flushed {
            client.flush().await?;
        }
        for direction in ["forward", "backward"] {
            let found = all_pages(&client, direction, now).await?;
            let texts: BTreeSet<&str> = found.iter().map(|it| it.2.as_str()).collect();
            assert_eq!((found.len(), texts.len()), (N_LINES, N_LINES), "{direction} {flushed}");
            let is_in_order = found.windows(2).all(|it| match direction {
                "forward" => it[0].0 <= it[1].0,
                _ => it[0].0 >= it[1].0,
            });
            assert!(is_in_order, "{direction} {flushed}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn everything_else_it_lists_is_there() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    let now = SystemClock.now().0;
    push(&client, now).await?;
    let (start, end) = ((now - 3_600_000_000_000).to_string(), now.to_string());
    let times = [("start", start.as_str()), ("end", end.as_str())];
    let with = |pairs: &[(&'static str, &'static str)]| [times.to_vec(), pairs.to_vec()].concat();
    let query = [("query", r#"sum by (host) (count_over_time({app="web"}[5m]))"#)];
    assert_eq!(client.logql(query[0].1).await?.len(), 2);
    let since = [("query", r#"{app="web"}"#), ("since", "5m"), ("limit", "3")];
    assert_eq!(page(&client, &since).await?.len(), 3);
    let labels = client.data("/loki/api/v1/labels", &times).await?;
    assert_eq!(labels, serde_json::json!(["app", "host", "service_name"]));
    let hosts = client.data("/loki/api/v1/label/host/values", &times).await?;
    assert_eq!(hosts, serde_json::json!(["a", "b"]));
    let series = with(&[("match", r#"{host="a"}"#)]);
    let series = client.data("/loki/api/v1/series", &series).await?;
    assert_eq!(series[0]["host"], "a", "{series}");
    let selector = with(&[("query", r#"{app="web"}"#)]);
    let stats: Value = client.get("/loki/api/v1/index/stats", &selector).await?.json().await?;
    assert_eq!((&stats["streams"], &stats["entries"]), (&2.into(), &N_LINES.into()), "{stats}");
    let volume = with(&[("query", r#"{app="web"}"#), ("targetLabels", "host"), ("limit", "30")]);
    let volume = client.data("/loki/api/v1/index/volume", &volume).await?;
    assert_eq!(volume["result"].as_array().map(Vec::len), Some(2), "{volume}");
    let range = with(&[("query", r#"{app="web"}"#), ("step", "60")]);
    let range = client.data("/loki/api/v1/index/volume_range", &range).await?;
    assert_eq!(range["resultType"], "matrix", "{range}");
    let fields = client.get("/loki/api/v1/detected_fields", &selector).await?;
    assert!(fields.text().await?.contains("detected_level"));
    let body = "query=%7Bhost%3D%22a%22%7D&start=1600000000".to_owned();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let deleted = client.post("/loki/api/v1/delete", &form, body.into_bytes()).await?;
    assert_eq!(deleted.status(), 204, "{}", deleted.text().await?);
    let listed: Value = client.get("/loki/api/v1/delete", &[]).await?.json().await?;
    assert_eq!(listed[0]["status"], "received", "{listed}");
    assert_eq!(listed[0]["query"], r#"{host="a"}"#, "{listed}");
    let stats: Value = client.get("/loki/api/v1/index/stats", &selector).await?.json().await?;
    assert_eq!(stats["entries"], N_LINES / 2, "{stats}");
    Ok(())
}
