//! All of the spool's disk access: one directory of plain files, behind a trait that tests fault.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

/// One directory. Names are file names inside it.
///
/// An operation that fails may have happened in part; the trait promises only what each `Ok` says.
pub(crate) trait Disk: Send + std::fmt::Debug {
    /// The names of all files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Up to `n_bytes_max` bytes from `offset`; fewer only where the file ends.
    fn read(&self, name: &str, offset: u64, n_bytes_max: usize) -> io::Result<Vec<u8>>;

    /// Appends to a file that exists. Not yet durable.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Once `Ok`, what the file holds outlasts a crash.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Cuts a file; durable once `Ok`.
    fn truncate(&mut self, name: &str, n_bytes: u64) -> io::Result<()>;

    /// Puts a whole file in place of another; durable once `Ok`. A crash leaves the old one or
    /// the new one, never a mixture.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Durable once `Ok`.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Durable once `Ok`: a segment that came back after a crash would hold numbers that have
    /// been given to other batches since.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// Ends the name of a file that [`Disk::replace`] had not finished.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// A directory of the file system.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes the directory if it does not exist, readable by its owner only: logs are private.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let directory = Self { path: path.to_owned() };
        // An earlier run may have been killed before it did this.
        directory.sync_names()?;
        Ok(directory)
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // Every name of ours is UTF-8; others are not ours to touch.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str, offset: u64, n_bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.path.join(name))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        let n_bytes_max = u64::try_from(n_bytes_max).unwrap_or(u64::MAX);
        file.take(n_bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().append(true).open(self.path.join(name))?.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        File::open(self.path.join(name))?.sync_all()
    }

    fn truncate(&mut self, name: &str, n_bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        file.set_len(n_bytes)?;
        file.sync_all()
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}{TEMPORARY_SUFFIX}"));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path.join(name))?;
        self.sync_names()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))?;
        self.sync_names()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))?;
        self.sync_names()
    }
}
