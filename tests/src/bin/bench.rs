//! Figures of the server under a deterministic load over HTTPS: per CPU-second, bytes, RSS. They
//! are printed, never asserted: machines are noisy.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use clap::Parser;
use skep_proto::{
    Labels, LogEntry, MetricKind, Sample, TimestampMs, TimestampNs, remote_write::SeriesBatch,
};
use skep_tests::{Client, Server, cpu_seconds};

#[derive(Parser)]
struct Args {
    #[arg(long)]
    hosts: u32,
    #[arg(long)]
    scrapes: u32,
    #[arg(long)]
    lines: u32,
}

const SERIES_PER_HOST: u32 = 1_000;
const LINES_PER_PUSH: u32 = 1_000;
const START_MS: i64 = 1_790_000_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let client = server.client()?;
    let idle = rss_mb(server.pid())?;
    println!("idle: {idle:.0} MB RSS");
    samples(&args, &server, &client).await?;
    lines(&args, &server, &client).await?;
    for query in [
        "sum by (instance) (rate(bench_total{mode!=\"7\"}[5m]))",
        "count({__name__=\"bench_total\"})",
    ] {
        let start = (START_MS / 1_000).to_string();
        let end = (START_MS / 1_000 + i64::from(args.scrapes) * 15).to_string();
        let params = [("query", query), ("start", &start), ("end", &end), ("step", "60")];
        let before = cpu_seconds(server.pid())?;
        let n_runs = 10;
        for _ in 0..n_runs {
            client.data("/api/v1/query_range", &params).await?;
        }
        let ms = (cpu_seconds(server.pid())? - before) * 1_000.0 / f64::from(n_runs);
        println!("{query}: {ms:.1} CPU ms");
    }
    Ok(())
}

async fn samples(args: &Args, server: &Server, client: &Client) -> anyhow::Result<()> {
    let before = cpu_seconds(server.pid())?;
    for scrape in 0..args.scrapes {
        for host in 0..args.hosts {
            let status = client.write(&scrape_of(host, scrape)?).await?;
            ensure!(status.is_success(), "write: {status}");
        }
    }
    client.flush().await?;
    let n = f64::from(args.scrapes) * f64::from(args.hosts) * f64::from(SERIES_PER_HOST);
    let cpu = cpu_seconds(server.pid())? - before;
    let bytes = tree_bytes(&server.data_dir().join("samples"))?;
    println!(
        "{n} samples: {:.0} per server CPU-second, {:.2} bytes each, {:.0} MB RSS",
        n / cpu,
        bytes / n,
        rss_mb(server.pid())?
    );
    Ok(())
}

/// A third constant, a third counting, a third moving as gauges do.
fn scrape_of(host: u32, scrape: u32) -> anyhow::Result<Vec<SeriesBatch>> {
    let instance = format!("host-{host}");
    let ts = TimestampMs(START_MS + i64::from(scrape) * 15_000);
    (0..SERIES_PER_HOST)
        .map(|n| {
            let (family, mode) = (format!("device-{}", n / 8), (n % 8).to_string());
            let noise = f64::from((n * 7_919 + scrape * 104_729 + host * 31) % 1_000);
            let value = match n % 3 {
                0 => f64::from(n),
                1 => f64::from(scrape) * 15.0 + noise / 100.0,
                _ => noise / 10.0,
            };
            Ok(SeriesBatch {
                labels: Labels::from_pairs([
                    ("__name__", "bench_total"),
                    ("instance", &instance),
                    ("device", &family),
                    ("mode", &mode),
                ])?,
                samples: vec![Sample { ts, value }],
                kind: MetricKind::Unknown,
                help: "".into(),
            })
        })
        .collect()
}

async fn lines(args: &Args, server: &Server, client: &Client) -> anyhow::Result<()> {
    let before = cpu_seconds(server.pid())?;
    for push in 0..args.lines / LINES_PER_PUSH {
        let labels = Labels::from_pairs([
            ("job", "bench"),
            ("unit", &format!("unit-{}.service", push % 50)),
        ])?;
        let entries = (0..LINES_PER_PUSH).map(|n| line(push * LINES_PER_PUSH + n)).collect();
        let status = client.push(&[(labels, entries)]).await?;
        ensure!(status.is_success(), "push: {status}");
    }
    client.flush().await?;
    let n = f64::from(args.lines);
    let cpu = cpu_seconds(server.pid())? - before;
    let bytes = tree_bytes(&server.data_dir().join("logs"))?;
    println!(
        "{n} lines: {:.0} per server CPU-second, {:.1} bytes each, {:.0} MB RSS",
        n / cpu,
        bytes / n,
        rss_mb(server.pid())?
    );
    Ok(())
}

fn line(n: u32) -> LogEntry {
    let id = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    LogEntry {
        ts: TimestampNs(START_MS * 1_000_000 + i64::from(n) * 1_000_000),
        line: format!(
            "request id={id:016x} method=GET path=/api/v{}/items/{} status={} took {} ms from 10.0.{}.{}",
            n % 3,
            n % 977,
            200 + n % 5,
            n % 251,
            n % 16,
            n % 255
        ),
        metadata: vec![("_PID".to_owned(), (1_000 + n % 50).to_string())],
    }
}

fn rss_mb(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1_024.0)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn tree_bytes(dir: &Path) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() {
            tree_bytes(&entry.path())?
        } else {
            entry.metadata()?.len() as f64
        };
    }
    Ok(sum)
}
