//! One Parquet file of a table, as long as anybody reads it.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::part_store::{PartStore, Pin};

/// A live file. Once it was taken out of its table, it is deleted when the last reader lets go.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) info: PartInfo,
    pub(crate) path: PathBuf,
    store: Arc<dyn PartStore>,
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
    pub(crate) fn new(info: PartInfo, path: PathBuf, store: Arc<dyn PartStore>) -> Self {
        Self { info, path, store, is_removed: AtomicBool::new(false) }
    }

    /// Sees to it that the file is at `path` for as long as the pin is held. Whoever opens the
    /// file takes one first: with object storage, it may not be there otherwise.
    ///
    /// # Errors
    /// The file cannot be fetched; the error does not name it.
    pub(crate) async fn pin(&self) -> io::Result<Pin> {
        self.store.pin(&self.info, &self.path).await
    }

    pub(crate) fn mark_removed(&self) {
        self.is_removed.store(true, Ordering::Release);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.is_removed.load(Ordering::Acquire) {
            self.store.remove_later(&self.path);
        }
    }
}
