//! Which parts hold which rows, and which are live: heads in memory, Parquet parts on disk, the
//! index of label sets, and what a query sees of them.
//!
//! A row's way: [`Store::append_samples`] → log (durable) → heads (visible) → flush → part.
//!
//! Invariants: no HTTP and no query language here; every write and every name on disk goes through
//! `skep_wal::Fs`; a row is in exactly one of head, frozen head and part of one [`Snapshot`], or
//! in several that the merge makes one of again.

mod append;
#[cfg(test)]
mod append_tests;
mod bytes;
mod changes;
mod commit;
mod compact;
mod config;
mod damage;
#[cfg(test)]
mod damage_tests;
mod day;
mod delete;
mod downsample;
mod encode;
mod error;
mod exemplars;
mod filter;
mod flush;
mod follow;
#[doc(hidden)]
pub mod fuzz;
mod heads;
mod histograms;
mod index;
mod layout;
mod lines;
mod logs;
mod merge;
mod metadata;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod object_tests;
mod open;
mod pace;
mod parallel;
mod part;
mod part_store;
mod record;
mod replay;
#[cfg(test)]
mod replay_tests;
mod restore;
mod retention;
#[cfg(test)]
mod retention_tests;
mod run;
mod samples;
mod scan;
mod schema;
mod settle;
mod shared;
mod snapshot;
mod space;
#[cfg(test)]
mod space_tests;
mod store;
#[cfg(test)]
mod store_tests;
mod table;
#[cfg(test)]
mod test_fixture;
mod view;
mod words;

pub use append::PreparedSamples;
pub use changes::Changes;
pub use commit::{ActionError, CheckpointError, CommitError};
pub use config::StoreConfig;
pub use delete::{DeleteError, DeleteInfo};
pub use downsample::{Rollup, RollupPeriod, RollupPeriods, Rollups};
pub use encode::EncodeError;
pub use error::{AppendError, Appended, OpenError, Rejection};
pub use exemplars::SeriesExemplars;
pub use flush::FlushError;
pub use follow::{Following, Missed, Told, ToldRows};
pub use histograms::read_batch as read_histograms;
pub use index::KnownSpellings;
pub use layout::{DayLayout, DayOut, Kept, Layout, SetSize, TableLayout};
pub use part_store::{
    ConnectError, Credentials, ObjectOutcome, ObjectRequest, ObjectStats, ObjectStoreConfig,
    PartUnavailable, RequestCounts,
};
pub use record::RecordError;
pub use retention::RetentionRule;
pub use run::{StoreStats, TableBytes};
pub use skep_wal::Durability;
pub use snapshot::SnapshotError;
pub use space::SpaceStats;
pub use store::Store;
pub use view::{LabelsOf, Metadata, Snapshot};
