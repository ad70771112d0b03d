//! `skep-bench`: figures of the real server and agent under a deterministic load, per CPU-second of
//! theirs, bytes and memory. They are printed, never asserted: machines are noisy.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

mod agent;
mod cap;
mod dashboard;
mod footprint;
mod hostile;
mod kernel;
mod logs;
mod measure;
mod proxy;
mod queries;
mod scale;
mod start;
mod store;
mod target;

use clap::{Parser, Subcommand};

/// Prints figures of the server beside those of others on the same machine in the same run.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Cli {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// The agent: a collection beside node_exporter, journal entries, an idle host.
    Agent(agent::Args),
    /// Load samples over HTTP, settle, ask; CPU, bytes and memory of each.
    Store(store::Args),
    /// The same of log lines, beside ripgrep over the same lines in a file.
    Logs(logs::Args),
    /// A homelab's pace: 10 hosts every 15 s and 100 lines a second; share of a core and memory.
    Footprint(footprint::Args),
    /// How the cost of a sample and of a point grows with ten times the hosts and the time.
    Scale(scale::Args),
    /// Kill it with a log of 1 GB, and with none: how long until it serves again.
    Start(start::Args),
    /// Requests that the front hands on over TLS, beside Caddy and nginx.
    Proxy(proxy::Args),
    /// Hostile lines in and out, every query over them: nothing lost, no panic, memory in bounds.
    Hostile(hostile::Args),
    /// Ten minutes under load on a small disk: its size at most, and whether the newest is found.
    Cap(cap::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().suite {
        Suite::Agent(args) => agent::run(&args).await,
        Suite::Store(args) => store::run(&args).await,
        Suite::Logs(args) => logs::run(&args).await,
        Suite::Footprint(args) => footprint::run(&args).await,
        Suite::Scale(args) => scale::run(&args).await,
        Suite::Start(args) => start::run(&args).await,
        Suite::Proxy(args) => proxy::run(&args).await,
        Suite::Hostile(args) => hostile::run(&args).await,
        Suite::Cap(args) => cap::run(&args).await,
    }
}
