//! A consistent copy of everything, made of hard links: a data folder by itself.
//!
//! Parts and commits never change once they are there, so a link to them is a copy. The locks of
//! merges and commits are held while links are made, so the copy is of one moment; with parts in
//! object storage they are fetched first.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use time::{OffsetDateTime, macros::format_description};

use crate::{
    commit::{CommitError, TableLog},
    delete::DELETES_FILE,
    flush::{FlushError, Tables},
    metadata::METADATA_FILE,
    store::Store,
};

/// Below the data folder; not counted against `max_bytes`.
pub(crate) const SNAPSHOTS_DIR: &str = "snapshots";
const UNFINISHED: &str = ".unfinished";

/// Why there is no snapshot; what was made of it is removed by the next one.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("cannot write what is in memory to parts")]
    Flush(#[from] FlushError),
    #[error("cannot read the commits")]
    Commit(#[from] CommitError),
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Store {
    /// Copies everything that is stored into `<dir>/snapshots/<name>` and returns the name. The
    /// copy holds every row acknowledged before the call, and its tables are Delta tables. It
    /// shares its files with the store: they take space of their own once the store has merged
    /// them away.
    ///
    /// # Errors
    /// The disk.
    pub async fn make_snapshot(self: &Arc<Self>) -> Result<String, SnapshotError> {
        let _no_merges = self.compaction.lock().await;
        let tables = Arc::clone(&self.tables).lock_owned().await;
        let tables = self.flush_holding(tables).await?;
        let store = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || store.copy_to_snapshot(&tables));
        made.await.or(Err(FlushError::Panicked))?
    }

    fn copy_to_snapshot(&self, tables: &Tables) -> Result<String, SnapshotError> {
        let dir = self.config.dir.join(SNAPSHOTS_DIR);
        self.make_dir(&dir)?;
        let taken = self.clear_unfinished(&dir)?;
        let name = self.new_name(&taken);
        let unfinished = dir.join(format!("{name}{UNFINISHED}"));
        self.make_dir(&unfinished)?;
        let tiers = tables.tiers.0.iter().map(|(_, log)| log);
        let logs =
            [&tables.series, &tables.streams, &tables.samples, &tables.histograms, &tables.logs];
        for log in logs.into_iter().chain(tiers) {
            self.copy_table(log, &unfinished)?;
        }
        for file in [METADATA_FILE, DELETES_FILE] {
            let from = self.config.dir.join(file);
            if self.fs.size(&from).is_ok() {
                self.link(&from, &unfinished.join(file))?;
            }
        }
        self.sync_dir(&unfinished)?;
        let path = dir.join(&name);
        self.fs.rename(&unfinished, &path).map_err(|source| SnapshotError::Io { path, source })?;
        self.sync_dir(&dir)?;
        Ok(name)
    }

    /// Names of the snapshots that are whole; the others are removed.
    fn clear_unfinished(&self, dir: &Path) -> Result<Vec<String>, SnapshotError> {
        let io = |source| SnapshotError::Io { path: dir.to_owned(), source };
        let (unfinished, whole): (Vec<_>, Vec<_>) = self
            .fs
            .list(dir)
            .map_err(io)?
            .into_iter()
            .map(|it| it.name)
            .partition(|it| it.ends_with(UNFINISHED));
        for name in unfinished {
            self.remove_tree(&dir.join(name)).map_err(io)?;
        }
        Ok(whole)
    }

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        for entry in self.fs.list(dir)? {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                self.remove_tree(&path)?;
            } else {
                self.fs.remove(&path)?;
            }
        }
        self.fs.remove_dir(dir)
    }

    /// As Prometheus names them: time, then something that no other has.
    fn new_name(&self, taken: &[String]) -> String {
        let now = self.clock.now();
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(now.0))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let time = at.format(&format).unwrap_or_default();
        let mut salt = 0_u64;
        loop {
            let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&now.0.to_le_bytes(), salt);
            let name = format!("{time}-{hash:016x}");
            if !taken.contains(&name) {
                return name;
            }
            salt += 1;
        }
    }

    fn copy_table(&self, log: &TableLog, to: &Path) -> Result<(), SnapshotError> {
        let name = log.dir().file_name().map(PathBuf::from).unwrap_or_default();
        let to = to.join(name);
        let from = log.log_dir();
        let log_dir = to.join(from.file_name().unwrap_or_default());
        self.make_dir(&log_dir)?;
        for path in log.paths_needed() {
            self.copy_log_file(log, path, &log_dir)?;
        }
        for path in log.paths_in_reserve() {
            match self.copy_log_file(log, path, &log_dir) {
                Err(SnapshotError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                copied => copied?,
            }
        }
        let mut folders = vec![log_dir];
        for part in log.live() {
            let _pin = log.pin(part)?;
            let path = to.join(&part.name);
            if let Some(folder) =
                path.parent().filter(|it| !folders.iter().any(|known| known == it))
            {
                self.make_dir(folder)?;
                folders.push(folder.to_owned());
            }
            self.link(&log.path_of(part), &path)?;
            // A cached copy may never have got to the disk.
            if log.store().checks_what_it_pins() {
                let synced = self.fs.sync_file(&path);
                synced.map_err(|source| SnapshotError::Io { path, source })?;
            }
        }
        folders.push(to);
        folders.iter().try_for_each(|it| self.sync_dir(it))
    }

    fn copy_log_file(
        &self,
        log: &TableLog,
        from: PathBuf,
        log_dir: &Path,
    ) -> Result<(), SnapshotError> {
        let to = log_dir.join(from.file_name().unwrap_or_default());
        if self.fs.size(&from).is_ok() {
            return self.link(&from, &to);
        }
        // In object storage.
        match log.store().read(&from) {
            Ok(bytes) => self.write(&to, &bytes),
            Err(source) => Err(SnapshotError::Io { path: from, source }),
        }
    }

    fn make_dir(&self, dir: &Path) -> Result<(), SnapshotError> {
        let made = self.fs.create_dir_all(dir);
        made.map_err(|source| SnapshotError::Io { path: dir.to_owned(), source })
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), SnapshotError> {
        let synced = self.fs.sync_dir(dir);
        synced.map_err(|source| SnapshotError::Io { path: dir.to_owned(), source })
    }

    fn link(&self, from: &Path, to: &Path) -> Result<(), SnapshotError> {
        let linked = self.fs.link(from, to);
        linked.map_err(|source| SnapshotError::Io { path: to.to_owned(), source })
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
        let written = self.fs.create(path).and_then(|mut file| {
            file.append(bytes)?;
            file.sync()
        });
        written.map_err(|source| SnapshotError::Io { path: path.to_owned(), source })
    }
}
