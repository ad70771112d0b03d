//! Files whose bytes are not those that were committed: noticed before they are first read, set
//! aside, never served.
//!
//! A part of samples or logs is checked when it is first pinned, a part of label sets before it is
//! read at the start. Whatever is damaged goes to `<data>/damaged/<table>/…` and out of the table
//! by a commit, in this order: a crash in between leaves a commit that names a file which is not
//! there, and the next start makes up for it.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    commit::{Commit, CommitError, TableLog},
    index::Index,
    merge::Table,
    part::{Part, PartInfo},
    run::report,
    store::Store,
};

/// Below the data folder; a folder for each table in it.
pub(crate) const DAMAGED_DIR: &str = "damaged";
/// A checksum never holds more of a file than this.
const CHUNK_BYTES: usize = 256 << 10;
/// How often what queries noticed is taken out of the tables; they skip it in the meantime.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// `EIO`: the disk itself says that it lost the bytes.
pub(crate) const IO_ERROR: i32 = 5;

/// What is known about a file's bytes.
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: AtomicU8,
    /// Held while the file is read through, so that it is once.
    checking: tokio::sync::Mutex<()>,
}

const UNKNOWN: u8 = 0;
const SOUND: u8 = 1;
const DAMAGED: u8 = 2;

/// How a file differs from what was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("it has {found} bytes, {expected} were committed")]
    Size { found: u64, expected: u64 },
    #[error("its checksum is {found:08x}, {expected:08x} was committed")]
    Checksum { found: u32, expected: u32 },
    #[error("the disk cannot read it")]
    Unreadable,
}

impl Health {
    pub(crate) fn is_damaged(&self) -> bool {
        self.state.load(Ordering::Acquire) == DAMAGED
    }

    /// This process wrote the file itself.
    pub(crate) fn set_sound(&self) {
        self.state.store(SOUND, Ordering::Release);
    }

    /// A read failed although the checksum was right: it is computed anew at the next use.
    pub(crate) fn doubt(&self) {
        self.state.store(UNKNOWN, Ordering::Release);
    }

    pub(crate) fn set_damaged(&self, path: &Path, why: &dyn std::fmt::Display) {
        tell(path, why);
        self.state.store(DAMAGED, Ordering::Release);
    }

    /// Whether the file at `path` is as committed. Reads it through the first time.
    pub(crate) async fn check(&self, path: &Path, info: &PartInfo) -> io::Result<()> {
        if self.state.load(Ordering::Acquire) == UNKNOWN {
            let _one_at_a_time = self.checking.lock().await;
            if self.state.load(Ordering::Acquire) == UNKNOWN {
                let (owned, info) = (path.to_owned(), info.clone());
                let checked = tokio::task::spawn_blocking(move || check(&owned, &info)).await;
                match checked.map_err(io::Error::other)?? {
                    Ok(()) => self.set_sound(),
                    Err(damage) => self.set_damaged(path, &damage),
                }
            }
        }
        if self.is_damaged() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is damaged"));
        }
        Ok(())
    }
}

fn tell(path: &Path, damage: &dyn std::fmt::Display) {
    tracing::error!(
        path = %path.display(), %damage,
        "A part is damaged; it is set aside and queries go on without it. Restore it from a backup."
    );
}

/// Reads a file through. The outer error says nothing about the file's bytes.
fn check(path: &Path, info: &PartInfo) -> io::Result<Result<(), Damage>> {
    match checksum(path) {
        Ok((found, _)) if found != info.size_bytes => {
            Ok(Err(Damage::Size { found, expected: info.size_bytes }))
        }
        Ok((_, found)) if found != info.crc32c => {
            Ok(Err(Damage::Checksum { found, expected: info.crc32c }))
        }
        Ok(_) => Ok(Ok(())),
        Err(error) if error.raw_os_error() == Some(IO_ERROR) => Ok(Err(Damage::Unreadable)),
        Err(error) => Err(error),
    }
}

