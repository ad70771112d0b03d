//! `cargo xtask conformance`: test files of Prometheus' project against our evaluator.

use crate::shell;

/// What `skep-conformance` is told.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// promql, and a file or folder of cases.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "LANGUAGE PATH")]
    told: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let help = vec!["--help".to_owned()];
    let mut cargo = shell::cargo();
    cargo
        .args(["run", "--locked", "--quiet", "--bin", "skep-conformance", "--"])
        .args(if args.told.is_empty() { &help } else { &args.told });
    shell::run(&mut cargo)
}
