//! The one door of the repository: `cargo xtask <verb>`, one file a verb.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod conformance;
mod dist;
mod doctor;
mod ebpf;
mod nix_check;
mod node_exporter;
mod paths;
mod run;
mod setup;
mod shell;
mod sim;
mod test;
#[cfg(test)]
mod tidy;
mod vm;
mod vmtest;
mod web;

/// Builds, runs and tests Skep.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build everything, then run server and agent on this machine until Ctrl-C.
    Run(run::Args),
    /// All that CI checks: format, lints, unit and black-box tests, eBPF, browser.
    Test(test::Args),
    /// Install what is missing to build, run and test (or say exactly what to install).
    Setup,
    /// Build the page, the eBPF object, the server and the agent.
    Build(build::Args),
    /// Build only the eBPF object and print where it is.
    BuildEbpf,
    /// Run the benchmarks and print their figures.
    Bench(bench::Args),
    /// Run test files of Prometheus' own against the evaluator, node_exporter's against the agent, or a
    /// TLS scanner against the server, and count what passes.
    Conformance(conformance::Args),
    /// Search for seeds that break the log, the store or the spool; or kill the server under load.
    Sim(sim::Args),
    /// Make what is installed: a Debian package and a tarball of server and agent each.
    Dist(dist::Args),
    /// Boot a guest with systemd, on this machine's own kernel or with one of its own, and install the
    /// packages there.
    Vm(vm::Args),
    /// Boot other kernels under qemu and run the agent's kernel tests there.
    Vmtest(vmtest::Args),
    /// Evaluate flake.nix: packages, NixOS modules, example machines, the table in docs/nixos.md.
    NixCheck(nix_check::Args),
    #[command(hide = true)]
    JournalLines { unit: String, stdout_socket: std::path::PathBuf },
    /// Say what this machine can do, and what to do about the rest.
    Doctor,
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Run(args) => run::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Setup => setup::run(setup::For::Test),
        Verb::Build(args) => build::run(&args),
        Verb::BuildEbpf => build_ebpf(),
        Verb::Bench(args) => bench::run(&args),
        Verb::Conformance(args) => conformance::run(&args),
        Verb::Sim(args) => sim::run(&args),
        Verb::Dist(args) => dist::run(&args),
        Verb::Vm(args) => vm::run(&args),
        Verb::Vmtest(args) => vmtest::run(&args),
        Verb::NixCheck(args) => nix_check::run(&args),
        Verb::JournalLines { unit, stdout_socket } => run::journal_lines(&unit, &stdout_socket),
        Verb::Doctor => {
            doctor::run();
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build_ebpf() -> anyhow::Result<()> {
    if let Some(object) = ebpf::build(&paths::root())? {
        println!("{}", object.display());
    }
    Ok(())
}
