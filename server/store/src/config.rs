//! What a store can be told.

use std::{path::PathBuf, time::Duration};

use skep_wal::Durability;

use crate::{downsample::RollupPeriods, part_store::ObjectStoreConfig, retention::RetentionRule};

/// Settings of one store; every value is fine except where noted.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where everything lies; created if absent. One process at a time.
    pub dir: PathBuf,
    /// Where parts and commits are, if not in `dir`; it then holds a cache of them.
    pub object_store: Option<ObjectStoreConfig>,
    pub durability: Durability,
    /// How long an append waits for others to share a sync with.
    pub group_interval: Duration,
    /// Rows in memory beyond this are refused with `Busy`.
    pub memory_bytes_max: usize,
    /// Writes on their way into the log beyond this are refused with `Busy`.
    pub log_queue_bytes: usize,
    /// Rows in memory are written to parts when they are this many bytes …
    pub flush_bytes: usize,
    /// … or this old.
    pub flush_age: Duration,
    /// What a start takes from the log into memory before it writes rows to parts. `None` for
    /// `memory_bytes_max`: as much as the last process had there at most.
    pub replay_bytes_max: Option<usize>,
    /// Days older than this are dropped, and rows older than this refused. `None` keeps all.
    pub retention: Option<Duration>,
    /// Exceptions from `retention`, by table and selector; the first that matches counts.
    pub retention_rules: Vec<RetentionRule>,
    /// How long samples summed up are kept.
    pub rollups: RollupPeriods,
    /// Everything in `dir` stays below this: the oldest days go first. `None` for no cap.
    pub max_bytes: Option<u64>,
    /// Writes are refused when the file system has less left than this, so that what makes room
    /// still can. `None` for a twentieth of the file system, 128 MiB at most.
    pub reserve_bytes: Option<u64>,
    /// Rows further ahead of the clock than this are refused: a sender's unit or clock is wrong.
    pub future_max: Duration,
    /// Decoded samples and footers of parts that queries lately asked for are kept up to this many
    /// bytes.
    pub sample_cache_bytes: usize,
    /// Exemplars in memory, of all series together; the oldest go first. They do not survive the
    /// process.
    pub n_exemplars_max: usize,
    /// A day with more parts of a table than this has them merged.
    pub parts_per_day_max: usize,
    /// After how many commits of a table a checkpoint stands for them all, so that a start need
    /// not read them and they can be removed.
    pub commits_per_checkpoint: u64,
}

impl StoreConfig {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            object_store: None,
            durability: Durability::Fsync,
            group_interval: Duration::from_millis(10),
            memory_bytes_max: 256 << 20,
            log_queue_bytes: 64 << 20,
            flush_bytes: 64 << 20,
            flush_age: Duration::from_secs(600),
            replay_bytes_max: None,
            retention: None,
            retention_rules: Vec::new(),
            rollups: RollupPeriods::default(),
            max_bytes: None,
            reserve_bytes: None,
            future_max: Duration::from_secs(2 * 86_400),
            sample_cache_bytes: 32 << 20,
            n_exemplars_max: 100_000,
            parts_per_day_max: 8,
            commits_per_checkpoint: 10,
        }
    }
}
