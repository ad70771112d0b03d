//! The disk as the log and the store see it, small enough for a simulated one to stand in.

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    path::Path,
};

/// What a listing tells about one entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
    /// 0 for a folder.
    pub size_bytes: u64,
}

/// How full the file system of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// What this process may still write.
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// Every operation that changes or lists the disk. Names become durable only with [`Fs::sync_dir`]
/// of their folder, bytes only with [`FsFile::sync`].
pub trait Fs: Send + Sync + fmt::Debug {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// In order of name.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// An empty file, truncated if it is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The first bytes of a file, as many as there are.
    fn read_start(&self, path: &Path, n_bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(n_bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
    fn size(&self, path: &Path) -> io::Result<u64>;
    /// Cuts a file to `size_bytes` and syncs it.
    fn truncate(&self, path: &Path, size_bytes: u64) -> io::Result<()>;
    /// A second name for a file that nobody changes any more, or a copy where links cannot be.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = self.read(from)?;
        let mut file = self.create(to)?;
        file.append(&bytes)?;
        file.sync()
    }
    /// Returns once what is in the file is on the disk, whoever wrote it.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Atomic; replaces the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    fn space(&self, dir: &Path) -> io::Result<DiskSpace>;
}

/// A file that only grows.
pub trait FsFile: Send + fmt::Debug {
    /// All bytes or an error; after an error some of them may be in the file.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once every byte appended is on the disk. After an error nothing is known about the
    /// bytes since the last success, whatever a later call says.
    fn sync(&mut self) -> io::Result<()>;
}

/// The machine's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

#[derive(Debug)]
struct RealFile(fs::File);

impl Fs for RealFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let is_dir = metadata.is_dir();
            entries.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir,
                size_bytes: if is_dir { 0 } else { metadata.len() },
            });
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(RealFile(fs::File::create(path)?)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn truncate(&self, path: &Path, size_bytes: u64) -> io::Result<()> {
        let file = fs::OpenOptions::new().write(true).open(path)?;
        file.set_len(size_bytes)?;
        file.sync_all()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        // Another file system, or one without links.
        fs::copy(from, to)?;
        self.sync_file(to)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn space(&self, dir: &Path) -> io::Result<DiskSpace> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(DiskSpace {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

impl FsFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
