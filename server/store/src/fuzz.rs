//! The store's decoders as functions of bytes, for fuzzing only.

use crate::{commit, record::Record, words};

/// A record of the write-ahead log, packed and not.
pub fn record(bytes: &[u8]) {
    if let Ok(record) = Record::decompress(bytes) {
        drop(record.parse());
    }
    Record::of_each_kind(bytes).for_each(|it| drop(it.parse()));
}

/// The checkpoint of a commit log, whose checksum is right.
pub fn checkpoint(bytes: &[u8]) {
    commit::parse_checkpoint(bytes);
}

/// The index of a part's words, packed and not.
pub fn words(bytes: &[u8]) {
    words::parse(bytes);
}

/// The template of a line.
pub fn template(text: &str) {
    skep_proto::join_template(text, |_| "value", &mut String::new()).unwrap_or_default();
}

/// One line of a commit.
pub fn commit_log(bytes: &[u8]) {
    commit::parse_line(bytes);
}
