//! Parts on S3: a real server on loopback, crashes, a line that is cut, a cache too small.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use skep_proto::{
    Labels, LogEntry, MetricKind, Sample, TimestampMs, TimestampNs, remote_write::SeriesBatch,
};
use skep_tests::{Client, Deadline, Line, ObjectStorage, Server, bin_dir, skipped};
use tokio::process::Command;

/// Samples and lines are stamped from here on, a second apart.
const START_S: i64 = 1_790_000_000;
const LARGE_LINE_BYTES: usize = 1_000;
const LARGE_LINES_PER_PUSH: i64 = 2_000;

/// What delta-rs sees of each table, over S3 itself.
const DELTA: &str = r"
import deltalake
options = dict(AWS_ENDPOINT_URL=endpoint, AWS_ALLOW_HTTP='true', AWS_REGION='us-east-1',
    AWS_ACCESS_KEY_ID=keys['aws_access_key_id'], AWS_SECRET_ACCESS_KEY=keys['aws_secret_access_key'])
listed = [it['Key'] for page in s3.get_paginator('list_objects_v2').paginate(Bucket=bucket)
    for it in page.get('Contents', [])]
for table in ['series', 'streams', 'samples', 'logs']:
    delta = deltalake.DeltaTable(f's3://{bucket}/prefix/{table}', storage_options=options)
    live = sorted(it.split('/prefix/')[-1] for it in delta.file_uris())
    here = sorted(it.split('prefix/')[-1] for it in listed if f'/{table}/day=' in it)
    assert live == here, (live, here)
    print(table, delta.to_pyarrow_table().num_rows)
";

async fn storage(name: &str, dir: &Path) -> anyhow::Result<Option<ObjectStorage>> {
    let Some(python) = ObjectStorage::python() else {
        skipped(name, "SKEP_TEST_PYTHON names no Python with moto (cargo xtask test sets it)");
        return Ok(None);
    };
    Ok(Some(ObjectStorage::start(dir, python).await?))
}

fn settings(storage: &ObjectStorage, store: &str) -> String {
    format!("[store]\nretention = \"off\"\n{store}\n{}", storage.settings("16MiB"))
}

/// Sample and line `n`; acknowledged when it returns.
async fn send(client: &Client, n: i64) -> anyhow::Result<StatusCode> {
    let labels = Labels::from_pairs([("__name__", "beats_total"), ("job", "s3")])?;
    let value = f64::from(i32::try_from(n)?);
    let sample = Sample { ts: TimestampMs((START_S + n) * 1_000), value };
    let kind = MetricKind::Counter;
    let series = SeriesBatch { labels, samples: vec![sample], kind, help: "".into() };
    let status = client.write(&[series]).await?;
    if !status.is_success() {
        return Ok(status);
    }
    let labels = Labels::from_pairs([("job", "s3")])?;
    let ts = TimestampNs((START_S + n) * 1_000_000_000);
    let entry = LogEntry { ts, line: format!("line {n}"), metadata: Vec::new() };
    client.push(&[(labels, vec![entry])]).await
}

async fn send_all(client: &Client, range: std::ops::Range<i64>) -> anyhow::Result<()> {
    for n in range {
        let status = send(client, n).await?;
        ensure!(status.is_success(), "row {n}: {status}");
    }
    Ok(())
}

