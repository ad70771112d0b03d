//! Queries as the server runs them: explained, and stopped when nobody waits.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use skep_proto::{Clock as _, Labels, MetricKind, Sample, SystemClock, remote_write::SeriesBatch};
use skep_tests::{Client, Deadline, Server, bin_dir};
use tokio::process::Command;

async fn write_one(client: &Client) -> anyhow::Result<()> {
    let batch = SeriesBatch {
        labels: Labels::from_pairs([("__name__", "up"), ("job", "a")])?,
        samples: vec![Sample { ts: SystemClock.now().to_ms(), value: 1.0 }],
        kind: MetricKind::Gauge,
        help: "Up.".into(),
    };
    ensure!(client.write(&[batch]).await?.is_success(), "the write was refused");
    Ok(())
}

#[tokio::test]
async fn explain_shows_the_tree_and_what_each_leaf_read() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    write_one(&server.client()?).await?;
    let explain = async |words: &[&str]| {
        let mut command = Command::new(bin_dir().join("skep-server"));
        command.args(["explain", "--url", &server.plain_url()]).args(words).kill_on_drop(true);
        anyhow::Ok(command.output().await?)
    };
    let output = explain(&["sum by (job) (rate(up[5m])) + count(up)"]).await?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.starts_with("sum by (job) (rate(up[5m])) + count(up)\n"), "{text}");
    for leaf in ["window=Rate, window_ms=300000", "window=Last"] {
        ensure!(
            text.lines().any(|it| it.contains("SeriesWindowExec") && it.contains(leaf)),
            "{text}"
        );
    }
    ensure!(text.lines().filter(|it| it.contains("blocks_pruned=")).count() == 2, "{text}");
    let output = explain(&["up", "--start", "0", "--end", "60", "--step", "30s"]).await?;
    ensure!(output.status.success(), "a range query cannot be explained");
    let output = explain(&["sum("]).await?;
    let text = String::from_utf8(output.stderr)?;
    ensure!(text.contains("1:5: parse error: unclosed left parenthesis"), "{text}");
    Ok(())
}

/// It would take most of a minute, all of it in memory.
fn endless() -> String {
    vec!["sum(count_over_time((up)[2h:1ms]))"; 190].join("+")
}

#[tokio::test]
async fn a_query_that_nobody_waits_for_gives_up_its_turn() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("queries.log");
    let settings = format!(
        "[memory]\nlimit = \"64GiB\"\n[query]\nconcurrency = 1\nmemory_max = \"16GiB\"\n\
         memory_total = \"16GiB\"\nlog_file = {log:?}"
    );
    let server = Server::start(dir.path(), &settings).await?;
    let client = server.client()?;
    write_one(&client).await?;
    // The only turn is taken …
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.get("/api/v1/query", &[("query", &endless())]).await }
    });
    let quick = async || anyhow::Ok(client.get("/api/v1/query", &[("query", "1")]).await?.status());
    Deadline::within(Duration::from_secs(20))
        .until("the only turn to be taken", || async {
            let answered = tokio::time::timeout(Duration::from_secs(1), quick()).await;
            Ok(answered.is_err().then_some(()))
        })
        .await?;
    // … until its client goes.
    asked.abort();
    let status = tokio::time::timeout(Duration::from_secs(20), quick()).await??;
    ensure!(status == 200, "{status}");
    let logged = Deadline::within(Duration::from_secs(20)).until("the log", || async {
        let lines = fs::read_to_string(&log).unwrap_or_default();
        let canceled = lines.lines().find(|it| it.contains("canceled") && it.contains("2h:1ms"));
        Ok(canceled.map(str::to_owned))
    });
    logged.await.context("the query is not in its log")?;
    Ok(())
}
