//! A small disk under load: whether the server stays up, below its cap, and has the newest data.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use skep_tests::{
    Tmpfs, disk_bytes,
    load::{LineLoad, SERIES_PER_HOST, SampleLoad, Sender},
};
use tokio::time::{Instant, sleep};

use crate::{
    measure::{as_f64, last_minute, memory},
    target::Target,
};

/// The settings of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Of the file system in memory that the data lies on, in MB (10^6 bytes).
    #[arg(long, default_value_t = 256)]
    disk_mb: u64,
    /// `store.max_bytes`, in MB.
    #[arg(long, default_value_t = 200)]
    cap_mb: u64,
    #[arg(long, default_value_t = 50)]
    hosts: u32,
    /// For each minute of data.
    #[arg(long, default_value_t = 20_000)]
    lines: u64,
    /// Below it the file system is mounted.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

/// A round of the load is a minute of data.
const ROUND_S: i64 = 60;
const INTERVAL_MS: i64 = 15_000;
const SCRAPES: u32 = 4;
const LINE_HOSTS: u32 = 8;
/// How far back the load begins: it never comes to the present.
const SPAN_S: i64 = 60 * 86_400;
const LOOK: Duration = Duration::from_millis(200);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What went on.
#[derive(Debug, Default)]
struct Found {
    n_items: u64,
    n_retries: u64,
    n_rounds: u32,
    /// The newest minute of samples and of lines, each asked for once a round.
    n_complete: u32,
    slowest_s: f64,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(&args.dir)?;
    let data = dir.path().join("server");
    let Some(_tmpfs) = Tmpfs::mount(&data, args.disk_mb * 1_000_000).await? else {
        bail!("this process may not mount a file system; run it as root");
    };
    let settings = format!("max_bytes = \"{}B\"", args.cap_mb * 1_000_000);
    let mut target = Target::ours(dir.path(), &settings).await?;
    let peak_bytes = Arc::new(AtomicU64::new(0));
    let watch = tokio::spawn(watch(data, Arc::clone(&peak_bytes)));
    let found = load(args, &target).await?;
    watch.abort();
    println!(
        "{} s on a disk of {} MB, cap {} MB: {:.1} MB at most; {} items sent, {} retries",
        args.seconds,
        args.disk_mb,
        args.cap_mb,
        as_f64(peak_bytes.load(Ordering::Relaxed)) / 1e6,
        found.n_items,
        found.n_retries
    );
    println!(
        "the newest minute was asked for {} times and complete {} times, after {:.1} s at most; \
         {:.0} MB of memory at most",
        found.n_rounds * 2,
        found.n_complete,
        found.slowest_s,
        memory(target.pid())?.peak_mb
    );
    target.stop().await
}

/// The folder's size at its highest.
async fn watch(dir: PathBuf, peak_bytes: Arc<AtomicU64>) {
    loop {
        let now = disk_bytes(&dir).unwrap_or(0);
        peak_bytes.fetch_max(now, Ordering::Relaxed);
        sleep(LOOK).await;
    }
}

async fn load(args: &Args, target: &Target) -> anyhow::Result<Found> {
    let sender = Sender::full_speed(&target.url());
    let started = Instant::now();
    let mut found = Found::default();
    let mut end_s = last_minute() - SPAN_S;
    while started.elapsed() < Duration::from_secs(args.seconds) {
        // Its last scrapes may come a little late: a minute without any keeps rounds apart.
        end_s += 2 * ROUND_S;
        let samples = SampleLoad {
            hosts: args.hosts,
            scrapes: SCRAPES,
            interval_ms: INTERVAL_MS,
            end_ms: end_s * 1_000,
            seed: 1,
        };
        let lines = LineLoad {
            hosts: LINE_HOSTS,
            lines: args.lines,
            span_ns: ROUND_S * 1_000_000_000,
            end_ns: end_s * 1_000_000_000,
            seed: u64::from(found.n_rounds),
        };
        let (samples, lines) = tokio::try_join!(sender.samples(&samples), sender.lines(&lines))?;
        found.n_items += samples.n_items + lines.n_items;
        found.n_retries += samples.n_retries + lines.n_retries;
        found.n_rounds += 1;
        for (path, query, expected) in [
            (
                "/api/v1/query",
                "sum(count_over_time(node_load1[90s]))".to_owned(),
                samples.n_items / SERIES_PER_HOST,
            ),
            (
                "/loki/api/v1/query",
                "sum(count_over_time({unit=~\".+\"}[90s]))".to_owned(),
                lines.n_items,
            ),
        ] {
            let asked = Instant::now();
            let count = newest(&target.url(), path, &query, end_s + 1).await;
            found.slowest_s = found.slowest_s.max(asked.elapsed().as_secs_f64());
            match count {
                Ok(n) if n == expected => found.n_complete += 1,
                Ok(n) => println!("{path} at {end_s}: {n} of {expected}"),
                Err(error) => println!("{path} at {end_s}: {error:#}"),
            }
        }
    }
    Ok(found)
}

/// The one value of an instant query.
async fn newest(url: &str, path: &str, query: &str, time_s: i64) -> anyhow::Result<u64> {
    let request = reqwest::Client::new()
        .get(format!("{url}{path}"))
        .query(&[("query", query), ("time", &time_s.to_string())])
        .timeout(ANSWER_WITHIN);
    let answer: Value = request.send().await?.error_for_status()?.json().await?;
    let value = answer.pointer("/data/result/0/value/1").and_then(Value::as_str);
    Ok(value.context("no result")?.parse()?)
}