/// Both tables hold 0..n once each.
async fn check_all_there(client: &Client, n: i64) -> anyhow::Result<()> {
    let end = (START_S + n).to_string();
    let params = [("query", "beats_total[10d]"), ("time", end.as_str())];
    let data = client.data("/api/v1/query", &params).await?;
    let values = data.pointer("/result/0/values").and_then(|it| it.as_array()).context("none")?;
    let found: Vec<_> = values.iter().map(|it| it.get(0).and_then(|ts| ts.as_i64())).collect();
    let wanted: Vec<_> = (0..n).map(|it| Some(START_S + it)).collect();
    ensure!(found == wanted, "{} samples instead of {n}", found.len());
    let lines = client.lines(r#"{job="s3"}"#, 5_000).await?;
    let wanted: Vec<_> = (0..n).map(|it| format!("line {it}")).collect();
    let found: Vec<_> = lines.into_iter().map(|it| it.1).collect();
    ensure!(found == wanted, "{} lines instead of {n}", found.len());
    Ok(())
}

/// Takes away all copies of parts.
fn empty_cache(server: &Server) -> anyhow::Result<usize> {
    let mut n_files = 0;
    for table in ["series", "streams", "samples", "logs"] {
        for day in std::fs::read_dir(server.data_dir().join(table))? {
            for file in std::fs::read_dir(day?.path())? {
                std::fs::remove_file(file?.path())?;
                n_files += 1;
            }
        }
    }
    Ok(n_files)
}

async fn figure(client: &Client, name: &str) -> anyhow::Result<f64> {
    let text = client.get("/metrics", &[]).await?.text().await?;
    let line = text.lines().find(|it| it.strip_prefix(name).is_some_and(|it| it.starts_with(' ')));
    let value = line.and_then(|it| it.rsplit(' ').next()).with_context(|| name.to_owned())?;
    Ok(value.parse()?)
}

#[tokio::test]
async fn parts_in_object_storage_are_there_after_a_start_with_an_empty_cache() -> anyhow::Result<()>
{
    let dir = tempfile::tempdir()?;
    let name = "parts_in_object_storage_are_there_after_a_start_with_an_empty_cache";
    let Some(storage) = storage(name, dir.path()).await? else { return Ok(()) };
    let mut server =
        Server::start(dir.path(), &settings(&storage, "parts_per_day_max = 2")).await?;
    let client = server.client()?;
    for round in 0..10 {
        send_all(&client, 4 * round..4 * (round + 1)).await?;
        client.flush().await?;
    }
    client.compact().await?;
    let is_checkpoint =
        |it: &String| it.contains("/samples/_delta_log/") && it.ends_with("parquet");
    ensure!(storage.keys().await?.iter().any(is_checkpoint), "there is no checkpoint");
    check_all_there(&client, 40).await?;
    assert_eq!(figure(&client, "skep_store_cache_misses_total").await?, 0.0);
    // Some rows are only in the log when it ends.
    send_all(&client, 40..45).await?;
    server.stop().await?;
    ensure!(empty_cache(&server)? > 0, "the cache was empty");
    server.restart().await?;
    let client = server.client()?;
    check_all_there(&client, 45).await?;
    ensure!(figure(&client, "skep_store_cache_misses_total").await? > 0.0, "nothing was fetched");
    let delta = storage.script(DELTA, &[]).await?;
    assert_eq!(delta, "series 1\nstreams 1\nsamples 45\nlogs 45");
    server.stop().await
}

#[tokio::test]
async fn a_crash_between_upload_and_commit_loses_and_doubles_nothing() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let name = "a_crash_between_upload_and_commit_loses_and_doubles_nothing";
    let Some(storage) = storage(name, dir.path()).await? else { return Ok(()) };
    let mut server = Server::start(dir.path(), &settings(&storage, "")).await?;
    let client = server.client()?;
    send_all(&client, 0..10).await?;
    client.flush().await?;
    send_all(&client, 10..20).await?;
    storage.set_line(Line::HoldCommits);
    let flush = tokio::spawn({
        let client = client.clone();
        async move { client.flush().await }
    });
    tokio::time::timeout(Duration::from_secs(60), storage.commit_held()).await??;
    let samples = |keys: &[String]| keys.iter().filter(|it| it.contains("/samples/day=")).count();
    assert_eq!(samples(&storage.keys().await?), 2, "uploaded and not yet committed");
    storage.set_line(Line::Open);
    server.crash_and_restart().await?;
    assert!(flush.await?.is_err());
    assert_eq!(samples(&storage.keys().await?), 1, "what was not committed is collected");
    check_all_there(&client, 20).await?;
    client.flush().await?;
    check_all_there(&client, 20).await?;
    server.crash_and_restart().await?;
    check_all_there(&client, 20).await?;
    let delta = storage.script(DELTA, &[]).await?;
    ensure!(delta.contains("samples 20\nlogs 20"), "{delta}");
    server.stop().await
}

#[tokio::test]
async fn while_the_storage_is_away_writes_go_on_and_queries_name_what_they_lack()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let name = "while_the_storage_is_away_writes_go_on_and_queries_name_what_they_lack";
    let Some(storage) = storage(name, dir.path()).await? else { return Ok(()) };
    let store = "memory_max = \"2MiB\"\nflush_bytes = \"1MiB\"";
    let mut server = Server::start(dir.path(), &settings(&storage, store)).await?;
    let client = server.client()?;
    send_all(&client, 0..10).await?;
    client.flush().await?;
    server.stop().await?;
    empty_cache(&server)?;
    server.restart().await?;
    let client = server.client()?;
    storage.set_line(Line::Cut);
    // What cannot be fetched is named.
    let answer = client
        .get("/api/v1/query", &[("query", "beats_total[10d]"), ("time", "1790000010")])
        .await?;
    let status = answer.status();
    let text = answer.text().await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    ensure!(text.contains("part samples/day=2026-09-21/") && text.contains("reached"), "{text}");
    // Rows go into the log and memory until memory is full.
    send_all(&client, 10..20).await?;
    let mut n_large = 0;
    let full = loop {
        let status = client.push(&large(n_large * 20..(n_large + 1) * 20)?).await?;
        if !status.is_success() {
            break status;
        }
        n_large += 1;
    };
    assert_eq!(full, StatusCode::TOO_MANY_REQUESTS);
    ensure!(n_large > 20, "only {n_large} large pushes went into memory");
    storage.set_line(Line::Open);
    Deadline::within(Duration::from_secs(60))
        .until("the store to take rows again", || async {
            Ok(send(&client, 20).await?.is_success().then_some(()))
        })
        .await?;
    client.flush().await?;
    check_all_there(&client, 21).await?;
    server.crash_and_restart().await?;
    check_all_there(&client, 21).await?;
    assert_eq!(count_large(&client).await?, n_large * 20);
    server.stop().await
}

