//! Taking up where the last process stopped: tables, label sets, then the log.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, AtomicUsize},
    },
};

use skep_proto::{Clock, HashSecret};
use skep_wal::{Fs, RealFs, Replay, SegmentSeq, Wal, WalOptions};
use tokio::sync::{Notify, RwLock};

use crate::{
    changes::Changes,
    commit::{CommitError, TableLog, TableSchema},
    config::StoreConfig,
    damage::{self, DAMAGED_DIR},
    day::day_of_ms,
    delete::{Deletes, Document},
    downsample::{Tier, TierLogs},
    encode::read_sets,
    error::OpenError,
    flush::Tables,
    index::{Entry, IdOrder, Index, Spellings},
    merge::Table,
    metadata,
    pace::Pace,
    part_store::{ConnectError, LocalParts, PartStore, refuse_elsewhere},
    replay::CoveredTables,
    restore,
    retention::Periods,
    samples::Cache,
    schema,
    space::Space,
    store::{Figures, Store},
    view::{LabelsOf, View},
};

impl Store {
    /// Opens the store in `config.dir`, creates it if absent, and takes up where the last process
    /// stopped.
    ///
    /// # Errors
    /// Files that cannot be read or written, another process that has it open, damage.
    pub fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Arc<Self>, OpenError> {
        Self::open_on(config, clock, Arc::new(RealFs))
    }

    /// As [`Self::open`], with everything written through the given disk.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(
        config: StoreConfig,
        clock: Arc<dyn Clock>,
        fs: Arc<dyn Fs>,
    ) -> Result<Arc<Self>, OpenError> {
        let parts = config.object_store.clone();
        Self::open_with(config, clock, fs, |dir, fs| match parts {
            Some(it) => Ok(Arc::new(it.open(dir, fs)?)),
            None => {
                refuse_elsewhere(dir, fs.as_ref())?;
                Ok(Arc::new(LocalParts::new(fs)))
            }
        })
    }

    /// As [`Self::open_on`], with parts where they are said to be once the folder is locked.
    pub(crate) fn open_with(
        mut config: StoreConfig,
        clock: Arc<dyn Clock>,
        fs: Arc<dyn Fs>,
        parts: impl FnOnce(&Path, Arc<dyn Fs>) -> Result<Arc<dyn PartStore>, ConnectError>,
    ) -> Result<Arc<Self>, OpenError> {
        config.dir = std::path::absolute(&config.dir)
            .map_err(|source| OpenError::Io { path: config.dir.clone(), source })?;
        let dir = config.dir.as_path();
        fs.create_dir_all(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        let lock = lock(dir.join("LOCK"))?;
        let store = parts(dir, Arc::clone(&fs))?;
        let now_ms = clock.now().to_ms().0;
        let mut tables = open_tables(&config, &store, now_ms)?;
        tables.tiers = open_tiers(&config, &store, now_ms)?;
        restore::take_back(&mut tables, dir, fs.as_ref(), now_ms);
        let index = |order, of| {
            let periods = Periods::new(of, config.retention, &config.retention_rules);
            Index::with_periods(order, periods)
        };
        let series = index(IdOrder::BySource, LabelsOf::Series);
        let series = load_index(&mut tables.series, series, now_ms)?;
        let streams = index(IdOrder::Sequential, LabelsOf::Streams);
        let streams = load_index(&mut tables.streams, streams, now_ms)?;
        let deletes = Document::load(dir, fs.as_ref())
            .map_err(|(path, source)| OpenError::Io { path, source })?;
        let deletes = Deletes::new(deletes);
        let (view, n_missing) = load_view(&mut tables, &deletes, now_ms)?;
        let n_damaged = damage::n_set_aside(&dir.join(DAMAGED_DIR));
        let covered = CoveredTables::of(&tables);
        let (wal, replay) = open_wal(&config, &fs, covered)?;
        let figures = Figures {
            n_flushes: AtomicU64::new(0),
            n_flush_failures: AtomicU64::new(0),
            last_flush_ms: AtomicI64::new(0),
            disk_bytes: Mutex::new(tables.size_bytes()),
            n_damaged_checkpoints: tables.n_damaged_checkpoints(),
            n_damaged_parts: AtomicUsize::new(n_missing + n_damaged),
            n_samples_rejected: AtomicU64::new(0),
            n_histograms_rejected: AtomicU64::new(0),
            n_entries_rejected: AtomicU64::new(0),
        };
        let space = Space::new(config.max_bytes, config.reserve_bytes);
        let metadata = Mutex::new(Arc::new(metadata::load(dir, fs.as_ref())));
        let store = Arc::new(Self {
            clock,
            fs,
            parts: store,
            wal,
            series,
            spellings: Spellings::new(HashSecret::random()),
            streams,
            view: Mutex::new(view),
            metadata,
            exemplars: Mutex::default(),
            changes: Changes::default(),
            sample_cache: Arc::new(Cache::new(config.sample_cache_bytes)),
            tables: Arc::new(tokio::sync::Mutex::new(tables)),
            compaction: tokio::sync::Mutex::new(()),
            deletes: Mutex::new(deletes),
            gate: RwLock::new(1),
            flush_wanted: Notify::new(),
            pace: Pace::default(),
            merge_wanted: Notify::new(),
            followers: Arc::default(),
            is_closed: AtomicBool::new(false),
            figures,
            space,
            cleaned: Mutex::default(),
            expired_on: AtomicI32::new(i32::MIN),
            has_unused_sets: AtomicBool::new(false),
            _lock: lock,
            config,
        });
        store.replay(&replay, covered)?;
        Ok(store)
    }
}

