//! Which files of a table are live: a Delta Lake log, written by ourselves.
//!
//! `docs/formats/commit-log.md` describes it. A table's folder holds `_delta_log/%020d.json`, one
//! a commit, contiguous, each line an action; [`PartStore`] puts it there whole or not at all. Now
//! and then a checkpoint stands for all commits up to it, and those may go.

mod action;
mod checkpoint;
#[cfg(test)]
mod checkpoint_tests;
mod columns;
mod names;
mod start;
mod state;
#[cfg(test)]
mod tests;
mod trim;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::Schema;
use skep_proto::names::column;

use action::Action;
pub use action::ActionError;
pub(crate) use action::TableSchema;
pub use checkpoint::CheckpointError;
use names::{LOG_DIR, LogFile};
use state::State;

use crate::{
    part::PartInfo,
    part_store::{PartStore, Pin, PutError},
};

/// One table's log and what is live by it.
#[derive(Debug)]
pub(crate) struct TableLog {
    dir: PathBuf,
    store: Arc<dyn PartStore>,
    schema: TableSchema,
    next_version: u64,
    state: State,
    /// A commit's name may not be on the disk yet.
    is_unsynced: bool,
    /// What may be the next version already.
    in_doubt: Option<InDoubt>,
    /// Commits that were reported as failed and are there after all.
    settled: Vec<Commit>,
    /// Commits and checkpoints that are there, as far as is known.
    files: BTreeSet<LogFile>,
    /// Versions of the newest checkpoints that are whole, oldest first; at most two.
    checkpoints: Vec<u64>,
    commits_per_checkpoint: u64,
    /// Checkpoints that the start could not read.
    n_damaged_checkpoints: usize,
}

/// A commit whose answer was lost on the network.
#[derive(Debug)]
struct InDoubt {
    actions: Vec<Action>,
    commit: Commit,
}

/// Up to which segment the write-ahead log is in the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Covered {
    /// What it holds for this table.
    pub(crate) table: u64,
    /// What it holds at all: the last commit of a flush says so.
    pub(crate) all: u64,
}

/// What changes at once.
#[derive(Debug, Default, Clone)]
pub(crate) struct Commit {
    pub(crate) operation: &'static str,
    pub(crate) add: Vec<PartInfo>,
    pub(crate) remove: Vec<PartInfo>,
    pub(crate) covered: Covered,
    /// Ids up to this one are not to be given out again; 0 for none.
    pub(crate) retired_id: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} line {line} is not understood; was it written by another program?", path.display())]
    Action { path: PathBuf, line: usize, source: ActionError },
    #[error("{} is there already; does another server write to this table?", path.display())]
    Conflict { path: PathBuf },
    /// It may have been committed; the next attempt finds out.
    #[error("cannot tell whether {} was written", path.display())]
    InDoubt { path: PathBuf, source: io::Error },
    #[error("{} is missing, and later commits are there; restore it from a backup", path.display())]
    Missing { path: PathBuf },
    #[error(
        "{} is damaged, no checkpoint before it is whole, and the first commits are gone; restore \
         the folder it is in from a backup",
        path.display()
    )]
    Damaged { path: PathBuf, source: CheckpointError },
    #[error("cannot make {}", path.display())]
    Checkpoint { path: PathBuf, source: CheckpointError },
}

impl TableLog {
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &PartInfo> {
        self.state.live()
    }

    pub(crate) fn covered(&self) -> Covered {
        self.state.covered()
    }

    /// Of its files.
    pub(crate) fn columns(&self) -> &Schema {
        self.schema.columns()
    }

    pub(crate) fn retired_id(&self) -> i64 {
        self.state.retired_id()
    }

    pub(crate) fn path_of(&self, part: &PartInfo) -> PathBuf {
        self.dir.join(&part.name)
    }

