//! `skep-server backup`: a snapshot of the store, and everything else of the data folder, in a folder
//! that needs neither this machine nor this server.

#![expect(clippy::print_stdout, reason = "a command line tool")]

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use skep_proto::{Clock as _, SystemClock};

use super::Local;

/// What a backup says of itself; without it, it is not whole.
pub(super) const ABOUT: &str = "backup.json";
/// The data folder's files, in a backup.
pub(super) const DATA: &str = "data";
/// Not copied from the data folder: what the snapshot stands for, and what is of no use elsewhere.
const LEFT_OUT: &[&str] = &["LOCK", "wal", "snapshots", "damaged", "restore"];

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) version: String,
    pub(super) host: String,
    pub(super) made_at: String,
}

pub(super) async fn run(server: &Local, config: &Path, into: &Path) -> anyhow::Result<()> {
    let now = u64::try_from(SystemClock.now().to_ms().0 / 1000).unwrap_or(0);
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now);
    let made_at = humantime::format_rfc3339_seconds(now).to_string();
    let name = format!("skep-{}", made_at.replace(':', "-"));
    let (partial, backup) = (into.join(format!("{name}.partial")), into.join(&name));
    make_private(&partial)?;

    let answer =
        server.post("/api/v1/admin/tsdb/snapshot").await.context("asking for a snapshot")?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let snapshot = answer.pointer("/data/name").and_then(serde_json::Value::as_str);
    let data_dir = server.config.data_dir.clone();
    let snapshot = data_dir.join("snapshots").join(snapshot.context("the answer names none")?);
    let copied = copy_all(&snapshot, &data_dir, config, &partial);
    // Its files are kept for it alone.
    fs::remove_dir_all(&snapshot).with_context(|| format!("removing {}", snapshot.display()))?;
    copied?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let about = About { version, host: server.config.front.host.clone(), made_at };
    let about = serde_json::to_string_pretty(&about)? + "\n";
    write(&partial.join(ABOUT), &about)?;
    fs::rename(&partial, &backup)
        .and_then(|()| fs::File::open(into)?.sync_all())
        .with_context(|| format!("naming {}", backup.display()))?;
    println!("{}", backup.display());
    Ok(())
}

fn copy_all(snapshot: &Path, data_dir: &Path, config: &Path, to: &Path) -> anyhow::Result<()> {
    let data = to.join(DATA);
    make_private(&data)?;
    copy_tree(snapshot, &data)?;
    for path in entries(data_dir)? {
        let Some(name) = path.file_name().map(ToOwned::to_owned) else { continue };
        let is_left_out = LEFT_OUT.iter().any(|it| *it == name);
        let target = data.join(name);
        if is_left_out || target.exists() {
            continue;
        }
        copy_entry(&path, &target)?;
    }
    copy_entry(config, &to.join("server.toml"))
}

/// Copies a folder's entries into one that is there.
pub(super) fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    for path in entries(from)? {
        if let Some(name) = path.file_name() {
            copy_entry(&path, &to.join(name))?;
        }
    }
    fs::File::open(to)
        .and_then(|it| it.sync_all())
        .with_context(|| format!("syncing {}", to.display()))
}

/// A file or a folder, for the owner of the folder it comes into, on the disk when this returns.
fn copy_entry(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_dir() {
        make_private(to)?;
        return copy_tree(from, to);
    }
    let copied = || -> io::Result<()> {
        fs::copy(from, to)?;
        let file = fs::File::open(to)?;
        give_away(to)?;
        file.sync_all()
    };
    match copied() {
        // A running server replaces its small files and removes what it needs no more.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => Ok(()),
        copied => copied.with_context(|| format!("copying {} to {}", from.display(), to.display())),
    }
}

pub(super) fn make_private(dir: &Path) -> anyhow::Result<()> {
    let is_new = !dir.exists();
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.and_then(|()| if is_new { give_away(dir) } else { Ok(()) })
        .with_context(|| format!("making {}", dir.display()))
}

/// To the owner of the folder that it is in: root puts back what the server's own user has to read.
fn give_away(path: &Path) -> io::Result<()> {
    let Some(above) = path.parent().filter(|it| it.exists()) else { return Ok(()) };
    let (theirs, ours) = (fs::metadata(above)?, fs::metadata(path)?);
    if (theirs.uid(), theirs.gid()) == (ours.uid(), ours.gid()) {
        return Ok(());
    }
    match std::os::unix::fs::chown(path, Some(theirs.uid()), Some(theirs.gid())) {
        // Only root may; for anybody else it stays their own.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        done => done,
    }
}

pub(super) fn entries(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = || fs::read_dir(dir)?.map(|it| Ok(it?.path())).collect::<io::Result<Vec<_>>>();
    read().with_context(|| format!("reading {}", dir.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text)
        .and_then(|()| fs::File::open(path)?.sync_all())
        .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_snapshots_tables_and_the_rest_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (data_dir, to) = (dir.path().join("skep"), dir.path().join("backup"));
        let config = dir.path().join("server.toml");
        for (file, text) in [
            ("samples/part", "newer than the snapshot"),
            ("snapshots/a/samples/part", "as of the snapshot"),
            ("access/users.json", "[]"),
            ("wal/1", "x"),
            ("LOCK", ""),
        ] {
            let path = data_dir.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::write(&config, "# empty").unwrap();
        copy_all(&data_dir.join("snapshots/a"), &data_dir, &config, &to).unwrap();
        let read = |file: &str| fs::read_to_string(to.join(file)).ok();
        assert_eq!(read("data/samples/part").as_deref(), Some("as of the snapshot"));
        assert_eq!(read("data/access/users.json").as_deref(), Some("[]"));
        assert_eq!(read("server.toml").as_deref(), Some("# empty"));
        for absent in ["data/wal/1", "data/LOCK", "data/snapshots/a/samples/part"] {
            assert_eq!(read(absent), None, "{absent}");
        }
    }
}
