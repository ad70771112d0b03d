//! The npm packages of the page: Nix must know the hash of what npm unpacks before it asks npm.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::nix;
use crate::{paths, shell};

const LOCK: &str = "server/web/package-lock.json";
const HASHES: &str = "nix/packages/web-modules.json";
/// npm's names for the processors of the systems.
const CPUS: [(&str, &str); 2] = [("x86_64-linux", "x64"), ("aarch64-linux", "arm64")];

/// Whether the hashes are those of the lock file; no package is fetched for that.
pub(super) fn check() -> anyhow::Result<()> {
    let path = paths::root().join(HASHES);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let known: Value = serde_json::from_str(&text).with_context(|| format!("reading {HASHES}"))?;
    let of_lock = known.get("package-lock").and_then(Value::as_str);
    if of_lock == Some(lock_hash()?.as_str()) {
        return Ok(());
    }
    bail!("{HASHES} is of another {LOCK}: run `cargo xtask nix-check --update` and commit it");
}

/// Unpacks the packages for each system and writes the hashes of what came.
pub(super) fn update() -> anyhow::Result<()> {
    let mut known = serde_json::Map::new();
    known.insert("package-lock".to_owned(), json!(lock_hash()?));
    for (system, cpu) in CPUS {
        known.insert(system.to_owned(), json!(modules_hash(cpu)?));
    }
    let text = serde_json::to_string_pretty(&known).context("writing hashes")? + "\n";
    let path = paths::root().join(HASHES);
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}

/// As `nix/packages/web.nix` does it.
fn modules_hash(cpu: &str) -> anyhow::Result<String> {
    let dir = paths::target().join("nix-npm");
    let web = paths::root().join("server/web");
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    for file in ["package.json", "package-lock.json", ".npmrc"] {
        fs::copy(web.join(file), dir.join(file)).with_context(|| format!("copying {file}"))?;
    }
    eprintln!("fetching the page's npm packages for {cpu}");
    let words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--os=linux", "--libc=glibc"];
    shell::quiet(Command::new("npm").current_dir(&dir).args(words).arg(format!("--cpu={cpu}")))?;
    drop(fs::remove_file(dir.join("node_modules/.package-lock.json")));
    let hash = hash(&["hash", "path"], &dir.join("node_modules"))?;
    fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    Ok(hash)
}

fn lock_hash() -> anyhow::Result<String> {
    hash(&["hash", "file"], &paths::root().join(LOCK))
}

fn hash(words: &[&str], path: &Path) -> anyhow::Result<String> {
    Ok(shell::quiet(nix("nix").args(words).arg(path))?.trim().to_owned())
}
