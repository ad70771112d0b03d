//! Verbs that ask a store something, running or not: SQL, export, import, snapshot.
//!
//! Each of them is a client of the HTTP API; with `--data-dir` the same API is asked inside this
//! process, over a store that no server has open.

mod explain;
mod files;
mod sql;
mod table;
mod target;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(crate) use target::Target;

/// Which store is meant.
#[derive(Args)]
pub(crate) struct Where {
    /// A running server.
    #[arg(long, value_name = "URL", default_value = "https://localhost:8443", env = "SKEP_URL")]
    url: String,
    /// A file with a token of the server; the environment variable SKEP_TOKEN holds one, too.
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// The root certificate to trust, as `<data_dir>/ca/root.pem` or the server's /ca.pem.
    #[arg(long, value_name = "PATH", default_value = "/var/lib/skep/ca/root.pem")]
    ca_file: PathBuf,
    /// A data folder that no server has open, or a snapshot, instead of a server.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["url", "token_file"])]
    data_dir: Option<PathBuf>,
    /// The data folder of this configuration, instead of a server.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["url", "token_file", "data_dir"])]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Tool {
    /// Ask in SQL: samples, series, metrics, logs, streams, log_lines.
    Sql {
        query: String,
        #[arg(long, value_enum, default_value_t = sql::Format::Table)]
        format: sql::Format,
        #[command(flatten)]
        at: Where,
    },
    /// Show how a PromQL query is read: its tree, and the plan of each of its selectors with what
    /// was pruned.
    Explain(explain::Explain),
    /// Copy everything that is stored into a folder of its own, and print its name.
    Snapshot {
        #[command(flatten)]
        at: Where,
    },
    /// Write samples or log lines to a file.
    Export(files::Export),
    /// Read samples or log lines from files.
    Import(files::Import),
}

/// Does what is asked.
///
/// # Errors
/// What the server or the store says.
pub(crate) fn run(tool: &Tool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let at = match tool {
            Tool::Sql { at, .. } | Tool::Snapshot { at } => at,
            Tool::Explain(explain) => &explain.at,
            Tool::Export(export) => &export.at,
            Tool::Import(import) => &import.at,
        };
        let target = Target::open(at).await?;
        let done = match tool {
            Tool::Sql { query, format, .. } => sql::run(&target, query, *format).await,
            Tool::Explain(explain) => explain.run(&target).await,
            Tool::Snapshot { .. } => files::snapshot(&target).await,
            Tool::Export(export) => export.run(&target).await,
            Tool::Import(import) => import.run(&target).await,
        };
        target.close().await;
        done
    })
}
