//! Which Skep may read a data folder: what it holds says which version of its form it has.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The form that this program writes. It grows with a release whose folder an older one cannot read.
const CURRENT: u32 = 1;
/// The oldest that is read: one release back.
const OLDEST: u32 = 1;
const FILE: &str = "version.json";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    format: u32,
    /// For a person.
    written_by: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum VersionError {
    #[error("{} was written by Skep {written_by}, which is newer (data format {format}, this one reads {OLDEST} to {CURRENT}); install that version, or restore a backup", dir.display())]
    Newer { dir: PathBuf, format: u32, written_by: String },
    #[error("{} was written by Skep {written_by} (data format {format}, this one reads {OLDEST} to {CURRENT}); start a version between the two first, which brings it up to date", dir.display())]
    Older { dir: PathBuf, format: u32, written_by: String },
    #[error("{} cannot be read as the version of its folder", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
}

/// Whether this program may open the folder. One that is not there, or is from before versions were
/// written down, is good.
///
/// # Errors
/// It may not, with what to do.
pub(crate) fn check(dir: &Path) -> Result<(), VersionError> {
    let Some(Version { format, written_by }) = read(dir)? else { return Ok(()) };
    let dir = dir.to_owned();
    match format {
        OLDEST..=CURRENT => Ok(()),
        newer if newer > CURRENT => Err(VersionError::Newer { dir, format, written_by }),
        _older => Err(VersionError::Older { dir, format, written_by }),
    }
}

/// Says in the folder, which is there, that this program has opened it.
///
/// # Errors
/// The disk.
pub(crate) fn stamp(dir: &Path) -> Result<(), VersionError> {
    let ours = Version { format: CURRENT, written_by: env!("CARGO_PKG_VERSION").to_owned() };
    if read(dir)?.as_ref() == Some(&ours) {
        return Ok(());
    }
    let path = dir.join(FILE);
    let written = || -> io::Result<()> {
        let partial = path.with_extension("new");
        fs::write(&partial, serde_json::to_string(&ours)? + "\n")?;
        fs::File::open(&partial)?.sync_all()?;
        fs::rename(&partial, &path)
    };
    written().map_err(|source| VersionError::Unreadable { path: path.clone(), source })
}

fn read(dir: &Path) -> Result<Option<Version>, VersionError> {
    let path = dir.join(FILE);
    let parsed = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from)),
    };
    parsed.map(Some).map_err(|source| VersionError::Unreadable { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stamped_and_what_is_from_before_is_good() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path()).unwrap();
        stamp(dir.path()).unwrap();
        check(dir.path()).unwrap();
        stamp(dir.path()).unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap().format, CURRENT);
    }

    #[test]
    fn a_newer_folder_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let newer = r#"{"format":99,"written_by":"9.0.0","more":true}"#;
        fs::write(dir.path().join(FILE), newer).unwrap();
        let said = check(dir.path()).unwrap_err().to_string();
        assert!(said.contains("written by Skep 9.0.0") && said.contains("install"), "{said}");
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(matches!(check(dir.path()), Err(VersionError::Unreadable { .. })));
    }
}
