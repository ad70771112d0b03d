//! How the cost of a sample and of a point grows with the size of the fleet and of its past.

use std::path::PathBuf;

use skep_tests::{
    cpu_seconds,
    load::{SampleLoad, Sender},
};

use crate::{
    measure::{as_f64, last_minute, memory, settle, tree_bytes},
    queries::{about_samples, ns_for_each},
    target::Target,
};

/// The settings of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hosts of the small load.
    #[arg(long, default_value_t = 10)]
    hosts: u32,
    /// Scrapes of the small load, 15 s apart.
    #[arg(long, default_value_t = 120)]
    scrapes: u32,
    #[arg(long, default_value_t = 10)]
    factor: u32,
    /// Where the servers keep their data; removed afterwards.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

struct Costs {
    ingest_ns: f64,
    /// By question, for each sample that it has to read.
    query_ns: Vec<f64>,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let small = costs(args, args.hosts, args.scrapes).await?;
    for (what, hosts, scrapes) in [
        ("hosts", args.hosts * args.factor, args.scrapes),
        ("time", args.hosts, args.scrapes * args.factor),
    ] {
        let large = costs(args, hosts, scrapes).await?;
        println!(
            "{} x the {what}: ingest {:.2} x a sample",
            args.factor,
            large.ingest_ns / small.ingest_ns
        );
        let names = about_samples(0);
        for (question, (large, small)) in
            names.iter().zip(large.query_ns.iter().zip(&small.query_ns))
        {
            println!("  {:<42} {:.2} x a point", question.name, large / small);
        }
    }
    Ok(())
}

async fn costs(args: &Args, hosts: u32, scrapes: u32) -> anyhow::Result<Costs> {
    let dir = tempfile::tempdir_in(&args.dir)?;
    let mut target = Target::ours(dir.path(), "").await?;
    let (end_s, interval_ms, seed) = (last_minute(), 15_000, 1);
    let load = SampleLoad { hosts, scrapes, interval_ms, end_ms: end_s * 1_000, seed };
    let before = cpu_seconds(target.pid())?;
    let sent = Sender::full_speed(&target.url()).samples(&load).await?;
    target.flush().await?;
    settle(target.pid()).await?;
    let ingest_ns = (cpu_seconds(target.pid())? - before) * 1e9 / as_f64(sent.n_items);
    println!(
        "{hosts} hosts, {scrapes} scrapes: {ingest_ns:.0} CPU ns and {:.2} bytes a sample, {:.0} MB",
        as_f64(tree_bytes(&dir.path().join("server"))?) / as_f64(sent.n_items),
        memory(target.pid())?.now_mb
    );
    let http = reqwest::Client::new();
    let mut query_ns = Vec::new();
    for question in about_samples(i64::from(scrapes) * interval_ms / 1_000) {
        let n_samples = question.n_samples_read(&http, &target.url(), end_s).await?;
        let cost = question.cost(&target.url(), target.pid(), end_s, false).await?;
        println!(
            "  {:<42} {:>9.2} CPU ms, {:>8.1} ns a point of {n_samples}",
            question.name,
            cost.cpu_ms,
            ns_for_each(cost, n_samples)
        );
        query_ns.push(ns_for_each(cost, n_samples));
    }
    target.stop().await?;
    Ok(Costs { ingest_ns, query_ns })
}
