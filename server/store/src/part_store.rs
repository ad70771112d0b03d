//! Where parts and commits live for good: in the data folder, or in object storage.
//!
//! The rule for whoever touches a table's files: a new part is written to its path below the data
//! folder through `skep_wal::Fs`, as ever, and then [`PartStore::publish`]ed. Everything else goes
//! through [`PartStore`]; commits and checkpoints are never written but by it. A part's file is
//! only sure to be at its path while a [`Pin`] on it is held (see `Part::pin`): with object
//! storage the data folder is a bounded cache of it.

mod cache;
mod connect;
mod explain;
mod local;
mod object;
mod read;
mod requests;
#[cfg(test)]
pub(crate) mod sim;

use std::{fmt, io, path::Path, sync::Arc};

use futures::future::BoxFuture;
use object_store::ObjectStore;
use skep_wal::DirEntry;

pub(crate) use connect::refuse_elsewhere;
pub use connect::{ConnectError, Credentials, ObjectStoreConfig};
pub(crate) use local::LocalParts;
pub use requests::{ObjectOutcome, ObjectRequest, RequestCounts};

use crate::part::PartInfo;

/// A part's file stays where it is for as long as this lives.
#[derive(Debug)]
#[must_use = "the file may go when it is dropped"]
pub(crate) struct Pin(#[expect(dead_code, reason = "held, not read")] Option<Box<dyn Held>>);

/// Whatever keeps a file from leaving the cache.
pub(crate) trait Held: Send + Sync + fmt::Debug {}

impl Pin {
    /// Of a file that goes nowhere anyway.
    pub(crate) const NOTHING: Self = Self(None);
}

/// The files of all tables. Paths are those below the data folder, wherever the bytes are.
///
/// All but [`Self::pin`] and [`Self::remove_later`] wait for the disk or the network, and hold up
/// the calling thread meanwhile.
pub(crate) trait PartStore: Send + Sync + fmt::Debug {
    /// Makes a table's folders ready.
    fn create_table(&self, dir: &Path, log_dir: &Path) -> io::Result<()>;

    /// What is in a folder, in order of name; folders below it with `is_dir`.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// A commit or another small file. `NotFound` if there is none.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The size of a part's file, without fetching it. `NotFound` if there is none.
    fn size(&self, part: &PartInfo, path: &Path) -> io::Result<u64>;

    /// Writes a small file whole, in place of one that may be there: it is there whole or not at
    /// all. Durable after [`Self::sync_dir`] of its folder.
    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// As [`Self::put`], if nothing is there.
    fn put_if_absent(&self, path: &Path, bytes: &[u8]) -> Result<(), PutError>;

    /// Returns once every name that was put into a folder is durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes a part durable whose bytes are written and synced at `path`, below the table's `dir`.
    /// Returns when a commit may name it. May be done twice.
    fn publish(&self, dir: &Path, path: &Path) -> io::Result<()>;

    /// Takes a part or another file away for good.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// As [`Self::remove`], without waiting for the network; what stays, the next start removes.
    fn remove_later(&self, path: &Path);

    /// Removes what is in a table's day folders and not live by its name below `dir`: files of a
    /// flush or merge that was not committed, or removed since.
    fn remove_orphans(&self, dir: &Path, is_live: &dyn Fn(&str) -> bool) -> io::Result<()>;

    /// Moves a damaged part to another place below the data folder, where nothing looks for it.
    /// Durable when it returns. `NotFound` if there is none.
    fn set_aside(&self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = self.read(from)?;
        self.put(to, &bytes)?;
        if let Some(folder) = to.parent() {
            self.sync_dir(folder)?;
        }
        self.remove(from)
    }

    /// Whether [`Self::pin`] computes the part's checksum: it then fails with `InvalidData` where
    /// it is wrong.
    fn checks_what_it_pins(&self) -> bool {
        false
    }

    /// Sees to it that the part's file is at `path` and stays there. Waits for the network without
    /// holding up the thread. `QuotaExceeded` where the cache has no room for it.
    fn pin(&self, part: &PartInfo, path: &Path) -> BoxFuture<'static, io::Result<Pin>>;

    /// As [`Self::pin`], waiting.
    fn pin_now(&self, part: &PartInfo, path: &Path) -> io::Result<Pin>;

    /// How a Parquet reader gets at the part, if not by opening the file at `path`: the file may
    /// be too large for what is left of the cache. Takes its own pin.
    fn reader(&self, _part: &PartInfo, _path: &Path) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    /// The part's bytes, piece by piece, where the cache has no room for them. Every read waits
    /// for the network.
    fn far(&self, _part: &PartInfo, _path: &Path) -> Option<Arc<dyn ReadAt>> {
        None
    }

    /// Figures of object storage, if this is one.
    fn object_stats(&self) -> Option<ObjectStats> {
        None
    }
}

/// Bytes that are read at places, without a cursor, so by many at once.
pub(crate) trait ReadAt: Send + Sync + fmt::Debug {
    /// As `read(2)`: 0 at the end, otherwise as many as come at once.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize>;
}

impl ReadAt for std::fs::File {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, bytes, at)
    }
}

/// A part that a query needs and that cannot be had now.
#[derive(Debug, thiserror::Error)]
#[error("part {part} cannot be read")]
pub struct PartUnavailable {
    /// Table, day and file.
    part: String,
    source: io::Error,
}

impl PartUnavailable {
    pub(crate) fn new(path: &Path, source: io::Error) -> Self {
        let names: Vec<_> = path.components().map(|it| it.as_os_str().to_string_lossy()).collect();
        let last = names.get(names.len().saturating_sub(3)..).unwrap_or_default();
        Self { part: last.join("/"), source }
    }
}

/// Why a file was not put.
#[derive(Debug)]
pub(crate) enum PutError {
    /// There is another one.
    Exists,
    /// It is not there.
    Failed(io::Error),
    /// It may be there or come to be; putting the same bytes again finds out.
    InDoubt(io::Error),
}

/// Figures of object storage and of its cache, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ObjectStats {
    pub requests: RequestCounts,
    pub n_bytes_up: u64,
    pub n_bytes_down: u64,
    /// Now, and at most.
    pub cache_bytes: u64,
    pub cache_bytes_max: u64,
    /// Parts that were wanted and there, or not.
    pub n_cache_hits: u64,
    pub n_cache_misses: u64,
    pub n_cache_evictions: u64,
}
