//! Which files of a table are live: a Delta Lake log, written by ourselves.
//!
//! `docs/formats/commit-log.md` describes it. A table's folder holds `_delta_log/%020d.json`, one
//! a commit, contiguous from 0, each line an action; [`PartStore`] puts it there whole or not at
//! all.

mod action;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::Schema;
use skep_proto::names::column;

use action::Action;
pub use action::ActionError;
pub(crate) use action::TableSchema;

use crate::{
    part::PartInfo,
    part_store::{PartStore, Pin, PutError},
};

const LOG_DIR: &str = "_delta_log";

/// One table's log and what is live by it.
#[derive(Debug)]
pub(crate) struct TableLog {
    dir: PathBuf,
    store: Arc<dyn PartStore>,
    schema: TableSchema,
    next_version: u64,
    live: BTreeMap<String, PartInfo>,
    covered: Covered,
    /// Ids up to this one may mean label sets that were lost with a damaged part.
    retired_id: i64,
    /// A commit's name may not be on the disk yet.
    is_unsynced: bool,
    /// What may be the next version already.
    in_doubt: Option<InDoubt>,
    /// Commits that were reported as failed and are there after all.
    settled: Vec<Commit>,
}

/// A commit whose answer was lost on the network.
#[derive(Debug)]
struct InDoubt {
    lines: String,
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
}

