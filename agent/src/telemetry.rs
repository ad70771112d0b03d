//! Where the agent's own log goes and how it looks.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Sends log lines to standard error; `filter` as in `RUST_LOG`. Called once, first of all.
pub(crate) fn start(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    use anyhow::Context as _;
    let filter = EnvFilter::builder()
        .parse(filter)
        .with_context(|| format!("log filter {filter:?}; write \"info\" or \"info,ship=debug\""))?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        // journald stamps the lines of a service itself, but a file or a terminal does not.
        LogFormat::Text => registry.with(lines.with_ansi(io::stderr().is_terminal())).try_init(),
    }
    .context("setting the log up a second time")
}