/// Text that does not compress, the same for the same `n`.
fn noise(n: i64) -> String {
    let mut state = n.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + u8::try_from(state % 90).unwrap_or(0))
    };
    (0..LARGE_LINE_BYTES).map(|_| next()).collect()
}

/// Lines of a stream that takes as much room in files as it does here, a millisecond apart.
fn large(range: std::ops::Range<i64>) -> anyhow::Result<Vec<(Labels, Vec<LogEntry>)>> {
    let entry = |n| {
        let ts = TimestampNs((START_S * 1_000 + n) * 1_000_000);
        LogEntry { ts, line: noise(n), metadata: Vec::new() }
    };
    Ok(vec![(Labels::from_pairs([("job", "large")])?, range.map(entry).collect())])
}

async fn count_large(client: &Client) -> anyhow::Result<i64> {
    let end = (START_S + 60).to_string();
    let params = [("query", r#"sum(count_over_time({job="large"}[1h]))"#), ("time", end.as_str())];
    let data = client.data("/loki/api/v1/query", &params).await?;
    let count = data.pointer("/result/0/value/1").and_then(|it| it.as_str()).context("none")?;
    Ok(count.parse()?)
}

#[tokio::test]
async fn a_cache_smaller_than_the_data_answers_all_the_same() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let name = "a_cache_smaller_than_the_data_answers_all_the_same";
    let Some(storage) = storage(name, dir.path()).await? else { return Ok(()) };
    let server = Server::start(dir.path(), &settings(&storage, "")).await?;
    let client = server.client()?;
    let n_pushes = 14;
    for push in 0..n_pushes {
        let first = push * LARGE_LINES_PER_PUSH;
        let status = client.push(&large(first..first + LARGE_LINES_PER_PUSH)?).await?;
        ensure!(status.is_success(), "push {push}: {status}");
        if push % 2 == 1 {
            client.flush().await?;
        }
    }
    for _ in 0..2 {
        assert_eq!(count_large(&client).await?, n_pushes * LARGE_LINES_PER_PUSH);
        let max = figure(&client, "skep_store_cache_max_bytes").await?;
        let used = figure(&client, "skep_store_cache_bytes").await?;
        ensure!(used <= max, "{used} bytes in a cache of {max}");
    }
    let logs = figure(&client, "skep_store_disk_bytes{table=\"logs\"}").await?;
    ensure!(logs > 17e6, "only {logs} bytes of logs: they fit into the cache");
    ensure!(figure(&client, "skep_store_cache_evictions_total").await? > 0.0, "nothing had to go");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_the_storage_is_said_with_what_to_do() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let name = "what_is_wrong_with_the_storage_is_said_with_what_to_do";
    let Some(storage) = storage(name, dir.path()).await? else { return Ok(()) };
    let good = settings(&storage, "");
    let config = dir.path().join("check.toml");
    let check = async |settings: &str| {
        let data_dir = dir.path().join("check");
        std::fs::write(
            &config,
            format!("data_dir = {:?}\n{settings}", data_dir.display().to_string()),
        )?;
        let mut command = Command::new(bin_dir().join("skep-server"));
        let output = command.arg("check").arg(&config).output().await?;
        anyhow::Ok((output.status.code(), String::from_utf8(output.stderr)?))
    };
    assert_eq!(check(&good).await?, (Some(0), String::new()));
    let no_bucket = good.replace("s3://skep-test/", "s3://no-such-bucket/");
    let (code, text) = check(&no_bucket).await?;
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("there is no such bucket; create it"), "{text}");
    let no_key = good.replace("access-key\"", "no-such-key\"");
    let (code, text) = check(&no_key).await?;
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("no-such-key cannot be read"), "{text}");
    storage.set_line(Line::Cut);
    let (code, text) = check(&good).await?;
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("it cannot be reached; is object_store.endpoint right"), "{text}");
    storage.set_line(Line::Open);

    // One prefix, one data folder.
    let mut server = Server::start(dir.path(), &good).await?;
    server.stop().await?;
    let other = dir.path().join("other");
    std::fs::create_dir(&other)?;
    let Err(error) = Server::start(&other, &good).await else {
        anyhow::bail!("two data folders share a prefix");
    };
    let text = format!("{error:#}");
    ensure!(text.contains("belongs to another data folder"), "{text}");
    Ok(())
}
