//! `skep-conformance`: test files of other projects, and our own, against our evaluators in this
//! process; recorded answers of Loki, and a TLS scanner, against a server.

#![expect(clippy::print_stdout, reason = "what failed, and how many, is the point")]

mod loki;
mod tls;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand};
use skep_logql::logqltest;
use skep_promql::promqltest;

/// Runs test files of other projects against Skep.
#[derive(Parser)]
#[command(name = "cargo xtask conformance", bin_name = "cargo xtask conformance")]
struct Cli {
    #[command(subcommand)]
    language: Language,
}

#[derive(Subcommand)]
enum Language {
    /// Files in the load/eval format of Prometheus' promqltest.
    Promql {
        /// A `.test` file, or a folder of them, such as promql/promqltest/testdata of Prometheus'
        /// repository.
        path: PathBuf,
    },
    /// Files in our load/eval format; or tools that compare a server with recorded answers of
    /// Loki, each against a fresh server of this build.
    Logql {
        /// A `.test` file, a folder of them, or a folder with `parse_check.py` and
        /// `logql_diff.py`.
        path: PathBuf,
        /// Told to the tools, such as --list-failures.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        told: Vec<String>,
    },
    /// The server's TLS, item by item, as Debian's `sslscan` sees it; a weak one is a failure.
    Tls,
}

/// How many passed, of how many.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    n_passed: usize,
    n_all: usize,
}

impl Count {
    fn add(&mut self, has_passed: bool) {
        self.n_all += 1;
        self.n_passed += usize::from(has_passed);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let all = match Cli::parse().language {
        Language::Promql { path } => promql(&path).await?,
        Language::Logql { path, told } if loki::has_tools(&path) => {
            return loki::run(&path, &told).await;
        }
        Language::Logql { path, .. } => logql(&path).await?,
        Language::Tls => return tls::run().await,
    };
    println!("{:<24} {:>5} of {:>5}", "all", all.n_passed, all.n_all);
    Ok(if all.n_passed == all.n_all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn promql(path: &Path) -> anyhow::Result<Count> {
    let (mut by_tag, mut all) = (BTreeMap::<&str, Count>::new(), Count::default());
    for file in files(path)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let outcomes = promqltest::run(&text)
            .await
            .with_context(|| format!("{} is no file of cases", file.display()))?;
        let mut count = Count::default();
        for outcome in &outcomes {
            let has_passed = outcome.failure.is_none();
            count.add(has_passed);
            all.add(has_passed);
            outcome.tags.iter().for_each(|it| by_tag.entry(it.name()).or_default().add(has_passed));
            print_failure(&file, outcome.line, &outcome.query, outcome.failure.as_deref());
        }
        println!("{}: {} of {}", file.display(), count.n_passed, count.n_all);
    }
    for (tag, count) in by_tag {
        println!("{tag:<24} {:>5} of {:>5}", count.n_passed, count.n_all);
    }
    Ok(all)
}

async fn logql(path: &Path) -> anyhow::Result<Count> {
    let mut all = Count::default();
    for file in files(path)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let outcomes = logqltest::run(&text)
            .await
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("{} is no file of cases", file.display()))?;
        let mut count = Count::default();
        for outcome in &outcomes {
            count.add(outcome.failure.is_none());
            all.add(outcome.failure.is_none());
            print_failure(&file, outcome.line, &outcome.query, outcome.failure.as_deref());
        }
        println!("{}: {} of {}", file.display(), count.n_passed, count.n_all);
    }
    Ok(all)
}

fn print_failure(file: &Path, line: usize, query: &str, failure: Option<&str>) {
    if let Some(failure) = failure {
        println!("{}:{line}: {query}", file.display());
        println!("    {}", failure.replace('\n', "\n    "));
    }
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).with_context(|| path.display().to_string())?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry?.path();
        if file.extension().is_some_and(|it| it == "test") {
            files.push(file);
        }
    }
    ensure!(!files.is_empty(), "there is no .test file in {}", path.display());
    files.sort();
    Ok(files)
}
