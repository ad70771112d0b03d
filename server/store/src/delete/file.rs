//! The file of deletes: what was asked for, and how far it is done.
//!
//! `<data>/deletes.json` is replaced as a whole; `docs/formats/deletes.md` describes it. A delete
//! counts once its record is in the file.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use skep_wal::Fs;

use super::mask::Mask;
use crate::merge::Table;

pub(crate) const FILE: &str = "deletes.json";
const VERSION: u32 = 1;
/// Finished ones are kept for the listing, the oldest go first.
const N_FINISHED_MAX: usize = 1_000;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Document {
    version: u32,
    deletes: Vec<Record>,
}

/// One delete.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) table: TableName,
    /// As the client wrote it.
    pub(crate) query: String,
    /// In the table's unit, ends included.
    pub(crate) ts: (i64, i64),
    pub(crate) created_ms: i64,
    pub(crate) through: u64,
    pub(crate) ids: Vec<(i64, i64)>,
    pub(crate) progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TableName {
    Samples,
    Logs,
}

/// What is done of a delete; queries see none of its rows at any stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Progress {
    /// Label sets may be listed that have no row any more.
    Hidden,
    /// Parts may hold the rows.
    Unlisted,
    Finished,
}

impl From<TableName> for Table {
    fn from(name: TableName) -> Self {
        match name {
            TableName::Samples => Self::Samples,
            TableName::Logs => Self::Logs,
        }
    }
}

impl Record {
    pub(crate) fn mask(&self) -> Mask {
        Mask {
            delete: self.id,
            table: self.table.into(),
            ids: self.ids.clone(),
            ts: self.ts,
            through: self.through,
        }
    }
}

impl Document {
    pub(crate) fn records(&self) -> &[Record] {
        &self.deletes
    }

    /// Those whose rows may still be in parts.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Record> {
        self.deletes.iter().filter(|it| it.progress < Progress::Finished)
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.deletes.iter().map(|it| it.id).max().unwrap_or(0) + 1
    }

    pub(crate) fn push(&mut self, record: Record) {
        self.deletes.push(record);
        let is_finished = |it: &Record| it.progress == Progress::Finished;
        let n_finished = self.deletes.iter().filter(|it| is_finished(it)).count();
        let mut n_over = n_finished.saturating_sub(N_FINISHED_MAX);
        self.deletes.retain(|it| {
            let goes = n_over > 0 && is_finished(it);
            n_over -= usize::from(goes);
            !goes
        });
    }

    pub(crate) fn set_progress(&mut self, id: u64, progress: Progress) {
        if let Some(record) = self.deletes.iter_mut().find(|it| it.id == id) {
            record.progress = progress;
            if progress == Progress::Finished {
                record.ids.clear();
            }
        }
    }

    /// What the file holds; nothing where there is none. An unreadable one is an error: without
    /// it deleted rows would show again.
    pub(crate) fn load(dir: &Path, fs: &dyn Fs) -> Result<Self, (PathBuf, io::Error)> {
        let path = dir.join(FILE);
        let bytes = match fs.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err((path, error)),
        };
        let document: Self =
            serde_json::from_slice(&bytes).map_err(|error| (path.clone(), error.into()))?;
        if document.version != VERSION {
            let text = format!("version {}, this program reads {VERSION}", document.version);
            return Err((path, io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        Ok(document)
    }

    /// Replaces the file; returns once it is on the disk.
    pub(crate) fn save(&mut self, dir: &Path, fs: &dyn Fs) -> Result<(), (PathBuf, io::Error)> {
        self.version = VERSION;
        let path = dir.join(FILE);
        let unfinished = dir.join(format!("{FILE}.unfinished"));
        let saved = serde_json::to_vec(&self).map_err(io::Error::other).and_then(|bytes| {
            let mut file = fs.create(&unfinished)?;
            file.append(&bytes)?;
            file.sync()?;
            fs.rename(&unfinished, &path)?;
            fs.sync_dir(dir)
        });
        saved.map_err(|error| (path, error))
    }
}

#[cfg(test)]
mod tests {
    use skep_wal::RealFs;

    use super::*;

    fn record(id: u64, progress: Progress) -> Record {
        Record {
            id,
            table: TableName::Logs,
            query: "{a=\"b\"}".to_owned(),
            ts: (1, 2),
            created_ms: 3,
            through: 4,
            ids: vec![(5, 6)],
            progress,
        }
    }

    #[test]
    fn the_file_is_read_back_and_a_damaged_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Document::load(dir.path(), &RealFs).unwrap().next_id(), 1);
        let mut document = Document::default();
        document.push(record(1, Progress::Hidden));
        document.save(dir.path(), &RealFs).unwrap();
        let read = Document::load(dir.path(), &RealFs).unwrap();
        assert_eq!((read.next_id(), read.pending().count()), (2, 1));
        expect_test::expect![[r#"{"version":1,"deletes":[{"id":1,"table":"logs","query":"{a=\"b\"}","ts":[1,2],"created_ms":3,"through":4,"ids":[[5,6]],"progress":"hidden"}]}"#]]
            .assert_eq(&std::fs::read_to_string(dir.path().join(FILE)).unwrap());
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(Document::load(dir.path(), &RealFs).is_err());
    }

    #[test]
    fn finished_ones_are_forgotten_at_last_and_pending_ones_never() {
        let mut document = Document::default();
        document.push(record(1, Progress::Unlisted));
        for id in 2..N_FINISHED_MAX as u64 + 10 {
            document.push(record(id, Progress::Finished));
        }
        assert_eq!(document.records().len(), N_FINISHED_MAX + 1);
        assert_eq!(document.pending().map(|it| it.id).collect::<Vec<_>>(), [1]);
        assert_eq!(document.next_id(), N_FINISHED_MAX as u64 + 10);
    }
}
