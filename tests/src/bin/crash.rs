//! Kills the server again and again under load and tells what was lost: `cargo xtask sim --crash`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints what came of it")]

use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use skep_tests::{
    Journald,
    crash::{
        self, Kind, Plan, Report,
        journal::{self, JournalPlan},
    },
};

#[derive(Parser)]
struct Args {
    /// How often to kill it, for each load.
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// Chooses the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 4)]
    connections: u32,
    /// `samples`, `lines` or `both`, one after the other; or `journal`: the agent is killed, too,
    /// while a real journald takes lines.
    #[arg(long, default_value = "both")]
    load: String,
    /// With `--load journal`.
    #[arg(long, default_value_t = 2_000)]
    lines_per_second: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.load == "journal" {
        return journal(&args).await;
    }
    let kinds: &[Kind] = match args.load.as_str() {
        "samples" => &[Kind::Samples],
        "lines" => &[Kind::Lines],
        "both" => &[Kind::Samples, Kind::Lines],
        other => anyhow::bail!("--load {other:?} is none of samples, lines, both, journal"),
    };
    let mut is_good = true;
    for &kind in kinds {
        let dir = tempfile::tempdir()?;
        let plan =
            Plan { kind, n_kills: args.kills, n_connections: args.connections, seed: args.seed };
        let result = crash::run(dir.path(), plan, |n, report| {
            let tally = &report.tally;
            eprintln!(
                "{n}/{} kills, {} rows read back, {} lost, {} doubled, {} wrong",
                plan.n_kills, tally.n_found, tally.n_lost, tally.n_doubled, tally.n_wrong
            );
        })
        .await;
        let is_fine = result.as_ref().is_ok_and(|it| it.tally.is_good());
        if !is_fine {
            eprintln!("the data folder is kept: {}", dir.keep().display());
            is_good = false;
        }
        print(plan, &result?);
    }
    ensure!(is_good, "acknowledged rows were lost, doubled or changed");
    Ok(())
}

async fn journal(args: &Args) -> anyhow::Result<()> {
    if let Some(why) = Journald::unavailable() {
        anyhow::bail!("{why}");
    }
    let dir = tempfile::tempdir()?;
    let (n_kills, lines_per_second) = (args.kills, args.lines_per_second);
    let plan = JournalPlan { n_kills, lines_per_second, seed: args.seed };
    let report = journal::run(dir.path(), plan, |n| eprintln!("{n}/{n_kills} kills")).await?;
    println!(
        "journal: {} kills of the agent, {} of the server, seed {}, {lines_per_second} lines/s",
        report.n_agent_kills, report.n_server_kills, args.seed
    );
    println!("  logged                 {}", report.n_logged);
    println!("  lost                   {}", report.n_lost);
    println!("  doubled                {}", report.n_doubled);
    println!("  identical lines        {} of {}", report.n_twins_found, report.n_twins_logged);
    if !report.is_good() {
        eprintln!("the data folder is kept: {}", dir.keep().display());
        anyhow::bail!("lines were lost or doubled");
    }
    Ok(())
}

fn print(plan: Plan, report: &Report) {
    let tally = &report.tally;
    println!("{:?}: {} kills, seed {}", plan.kind, plan.n_kills, plan.seed);
    println!("  batches acknowledged   {}", report.n_batches_acknowledged);
    println!("  rows read back         {} in {} checks", tally.n_found, report.n_checks);
    println!("  acknowledged and lost  {}", tally.n_lost);
    println!("  doubled                {}", tally.n_doubled);
    println!("  never sent             {}", tally.n_wrong);
    let mut starts = report.starts.clone();
    starts.sort_unstable();
    let at = |share: usize| {
        starts.get((starts.len().saturating_sub(1)) * share / 100).map_or(0, Duration::as_millis)
    };
    println!("  start, ms              median {}, slowest {}", at(50), at(100));
    for (mark, n) in &report.marks {
        println!("  killed with {mark}: {n}");
    }
    for example in &tally.examples {
        println!("  {example}");
    }
}
