//! The store's figures: ingest per CPU-second, bytes, memory, queries; ours and a peer's.

use std::path::{Path, PathBuf};

use skep_tests::{
    cpu_seconds,
    load::{SERIES_PER_HOST, SampleLoad, Sender, Sent},
};
use tokio::time::Instant;

use crate::{
    dashboard,
    measure::{as_f64, forget_peak, last_minute, memory, settle, tree_bytes},
    queries::{Cost, Question, about_samples},
    target::{Peer, Target},
};

/// The settings of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hosts that send samples, 1,219 series each.
    #[arg(long, default_value_t = 50)]
    hosts: u32,
    /// How far the load reaches back, a scrape every 15 s.
    #[arg(long, default_value_t = 2.0)]
    hours: f64,
    /// Run this server too, on the samples, and print ratios.
    #[arg(long, value_name = "PEER")]
    against: Vec<Peer>,
    /// A dashboard of Grafana as JSON, all of whose expressions are asked about one host.
    #[arg(long, value_name = "FILE")]
    dashboard: Option<PathBuf>,
    /// Another seed is another load.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Settings to add to our server's config, as TOML.
    #[arg(long, default_value = "")]
    settings: String,
    /// Where the servers keep their data; removed afterwards.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

/// What loading gave.
pub(crate) struct Loaded {
    unit: &'static str,
    n_items: u64,
    per_cpu_s: f64,
    bytes_each: f64,
    peak_mb: f64,
    settled_mb: f64,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let end_s = last_minute();
    let samples = sample_load(args, end_s)?;
    let mut figures = vec![("skep-server", load_ours(args, &samples, end_s).await?)];
    for peer in &args.against {
        let dir = tempfile::tempdir_in(&args.dir)?;
        let mut target = Target::peer(*peer, dir.path()).await?;
        let data = dir.path().join("data");
        let loaded = load_samples(&target, &samples, &data).await?;
        print_loaded(target.name(), &loaded);
        print_all_costs(args, &mut target, &data, &about_samples(span_s(&samples)), end_s).await?;
        target.stop().await?;
        figures.push((peer.program(), loaded));
    }
    if let Some(((_, ours), peers)) = figures.split_first() {
        for (name, peer) in peers {
            print_ratios(ours, name, peer);
        }
    }
    Ok(())
}

fn sample_load(args: &Args, end_s: i64) -> anyhow::Result<SampleLoad> {
    let interval_ms = 15_000;
    let hours = std::time::Duration::from_secs_f64(args.hours * 3_600.0);
    let scrapes = u32::try_from(hours.as_millis() / 15_000)?;
    let end_ms = end_s * 1_000;
    Ok(SampleLoad { hosts: args.hosts, scrapes, interval_ms, end_ms, seed: args.seed })
}

fn span_s(load: &SampleLoad) -> i64 {
    i64::from(load.scrapes) * load.interval_ms / 1_000
}

async fn load_ours(args: &Args, samples: &SampleLoad, end_s: i64) -> anyhow::Result<Loaded> {
    let dir = tempfile::tempdir_in(&args.dir)?;
    let mut target = Target::ours(dir.path(), &args.settings).await?;
    println!("{}: {:.0} MB when idle", target.name(), memory(target.pid())?.now_mb);
    let data = dir.path().join("server");
    let loaded = load_samples(&target, samples, &data).await?;
    print_loaded(target.name(), &loaded);
    print_all_costs(args, &mut target, &data, &about_samples(span_s(samples)), end_s).await?;
    target.stop().await?;
    Ok(loaded)
}

async fn load_samples(target: &Target, load: &SampleLoad, dir: &Path) -> anyhow::Result<Loaded> {
    let n_series = u64::from(load.hosts) * SERIES_PER_HOST;
    println!(
        "{}: {} samples of {n_series} series over {} s",
        target.name(),
        load.n_samples(),
        span_s(load)
    );
    let before = Before::take(target)?;
    let sent = Sender::full_speed(&target.url()).samples(load).await?;
    before.finish(target, "sample", sent, dir).await
}

/// Taken before a load, to tell what it cost.
pub(crate) struct Before {
    cpu_s: f64,
    started: Instant,
}

impl Before {
    pub(crate) fn take(target: &Target) -> anyhow::Result<Self> {
        forget_peak(target.pid());
        Ok(Self { cpu_s: cpu_seconds(target.pid())?, started: Instant::now() })
    }

    /// Once everything is written out and merged.
    pub(crate) async fn finish(
        self,
        target: &Target,
        unit: &'static str,
        sent: Sent,
        dir: &Path,
    ) -> anyhow::Result<Loaded> {
        let pid = target.pid();
        let (sending_cpu_s, sending_s) = (cpu_seconds(pid)? - self.cpu_s, self.started.elapsed());
        target.flush().await?;
        settle(pid).await?;
        let cpu_s = cpu_seconds(pid)? - self.cpu_s;
        let memory = memory(pid)?;
        println!(
            "  sent in {:.1} s with {} retries; {sending_cpu_s:.2} CPU s until then, {cpu_s:.2} settled",
            sending_s.as_secs_f64(),
            sent.n_retries
        );
        Ok(Loaded {
            unit,
            n_items: sent.n_items,
            per_cpu_s: as_f64(sent.n_items) / cpu_s,
            bytes_each: as_f64(tree_bytes(dir)?) / as_f64(sent.n_items),
            peak_mb: memory.peak_mb,
            settled_mb: memory.now_mb,
        })
    }
}

pub(crate) fn print_loaded(name: &str, it: &Loaded) {
    let unit = it.unit;
    println!(
        "  {name}: {:.0} {unit}s per CPU-second, {:.3} bytes a {unit}, {:.0} MB at most, {:.0} MB \
         settled ({} {unit}s)",
        it.per_cpu_s, it.bytes_each, it.peak_mb, it.settled_mb, it.n_items
    );
}

/// Warm, and cold: after a start, with no file in memory.
async fn print_all_costs(
    args: &Args,
    target: &mut Target,
    data: &Path,
    questions: &[Question],
    end_s: i64,
) -> anyhow::Result<()> {
    let exprs = args.dashboard.as_deref().map(dashboard::read).transpose()?;
    for is_cold in [false, true] {
        if is_cold {
            target.restart_cold(data).await?;
        }
        print_costs(target, questions, end_s, is_cold).await?;
        if let Some(exprs) = &exprs {
            if is_cold {
                target.restart_cold(data).await?;
            }
            dashboard::print_cost(exprs, &target.url(), target.pid(), end_s, is_cold).await?;
        }
    }
    Ok(())
}

pub(crate) async fn print_costs(
    target: &Target,
    questions: &[Question],
    end_s: i64,
    is_cold: bool,
) -> anyhow::Result<()> {
    let (url, pid) = (target.url(), target.pid());
    let kind = if is_cold { "cold" } else { "warm" };
    println!("  {}, {kind}: CPU ms (wall ms)", target.name());
    for question in questions {
        let Cost { cpu_ms, wall_ms } = question.cost(&url, pid, end_s, is_cold).await?;
        println!("    {:<42} {cpu_ms:>9.2} ({wall_ms:.2})", question.name);
    }
    Ok(())
}

fn print_ratios(ours: &Loaded, name: &str, peer: &Loaded) {
    println!(
        "skep-server : {name} = {:.2} x samples per CPU-second, {:.2} x bytes a sample, {:.2} x \
         memory at most",
        ours.per_cpu_s / peer.per_cpu_s,
        ours.bytes_each / peer.bytes_each,
        ours.peak_mb / peer.peak_mb
    );
}
