//! Why the store could not do what it was asked, a variant for each thing a caller does about it.

use std::{io, path::PathBuf, time::Duration};

use skep_proto::TimestampMs;

/// What became of an append's rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Appended {
    /// Rows that are stored now, those that were there already included.
    pub n_accepted: usize,
    pub n_rejected: usize,
    pub first_rejection: Option<Rejection>,
}

impl Appended {
    /// Takes in what became of other rows of the same request.
    pub fn add(&mut self, other: &Self) {
        self.n_accepted += other.n_accepted;
        self.n_rejected += other.n_rejected;
        if self.first_rejection.is_none() {
            self.first_rejection.clone_from(&other.first_rejection);
        }
    }

    pub(crate) fn reject(&mut self, n_rows: usize, rejection: Rejection) {
        self.n_rejected += n_rows;
        self.first_rejection.get_or_insert(rejection);
    }
}

/// Why one row was refused while the rest of its request was taken. Sending it again is no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("{what} has time stamp {} ms, retention begins at {} ms", ts.0, oldest.0)]
    TooOld { what: String, ts: TimestampMs, oldest: TimestampMs },
    #[error("{what} has time stamp {} ms, which is after {} ms; check the sender's clock", ts.0, newest.0)]
    TooNew { what: String, ts: TimestampMs, newest: TimestampMs },
    #[error(transparent)]
    Labels(skep_proto::LabelError),
}

/// Why nothing of an append was stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Too much is in memory or on its way to the disk; the same request can be sent again.
    #[error("the store is busy; try again in {} s", retry_after.as_secs())]
    Busy { retry_after: Duration },
    /// The disk is full; the same request can be sent again once there is space.
    #[error("the disk is full")]
    Full,
    #[error("request of {n_bytes} bytes is too large; send less at once")]
    TooLarge { n_bytes: usize },
    #[error("the store is closed")]
    Closed,
    /// The log could not be written; the request can be sent again.
    #[error("cannot write the log")]
    Internal(#[source] skep_wal::AppendError),
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is locked by another process; stop it first", path.display())]
    Locked { path: PathBuf },
    #[error(transparent)]
    ObjectStore(#[from] crate::part_store::ConnectError),
    #[error("cannot read a table's commits")]
    Commit(#[from] crate::commit::CommitError),
    #[error("cannot read a table of label sets; restore it from a backup")]
    Sets(#[from] crate::encode::EncodeError),
    #[error("cannot open the log")]
    Wal(#[from] skep_wal::OpenError),
    #[error("cannot replay the log")]
    Replay(#[from] skep_wal::ReplayError<crate::record::RecordError>),
}
