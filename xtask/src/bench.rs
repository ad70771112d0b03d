//! `cargo xtask bench`: figures of the release binaries, printed, never asserted.

use crate::{build, setup, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Hosts to imitate, each with 1,000 series.
    #[arg(long, default_value_t = 20)]
    hosts: u32,
    /// Scrapes of each host.
    #[arg(long, default_value_t = 120)]
    scrapes: u32,
    /// Log lines.
    #[arg(long, default_value_t = 500_000)]
    lines: u32,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run(setup::For::Run)?;
    let built = build::binaries(true)?;
    let mut cargo = shell::cargo();
    cargo
        .args(["run", "--locked", "--release", "--quiet", "--bin", "skep-bench", "--"])
        .args(["--hosts", &args.hosts.to_string()])
        .args(["--scrapes", &args.scrapes.to_string()])
        .args(["--lines", &args.lines.to_string()])
        .env("SKEP_BIN_DIR", &built.bin_dir);
    shell::run(build::with_object(&mut cargo, built.object.as_ref()))
}
