//! `cargo xtask conformance`: test files of Prometheus' project and our own against our evaluators,
//! tools with Loki's recorded answers and a TLS scanner against a server, node_exporter's fixtures
//! against our collectors.

use std::path::Path;

use crate::{build, node_exporter, setup, shell};

/// What `skep-conformance` is told.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// promql or logql, and a file or folder of cases or tools; or `node_exporter`, and the folder of
    /// its fixtures; or tls.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "LANGUAGE PATH")]
    told: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if let [language, dir] = &args.told[..]
        && language == "node_exporter"
    {
        return node_exporter::compare(Path::new(dir));
    }
    let help = vec!["--help".to_owned()];
    let is_tls = args.told.first().is_some_and(|it| it == "tls");
    if is_tls && shell::which("sslscan").is_none() {
        setup::package("sslscan")?;
    }
    // Only tools talk to a server; cases run in the process itself.
    let needs_server = is_tls || args.told.first().is_some_and(|it| it == "logql");
    let built = needs_server.then(|| build::binaries(false)).transpose()?;
    let mut cargo = shell::cargo();
    cargo
        .args(["run", "--locked", "--quiet", "--bin", "skep-conformance", "--"])
        .args(if args.told.is_empty() { &help } else { &args.told });
    if let Some(built) = &built {
        cargo.env("SKEP_BIN_DIR", &built.bin_dir);
        build::with_object(&mut cargo, built.object.as_ref());
    }
    shell::run(&mut cargo)
}
