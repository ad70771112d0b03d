//! The one place of the front that touches the disk.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::error::Error;

/// Makes `dir` and what is missing above it, readable by us only.
pub(crate) fn create_private_dir(dir: &Path) -> Result<(), Error> {
    let is_new = !dir.exists();
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    let made = made.and_then(|()| match dir.parent() {
        Some(above) if is_new && above.exists() => give_to_owner_of(above, &fs::File::open(dir)?),
        _ours_already => Ok(()),
    });
    made.map_err(|source| Error::File { path: dir.to_owned(), source })
}

/// Waits until no other process and no other call holds the lock; dropping the file releases it.
pub(crate) fn lock(path: &Path) -> Result<fs::File, Error> {
    let locked = || {
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        if let Some(dir) = path.parent() {
            give_to_owner_of(dir, &file)?;
        }
        file.lock()?;
        Ok(file)
    };
    locked().map_err(|source| Error::File { path: path.to_owned(), source })
}

/// A command of root's must not leave files that the server's own user cannot read.
fn give_to_owner_of(dir: &Path, file: &fs::File) -> std::io::Result<()> {
    let (ours, theirs) = (file.metadata()?, fs::metadata(dir)?);
    if (ours.uid(), ours.gid()) == (theirs.uid(), theirs.gid()) {
        return Ok(());
    }
    match std::os::unix::fs::fchown(file, Some(theirs.uid()), Some(theirs.gid())) {
        // Only root may; for anybody else the file stays their own.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        done => done,
    }
}

/// The file's text, or `None` when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}

/// What a file of somebody else's holds; the reader says what it was for.
pub(crate) fn read_secret(path: &Path) -> std::io::Result<String> {
    fs::read_to_string(path)
}

/// Tells whether a file is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// `None` when there is no such file, or none that we may look at.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    Some(Stamp { inode: metadata.ino(), size: metadata.size(), modified })
}

/// Removes the file if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::File { path: path.to_owned(), source })
        }
        _removed_or_absent => Ok(()),
    }
}

/// Gives the file another name in the same folder.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|source| Error::File { path: from.to_owned(), source })
}

/// Whether others may read what is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    /// 0600
    Secret,
    /// 0644
    Public,
}

/// Replaces the file in one step: after a crash it holds the old text or the new, never half of one.
pub(crate) fn replace(path: &Path, text: &str, mode: Mode) -> Result<(), Error> {
    let written = write_and_rename(path, text, mode);
    written.map_err(|source| Error::File { path: path.to_owned(), source })
}

fn write_and_rename(path: &Path, text: &str, mode: Mode) -> std::io::Result<()> {
    let bits = match mode {
        Mode::Secret => 0o600,
        Mode::Public => 0o644,
    };
    let temporary = path.with_extension("new");
    // A left-over of a crash may have other permissions, which `mode` would not change.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _removed_or_absent => {}
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(bits).open(&temporary)?;
    if let Some(dir) = path.parent() {
        give_to_owner_of(dir, &file)?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