/// A file's size and crc32c.
pub(crate) fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut n_bytes, mut crc32c) = (0, 0);
    loop {
        let n = match file.read(&mut chunk) {
            Ok(0) => return Ok((n_bytes, crc32c)),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        n_bytes += n as u64;
        crc32c = crc32c::crc32c_append(crc32c, chunk.get(..n).unwrap_or_default());
    }
}

/// Where a table's file goes when it is damaged.
fn damaged_path(log: &TableLog, part: &PartInfo) -> PathBuf {
    let table = log.dir().file_name().unwrap_or_default();
    let data_dir = log.dir().parent().unwrap_or(log.dir());
    data_dir.join(DAMAGED_DIR).join(table).join(&part.name)
}

/// Moves a file away and takes it out of its table. Ids up to `retired` are not given out again.
fn set_aside(
    log: &mut TableLog,
    part: &PartInfo,
    retired_id: i64,
    now_ms: i64,
) -> Result<(), CommitError> {
    let (from, to) = (log.path_of(part), damaged_path(log, part));
    match log.store().set_aside(&from, &to) {
        // A start that crashed after it had moved the file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result.map_err(|source| CommitError::Io { path: from, source })?,
    }
    tracing::error!(
        table = %log.dir().display(), part = part.name, moved_to = %to.display(),
        n_rows = part.n_rows, "Set a damaged part aside; what it alone held is not there any more."
    );
    let remove = vec![part.clone()];
    let commit = Commit { operation: "DELETE", remove, retired_id, ..Commit::default() };
    log.commit(commit, now_ms)?;
    log.sync()
}

/// Checks the files of a table of label sets, which are about to be read; those that are damaged
/// are set aside and returned.
pub(crate) fn check_sets(log: &mut TableLog, now_ms: i64) -> Result<Vec<PartInfo>, CommitError> {
    let mut damaged = Vec::new();
    for part in log.live().cloned().collect::<Vec<_>>() {
        let path = log.path_of(&part);
        let io = |source| CommitError::Io { path: path.clone(), source };
        let is_there = is_there(log, &part).map_err(io)?;
        let checked =
            if is_there { check_pinned(log, &part).map_err(io)? } else { Err(Damage::Unreadable) };
        if let Err(damage) = checked {
            tell(&path, &damage);
            set_aside(log, &part, part.ids.1, now_ms)?;
            damaged.push(part);
        }
    }
    Ok(damaged)
}

fn check_pinned(log: &TableLog, part: &PartInfo) -> io::Result<Result<(), Damage>> {
    let path = log.path_of(part);
    let _pin = match log.store().pin_now(part, &path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Ok(Err(Damage::Unreadable));
        }
        pin => pin?,
    };
    if log.store().checks_what_it_pins() { Ok(Ok(())) } else { check(&path, part) }
}

/// Of label sets that were lost: others know some of them, and are told that they have rows on
/// that day; the ids of the rest must not come to mean something else.
pub(crate) fn make_up_for(index: &Index, damaged: &[PartInfo], retired_id: i64) {
    for part in damaged {
        index.mark_day_of_range(part.day, part.ids);
    }
    if retired_id > 0 {
        index.retire_ids_through(retired_id);
    }
}

