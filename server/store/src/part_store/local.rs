//! Parts and commits in the data folder itself: nothing is copied, nothing is fetched.

use std::{io, path::Path, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use skep_wal::{DirEntry, Fs};

use super::{PartStore, Pin, PutError};
use crate::part::PartInfo;

/// What a file is called until it is whole.
const UNFINISHED: &str = ".unfinished";

#[derive(Debug)]
pub(crate) struct LocalParts {
    fs: Arc<dyn Fs>,
}

impl LocalParts {
    pub(crate) fn new(fs: Arc<dyn Fs>) -> Self {
        Self { fs }
    }
}

impl PartStore for LocalParts {
    fn create_table(&self, _: &Path, log_dir: &Path) -> io::Result<()> {
        self.fs.create_dir_all(log_dir)?;
        for entry in self.fs.list(log_dir)? {
            if entry.name.ends_with(UNFINISHED) {
                self.fs.remove(&log_dir.join(&entry.name))?;
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.fs.list(dir)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.fs.read(path)
    }

    fn size(&self, _: &PartInfo, path: &Path) -> io::Result<u64> {
        self.fs.size(path)
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(UNFINISHED);
        let unfinished = Path::new(&unfinished);
        let written = self.fs.create(unfinished).and_then(|mut file| {
            file.append(bytes)?;
            file.sync()?;
            self.fs.rename(unfinished, path)
        });
        if written.is_err()
            && let Err(error) = self.fs.remove(unfinished)
        {
            tracing::debug!(%error, "Could not remove an unfinished file.");
        }
        written
    }

    fn put_if_absent(&self, path: &Path, bytes: &[u8]) -> Result<(), PutError> {
        // Nobody else can make it in between: the data folder is locked by this process.
        if self.fs.size(path).is_ok() {
            return Err(PutError::Exists);
        }
        self.put(path, bytes).map_err(PutError::Failed)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.fs.sync_dir(dir)
    }

    fn publish(&self, dir: &Path, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            self.fs.sync_dir(folder)?;
        }
        self.fs.sync_dir(dir)
    }

    fn set_aside(&self, from: &Path, to: &Path) -> io::Result<()> {
        let folders = [to.parent(), from.parent()];
        for folder in folders.iter().take(1).flatten() {
            self.fs.create_dir_all(folder)?;
        }
        self.fs.size(from)?;
        self.fs.rename(from, to)?;
        folders.iter().flatten().try_for_each(|it| self.fs.sync_dir(it))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.fs.remove(path)
    }

    fn remove_later(&self, path: &Path) {
        if let Err(error) = self.fs.remove(path) {
            // The next start removes it: no commit names it any more.
            tracing::warn!(%error, path = %path.display(), "Could not remove an old file.");
        }
    }

    fn remove_orphans(&self, dir: &Path, is_live: &dyn Fn(&str) -> bool) -> io::Result<()> {
        for day in self.fs.list(dir)? {
            if !day.is_dir || !day.name.starts_with("day=") {
                continue;
            }
            let day_dir = dir.join(&day.name);
            for file in self.fs.list(&day_dir)? {
                if !is_live(&format!("{}/{}", day.name, file.name)) {
                    self.fs.remove(&day_dir.join(&file.name))?;
                }
            }
        }
        Ok(())
    }

    fn pin(&self, _: &PartInfo, _: &Path) -> BoxFuture<'static, io::Result<Pin>> {
        futures::future::ready(Ok(Pin::NOTHING)).boxed()
    }

    fn pin_now(&self, _: &PartInfo, _: &Path) -> io::Result<Pin> {
        Ok(Pin::NOTHING)
    }
}
