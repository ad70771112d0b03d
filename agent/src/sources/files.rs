//! Reading the kernel's small files with as few calls as it takes: they have no size to ask for,
//! and hundreds of them are read at each tick.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::{
    buffer::spare_capacity,
    fs::{CWD, Mode, OFlags, openat},
    io::{Errno, read},
};

/// Room for most texts of procfs, so that they are there after one call and a look for the end.
pub(super) const TEXT_BYTES: usize = 8 << 10;
/// No attribute of sysfs is longer than a page, and it comes whole.
const ATTRIBUTE_BYTES: usize = 4 << 10;

/// A folder of attributes, which are opened from here and not from the root of the file system.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

impl Folder {
    /// `None` if there is no such folder.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty()).ok().map(Self)
    }

    /// A one-line file that need not be there.
    pub(crate) fn trimmed(&self, file: &str) -> Option<String> {
        trimmed(&openat(&self.0, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?)
    }
}

pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// What a one-line file says.
pub(super) fn trimmed(file: &OwnedFd) -> Option<String> {
    Some(std::str::from_utf8(&attribute(file).ok()?).ok()?.trim().to_owned())
}

/// The bytes of a one-line file. A full page is read on: it is no attribute.
pub(super) fn attribute(file: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(ATTRIBUTE_BYTES);
    read_some(file, &mut bytes)?;
    if bytes.len() == bytes.capacity() {
        read_on(file, &mut bytes)?;
    }
    Ok(bytes)
}

/// The rest of a file of about so many bytes.
pub(super) fn read_text(file: &OwnedFd, bytes_usual: usize) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(bytes_usual);
    read_on(file, &mut bytes)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn read_on(file: &OwnedFd, bytes: &mut Vec<u8>) -> io::Result<()> {
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.len().max(1));
        }
        if read_some(file, bytes)? == 0 {
            return Ok(());
        }
    }
}

fn read_some(file: &OwnedFd, bytes: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        match read(file, spare_capacity(bytes)) {
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_longer_than_the_first_read_are_whole() {
        let dir = tempfile::tempdir().unwrap();
        for n_bytes in [0, 1, ATTRIBUTE_BYTES - 1, ATTRIBUTE_BYTES, ATTRIBUTE_BYTES + 1, 100_000] {
            let text = "x".repeat(n_bytes);
            let path = dir.path().join("file");
            fs::write(&path, format!(" {text}\n")).unwrap();
            assert_eq!(trimmed(&open(&path).unwrap()), Some(text.clone()));
            assert_eq!(read_text(&open(&path).unwrap(), 64).unwrap(), format!(" {text}\n"));
        }
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), [0xff]).unwrap();
        let file = open(&dir.path().join("file")).unwrap();
        assert_eq!(read_text(&file, 64).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(trimmed(&open(&dir.path().join("file")).unwrap()), None);
    }

    #[test]
    fn a_folder_is_asked_for_its_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mtu"), "1500\n").unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.trimmed("mtu").as_deref(), Some("1500"));
        assert_eq!(folder.trimmed("speed"), None);
        assert!(Folder::open(&dir.path().join("mtu")).is_none(), "not a folder");
    }
}
