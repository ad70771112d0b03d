//! node_exporter's own test data, for the comparison with our collectors: unpacked, and named to the
//! test that reads it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::{paths, shell};

/// What names the folder of the data.
pub(crate) const VARIABLE: &str = "SKEP_NODE_EXPORTER_CONFORMANCE";
/// The comparison itself.
const TEST: &str = "fixtures_of_node_exporter_yield_its_golden_output";

/// `cargo xtask conformance node_exporter DIR`.
pub(crate) fn compare(dir: &Path) -> anyhow::Result<()> {
    let dir = unpacked(dir)?;
    let mut cargo = shell::cargo();
    cargo.args(["test", "--locked", "--quiet", "-p", "skep-agent", TEST, "--", "--nocapture"]);
    shell::run(cargo.env(VARIABLE, dir))
}

/// The folder that the environment names, unpacked; says so where there is none.
pub(crate) fn from_environment() -> anyhow::Result<Option<PathBuf>> {
    match env::var_os(VARIABLE) {
        Some(dir) => unpacked(Path::new(&dir)).map(Some),
        None => {
            eprintln!("   {VARIABLE} names no folder: no comparison with node_exporter");
            Ok(None)
        }
    }
}

/// A folder with the tree and the golden side by side: `dir` itself, or one that is made from it.
fn unpacked(dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = env::current_dir()?.join(dir);
    let archive = dir.join("fixtures.tar.gz");
    let unpacked = if archive.exists() {
        let target = paths::target().join("node-exporter-fixtures");
        if target.exists() {
            fs::remove_dir_all(&target)
                .with_context(|| format!("removing {}", target.display()))?;
        }
        fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
        let mut tar = Command::new("tar");
        shell::quiet(tar.arg("-xzf").arg(&archive).arg("-C").arg(&target))?;
        for file in ["expected.prom", "families.json"] {
            fs::copy(dir.join(file), target.join(file))
                .with_context(|| format!("copying {}", dir.join(file).display()))?;
        }
        target
    } else {
        dir
    };
    for part in ["proc", "sys", "expected.prom", "families.json"] {
        ensure!(unpacked.join(part).exists(), "{} has no {part}", unpacked.display());
    }
    Ok(unpacked)
}