impl TableLog {
    /// Reads the log in `dir`, creates the table if there is none, and removes files that no
    /// commit names.
    pub(crate) fn open(
        dir: PathBuf,
        schema: TableSchema,
        store: Arc<dyn PartStore>,
        now_ms: i64,
    ) -> Result<Self, CommitError> {
        let log_dir = dir.join(LOG_DIR);
        let mut log = Self {
            dir,
            store,
            schema,
            next_version: 0,
            live: BTreeMap::new(),
            covered: Covered::default(),
            retired_id: 0,
            is_unsynced: false,
            in_doubt: None,
            settled: Vec::new(),
        };
        log.store.create_table(&log.dir, &log_dir).map_err(io_error(&log_dir))?;
        let listed = log.store.list(&log_dir).map_err(io_error(&log_dir))?;
        let newest = listed.iter().filter_map(|it| parse_version(&it.name)).max();
        // To the first that is not there: a listing of object storage may lag behind.
        while log.read_commit()? {
            log.next_version += 1;
        }
        if newest.is_some_and(|it| it >= log.next_version) {
            return Err(CommitError::Missing { path: log.version_path(log.next_version) });
        }
        if log.next_version == 0 {
            log.create_table(now_ms)?;
        }
        // The last process may have stopped before the names of its commits were on the disk.
        log.is_unsynced = true;
        log.sync()?;
        let is_live = |name: &str| log.live.contains_key(name);
        log.store.remove_orphans(&log.dir, &is_live).map_err(io_error(&log.dir))?;
        Ok(log)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &PartInfo> {
        self.live.values()
    }

    pub(crate) fn covered(&self) -> Covered {
        self.covered
    }

    /// Of its files.
    pub(crate) fn columns(&self) -> &Schema {
        self.schema.columns()
    }

    pub(crate) fn retired_id(&self) -> i64 {
        self.retired_id
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

    /// Of the files listed in [`Self::log_dir`], and of commits that a listing may lack yet, those
    /// that say what is live.
    pub(crate) fn names_of_log(&self, listed: impl Iterator<Item = String>) -> Vec<String> {
        let is_known = |it: &String| parse_version(it).is_none_or(|it| it < self.next_version);
        let mut names: Vec<String> = listed.filter(is_known).collect();
        let newest = names.iter().filter_map(|it| parse_version(it)).max();
        let lacking = newest.map_or(0, |it| it + 1)..self.next_version;
        names.extend(lacking.map(version_name));
        names
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
        let mut actions = Vec::new();
        for part in &commit.remove {
            actions.push(Action::remove(part, now_ms));
        }
        for part in &commit.add {
            actions.push(Action::add(part, now_ms, &self.schema));
        }
        let covered = self.covered.max(commit.covered);
        actions.extend(Action::covered(self.covered, covered, now_ms));
        if commit.retired_id > self.retired_id {
            actions.push(Action::retired(commit.retired_id, now_ms));
        }
        actions.push(Action::commit_info(commit.operation, covered, now_ms));
        let lines = lines_of(&actions);
        if let Err(error) = self.publish(&lines) {
            if matches!(error, CommitError::InDoubt { .. }) {
                self.in_doubt = Some(InDoubt { lines, commit });
            }
            return Err(error);
        }
        self.apply(commit);
        // An error is not lost: the flag stays until a sync succeeds.
        drop(self.sync());
        Ok(())
    }

    fn apply(&mut self, commit: Commit) {
        for part in commit.remove {
            self.live.remove(&part.name);
        }
        for part in commit.add {
            self.live.insert(part.name.clone(), part);
        }
        self.covered = self.covered.max(commit.covered);
        self.retired_id = self.retired_id.max(commit.retired_id);
    }

    /// Finds out about a commit that may be there, by putting it there.
    fn settle(&mut self) -> Result<(), CommitError> {
        if let Some(InDoubt { lines, commit }) = self.in_doubt.take() {
            if let Err(error) = self.publish(&lines) {
                self.in_doubt = Some(InDoubt { lines, commit });
                return Err(error);
            }
            self.apply(commit.clone());
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
        self.live.contains_key(name)
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

    fn create_table(&mut self, now_ms: i64) -> Result<(), CommitError> {
        let actions = [
            Action::protocol(),
            Action::meta_data(&self.schema, now_ms),
            Action::commit_info("CREATE TABLE", Covered::default(), now_ms),
        ];
        self.publish(&lines_of(&actions))
    }

    fn publish(&mut self, lines: &str) -> Result<(), CommitError> {
        let path = self.version_path(self.next_version);
        match self.store.put_if_absent(&path, lines.as_bytes()) {
            Ok(()) => {}
            Err(PutError::Exists) => return Err(CommitError::Conflict { path }),
            Err(PutError::Failed(source)) => return Err(CommitError::Io { path, source }),
            Err(PutError::InDoubt(source)) => return Err(CommitError::InDoubt { path, source }),
        }
        self.next_version += 1;
        self.is_unsynced = true;
        Ok(())
    }

    /// Applies the next commit; false if there is none.
    fn read_commit(&mut self) -> Result<bool, CommitError> {
        let path = &self.version_path(self.next_version);
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
            match action {
                Action::Added(part) => drop(self.live.insert(part.name.clone(), part)),
                Action::Removed(name) => drop(self.live.remove(&name)),
                Action::Covers(covered) => self.covered = self.covered.max(covered),
                Action::Retired(id) => self.retired_id = self.retired_id.max(id),
                Action::Other(_) => {}
            }
        }
        Ok(true)
    }

    fn version_path(&self, version: u64) -> PathBuf {
        self.dir.join(LOG_DIR).join(version_name(version))
    }
}

/// For fuzzing: reads one line and forgets it.
pub(crate) fn parse_line(line: &[u8]) {
    drop(Action::parse(line));
}

fn lines_of(actions: &[Action]) -> String {
    actions.iter().map(Action::to_line).collect()
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

fn version_name(version: u64) -> String {
    format!("{version:020}.json")
}

fn parse_version(name: &str) -> Option<u64> {
    name.strip_suffix(".json")?.parse().ok()
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> CommitError + use<> {
    let path = path.to_owned();
    move |source| CommitError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use skep_wal::RealFs;

    use super::*;
    use crate::{part::PartInfo, part_store::LocalParts, schema};

    fn part(name: &str) -> PartInfo {
        PartInfo {
            name: name.to_owned(),
            day: 20_779,
            rank: 7,
            level: 0,
            size_bytes: 1234,
            crc32c: 99,
            n_rows: 10,
            ids: (1 << 24, 3 << 24),
            ts: (1_795_341_600_123, 1_795_341_700_456),
        }
    }

    fn open(dir: &Path) -> Result<TableLog, CommitError> {
        let schema = TableSchema::new("samples", &schema::SAMPLES_FILE, schema::SAMPLES_KEY);
        let store = Arc::new(LocalParts::new(Arc::new(RealFs)));
        TableLog::open(dir.to_owned(), schema, store, 1_795_341_800_000)
    }

    #[track_caller]
    fn check(path: &Path, expected: &Expect) {
        expected.assert_eq(&std::fs::read_to_string(path).unwrap());
    }

    #[test]
    fn commits_are_delta_actions_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path()).unwrap();
        std::fs::create_dir_all(dir.path().join("day=2026-11-22")).unwrap();
        let (a, b) = (part("day=2026-11-22/a.parquet"), part("day=2026-11-22/b.parquet"));
        for part in [&a, &b] {
            std::fs::write(dir.path().join(&part.name), "x").unwrap();
        }
        let covered = Covered { table: 7, all: 0 };
        let add = Commit { operation: "WRITE", add: vec![a.clone()], covered, ..Commit::default() };
        log.commit(add, 1_795_341_900_000).unwrap();
        let swap = Commit {
            operation: "OPTIMIZE",
            add: vec![b.clone()],
            remove: vec![a],
            covered: Covered { table: 7, all: 7 },
            ..Commit::default()
        };
        log.commit(swap, 1_795_341_900_000).unwrap();
        let log_dir = dir.path().join(LOG_DIR);
        check(
            &log_dir.join("00000000000000000000.json"),
            &expect![[r#"
            {"protocol":{"minReaderVersion":1,"minWriterVersion":2}}
            {"metaData":{"configuration":{},"createdTime":1795341800000,"format":{"options":{},"provider":"parquet"},"id":"208e886b-1b14-15a3-9f2e-14b285e666ce","name":"samples","partitionColumns":["day"],"schemaString":"{\"fields\":[{\"metadata\":{},\"name\":\"series_id\",\"nullable\":false,\"type\":\"long\"},{\"metadata\":{},\"name\":\"ts\",\"nullable\":false,\"type\":\"timestamp\"},{\"metadata\":{},\"name\":\"mantissa\",\"nullable\":true,\"type\":\"long\"},{\"metadata\":{},\"name\":\"scale\",\"nullable\":true,\"type\":\"byte\"},{\"metadata\":{},\"name\":\"value_float\",\"nullable\":true,\"type\":\"double\"},{\"metadata\":{},\"name\":\"day\",\"nullable\":true,\"type\":\"date\"}],\"type\":\"struct\"}"}}
            {"commitInfo":{"engineInfo":"skep/0.1.0","operation":"CREATE TABLE","operationParameters":{},"timestamp":1795341800000,"walSeq":0}}
        "#]],
        );
        check(
            &log_dir.join("00000000000000000001.json"),
            &expect![[r#"
            {"add":{"dataChange":true,"modificationTime":1795341900000,"partitionValues":{"day":"2026-11-22"},"path":"day=2026-11-22/a.parquet","size":1234,"stats":"{\"maxValues\":{\"series_id\":50331648,\"ts\":\"2026-11-22T10:01:40.456Z\"},\"minValues\":{\"series_id\":16777216,\"ts\":\"2026-11-22T10:00:00.123Z\"},\"nullCount\":{\"series_id\":0,\"ts\":0},\"numRecords\":10}","tags":{"skep.crc32c":"99","skep.day":"20779","skep.id_max":"50331648","skep.id_min":"16777216","skep.level":"0","skep.rank":"7","skep.rows":"10","skep.ts_max":"1795341700456","skep.ts_min":"1795341600123"}}}
            {"txn":{"appId":"skep-wal-table","lastUpdated":1795341900000,"version":7}}
            {"commitInfo":{"engineInfo":"skep/0.1.0","operation":"WRITE","operationParameters":{},"timestamp":1795341900000,"walSeq":7}}
        "#]],
        );
        check(
            &log_dir.join("00000000000000000002.json"),
            &expect![[r#"
            {"remove":{"dataChange":false,"deletionTimestamp":1795341900000,"extendedFileMetadata":true,"partitionValues":{"day":"2026-11-22"},"path":"day=2026-11-22/a.parquet","size":1234}}
            {"add":{"dataChange":true,"modificationTime":1795341900000,"partitionValues":{"day":"2026-11-22"},"path":"day=2026-11-22/b.parquet","size":1234,"stats":"{\"maxValues\":{\"series_id\":50331648,\"ts\":\"2026-11-22T10:01:40.456Z\"},\"minValues\":{\"series_id\":16777216,\"ts\":\"2026-11-22T10:00:00.123Z\"},\"nullCount\":{\"series_id\":0,\"ts\":0},\"numRecords\":10}","tags":{"skep.crc32c":"99","skep.day":"20779","skep.id_max":"50331648","skep.id_min":"16777216","skep.level":"0","skep.rank":"7","skep.rows":"10","skep.ts_max":"1795341700456","skep.ts_min":"1795341600123"}}}
            {"txn":{"appId":"skep-wal-all","lastUpdated":1795341900000,"version":7}}
            {"commitInfo":{"engineInfo":"skep/0.1.0","operation":"OPTIMIZE","operationParameters":{},"timestamp":1795341900000,"walSeq":7}}
        "#]],
        );

        let log = open(dir.path()).unwrap();
        assert_eq!(log.live().collect::<Vec<_>>(), [&b]);
        assert_eq!(log.covered(), Covered { table: 7, all: 7 });
        assert!(!dir.path().join("day=2026-11-22/a.parquet").exists(), "orphans are removed");
        assert!(dir.path().join("day=2026-11-22/b.parquet").exists());
    }

    #[test]
    fn a_missing_commit_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path()).unwrap();
        log.commit(Commit { operation: "WRITE", ..Commit::default() }, 0).unwrap();
        std::fs::remove_file(log.version_path(0)).unwrap();
        let error = open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("00000000000000000000.json is missing"), "{error}");
    }
}
