//! How long a start takes after a kill, by the size of the write-ahead log.

use std::path::PathBuf;

use skep_tests::{
    cpu_seconds,
    load::{LineLoad, SampleLoad, Sender},
};
use tokio::time::Instant;

use crate::{
    measure::{as_f64, last_minute, memory, tree_bytes},
    target::Target,
};

/// The settings of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How large the log shall be, in MB (10^6 bytes); flushes wait for it.
    #[arg(long, default_value_t = 1_000)]
    log_mb: u64,
    /// Hosts that send, 1,219 series each.
    #[arg(long, default_value_t = 50)]
    hosts: u32,
    /// Where the servers keep their data; removed afterwards.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

/// Nothing is flushed before the kill.
const NO_FLUSH: &str = "memory_max = \"16GiB\"\nflush_bytes = \"15GiB\"\nflush_age = \"1d\"\n\
                        [memory]\nlimit = \"20GiB\"";
/// So much is sent between two looks at the log.
const SCRAPES_PER_ROUND: u32 = 20;
const LINES_PER_ROUND: u64 = 200_000;
const LINE_SPAN_S: i64 = 600;
const INTERVAL_MS: i64 = 15_000;
/// How much is sent to a server with its own settings, which flushes as it pleases.
const ROUNDS_AS_IT_IS: u32 = 12;

#[derive(Debug, Clone, Copy)]
enum Load {
    Samples,
    Lines,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(&args.dir)?;
    let mut target = Target::ours(dir.path(), "").await?;
    kill_and_start("an empty log", 0, 0, &mut target).await?;
    target.stop().await?;
    for load in [Load::Samples, Load::Lines] {
        as_it_is(args, load).await?;
        without_flushes(args, load).await?;
    }
    Ok(())
}

/// Killed in the middle of a load, when the log is at its largest so far.
async fn as_it_is(args: &Args, load: Load) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(&args.dir)?;
    let mut target = Target::ours(dir.path(), "").await?;
    let log = dir.path().join("server/wal");
    let (mut largest, mut n_items) = (0, 0);
    for round in 0..ROUNDS_AS_IT_IS * 2 {
        n_items += send(args, load, round, &target).await?;
        let n_bytes = tree_bytes(&log)?;
        if round >= ROUNDS_AS_IT_IS && n_bytes >= largest {
            break;
        }
        largest = largest.max(n_bytes);
    }
    kill_and_start("own settings", tree_bytes(&log)?, n_items, &mut target).await?;
    target.stop().await
}

async fn without_flushes(args: &Args, load: Load) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(&args.dir)?;
    let mut target = Target::ours(dir.path(), NO_FLUSH).await?;
    let log = dir.path().join("server/wal");
    let (mut round, mut n_items) = (0, 0);
    while tree_bytes(&log)? < args.log_mb * 1_000_000 {
        n_items += send(args, load, round, &target).await?;
        round += 1;
    }
    kill_and_start("no flush", tree_bytes(&log)?, n_items, &mut target).await?;
    // What stands in the log is of no use any more: a stop would write it all to parts.
    target.kill().await
}

async fn send(args: &Args, load: Load, round: u32, target: &Target) -> anyhow::Result<u64> {
    let sender = Sender::full_speed(&target.url());
    let seed = 1;
    // Backwards in time, so that any number of rounds lies in the past.
    let sent = match load {
        Load::Samples => {
            let span_ms = i64::from(SCRAPES_PER_ROUND) * INTERVAL_MS;
            let end_ms = last_minute() * 1_000 - i64::from(round) * span_ms;
            let scrapes = SCRAPES_PER_ROUND;
            let load =
                SampleLoad { hosts: args.hosts, scrapes, interval_ms: INTERVAL_MS, end_ms, seed };
            sender.samples(&load).await?
        }
        Load::Lines => {
            let end_s = last_minute() - i64::from(round) * LINE_SPAN_S;
            let load = LineLoad {
                hosts: 8,
                lines: LINES_PER_ROUND,
                span_ns: LINE_SPAN_S * 1_000_000_000,
                end_ns: end_s * 1_000_000_000,
                seed: seed + u64::from(round),
            };
            sender.lines(&load).await?
        }
    };
    Ok(sent.n_items)
}

async fn kill_and_start(
    what: &str,
    log_bytes: u64,
    n_items: u64,
    target: &mut Target,
) -> anyhow::Result<()> {
    target.kill().await?;
    let started = Instant::now();
    target.start_again().await?;
    let wall_s = started.elapsed().as_secs_f64();
    let pid = target.pid();
    println!(
        "{what}: {:.0} MB of log ({n_items} sent): ready after {wall_s:.2} s, {:.2} CPU s, {:.0} MB \
         at most",
        as_f64(log_bytes) / 1e6,
        cpu_seconds(pid)?,
        memory(pid)?.peak_mb
    );
    Ok(())
}
