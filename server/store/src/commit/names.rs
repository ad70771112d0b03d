//! What the files of a commit log are called.

use std::fmt;

/// Below a table's folder.
pub(super) const LOG_DIR: &str = "_delta_log";
/// Tells readers where the newest checkpoint is, so that they need not list the folder.
pub(super) const LAST_CHECKPOINT: &str = "_last_checkpoint";

const COMMIT: &str = ".json";
const CHECKPOINT: &str = ".checkpoint.parquet";

/// A file of one version. In order of version; a version's commit comes before its checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LogFile {
    pub(super) version: u64,
    pub(super) kind: LogFileKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LogFileKind {
    Commit,
    Checkpoint,
}

impl LogFile {
    pub(super) fn commit(version: u64) -> Self {
        Self { version, kind: LogFileKind::Commit }
    }

    pub(super) fn checkpoint(version: u64) -> Self {
        Self { version, kind: LogFileKind::Checkpoint }
    }

    /// `None` for anything else that lies in the folder.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (digits, of) = match name.strip_suffix(COMMIT) {
            Some(digits) => (digits, Self::commit as fn(u64) -> Self),
            None => (name.strip_suffix(CHECKPOINT)?, Self::checkpoint as fn(u64) -> Self),
        };
        let file = of(digits.parse().ok()?);
        (file.to_string() == name).then_some(file)
    }
}

impl fmt::Display for LogFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = match self.kind {
            LogFileKind::Commit => COMMIT,
            LogFileKind::Checkpoint => CHECKPOINT,
        };
        write!(out, "{:020}{suffix}", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_none_of_ours() {
        for file in [LogFile::commit(0), LogFile::checkpoint(10), LogFile::commit(u64::MAX)] {
            assert_eq!(LogFile::parse(&file.to_string()), Some(file));
        }
        let others = [
            LAST_CHECKPOINT,
            "7.json",
            "00000000000000000007.json.unfinished",
            "00000000000000000007.crc",
            "0000000000000000000x.json",
            "00000000000000000010.checkpoint.0000000001.0000000003.parquet",
        ];
        assert_eq!(others.map(LogFile::parse), [None; 6]);
    }
}
