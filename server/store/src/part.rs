//! One Parquet file of a table, as long as anybody reads it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use skep_wal::Fs;

/// A live file. Once it was taken out of its table, it is deleted when the last reader lets go.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) info: PartInfo,
    pub(crate) path: PathBuf,
    fs: Arc<dyn Fs>,
    is_removed: AtomicBool,
}

/// What the commit log says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartInfo {
    /// Below the table's folder.
    pub(crate) name: String,
    /// Days since the epoch.
    pub(crate) day: i32,
    /// Where two parts hold the same sample, the higher rank wins: the log segment it came from.
    pub(crate) rank: u64,
    /// 0 from a flush, more after each merge.
    pub(crate) level: u32,
    pub(crate) size_bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) n_rows: u64,
    /// Smallest and greatest.
    pub(crate) ids: (i64, i64),
    /// Smallest and greatest, in the table's unit.
    pub(crate) ts: (i64, i64),
}

impl Part {
    pub(crate) fn new(info: PartInfo, path: PathBuf, fs: Arc<dyn Fs>) -> Self {
        Self { info, path, fs, is_removed: AtomicBool::new(false) }
    }

    pub(crate) fn mark_removed(&self) {
        self.is_removed.store(true, Ordering::Release);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.is_removed.load(Ordering::Acquire)
            && let Err(error) = self.fs.remove(&self.path)
        {
            // The next start removes it: no commit names it any more.
            tracing::warn!(%error, path = %self.path.display(), "Could not remove an old part.");
        }
    }
}
