//! `cargo xtask vmtest`: the agent's kernel programs on other kernels than this machine's, each
//! booted under qemu with the agent's own tests inside.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::{build, ebpf, paths, setup, shell};

pub(crate) mod guest;
pub(crate) mod kernels;
pub(crate) mod machine;

/// What a Debian user runs today; 5.10 is the oldest that the agent is for, but its release is
/// past its support and may vanish, so it is only tried when named.
const VERSIONS: &[&str] = &["6.1", "6.12"];

/// Programs that come with packages of other names.
const TOOLS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("cpio", "cpio"),
    ("busybox", "busybox-static"),
    ("xz", "xz-utils"),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kernels, as in "6.1 6.12 5.10"; the newest Debian package of each is taken.
    #[arg(default_values_t = VERSIONS.iter().map(ToString::to_string))]
    versions: Vec<String>,
    /// Only tests whose names begin with one of these words.
    #[arg(long, default_value = "")]
    filter: String,
    /// The agent's test binary, instead of building it.
    #[arg(long, requires = "agent")]
    tests: Option<PathBuf>,
    /// The agent, instead of building it.
    #[arg(long, requires = "tests")]
    agent: Option<PathBuf>,
}

/// What runs in the guest.
pub(crate) struct Payload {
    pub(crate) agent: PathBuf,
    pub(crate) tests: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let payload = match (&args.agent, &args.tests) {
        (Some(agent), Some(tests)) => Payload { agent: agent.clone(), tests: tests.clone() },
        _ => built()?,
    };
    for version in &args.versions {
        test(version, &payload, &args.filter)?;
    }
    Ok(())
}

/// Boots one kernel and runs the agent's kernel tests there.
///
/// # Errors
/// A test failed, the guest did not come up twice, or something has to be installed.
#[expect(clippy::disallowed_methods, reason = "times the run for a person")]
pub(crate) fn test(version: &str, payload: &Payload, filter: &str) -> anyhow::Result<()> {
    let started = std::time::Instant::now();
    if env::consts::ARCH != "x86_64" {
        bail!("vmtest boots x86_64 kernels only; this machine is {}", env::consts::ARCH);
    }
    tools()?;
    let kernel = kernels::newest(version, &cache_dir()?)?;
    let initrd = guest::pack(&kernel, payload, filter, &paths::target().join("vm").join(version))?;
    machine::run(&kernel, &initrd).with_context(|| format!("testing on {}", kernel.package))?;
    eprintln!("{}: passed in {}", kernel.package, shell::human(started.elapsed()));
    Ok(())
}

/// Installs what boots a kernel here.
pub(crate) fn tools() -> anyhow::Result<()> {
    let missing = TOOLS.iter().filter(|(program, _)| shell::which(program).is_none());
    missing.map(|(_, package)| *package).try_for_each(setup::package)
}

/// Both with the selection of packages that `cargo xtask test` has, so that nothing is built anew.
fn built() -> anyhow::Result<Payload> {
    let Some(object) = ebpf::build(&paths::root())? else {
        bail!("an agent without kernel programs proves nothing on other kernels");
    };
    payload(&object)
}

/// The agent and its test binary with this object inside.
pub(crate) fn payload(object: &PathBuf) -> anyhow::Result<Payload> {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--locked", "--all-targets", "--quiet", "--message-format=json"]);
    let messages = shell::quiet(build::with_object(&mut cargo, Some(object)))?;
    let find = |is_test| {
        messages.lines().rev().find_map(|line| executable(line, is_test)).with_context(|| {
            format!("cargo did not say where skep-agent is (as a test: {is_test})")
        })
    };
    Ok(Payload { agent: find(false)?, tests: find(true)? })
}

/// The path in cargo's message about the agent's binary, built as a test or not.
fn executable(message: &str, is_test: bool) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_it = message.pointer("/target/name")?.as_str()? == "skep-agent"
        && message.pointer("/profile/test")?.as_bool()? == is_test;
    is_it.then(|| message.get("executable")?.as_str().map(PathBuf::from)).flatten()
}

/// Outside the checkout, so that a fresh clone need not download kernels again.
pub(crate) fn cache_dir() -> anyhow::Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let dir = set("SKEP_CACHE_DIR")
        .or_else(|| set("XDG_CACHE_HOME").map(|it| it.join("skep")))
        .or_else(|| set("HOME").map(|it| it.join(".cache/skep")))
        .context("neither SKEP_CACHE_DIR, XDG_CACHE_HOME nor HOME is set")?
        .join("vm");
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    Ok(dir)
}

/// The shared objects a program is linked with, itself left out.
fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = shell::quiet(Command::new("ldd").arg(program));
    // Of a static program ldd says that it is none.
    let listed = listed.unwrap_or_default();
    let paths = listed.split_ascii_whitespace().filter(|it| it.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_binaries_are_found_in_cargos_messages() {
        let message = |name: &str, is_test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"profile":{{"test":{is_test}}},"executable":"/t/{name}"}}"#
            )
        };
        let path = Some(PathBuf::from("/t/skep-agent"));
        assert_eq!(executable(&message("skep-agent", true), true), path);
        assert_eq!(executable(&message("skep-agent", true), false), None);
        assert_eq!(executable(&message("skep-server", true), true), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#, true), None);
    }
}
