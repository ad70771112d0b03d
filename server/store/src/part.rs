//! One Parquet file of a table, as long as anybody reads it.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use object_store::ObjectStore;

use crate::{
    damage::Health,
    delete::Mask,
    part_store::{PartStore, Pin, ReadAt},
    words::PartWords,
};

/// A live file. Once it was taken out of its table, it is deleted when the last reader lets go.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) info: PartInfo,
    pub(crate) path: PathBuf,
    /// No other part of this process has it; names return when a day is written anew.
    pub(crate) serial: u64,
    pub(crate) health: Health,
    store: Arc<dyn PartStore>,
    is_removed: AtomicBool,
    /// Of deletes after it was written.
    masks: Mutex<Vec<Arc<Mask>>>,
    pub(crate) words: PartWords,
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
        static NEXT_SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
        let health = Health::default();
        let (is_removed, masks) = (AtomicBool::new(false), Mutex::default());
        let words = PartWords::default();
        Self { info, path, serial, health, store, is_removed, masks, words }
    }

    /// Sees to it that the file is at `path` for as long as the pin is held. Whoever opens the
    /// file takes one first: with object storage, it may not be there otherwise. The first time,
    /// the file's checksum is computed.
    ///
    /// # Errors
    /// The file cannot be fetched, or is damaged: then [`Health::is_damaged`]. The error does not
    /// name it.
    pub(crate) async fn pin(&self) -> io::Result<Pin> {
        let pin = match self.store.pin(&self.info, &self.path).await {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.health.set_damaged(&self.path, &error);
                return Err(error);
            }
            pin => pin?,
        };
        if !self.store.checks_what_it_pins() {
            self.health.check(&self.path, &self.info).await?;
        }
        Ok(pin)
    }

    /// As [`Self::pin`], for whoever reads through [`Self::reader`]: the pin is of nothing where
    /// the cache has no room for the file.
    ///
    /// # Errors
    /// As [`Self::pin`].
    pub(crate) async fn pin_if_room(&self) -> io::Result<Pin> {
        match self.pin().await {
            Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => Ok(Pin::NOTHING),
            other => other,
        }
    }

    /// The file's bytes, of which a pin was taken if there was room. Where there was none, every
    /// read waits for the network.
    ///
    /// # Errors
    /// The file is not there.
    pub(crate) fn open(&self) -> io::Result<Arc<dyn ReadAt>> {
        match File::open(&self.path) {
            Ok(file) => Ok(Arc::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.store.far(&self.info, &self.path).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// How to read the file, if not at `path`.
    pub(crate) fn reader(&self) -> Option<Arc<dyn ObjectStore>> {
        self.store.reader(&self.info, &self.path)
    }

    /// Every scan that is planned from now on leaves these rows out.
    pub(crate) fn hide(&self, mask: &Arc<Mask>) {
        self.masks_held().push(Arc::clone(mask));
    }

    /// The file holds no row of that delete.
    pub(crate) fn unhide(&self, delete: u64) {
        self.masks_held().retain(|it| it.delete != delete);
    }

    pub(crate) fn masks(&self) -> Vec<Arc<Mask>> {
        self.masks_held().clone()
    }

    fn masks_held(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Mask>>> {
        self.masks.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
impl PartInfo {
    pub(crate) fn for_test(name: &str) -> Self {
        let (ids, ts) = ((0, 0), (0, 0));
        let (day, rank, level, size_bytes, crc32c, n_rows) = (0, 0, 0, 0, 0, 0);
        Self { name: name.to_owned(), day, rank, level, size_bytes, crc32c, n_rows, ids, ts }
    }
}
