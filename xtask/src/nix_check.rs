//! `cargo xtask nix-check`: every `.nix` file parses, the flake evaluates, and what its modules
//! write is what server and agent read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::{paths, shell};

mod docs;
mod examples;
mod modules;

#[derive(Default, clap::Args)]
pub(crate) struct Args {
    /// Write docs/nixos.md's table and the hashes of the page's npm packages anew.
    #[arg(long)]
    update: bool,
    /// Evaluate against this nixpkgs (a flake reference) instead of the one that can be had.
    #[arg(long, value_name = "FLAKE")]
    nixpkgs: Option<String>,
}

/// What evaluation reads; a checkout may hold gigabytes beside it, and a flake is copied whole.
const FILES: [&str; 7] =
    ["flake.nix", "nix", "Cargo.toml", "Cargo.lock", ".cargo", "agent/dist", "server/dist"];
/// What is only looked at when a package is built.
const FOLDERS: [&str; 4] = ["agent-ebpf", "tests", "xtask", "server/web"];
/// Older ones are refused by nixpkgs itself.
const NIX_MIN: (u32, u32) = (2, 18);
const SYSTEMS: [&str; 2] = ["x86_64-linux", "aarch64-linux"];

/// A copy of the flake, and the nixpkgs that it is evaluated against.
struct Flake {
    dir: PathBuf,
    nixpkgs: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if shell::which("nix").is_none() {
        bail!(
            "nix is missing: `sudo apt-get install --no-install-recommends nix-bin`, or nixos.org"
        );
    }
    if args.update {
        modules::update()?;
    }
    modules::check()?;
    let n_files = parse_all()?;
    let mut flake = Flake { dir: copy()?, nixpkgs: None };
    let (what, nixpkgs) = match &args.nixpkgs {
        Some(given) => (given.clone(), Some(given.clone())),
        None => flake.nixpkgs()?,
    };
    flake.nixpkgs = nixpkgs;
    let n_outputs = flake.outputs()?;
    docs::check(&flake, args.update)?;
    examples::check(&flake)?;
    eprintln!("nix: {n_files} files parse, {n_outputs} outputs evaluate against {what}");
    fs::remove_dir_all(&flake.dir).with_context(|| format!("removing {}", flake.dir.display()))
}

/// Paths of all `.nix` files, from the checkout.
fn nix_files(dir: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            nix_files(&path, found)?;
        } else if path.extension().is_some_and(|it| it == "nix") {
            found.push(path);
        }
    }
    Ok(())
}

fn parse_all() -> anyhow::Result<usize> {
    let root = paths::root();
    let mut files = vec![root.join("flake.nix")];
    nix_files(&root.join("nix"), &mut files)?;
    shell::quiet(nix("nix-instantiate").arg("--parse").args(&files))?;
    Ok(files.len())
}

fn copy() -> anyhow::Result<PathBuf> {
    let to = paths::target().join("nix-check");
    if to.exists() {
        fs::remove_dir_all(&to).with_context(|| format!("removing {}", to.display()))?;
    }
    for folder in FOLDERS.into_iter().chain(["agent", "server"]) {
        let folder = to.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    }
    for file in FILES {
        let parent = to.join(Path::new(file).parent().unwrap_or(Path::new("")));
        shell::quiet(Command::new("cp").arg("-r").arg(paths::root().join(file)).arg(parent))?;
    }
    // As the evaluator asks for it: without symbolic links on the way.
    to.canonicalize().with_context(|| format!("finding {}", to.display()))
}

/// A program of Nix that works for who is not its owner and has no daemon.
fn nix(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env(
        "NIX_CONFIG",
        "experimental-features = nix-command flakes\nbuild-users-group =\nsandbox = false\n\
         download-attempts = 1\nconnect-timeout = 5\nwarn-dirty = false",
    );
    if !shell::is_root() {
        command.env("NIX_REMOTE", paths::target().join("nix-store"));
    }
    command
}

/// Major and minor in `nix (Nix) 2.8.0`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers =
        text.split_ascii_whitespace().last()?.split('.').map_while(|it| it.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

impl Flake {
    fn stand_in(&self) -> String {
        format!("path:{}", self.dir.join("nix/stand-in").display())
    }

    /// The real nixpkgs, or the stand-in and why.
    fn nixpkgs(&self) -> anyhow::Result<(String, Option<String>)> {
        let told = shell::quiet(nix("nix").arg("--version"))?;
        let why = if version(&told).is_none_or(|it| it < NIX_MIN) {
            format!("{} is older than nixpkgs asks for", told.trim())
        } else if self.eval(&["lib.version"]).is_err() {
            "the real one cannot be fetched".to_owned()
        } else {
            return Ok(("the real nixpkgs".to_owned(), None));
        };
        Ok((format!("our stand-in for nixpkgs: {why}"), Some(self.stand_in())))
    }

    fn is_stand_in(&self) -> bool {
        self.nixpkgs.as_ref().is_some_and(|it| *it == self.stand_in())
    }

    fn command(&self) -> Command {
        let mut command = nix("nix");
        command.current_dir(&self.dir).args(["eval", "--no-write-lock-file"]);
        if let Some(nixpkgs) = &self.nixpkgs {
            command.args(["--override-input", "nixpkgs", nixpkgs]);
        }
        if self.is_stand_in() {
            command.arg("--offline");
        }
        command
    }

    /// The value of an attribute of the flake, or of a function of it.
    fn eval(&self, words: &[&str]) -> anyhow::Result<Value> {
        let (attribute, apply) = words.split_first().context("no attribute")?;
        let mut command = self.command();
        command.arg(format!("path:{}#{attribute}", self.dir.display())).arg("--json");
        if let Some(function) = apply.first() {
            command.args(["--apply", function]);
        }
        serde_json::from_str(&shell::quiet(&mut command)?)
            .with_context(|| format!("reading the value of {attribute}"))
    }

    /// Evaluates all that the flake offers down to what would be built.
    fn outputs(&self) -> anyhow::Result<usize> {
        let machines = "it: builtins.mapAttrs (_: m: m.config.system.build.toplevel.drvPath) it";
        let mut n = count(&self.eval(&["nixosConfigurations", machines])?);
        self.eval(&["nixosConfigurations.server-vm.config.system.build.vm.drvPath"])?;
        let derivations = "it: builtins.mapAttrs (_: d: d.drvPath) it";
        for kind in ["packages", "checks", "devShells"] {
            for system in SYSTEMS {
                n += count(&self.eval(&[&format!("{kind}.{system}"), derivations])?);
            }
        }
        ensure!(n >= 16, "only {n} outputs were found in flake.nix");
        Ok(n)
    }
}

fn count(value: &Value) -> usize {
    value.as_object().map_or(0, serde_json::Map::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_nix_is_read_from_its_words() {
        assert_eq!(version("nix (Nix) 2.8.0\n"), Some((2, 8)));
        assert_eq!(version("nix (Nix) 2.31.1"), Some((2, 31)));
        assert!(version("nix (Lix) 2.9") < Some(NIX_MIN));
        assert_eq!(version("nix"), None);
    }

    #[test]
    fn the_object_for_nix_is_built_with_the_flags_of_the_object() {
        let file = fs::read_to_string(paths::root().join("nix/packages/ebpf.nix")).unwrap();
        for flag in crate::ebpf::rust_flags(Path::new("$PWD")) {
            // The architecture is the platform's there.
            let flag = flag.split("=\"").next().unwrap();
            assert!(file.contains(flag), "nix/packages/ebpf.nix lacks {flag}");
        }
    }
}
