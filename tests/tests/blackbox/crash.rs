//! SIGKILL in the middle of everything: what was acknowledged is there, once.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use skep_proto::{
    Labels, LogEntry, MetricKind, Sample, TimestampMs, TimestampNs, remote_write::SeriesBatch,
};
use skep_tests::{Agent, Client, Deadline, Journald, Server, skipped};

/// Samples and lines are stamped from here on, a second apart.
const START_S: i64 = 1_790_000_000;
const N_CRASHES: usize = 5;

fn batch(n: i64) -> Vec<SeriesBatch> {
    let labels = Labels::from_pairs([("__name__", "beats_total"), ("job", "crash")]).unwrap();
    let ts = TimestampMs((START_S + n) * 1_000);
    let value = f64::from(i32::try_from(n).unwrap());
    vec![SeriesBatch {
        labels,
        samples: vec![Sample { ts, value }],
        kind: MetricKind::Counter,
        help: "".into(),
    }]
}

fn line(n: i64) -> Vec<(Labels, Vec<LogEntry>)> {
    let labels = Labels::from_pairs([("job", "crash")]).unwrap();
    let ts = TimestampNs((START_S + n) * 1_000_000_000);
    vec![(labels, vec![LogEntry { ts, line: format!("line {n}"), metadata: Vec::new() }])]
}

/// Sends the same batch until it is acknowledged, as an agent would; returns how many were.
async fn send_until_told(client: Client, stop: Arc<AtomicBool>) -> i64 {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let written = client.write(&batch(n)).await.is_ok_and(|it| it.is_success());
        let pushed = client.push(&line(n)).await.is_ok_and(|it| it.is_success());
        if written && pushed {
            n += 1;
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    n
}

#[tokio::test]
async fn what_the_server_acknowledged_survives_its_crashes_exactly_once() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let stop = Arc::new(AtomicBool::new(false));
    let sender = tokio::spawn(send_until_told(server.client()?, Arc::clone(&stop)));
    let client = server.client()?;
    for crash in 0..N_CRASHES {
        // Some crashes hit a store with parts, some hit one in the middle of a flush.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let flush = tokio::spawn({
            let client = client.clone();
            async move { client.flush().await }
        });
        if crash % 2 == 0 {
            flush.await??;
        }
        server.crash_and_restart().await?;
    }
    stop.store(true, Ordering::Relaxed);
    let n_acked = sender.await?;
    ensure!(n_acked > 10, "only {n_acked} batches were acknowledged\n{}", server.log());
    server.crash_and_restart().await?;
    check_all_there(&client, n_acked).await?;
    client.flush().await?;
    check_all_there(&client, n_acked).await
}

/// Both tables hold 0..n once each; one more may have arrived without our knowing.
async fn check_all_there(client: &Client, n: i64) -> anyhow::Result<()> {
    let end = (START_S + n + 10).to_string();
    let params = [("query", "beats_total[10d]"), ("time", end.as_str())];
    let data = client.data("/api/v1/query", &params).await?;
    let values = data.pointer("/result/0/values").and_then(|it| it.as_array()).unwrap();
    let mut want = 0;
    for value in values {
        let ts = value.get(0).and_then(serde_json::Value::as_i64).unwrap();
        assert_eq!(ts, START_S + want, "sample {want} of {n}");
        assert_eq!(value.get(1).unwrap(), &want.to_string());
        want += 1;
    }
    assert!(want == n || want == n + 1, "{want} samples, {n} were acknowledged");

    let lines = client.lines(r#"{job="crash"}"#, 5_000).await?;
    let want: Vec<String> = (0..i64::try_from(lines.len())?).map(|n| format!("line {n}")).collect();
    assert_eq!(lines.into_iter().map(|(_, it)| it).collect::<Vec<_>>(), want);
    let n_lines = i64::try_from(want.len())?;
    assert!(n_lines == n || n_lines == n + 1, "{n_lines} lines, {n} were acknowledged");
    Ok(())
}

#[tokio::test]
async fn every_journal_entry_arrives_once_while_both_ends_crash() -> anyhow::Result<()> {
    if let Some(why) = Journald::unavailable() {
        skipped("every_journal_entry_arrives_once_while_both_ends_crash", why);
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let journald = Journald::start(dir.path()).await?;
    let mut server = Server::start(dir.path(), "").await?;
    let mut agent = Agent::start(dir.path(), &server, Some(journald.directory()), "").await?;
    let n_rounds = 6;
    let n_per_round = 400;
    for round in 0..n_rounds {
        let lines: Vec<String> =
            (0..n_per_round).map(|n| format!("entry {}", round * n_per_round + n)).collect();
        journald.log("storm.service", &lines).await?;
        // Identical lines, which share a microsecond more often than not.
        journald.log("twins.service", &vec!["twin".to_owned(); 20]).await?;
        if round % 2 == 0 {
            agent.crash_and_restart().await?;
        } else {
            server.crash_and_restart().await?;
        }
    }
    let client = server.client()?;
    let n_rounds = usize::try_from(n_rounds)?;
    let n_storm = n_rounds * usize::try_from(n_per_round)?;
    let (lines, twins) = Deadline::within(Duration::from_secs(90))
        .until("the last entry", || async {
            let lines = client.lines(r#"{unit="storm.service"}"#, 5_000).await?;
            let twins = client.lines(r#"{unit="twins.service"}"#, 5_000).await?;
            let all_there = lines.len() >= n_storm && twins.len() >= 20 * n_rounds;
            ensure!(all_there, "{} of {n_storm} entries, {} twins", lines.len(), twins.len());
            Ok(Some((lines, twins)))
        })
        .await
        .with_context(|| format!("{}\n{}", server.log(), agent.log()))?;
    let distinct: BTreeSet<&str> = lines.iter().map(|(_, it)| it.as_str()).collect();
    assert_eq!((lines.len(), distinct.len()), (n_storm, n_storm), "entries and distinct entries");
    assert_eq!(twins.len(), 20 * n_rounds, "identical lines are entries too");
    agent.stop().await?;
    server.stop().await
}
