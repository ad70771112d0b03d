//! `cargo xtask build`: the page, the eBPF object, then the two binaries that embed them.

use std::{path::PathBuf, process::Command};

use crate::{ebpf, paths, setup, shell, web};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Optimise.
    #[arg(long)]
    pub(crate) release: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run(setup::For::Run)?;
    binaries(args.release)?;
    let dir = paths::bin_dir(args.release);
    println!("{}\n{}", dir.join("skep-server").display(), dir.join("skep-agent").display());
    Ok(())
}

/// Builds all of it and returns the folder of the binaries.
pub(crate) fn binaries(release: bool) -> anyhow::Result<PathBuf> {
    web::build()?;
    let object = ebpf::build(&paths::root())?;
    let mut cargo = shell::cargo();
    cargo.args(["build", "--locked", "--bins"]);
    if release {
        cargo.arg("--release");
    }
    shell::run(with_object(&mut cargo, object.as_ref()))?;
    Ok(paths::bin_dir(release))
}

/// Tells the agent's build script which object to embed. Every cargo call that builds the agent
/// has to say the same, or it is built anew each time.
pub(crate) fn with_object<'a>(cargo: &'a mut Command, object: Option<&PathBuf>) -> &'a mut Command {
    match object {
        Some(object) => cargo.env("SKEP_EBPF_OBJECT", object),
        None => cargo.env_remove("SKEP_EBPF_OBJECT"),
    }
}
