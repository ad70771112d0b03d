//! Keeping a log short: checkpoints, and the removal of what they stand for.
//!
//! The order is what makes a crash at any point harmless. A checkpoint is written when its commits
//! are on the disk, told of when it is on the disk itself, and what it stands for is removed when
//! there is another one after it: a damaged checkpoint costs nothing but time.

use std::path::PathBuf;

use super::{
    CommitError, TableLog,
    checkpoint::Checkpoint,
    io_error,
    names::{LAST_CHECKPOINT, LogFile},
};

/// The last one and the one before, in case the last one is damaged.
const CHECKPOINTS_KEPT: usize = 2;
/// Files that are removed at once, so that the first checkpoint of a long log holds up nobody.
const FILES_REMOVED_AT_ONCE: usize = 64;

impl TableLog {
    /// The files of the log that a copy of the table needs, oldest first.
    pub(crate) fn paths_needed(&self) -> impl Iterator<Item = PathBuf> {
        let newest = self.checkpoints.last().copied().unwrap_or_default();
        self.files.range(LogFile::commit(newest)..).map(|it| self.path_in_log(it))
    }

    /// Those that it needs where the newest checkpoint is damaged. An earlier process may have been
    /// about to remove some of them.
    pub(crate) fn paths_in_reserve(&self) -> impl Iterator<Item = PathBuf> {
        let is_trimmed = self.checkpoints.len() >= CHECKPOINTS_KEPT;
        let oldest = self.checkpoints.first().filter(|_| is_trimmed).copied().unwrap_or_default();
        let newest = self.checkpoints.last().copied().unwrap_or_default();
        let range = LogFile::commit(oldest)..LogFile::commit(newest);
        self.files.range(range).map(|it| self.path_in_log(it))
    }

    /// Writes a checkpoint if it is time to, and removes files that are not needed any more. What
    /// fails is tried again after the next commit.
    pub(super) fn trim(&mut self, now_ms: i64) {
        let first = self.checkpoints.last().map_or(0, |it| it + 1);
        if self.next_version.saturating_sub(first) >= self.commits_per_checkpoint {
            self.write_checkpoint(now_ms);
        }
        self.remove_old();
    }

    pub(super) fn write_checkpoint(&mut self, now_ms: i64) {
        if let Err(error) = self.try_write_checkpoint(now_ms) {
            tracing::warn!(
                error = crate::run::report(&error),
                "Could not write a checkpoint of a commit log; trying again after the next commit."
            );
        }
    }

    fn try_write_checkpoint(&mut self, now_ms: i64) -> Result<(), CommitError> {
        self.sync()?;
        let Some(version) = self.next_version.checked_sub(1).filter(|_| self.state.is_table())
        else {
            return Ok(());
        };
        self.state.forget_removed(now_ms);
        let file = LogFile::checkpoint(version);
        let path = self.path_in_log(&file);
        let checkpoint = Checkpoint::encode(&self.state, &self.schema)
            .map_err(|source| CommitError::Checkpoint { path: path.clone(), source })?;
        self.store.put(&path, &checkpoint.bytes).map_err(io_error(&path))?;
        self.files.insert(file);
        let log_dir = self.log_dir();
        self.store.sync_dir(&log_dir).map_err(io_error(&log_dir))?;
        let told = self.path_in_log(&LAST_CHECKPOINT);
        self.store.put(&told, checkpoint.told(version).as_bytes()).map_err(io_error(&told))?;
        self.is_unsynced = true;
        self.checkpoints.retain(|it| *it != version);
        self.checkpoints.push(version);
        let n_old = self.checkpoints.len().saturating_sub(CHECKPOINTS_KEPT);
        self.checkpoints.drain(..n_old);
        Ok(())
    }

    fn remove_old(&mut self) {
        if self.checkpoints.len() < CHECKPOINTS_KEPT {
            return;
        }
        let oldest = self.checkpoints.first().copied().unwrap_or_default();
        for _ in 0..FILES_REMOVED_AT_ONCE {
            let Some(file) = self.files.first().copied().filter(|it| it.version < oldest) else {
                return;
            };
            self.store.remove_later(&self.path_in_log(&file));
            self.files.remove(&file);
        }
    }
}