fn open_wal(
    config: &StoreConfig,
    fs: &Arc<dyn Fs>,
    covered: CoveredTables,
) -> Result<(Wal, Replay), OpenError> {
    let options = WalOptions {
        durability: config.durability,
        group_interval: config.group_interval,
        queue_bytes_max: config.log_queue_bytes,
        committed: SegmentSeq(covered.all()),
        ..WalOptions::default()
    };
    Ok(Wal::open(config.dir.join("wal"), &options, Arc::clone(fs))?)
}

fn open_tables(
    config: &StoreConfig,
    store: &Arc<dyn PartStore>,
    now_ms: i64,
) -> Result<Tables, CommitError> {
    let open = |name: &'static str, schema, key| {
        let (dir, schema) = (config.dir.join(name), TableSchema::new(name, schema, key));
        let n_commits = config.commits_per_checkpoint;
        TableLog::open(dir, schema, Arc::clone(store), n_commits, now_ms)
    };
    Ok(Tables::new(
        open("series", &schema::SERIES_FILE, schema::SAMPLES_KEY)?,
        open("streams", &schema::STREAMS_FILE, schema::STREAMS_KEY)?,
        open("samples", &schema::SAMPLES_FILE, schema::SAMPLES_KEY)?,
        open("histograms", &schema::HISTOGRAMS, schema::SAMPLES_KEY)?,
        open("logs", &schema::LOGS_FILE, schema::LOGS_KEY)?,
    ))
}

/// Those that are made, and those that were.
fn open_tiers(
    config: &StoreConfig,
    store: &Arc<dyn PartStore>,
    now_ms: i64,
) -> Result<TierLogs, CommitError> {
    let mut tiers = TierLogs::default();
    for tier in Tier::ALL {
        let dir = config.dir.join(tier.name());
        if config.rollups.of(tier).is_some() || dir.is_dir() {
            let schema =
                TableSchema::new(tier.name(), &schema::SAMPLES_ROLLUP, schema::SAMPLES_KEY);
            let n_commits = config.commits_per_checkpoint;
            let log = TableLog::open(dir, schema, Arc::clone(store), n_commits, now_ms)?;
            tiers.0.push((tier, log));
        }
    }
    Ok(tiers)
}

/// The parts that are there, and how many are missing.
fn load_view(
    tables: &mut Tables,
    deletes: &Deletes,
    now_ms: i64,
) -> Result<(View, usize), CommitError> {
    let (mut view, mut n_missing_in_all) = (View::default(), 0);
    for table in Table::ALL {
        let (parts, n_missing) = damage::load_parts(tables.log(table), now_ms)?;
        n_missing_in_all += n_missing;
        parts.iter().for_each(|it| deletes.attach(table, it));
        *view.parts_mut(table) = parts;
    }
    for (tier, log) in &mut tables.tiers.0 {
        let (parts, n_missing) = damage::load_parts(log, now_ms)?;
        n_missing_in_all += n_missing;
        for part in parts {
            deletes.attach_within(Table::Samples, &part, tier.ts_within(&part.info));
            view.tiers.push((*tier, part));
        }
    }
    Ok((view, n_missing_in_all))
}

fn load_index(log: &mut TableLog, index: Index, now_ms: i64) -> Result<Arc<Index>, OpenError> {
    let damaged = damage::check_sets(log, now_ms)?;
    for part in log.live() {
        let _pin = log.pin(part)?;
        let entries: Vec<_> = read_sets(&log.path_of(part))?
            .into_iter()
            .map(|row| {
                let entry = index.restore(row.id, row.labels);
                entry.mark_day(part.day);
                entry
            })
            .collect();
        index.mark_written(part.day, &entries);
    }
    damage::make_up_for(&index, &damaged, log.retired_id());
    Ok(Arc::new(index))
}

/// Notes on which days a label set has rows; time stamps in milliseconds.
pub(crate) fn mark_days(entry: &Entry, ts: impl Iterator<Item = i64> + Clone) {
    if let (Some(first), Some(last)) = (ts.clone().min(), ts.max()) {
        entry.mark_day(day_of_ms(first));
        entry.mark_day(day_of_ms(last));
    }
}

/// Keeps other processes out for as long as the file is open.
fn lock(path: PathBuf) -> Result<File, OpenError> {
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = match opened {
        Ok(file) => file,
        Err(source) => return Err(OpenError::Io { path, source }),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Locked { path }),
        Err(std::fs::TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}
