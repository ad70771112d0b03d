//! Building the page: TypeScript checked by tsc, bundled by Vite, embedded by the server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::Context as _;

use crate::{paths, shell};

/// Installs what `package-lock.json` names (once per lock file) and builds the page if a source
/// is newer than it.
pub(crate) fn build() -> anyhow::Result<()> {
    build_in(&paths::root().join("server/web"))
}

/// The same in another checkout.
pub(crate) fn build_in(web: &Path) -> anyhow::Result<()> {
    install(web)?;
    let built = web.join("dist/index.html");
    let newest = newest_source(web)?;
    if modified(&built).is_some_and(|it| newest < it) {
        return Ok(());
    }
    shell::quiet(npm(web).args(["run", "build"])).context("building the page")?;
    Ok(())
}

/// The page's own tests; after `build`, which installs what they need.
pub(crate) fn test() -> anyhow::Result<()> {
    shell::run(npm(&paths::root().join("server/web")).arg("test")).context("testing the page")
}

/// `npm ci`, unless the lock file is the one that was installed last.
pub(crate) fn install(dir: &Path) -> anyhow::Result<()> {
    let lock_path = dir.join("package-lock.json");
    let lock = fs::read_to_string(&lock_path)
        .with_context(|| format!("reading {}", lock_path.display()))?;
    let stamp = dir.join("node_modules/.skep-lock");
    if fs::read_to_string(&stamp).is_ok_and(|it| it == lock) {
        return Ok(());
    }
    eprintln!("installing npm packages for {}", dir.display());
    shell::quiet(npm(dir).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    fs::write(&stamp, lock).with_context(|| format!("writing {}", stamp.display()))
}

fn npm(dir: &Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(dir);
    command
}

fn newest_source(web: &Path) -> anyhow::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut open: Vec<PathBuf> = vec![web.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name == "node_modules" || name == "dist" {
                continue;
            }
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if let Some(it) = modified(&entry.path()) {
                newest = newest.max(it);
            }
        }
    }
    Ok(newest)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|it| it.modified()).ok()
}
