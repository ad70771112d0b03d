//! A small disk: under a cap the server stays below it, and a full one does not take it down.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use skep_proto::{Clock as _, Labels, LogEntry, SystemClock, TimestampNs};
use skep_tests::{Client, Deadline, Server, Tmpfs, disk_bytes, skipped};

const MIB: u64 = 1 << 20;
const TMPFS_BYTES: u64 = 64 * MIB;
const CAP_BYTES: u64 = 24 * MIB;
/// A part takes at most an eighth of the cap.
const PART_BYTES: u64 = CAP_BYTES / 8;
const LINE_BYTES: usize = 1_000;
const LINES_PER_PUSH: i64 = 200;
/// Enough to go over the cap three times.
const N_PUSHES: i64 = 360;

async fn small_disk(name: &str, dir: &Path) -> anyhow::Result<Option<Tmpfs>> {
    let tmpfs = Tmpfs::mount(&dir.join("server"), TMPFS_BYTES).await?;
    if tmpfs.is_none() {
        skipped(name, "this process may not mount a file system");
    }
    Ok(tmpfs)
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
    (0..LINE_BYTES).map(|_| next()).collect()
}

fn push_body(push: i64, start_s: i64) -> anyhow::Result<Vec<(Labels, Vec<LogEntry>)>> {
    let labels = Labels::from_pairs([("job", "space")])?;
    let entries = (0..LINES_PER_PUSH)
        .map(|it| {
            let n = push * LINES_PER_PUSH + it;
            let ts = TimestampNs((start_s * 1_000 + n) * 1_000_000);
            LogEntry { ts, line: format!("{n} {}", noise(n)), metadata: Vec::new() }
        })
        .collect();
    Ok(vec![(labels, entries)])
}

/// As an agent: the same again until it is taken.
async fn push_until_taken(client: &Client, push: i64, start_s: i64) -> anyhow::Result<()> {
    let body = push_body(push, start_s)?;
    Deadline::within(Duration::from_secs(60))
        .until("a push to be taken", || async {
            let status = client.push(&body).await?;
            let is_later = [StatusCode::TOO_MANY_REQUESTS, StatusCode::INSUFFICIENT_STORAGE];
            ensure!(status.is_success() || is_later.contains(&status), "push: {status}");
            Ok(status.is_success().then_some(()))
        })
        .await
}

fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|it| it.parse().ok()).unwrap_or(f64::NAN)
}

fn now_s() -> i64 {
    SystemClock.now().to_ms().0 / 1_000
}

#[tokio::test]
async fn under_load_the_folder_stays_below_its_cap_and_the_newest_lines_are_there()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let name = "under_load_the_folder_stays_below_its_cap_and_the_newest_lines_are_there";
    let Some(_tmpfs) = small_disk(name, dir.path()).await? else { return Ok(()) };
    let settings = format!("[store]\nmax_bytes = \"{CAP_BYTES}B\"\nreserve_bytes = \"1MiB\"");
    let mut server = Server::start(dir.path(), &settings).await?;
    let client = server.client()?;
    let start_s = now_s() - 3_600;
    let mut peak = 0;
    for push in 0..N_PUSHES {
        push_until_taken(&client, push, start_s).await.with_context(|| server.log())?;
        peak = peak.max(disk_bytes(&server.data_dir())?);
        ensure!(peak <= CAP_BYTES + PART_BYTES, "{peak} bytes after push {push}");
    }
    let newest = (N_PUSHES * LINES_PER_PUSH - 1).to_string();
    let query = format!("{{job=\"space\"}} |= \"{newest} \"");
    ensure!(!client.lines(&query, 10).await?.is_empty(), "the newest line is gone");
    let metrics = client.get("/metrics", &[]).await?.text().await?;
    ensure!(metric(&metrics, "skep_store_evicted_parts_total") > 0.0, "{metrics}");
    server.stop().await?;
    server.restart().await?;
    ensure!(!client.lines(&query, 10).await?.is_empty(), "the newest line is gone");
    server.stop().await
}

#[tokio::test]
async fn a_full_disk_answers_507_and_queries_and_heals_without_a_restart() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let name = "a_full_disk_answers_507_and_queries_and_heals_without_a_restart";
    let Some(tmpfs) = small_disk(name, dir.path()).await? else { return Ok(()) };
    let mut server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    let start_s = now_s() - 3_600;
    push_until_taken(&client, 0, start_s).await?;

    let ballast = tmpfs.fill()?;
    let refused = Deadline::within(Duration::from_secs(30))
        .until("a refused push", || async {
            let status = client.push(&push_body(1, start_s)?).await?;
            Ok((status != StatusCode::NO_CONTENT).then_some(status))
        })
        .await?;
    ensure!(refused == StatusCode::INSUFFICIENT_STORAGE, "{refused}");
    Deadline::within(Duration::from_secs(10))
        .until("the health endpoint to say so", || async {
            let answer = client.get("/-/healthy", &[]).await?;
            ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
            Ok(answer.text().await?.contains("the disk is full").then_some(()))
        })
        .await?;
    let n_lines = client.lines("{job=\"space\"}", 1_000).await?.len();
    ensure!(n_lines >= usize::try_from(LINES_PER_PUSH)?, "{n_lines} lines while the disk is full");

    ballast.release()?;
    push_until_taken(&client, 2, start_s).await.with_context(|| server.log())?;
    client.flush().await?;
    server.crash_and_restart().await?;
    let lines = client.lines("{job=\"space\"}", 1_000).await?;
    // The refused push may be there or not; the others must.
    let has = |n: i64| lines.iter().any(|(_, line)| line.starts_with(&format!("{n} ")));
    ensure!(has(0) && has(LINES_PER_PUSH * 3 - 1), "{} lines after a crash", lines.len());
    server.stop().await
}
