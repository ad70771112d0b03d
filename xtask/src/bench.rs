//! `cargo xtask bench`: figures of the release binaries, printed, never asserted.

use std::process::Command;

use crate::{build, paths, setup, shell, sim, web};

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

/// Suites in a browser, and the scripts of them in `tests/browser`.
const BROWSER_SUITES: [(&str, &str); 2] = [("page", "bench-page.mjs"), ("frames", "frames.mjs")];

/// What `skep-bench` is told; `cargo xtask bench store --help` lists its own settings.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// store, agent, scale …, and their settings; `programs` for the kernel programs' cost,
    /// `page` and `frames` for the page in Chromium.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "SUITE")]
    suite: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run(setup::For::Run)?;
    if args.suite.first().is_some_and(|it| it == "programs") {
        let binary = sim::test_binary(&sim::build_tests()?, "skep_agent")?;
        return shell::run(Command::new(binary).args(["--exact", PROGRAMS, "--nocapture"]));
    }
    let browser = args.suite.split_first().and_then(|(suite, settings)| {
        let (_, script) = BROWSER_SUITES.iter().find(|(name, _)| name == suite)?;
        Some((*script, settings))
    });
    if let Some((script, settings)) = browser {
        return in_browser(script, settings);
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

/// The page, its server and what is done with them are the script's.
fn in_browser(script: &str, settings: &[String]) -> anyhow::Result<()> {
    if shell::which("chromium").is_none() {
        setup::package("chromium")?;
    }
    let built = build::binaries(true)?;
    let dir = paths::root().join("tests/browser");
    web::install(&dir)?;
    let mut node = Command::new("node");
    node.arg(script).args(settings).current_dir(dir);
    shell::run(node.env("SKEP_BIN", built.bin_dir.join("skep-server")))
}
