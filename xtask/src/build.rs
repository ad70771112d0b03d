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
    let dir = binaries(args.release)?.bin_dir;
    println!("{}\n{}", dir.join("skep-server").display(), dir.join("skep-agent").display());
    Ok(())
}

/// What was built: the folder of the binaries, and the object the agent in it carries.
pub(crate) struct Built {
    pub(crate) bin_dir: PathBuf,
    pub(crate) object: Option<PathBuf>,
}

/// Builds all of it.
pub(crate) fn binaries(release: bool) -> anyhow::Result<Built> {
    web::build()?;
    let object = ebpf::build(&paths::root())?;
    let mut cargo = shell::cargo();
    cargo.args(["build", "--locked", "--bins"]);
    if release {
        cargo.arg("--release");
    }
    shell::run(with_object(&mut cargo, object.as_ref()))?;
    Ok(Built { bin_dir: paths::bin_dir(release), object })
}

/// Tells the agent's build script which object to embed. Every cargo call that builds the agent
/// has to say the same, or it is built anew each time.
pub(crate) fn with_object<'a>(cargo: &'a mut Command, object: Option<&PathBuf>) -> &'a mut Command {
    match object {
        Some(object) => cargo.env("SKEP_EBPF_OBJECT", object),
        None => cargo.env_remove("SKEP_EBPF_OBJECT"),
    }
}
