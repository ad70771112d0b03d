//! `cargo xtask sim`: model tests over any number of seeds, and kills of the real server.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{build, ebpf, paths, shell};

/// Seeds between two looks at the clock and two lines of progress.
const SEEDS_PER_RUN: u64 = 50;

/// Model, crate and test.
const MODELS: [(&str, &str, &str); 7] = [
    ("wal", "skep_wal", "model_tests::what_was_acknowledged_is_there_after_faults_and_crashes"),
    (
        "store",
        "skep_store",
        "model_tests::what_was_acknowledged_is_there_once_after_faults_and_crashes",
    ),
    (
        "objects",
        "skep_store",
        "model_tests::what_was_acknowledged_is_there_once_with_parts_in_failing_object_storage",
    ),
    (
        "rollups",
        "skep_store",
        "downsample::model_tests::samples_that_are_gone_are_summed_up_exactly_after_faults_crashes_and_deletes",
    ),
    (
        "rollup-objects",
        "skep_store",
        "downsample::model_tests::samples_that_are_gone_are_summed_up_exactly_in_object_storage",
    ),
    (
        "snapshots",
        "skep_store",
        "model_tests::snapshots::a_snapshot_taken_while_rows_come_and_go_and_parts_are_merged_is_of_one_moment",
    ),
    (
        "spool",
        "skep_agent",
        "spool::model_test::what_was_spooled_is_delivered_in_order_whatever_the_disk_does",
    ),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seeds for each model.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Go on with more seeds for so long, such as "2h".
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    r#for: Option<Duration>,
    /// Only this one; objects is the store over object storage, rollups what is summed up of it,
    /// snapshots those taken while it changes.
    #[arg(long, value_parser = MODELS.map(|it| it.0))]
    model: Option<String>,
    /// Instead of all that: kill the real server this often under each of the two loads.
    #[arg(long, value_name = "KILLS")]
    crash: Option<usize>,
    /// Or: kill agent and server this often while a journald takes 2,000 lines a second.
    #[arg(long, value_name = "KILLS")]
    crash_journal: Option<usize>,
}

#[expect(clippy::disallowed_methods, reason = "runs for as long as a person said")]
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(kills) = args.crash {
        let seed = args.seed.to_string();
        return crash(&["--kills", &kills.to_string(), "--seed", &seed]);
    }
    if let Some(kills) = args.crash_journal {
        let seed = args.seed.to_string();
        let kills = kills.to_string();
        return crash(&["--load", "journal", "--kills", &kills, "--seed", &seed]);
    }
    let started = Instant::now();
    let built = build_tests()?;
    let models: Vec<_> = MODELS
        .into_iter()
        .filter(|it| args.model.as_ref().is_none_or(|model| model == it.0))
        .map(|(model, package, test)| Ok((model, test, test_binary(&built, package)?)))
        .collect::<anyhow::Result<_>>()?;
    let mut next = args.seed;
    loop {
        let n_left = args.seed.saturating_add(args.seeds).saturating_sub(next);
        let n_seeds = match args.r#for {
            Some(duration) if started.elapsed() < duration => SEEDS_PER_RUN,
            Some(_) => 0,
            None => n_left.min(SEEDS_PER_RUN),
        };
        if n_seeds == 0 {
            break;
        }
        for (model, test, binary) in &models {
            run_seeds(model, test, binary, next, n_seeds)?;
        }
        next += n_seeds;
        eprintln!("seeds {}..{next}: fine, {}", args.seed, shell::human(started.elapsed()));
    }
    Ok(())
}

fn run_seeds(
    model: &str,
    test: &str,
    binary: &PathBuf,
    first: u64,
    n_seeds: u64,
) -> anyhow::Result<()> {
    let output = Command::new(binary)
        .args(["--exact", test, "--nocapture"])
        .env("SKEP_SEED", first.to_string())
        .env("SKEP_SEEDS", n_seeds.to_string())
        .output()
        .with_context(|| format!("running {}", binary.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        // A test that was renamed must not pass by not being there.
        anyhow::ensure!(text.contains("1 passed"), "{} has no test {test}", binary.display());
        return Ok(());
    }
    let seed = text.lines().find_map(|it| it.strip_prefix("failed with SKEP_SEED="));
    // The steps that led there; a seed prints thousands.
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(60)) {
        eprintln!("{line}");
    }
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    let seed = seed.unwrap_or("?");
    bail!("repeat it with `cargo xtask sim --model {model} --seed {seed} --seeds 1`")
}

/// Builds all unit tests and returns what cargo says of them.
pub(crate) fn build_tests() -> anyhow::Result<String> {
    let object = ebpf::build(&paths::root())?;
    let mut cargo = shell::cargo();
    // The selection of `cargo xtask test`, so that nothing is built twice.
    cargo.args(["test", "--locked", "--lib", "--bins", "--no-run", "--message-format=json"]);
    shell::quiet(build::with_object(&mut cargo, object.as_ref()))
}

/// Where a crate's unit tests are.
pub(crate) fn test_binary(messages: &str, package: &str) -> anyhow::Result<PathBuf> {
    messages
        .lines()
        .filter_map(|it| serde_json::from_str::<serde_json::Value>(it).ok())
        .filter(|it| it.pointer("/profile/test") == Some(&serde_json::Value::Bool(true)))
        .filter_map(|it| it.get("executable")?.as_str().map(PathBuf::from))
        .find(|it| {
            let name = it.file_name().map(|it| it.to_string_lossy().into_owned());
            // `skep_store-0123456789abcdef`
            let name = name.unwrap_or_default().replace('-', "_");
            name.rsplit_once('_').is_some_and(|(name, _)| name == package)
        })
        .with_context(|| format!("cargo built no tests of {package}"))
}

fn crash(args: &[&str]) -> anyhow::Result<()> {
    let built = build::binaries(true)?;
    let mut cargo = shell::cargo();
    cargo
        .args(["run", "--locked", "--release", "--quiet", "--bin", "skep-crash", "--"])
        .args(args)
        .env("SKEP_BIN_DIR", &built.bin_dir);
    shell::run(build::with_object(&mut cargo, built.object.as_ref()))
}

/// A number and `s`, `m` or `h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.len().saturating_sub(1);
    let unit_seconds = match text.get(split..) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3_600,
        _ => return Err(format!("{text:?} has no unit; write \"90s\", \"30m\" or \"2h\"")),
    };
    let n: u64 = text
        .get(..split)
        .unwrap_or_default()
        .parse()
        .map_err(|error| format!("{text:?} does not begin with a whole number: {error}"))?;
    Ok(Duration::from_secs(n.saturating_mul(unit_seconds)))
}
