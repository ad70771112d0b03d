//! Reading a log at a start: the newest checkpoint that is whole, and the commits after it.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    CheckpointError, CommitError, Covered, TableLog, TableSchema,
    action::Action,
    checkpoint::{Checkpoint, version_told},
    io_error,
    names::{LAST_CHECKPOINT, LOG_DIR, LogFile, LogFileKind},
    state::State,
};
use crate::{damage::IO_ERROR, part_store::PartStore};

impl TableLog {
    /// Reads the log in `dir`, creates the table if there is none, and removes files that no
    /// commit names.
    ///
    /// # Errors
    /// The disk or the network; a commit that is missing or not understood, with no checkpoint
    /// after it.
    pub(crate) fn open(
        dir: PathBuf,
        schema: TableSchema,
        store: Arc<dyn PartStore>,
        commits_per_checkpoint: u64,
        now_ms: i64,
    ) -> Result<Self, CommitError> {
        let log_dir = dir.join(LOG_DIR);
        let mut log = Self {
            dir,
            store,
            schema,
            next_version: 0,
            state: State::default(),
            is_unsynced: false,
            in_doubt: None,
            settled: Vec::new(),
            files: BTreeSet::new(),
            checkpoints: Vec::new(),
            commits_per_checkpoint,
            n_damaged_checkpoints: 0,
        };
        log.store.create_table(&log.dir, &log_dir).map_err(io_error(&log_dir))?;
        let listed = log.store.list(&log_dir).map_err(io_error(&log_dir))?;
        log.files = listed.iter().filter_map(|it| LogFile::parse(&it.name)).collect();
        let newest = log.files.last().map(|it| it.version);
        let told = log.version_told()?;
        let damaged = log.read_checkpoint(told)?;
        // To the first that is not there: a listing of object storage may lag behind.
        while log.read_commit()? {
            log.next_version += 1;
        }
        if newest.is_some_and(|it| it >= log.next_version) {
            return Err(match damaged {
                Some((path, source)) if log.next_version == 0 => {
                    CommitError::Damaged { path, source }
                }
                _ => CommitError::Missing {
                    path: log.path_in_log(&LogFile::commit(log.next_version)),
                },
            });
        }
        if log.next_version == 0 {
            log.create(now_ms)?;
        }
        // The last process may have stopped before the names of its commits were on the disk.
        log.is_unsynced = true;
        log.sync()?;
        if damaged.is_some() || told != log.checkpoints.last().copied() {
            // Other readers trip over what is damaged.
            log.write_checkpoint(now_ms);
        }
        log.trim(now_ms);
        let is_live = |name: &str| log.state.is_live(name);
        log.store.remove_orphans(&log.dir, &is_live).map_err(io_error(&log.dir))?;
        Ok(log)
    }

    /// Checkpoints that the start could not read, and did without.
    pub(crate) fn n_damaged_checkpoints(&self) -> usize {
        self.n_damaged_checkpoints
    }

    fn create(&mut self, now_ms: i64) -> Result<(), CommitError> {
        let actions = vec![
            Action::protocol(),
            Action::meta_data(&self.schema, now_ms),
            Action::commit_info("CREATE TABLE", Covered::default(), now_ms),
        ];
        self.publish(&actions)?;
        self.apply(actions);
        Ok(())
    }

    fn version_told(&self) -> Result<Option<u64>, CommitError> {
        let path = self.path_in_log(&LAST_CHECKPOINT);
        match self.store.read(&path) {
            Ok(bytes) => Ok(version_told(&bytes)),
            Err(error) if is_lost(&error) => Ok(None),
            Err(error) => Err(io_error(&path)(error)),
        }
    }

    /// Begins with the newest checkpoint that is whole, be it listed or told of. Returns the newest
    /// one that is not.
    fn read_checkpoint(
        &mut self,
        told: Option<u64>,
    ) -> Result<Option<(PathBuf, CheckpointError)>, CommitError> {
        let listed = self.files.iter().filter(|it| it.kind == LogFileKind::Checkpoint);
        let versions: BTreeSet<u64> = listed.map(|it| it.version).chain(told).collect();
        let mut damaged = None;
        for version in versions.into_iter().rev() {
            let file = LogFile::checkpoint(version);
            let path = self.path_in_log(&file);
            match read_whole(self.store.as_ref(), &path)? {
                None => {}
                Some(Ok(state)) => {
                    self.files.insert(file);
                    self.checkpoints.push(version);
                    self.next_version = version + 1;
                    self.state = state;
                    break;
                }
                Some(Err(error)) => {
                    self.n_damaged_checkpoints += 1;
                    tracing::error!(
                        path = %path.display(),
                        error = crate::run::report(&error),
                        "A checkpoint of a commit log is damaged; the commits before it are read \
                         instead, and a new one is written. Look at the disk."
                    );
                    damaged.get_or_insert((path, error));
                }
            }
        }
        Ok(damaged)
    }

    /// Applies the next commit; false if there is none.
    fn read_commit(&mut self) -> Result<bool, CommitError> {
        let file = LogFile::commit(self.next_version);
        let path = &self.path_in_log(&file);
        let bytes = match self.store.read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_error(path)(error)),
        };
        for (at, line) in bytes.split(|it| *it == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let action = Action::parse(line).map_err(|source| CommitError::Action {
                path: path.to_owned(),
                line: at + 1,
                source,
            })?;
            self.state.apply(action);
        }
        self.files.insert(file);
        Ok(true)
    }
}

/// `None` if there is no such file.
fn read_whole(
    store: &dyn PartStore,
    path: &Path,
) -> Result<Option<Result<State, CheckpointError>>, CommitError> {
    match store.read(path) {
        Ok(bytes) => Ok(Some(Checkpoint::decode(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if is_lost(&error) => Ok(Some(Err(CheckpointError::Unreadable(error)))),
        Err(error) => Err(io_error(path)(error)),
    }
}

/// Not there, or not any more.
fn is_lost(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(IO_ERROR)
}
