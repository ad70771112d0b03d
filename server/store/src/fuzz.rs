//! The store's decoders as functions of bytes, for fuzzing only.

use crate::{commit, record::Record};

/// A record of the write-ahead log.
pub fn record(bytes: &[u8]) {
    if let Ok(record) = Record::decompress(bytes) {
        drop(record.parse());
    }
}

/// One line of a commit.
pub fn commit_log(bytes: &[u8]) {
    commit::parse_line(bytes);
}