fn is_there(log: &TableLog, part: &PartInfo) -> io::Result<bool> {
    match log.store().size(part, &log.path_of(part)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The parts of samples or logs that are there, oldest first, and how many are missing. A missing
/// one stays in the table: it may come back, as when a disk was not mounted.
pub(crate) fn load_parts(
    log: &mut TableLog,
    now_ms: i64,
) -> Result<(Vec<Arc<Part>>, usize), CommitError> {
    let (mut parts, mut n_missing) = (Vec::new(), 0);
    for info in log.live().cloned().collect::<Vec<_>>() {
        let path = log.path_of(&info);
        match log.store().size(&info, &path) {
            Ok(found) if found == info.size_bytes => {
                parts.push(Arc::new(Part::new(info, path, Arc::clone(log.store()))));
            }
            Ok(found) => {
                tell(&path, &Damage::Size { found, expected: info.size_bytes });
                set_aside(log, &info, 0, now_ms)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if log.store().size(&info, &damaged_path(log, &info)).is_ok() {
                    set_aside(log, &info, 0, now_ms)?;
                    continue;
                }
                n_missing += 1;
                tracing::error!(
                    path = %path.display(),
                    "A part is missing; queries go on without it. Restore it from a backup."
                );
            }
            Err(source) => return Err(CommitError::Io { path, source }),
        }
    }
    parts.sort_by_key(|it| it.info.rank);
    Ok((parts, n_missing))
}

/// How many files lie set aside.
pub(crate) fn n_set_aside(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(
            |it| {
                if it.file_type().is_ok_and(|it| it.is_dir()) { n_set_aside(&it.path()) } else { 1 }
            },
        )
        .sum()
}

impl Store {
    /// Takes what reads found damaged out of the tables.
    ///
    /// # Errors
    /// The disk; queries go on without these parts, and a later call tries again.
    pub(crate) async fn set_aside_damaged(&self) -> Result<(), CommitError> {
        for table in Table::ALL {
            if self.damaged_parts(table).is_empty() {
                continue;
            }
            let mut tables = self.tables.lock().await;
            let now_ms = self.clock.now().to_ms().0;
            for part in self.damaged_parts(table) {
                // It may have gone with its day in the meantime.
                let log = tables.log(table);
                if log.live().any(|it| *it == part.info) {
                    set_aside(log, &part.info, 0, now_ms)?;
                    self.figures.n_damaged_parts.fetch_add(1, Ordering::Relaxed);
                }
                self.with_parts(table, |parts| parts.retain(|it| !Arc::ptr_eq(it, &part)));
                self.changes.note_all();
            }
            self.note_disk_bytes(tables.size_bytes());
        }
        self.set_aside_damaged_rollups().await
    }

    /// What still has its samples is summed up again.
    async fn set_aside_damaged_rollups(&self) -> Result<(), CommitError> {
        if self.damaged_rollups().is_empty() {
            return Ok(());
        }
        let mut tables = self.tables.lock().await;
        let now_ms = self.clock.now().to_ms().0;
        for part in self.damaged_rollups() {
            for (_, log) in &mut tables.tiers.0 {
                if log.path_of(&part.info) == part.path && log.is_live(&part.info.name) {
                    set_aside(log, &part.info, 0, now_ms)?;
                    self.figures.n_damaged_parts.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.view().tiers.retain(|it| !Arc::ptr_eq(&it.1, &part));
            self.changes.note_all();
        }
        self.note_disk_bytes(tables.size_bytes());
        Ok(())
    }

    fn damaged_rollups(&self) -> Vec<Arc<Part>> {
        let view = self.view();
        let damaged = view.tiers.iter().map(|it| &it.1).filter(|it| it.health.is_damaged());
        damaged.map(Arc::clone).collect()
    }

    /// Does so again and again, until told to stop.
    pub(crate) async fn watch_damage(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(SWEEP_INTERVAL) => {}
            }
            if self.n_damaged_live() == 0 {
                continue;
            }
            // It waits for the disk and the network.
            let (store, runtime) = (Arc::clone(&self), tokio::runtime::Handle::current());
            let done =
                tokio::task::spawn_blocking(move || runtime.block_on(store.set_aside_damaged()));
            if let Ok(Err(error)) = done.await {
                let error = report(&error);
                tracing::warn!(error, "Could not set a damaged part aside; trying again.");
            }
        }
    }

    /// Found by a read, and still in the table.
    pub(crate) fn n_damaged_live(&self) -> usize {
        let damaged = Table::ALL.map(|it| self.damaged_parts(it).len());
        damaged.iter().sum::<usize>() + self.damaged_rollups().len()
    }

    fn damaged_parts(&self, table: Table) -> Vec<Arc<Part>> {
        self.with_parts(table, |parts| {
            parts.iter().filter(|it| it.health.is_damaged()).map(Arc::clone).collect()
        })
    }

    fn with_parts<T>(&self, table: Table, f: impl FnOnce(&mut Vec<Arc<Part>>) -> T) -> T {
        f(self.view().parts_mut(table))
    }
}
