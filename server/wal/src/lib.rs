//! What was acknowledged: an append-only log in segments, with group commit and replay.
//!
//! ```text
//! wal-0000000007.log
//! ┌────────────────┬───────┬───────┬──────────┬────────────┬───────────┐
//! │ "SKEPWAL\0"    │ u32 1 │ seq   │ previous │ previous's │ crc32c of │
//! │ magic, 8 bytes │       │ u64   │ seq u64  │ bytes u64  │ all before│
//! └────────────────┴───────┴───────┴──────────┴────────────┴───────────┘
//! then frames (`skep_proto::frame`), each with the payload
//! ┌─────────────────────────────────────────────┬────────┐
//! │ bytes of this file known durable before u64 │ record │
//! └─────────────────────────────────────────────┴────────┘
//! ```
//! All numbers are little-endian. The same drawing with its reasons is in `docs/formats/wal.md`.
//!
//! Invariants: nothing here knows what a record means; all disk access goes through [`Fs`]; a
//! segment that a write or sync failed in is never written again.

mod fs;
#[cfg(test)]
mod model_tests;
mod replay;
mod segment;
pub mod sim;
mod writer;

pub use fs::{DirEntry, DiskSpace, Fs, FsFile, RealFs};
pub use replay::{AtRecord, Replay, ReplayError, ReplayStats};
pub use segment::SegmentSeq;
pub use writer::{AppendError, Durability, OpenError, Wal, WalError, WalOptions, WalStats};
