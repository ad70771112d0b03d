//! What the server has not got yet, on disk: a bounded queue of request bodies that outlives both
//! ends of the line.
//!
//! A spool is one directory:
//! ```text
//! 00000000000000000042.seg   frames (see `skep_proto::frame`) of records (see `record`)
//! 00000000000000000107.seg   named after the first batch inside; only the last is appended to
//! position                   up to where the server has acknowledged, and where each source is
//! damaged-…  rejected-…      kept for a person to look at, bounded
//! ```
//! A batch is durable once [`Spool::append`] returned [`Stored::OnDisk`], and stays until it is
//! acknowledged or a limit drops it, which is counted. After a crash a batch may be sent a second
//! time (acknowledged by the server, not yet noted here): it then has the same content, time
//! stamps included, so that the server can tell.

pub(crate) mod disk;
mod lane;
mod position;
pub(crate) mod positions;
mod reader;
pub(crate) mod record;
mod segment;
mod writer;

#[cfg(test)]
mod model_test;

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_proto::Clock;
use tokio::sync::Notify;

use crate::spool::{disk::Disk, lane::Lane};
pub(crate) use crate::spool::{
    positions::Positions,
    record::{Kind, NewRecord, Record},
    segment::Waiting,
};

/// A queue shared by the sources that fill it and the one task that empties it.
#[derive(Debug)]
pub(crate) struct Spool {
    /// Held while the disk works: batches of one spool are written one after the other.
    lane: Mutex<Lane>,
    clock: Arc<dyn Clock>,
    /// Told once for each batch that came.
    arrived: Notify,
    /// Told whenever a batch has left.
    room: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpoolLimits {
    pub(crate) bytes_max: u64,
    pub(crate) age_max: Duration,
}

/// What to do with a batch there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// Make room: for what cannot be had again.
    DropOldest,
    /// Refuse the new one: for a source that keeps what it has, as the journal does.
    Refuse,
}

/// Where a batch is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    OnDisk,
    /// The disk takes nothing; the batch is lost if the process ends before it is delivered.
    InMemory,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error("the spool is full at {n_bytes_max} bytes")]
    Full { n_bytes_max: u64 },
    #[error(
        "a batch of {n_bytes} bytes does not fit a spool of {n_bytes_max}; raise spool.max_bytes"
    )]
    TooLarge { n_bytes: u64, n_bytes_max: u64 },
    #[error("cannot write to the spool")]
    Disk(#[source] io::Error),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("cannot list the spool's directory")]
    List(#[source] io::Error),
    #[error("cannot repair a damaged segment of the spool")]
    Repair(#[source] io::Error),
    #[error("cannot read from the spool")]
    Read(#[source] io::Error),
    #[error("cannot store how far the spool is delivered")]
    Position(#[source] io::Error),
}

impl Spool {
    pub(crate) fn open(
        disk: Box<dyn Disk>,
        limits: SpoolLimits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SpoolError> {
        let lane = Mutex::new(Lane::open(disk, limits)?);
        Ok(Self { lane, clock, arrived: Notify::new(), room: Condvar::new() })
    }

    /// See [`Stored`] for what `Ok` means. Blocks while the disk works.
    pub(crate) fn append(
        &self,
        batch: NewRecord,
        when_full: WhenFull,
    ) -> Result<Stored, AppendError> {
        let stored = self.lane().append(self.clock.now().to_ms(), batch, when_full)?;
        self.arrived.notify_one();
        Ok(stored)
    }

    /// The oldest batch that has not been acknowledged. Blocks while the disk works.
    pub(crate) fn front(&self) -> Result<Option<Record>, SpoolError> {
        let mut lane = self.lane();
        lane.expire(self.clock.now().to_ms());
        lane.front()
    }

    /// The server has the batch. Blocks while the disk works.
    pub(crate) fn ack(&self, record: &Record) -> Result<(), SpoolError> {
        let acked = self.lane().ack(record);
        self.room.notify_all();
        acked
    }

    /// The server will never take the batch: it is kept aside, bounded, and the queue goes on.
    pub(crate) fn reject(&self, record: &Record, reason: &str) -> Result<(), SpoolError> {
        self.lane().keep_rejected(record, reason);
        self.ack(record)
    }

    /// Returns once a batch came since the last call; call [`Spool::front`] first.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Returns at the latest after `timeout`, earlier if there is room for `n_bytes`.
    pub(crate) fn wait_for_room(&self, n_bytes: usize, timeout: Duration) {
        let n_bytes = u64::try_from(n_bytes).unwrap_or(u64::MAX);
        let waited =
            self.room.wait_timeout_while(self.lane(), timeout, |lane| !lane.has_room(n_bytes));
        drop(waited);
    }

    /// Where to go on reading after a start: of each source, behind the newest of its batches in
    /// the spool, else behind the last one acknowledged.
    pub(crate) fn resume(&self) -> Positions {
        self.lane().resume().clone()
    }

    /// Notes sources that no batch has told of yet. Durable once `Ok`. Blocks while the disk works.
    pub(crate) fn begin(&self, positions: &Positions) -> Result<(), SpoolError> {
        self.lane().begin(positions)
    }

    /// Moves positions without a batch, for what is read and not sent. `false`: later, batches
    /// wait. Blocks while the disk works.
    pub(crate) fn advance(&self, positions: &Positions) -> Result<bool, SpoolError> {
        self.lane().advance(positions)
    }

    pub(crate) fn waiting(&self) -> Waiting {
        self.lane().waiting()
    }

    /// Samples or entries dropped since the start.
    pub(crate) fn n_items_dropped(&self) -> u64 {
        self.lane().n_items_dropped()
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        // A panic inside the lane is a bug; the other thread's work is still worth finishing.
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
