//! `cargo xtask bench`: figures of the release binaries, printed, never asserted.

use std::process::Command;

use crate::{build, setup, shell, sim};

/// Runs every kernel program under what drives it, and prints what a run costs by the kernel's own
/// statistics, less what an empty program costs. The programs are the kernel's to compile, so a
/// debug build of the agent shows the same.
const PROGRAMS: &str = "sources::ebpf::kernel_tests::units::each_program_costs_little";

/// What the suite `proxy` runs, and Debian's packages of it.
const PROXY_PROGRAMS: [(&str, &str); 5] = [
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("nginx", "nginx-light"),
    ("caddy", "caddy"),
    ("openssl", "openssl"),
];

/// What `skep-bench` is told; `cargo xtask bench store --help` lists its own settings.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// store, agent, scale …, and their settings; `programs` for the kernel programs' cost.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "SUITE")]
    suite: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run(setup::For::Run)?;
    if args.suite.first().is_some_and(|it| it == "programs") {
        let binary = sim::test_binary(&sim::build_tests()?, "skep_agent")?;
        return shell::run(Command::new(binary).args(["--exact", PROGRAMS, "--nocapture"]));
    }
    for (peer, program) in [("victoria-metrics", "victoria-metrics"), ("prometheus", "prometheus")]
    {
        if args.suite.iter().any(|it| it == peer) && shell::which(program).is_none() {
            setup::package(peer)?;
        }
    }
    if args.suite.first().is_some_and(|it| it == "logs") && shell::which("rg").is_none() {
        setup::package("ripgrep")?;
    }
    if args.suite.first().is_some_and(|it| it == "proxy") {
        for (program, package) in PROXY_PROGRAMS {
            if shell::which(program).is_none() {
                setup::package(package)?;
            }
        }
    }
    let exporter = "prometheus-node-exporter";
    if args.suite.first().is_some_and(|it| it == "agent") && shell::which(exporter).is_none() {
        setup::package(exporter)?;
    }
    let built = build::binaries(true)?;
    let help = vec!["--help".to_owned()];
    let mut cargo = shell::cargo();
    cargo
        .args(["run", "--locked", "--release", "--quiet", "--bin", "skep-bench", "--"])
        .args(if args.suite.is_empty() { &help } else { &args.suite })
        .env("SKEP_BIN_DIR", &built.bin_dir);
    shell::run(build::with_object(&mut cargo, built.object.as_ref()))
}