    /// Where commits are.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.dir.join(LOG_DIR)
    }

    pub(crate) fn store(&self) -> &Arc<dyn PartStore> {
        &self.store
    }

    /// Keeps the part's file at [`Self::path_of`] it, fetching it if need be; waits for that.
    pub(crate) fn pin(&self, part: &PartInfo) -> Result<Pin, CommitError> {
        let path = self.path_of(part);
        self.store.pin_now(part, &path).map_err(io_error(&path))
    }

    /// Takes away a file that no commit names any more; what stays is an orphan of the next start.
    pub(crate) fn remove_file(&self, part: &PartInfo) {
        let path = self.path_of(part);
        if let Err(error) = self.store.remove(&path) {
            tracing::warn!(%error, path = %path.display(), "Could not remove an old part.");
        }
    }

    /// Commits: from then on everybody who reads the log sees the change, and [`Self::live`] does.
    /// It survives a crash once [`Self::sync`] has returned.
    ///
    /// # Errors
    /// The disk; then nothing has changed. The network; then it may still turn out to be there, as
    /// [`Self::take_settled`] tells.
    pub(crate) fn commit(&mut self, commit: Commit, now_ms: i64) -> Result<(), CommitError> {
        self.settle()?;
        let before = self.covered();
        let covered = before.max(commit.covered);
        let mut actions: Vec<_> =
            commit.remove.iter().map(|it| Action::remove(it, now_ms)).collect();
        actions.extend(commit.add.iter().map(|it| Action::add(it, now_ms)));
        actions.extend(Action::covered(before, covered, now_ms));
        if commit.retired_id > self.retired_id() {
            actions.push(Action::retired(commit.retired_id, now_ms));
        }
        actions.push(Action::commit_info(commit.operation, covered, now_ms));
        if let Err(error) = self.publish(&actions) {
            if matches!(error, CommitError::InDoubt { .. }) {
                self.in_doubt = Some(InDoubt { actions, commit });
            }
            return Err(error);
        }
        self.apply(actions);
        // An error is not lost: the flag stays until a sync succeeds.
        drop(self.sync());
        self.trim(now_ms);
        Ok(())
    }

    fn apply(&mut self, actions: Vec<Action>) {
        actions.into_iter().for_each(|it| self.state.apply(it));
    }

    /// Finds out about a commit that may be there, by putting it there.
    fn settle(&mut self) -> Result<(), CommitError> {
        if let Some(InDoubt { actions, commit }) = self.in_doubt.take() {
            if let Err(error) = self.publish(&actions) {
                self.in_doubt = Some(InDoubt { actions, commit });
                return Err(error);
            }
            self.apply(actions);
            self.settled.push(commit);
        }
        Ok(())
    }

    /// Commits that were reported as failed and have come to be there since this was last asked:
    /// [`Self::live`] knows of them, who was told of the failure does not.
    pub(crate) fn take_settled(&mut self) -> Vec<Commit> {
        std::mem::take(&mut self.settled)
    }

    /// Has them told again: whoever took them could not follow.
    pub(crate) fn put_back_settled(&mut self, settled: Vec<Commit>) {
        self.settled.splice(0..0, settled);
    }

    pub(crate) fn is_live(&self, name: &str) -> bool {
        self.state.is_live(name)
    }

    /// Returns once all commits are on the disk.
    pub(crate) fn sync(&mut self) -> Result<(), CommitError> {
        self.settle()?;
        if self.is_unsynced {
            let log_dir = self.dir.join(LOG_DIR);
            self.store.sync_dir(&log_dir).map_err(io_error(&log_dir))?;
            self.is_unsynced = false;
        }
        Ok(())
    }

    fn publish(&mut self, actions: &[Action]) -> Result<(), CommitError> {
        let file = LogFile::commit(self.next_version);
        let path = self.path_in_log(&file);
        let lines: String = actions.iter().map(|it| it.to_line(&self.schema)).collect();
        match self.store.put_if_absent(&path, lines.as_bytes()) {
            Ok(()) => {}
            Err(PutError::Exists) => return Err(CommitError::Conflict { path }),
            Err(PutError::Failed(source)) => return Err(CommitError::Io { path, source }),
            Err(PutError::InDoubt(source)) => return Err(CommitError::InDoubt { path, source }),
        }
        self.files.insert(file);
        self.next_version += 1;
        self.is_unsynced = true;
        Ok(())
    }

    fn path_in_log(&self, name: &impl ToString) -> PathBuf {
        self.dir.join(LOG_DIR).join(name.to_string())
    }
}

/// For fuzzing: reads a checkpoint and forgets it.
pub(crate) fn parse_checkpoint(bytes: &[u8]) {
    drop(checkpoint::Checkpoint::decode(bytes.to_vec()));
    drop(checkpoint::Checkpoint::decode_rows(bytes.to_vec()));
}

/// For fuzzing: reads one line and forgets it.
pub(crate) fn parse_line(line: &[u8]) {
    drop(Action::parse(line));
}

impl Covered {
    fn max(self, other: Self) -> Self {
        Self { table: self.table.max(other.table), all: self.all.max(other.all) }
    }
}

/// The partition column, in the schema but not in the files.
pub(crate) const DAY: &str = "day";

/// By what statistics are kept: the id column and the time stamp.
pub(crate) const TS: &str = column::TS;

fn io_error(path: &Path) -> impl Fn(io::Error) -> CommitError + use<> {
    let path = path.to_owned();
    move |source| CommitError::Io { path: path.clone(), source }
}
