//! Lines that no one should have to read: what comes of a gigabyte of them.

use std::path::PathBuf;

use skep_tests::hostile::{Hostility, run as run_hostile};

/// The settings of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of lines, in MiB.
    #[arg(long, default_value_t = 1024)]
    mib: usize,
    /// Between two rounds of queries, in MiB.
    #[arg(long, default_value_t = 32)]
    round_mib: usize,
    /// One query in so many is asked in a round, the others in the next ones.
    #[arg(long, default_value_t = 8)]
    query_every: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the server keeps its data; removed afterwards.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(&args.dir)?;
    let hostility = Hostility {
        bytes: args.mib << 20,
        round_bytes: args.round_mib << 20,
        query_every: args.query_every,
        seed: args.seed,
    };
    let figures = run_hostile(dir.path(), &hostility, |line| println!("{line}")).await?;
    println!(
        "{} MiB in {} lines taken and found again, also from the disk; {} queries, of which {} were \
         refused and {} were not done in time; slowest {:.1} s: {}; peak of memory {} MiB",
        figures.n_bytes >> 20,
        figures.n_lines,
        figures.n_queries,
        figures.n_refused,
        figures.n_timed_out,
        figures.slowest.0,
        figures.slowest.1,
        figures.peak_bytes >> 20
    );
    Ok(())
}
