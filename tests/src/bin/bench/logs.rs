//! Figures of log lines: ingest per CPU-second, bytes, memory, and what people ask, beside ripgrep
//! over the same lines in one file.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use skep_tests::load::{LineLoad, NEEDLE_ALL_HOSTS, Sender};

use crate::{
    measure::{children_cpu_s, last_minute},
    queries::about_lines,
    store::{Before, print_costs, print_loaded},
    target::Target,
};

/// The settings of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Lines of 8 hosts over 6 hours.
    #[arg(long, default_value_t = 10_000_000)]
    lines: u64,
    /// Another seed is another load.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Settings to add to the server's config, as TOML.
    #[arg(long, default_value = "")]
    settings: String,
    /// Where the server and ripgrep's file are; removed afterwards.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

const SPAN_S: i64 = 6 * 3_600;
/// The kernel counts CPU time in hundredths of a second.
const RIPGREP_RUNS: u32 = 5;

/// What ripgrep looks for, as the questions of the same names do.
const SEARCHES: [(&str, &[&str]); 3] = [
    ("needle, all streams", &["-F", NEEDLE_ALL_HOSTS]),
    ("absent, all streams", &["-F", "zzz-no-such-text-qqq"]),
    ("(?i) regex, all streams", &["(?i)out of memory"]),
];

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let end_s = last_minute();
    let load = LineLoad {
        hosts: 8,
        lines: args.lines,
        span_ns: SPAN_S * 1_000_000_000,
        end_ns: end_s * 1_000_000_000,
        seed: args.seed,
    };
    let dir = tempfile::tempdir_in(&args.dir)?;
    let mut target = Target::ours(dir.path(), &args.settings).await?;
    let data = dir.path().join("server");
    println!("{}: {} lines of {} hosts", target.name(), load.lines, load.hosts);
    let before = Before::take(&target)?;
    let sent = Sender::full_speed(&target.url()).lines(&load).await?;
    let loaded = before.finish(&target, "line", sent, &data).await?;
    print_loaded(target.name(), &loaded);
    let questions = about_lines(SPAN_S);
    print_costs(&target, &questions, end_s, false).await?;
    target.restart_cold(&data).await?;
    print_costs(&target, &questions, end_s, true).await?;
    target.stop().await?;
    let file = dir.path().join("lines");
    write_lines(&load, &file)?;
    ripgrep(&file)
}

fn write_lines(load: &LineLoad, path: &Path) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut line = String::new();
    for mut host in load.hosts() {
        while host.next(&mut line).is_some() {
            writeln!(file, "{line}")?;
        }
    }
    file.into_inner()?.sync_all()?;
    Ok(())
}

/// The file is in memory after the first run, which is not counted.
fn ripgrep(file: &Path) -> anyhow::Result<()> {
    println!("  ripgrep over {} MB of lines, warm: CPU ms", file.metadata()?.len() / 1_000_000);
    for (name, args) in SEARCHES {
        let run = || -> anyhow::Result<()> {
            let mut rg = Command::new("rg");
            let status = rg.arg("--count").args(args).arg(file).stdout(Stdio::null()).status();
            let status = status.context("running rg, which the package ripgrep has")?;
            // 1: nothing was found.
            ensure!(matches!(status.code(), Some(0 | 1)), "rg {args:?}: {status}");
            Ok(())
        };
        run()?;
        let before = children_cpu_s()?;
        for _ in 0..RIPGREP_RUNS {
            run()?;
        }
        let cpu_ms = (children_cpu_s()? - before) * 1e3 / f64::from(RIPGREP_RUNS);
        println!("    {name:<42} {cpu_ms:>9.2}");
    }
    Ok(())
}
