//! What the server takes when a homelab lives at its usual pace.

use std::{path::PathBuf, time::Duration};

use skep_tests::{
    cpu_seconds,
    load::{LineLoad, Pace, SampleLoad, Sender},
};
use tokio::time::{Instant, sleep};

use crate::{
    measure::{forget_peak, last_minute, memory},
    target::Target,
};

/// The settings of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value_t = 10)]
    hosts: u32,
    #[arg(long, default_value_t = 100)]
    lines_per_second: u64,
    /// How long, after 20 s of idleness.
    #[arg(long, default_value_t = 90)]
    seconds: u32,
    /// Where the server keeps its data; removed afterwards.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

const IDLE: Duration = Duration::from_secs(20);

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(&args.dir)?;
    let mut target = Target::ours(dir.path(), "").await?;
    let pid = target.pid();
    let before = cpu_seconds(pid)?;
    sleep(IDLE).await;
    let idle_cpu_s = cpu_seconds(pid)? - before;
    println!(
        "idle: {:.2} % of a core, {:.0} MB",
        idle_cpu_s / IDLE.as_secs_f64() * 100.0,
        memory(pid)?.now_mb
    );

    forget_peak(pid);
    let end_s = last_minute();
    let interval_ms = 15_000;
    let samples = SampleLoad {
        hosts: args.hosts,
        scrapes: args.seconds.div_ceil(15),
        interval_ms,
        end_ms: end_s * 1_000,
        seed: 1,
    };
    let lines = LineLoad {
        hosts: args.hosts,
        lines: args.lines_per_second * u64::from(args.seconds),
        span_ns: i64::from(args.seconds) * 1_000_000_000,
        end_ns: end_s * 1_000_000_000,
        seed: 1,
    };
    let sender = Sender { pace: Pace::RealTime, ..Sender::full_speed(&target.url()) };
    let (before, started) = (cpu_seconds(pid)?, Instant::now());
    let (sent_samples, sent_lines) =
        tokio::try_join!(sender.samples(&samples), sender.lines(&lines))?;
    let share = (cpu_seconds(pid)? - before) / started.elapsed().as_secs_f64();
    let memory = memory(pid)?;
    println!(
        "{} samples and {} lines in {:.0} s: {:.2} % of a core, {:.0} MB, {:.0} MB at most",
        sent_samples.n_items,
        sent_lines.n_items,
        started.elapsed().as_secs_f64(),
        share * 100.0,
        memory.now_mb,
        memory.peak_mb
    );
    target.stop().await
}
