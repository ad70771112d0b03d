//! Log lines of the server itself.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::LogFormat;

/// Warnings only, for verbs whose output is the answer.
pub(crate) fn start_quiet() {
    let filter =
        EnvFilter::try_from_env("SKEP_LOG").unwrap_or_else(|_unset| EnvFilter::new("warn"));
    let layer = fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(filter).with(layer).init();
}

/// Level INFO for our own crates, WARN for the rest; `SKEP_LOG` says otherwise, in the syntax of
/// tracing's `EnvFilter`.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("SKEP_LOG").unwrap_or_else(|_unset| {
        EnvFilter::new(
            "warn,skep_server=info,skep_front=info,skep_api=info,skep_store=info,skep_wal=info,\
             skep_query=info,skep_scrape=info",
        )
    });
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr)).init(),
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).init(),
    }
}
