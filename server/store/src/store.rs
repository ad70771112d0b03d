//! The store as a whole: what it holds, and appending to it.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use skep_proto::{Clock, LogRows, SampleRows, TimestampMs, hash_sorted_pairs};
use skep_wal::{Fs, Wal};
use tokio::sync::{Notify, RwLock};

use crate::{
    changes::Changes,
    config::StoreConfig,
    day::NS_PER_MS,
    delete::Deletes,
    error::{AppendError, Appended, Rejection},
    exemplars::Exemplars,
    flush::Tables,
    follow::Followers,
    index::{Entry, Index, IndexSnapshot, Spellings},
    merge::Table,
    open::mark_days,
    pace::Pace,
    part_store::PartStore,
    record::{LogBody, LogColumns, Registration, encode_logs},
    run::TableBytes,
    samples::Cache,
    space::{NoRoom, Space},
    view::{Metadata, Snapshot, View},
};

/// Told to a sender that has to wait: a flush takes about this long.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An open store. All of it is shared; methods take `&self`.
#[derive(Debug)]
pub struct Store {
    pub(crate) config: StoreConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) parts: Arc<dyn PartStore>,
    pub(crate) wal: Wal,
    pub(crate) series: Arc<Index>,
    pub(crate) spellings: Spellings,
    pub(crate) streams: Arc<Index>,
    pub(crate) view: Mutex<View>,
    pub(crate) metadata: Mutex<Arc<BTreeMap<String, Metadata>>>,
    pub(crate) exemplars: Mutex<Exemplars>,
    /// When samples of which times were last written.
    pub(crate) changes: Changes,
    /// What queries lately read of the parts of samples.
    pub(crate) sample_cache: Arc<Cache>,
    /// Whoever commits holds it.
    pub(crate) tables: Arc<tokio::sync::Mutex<Tables>>,
    /// Held during a merge of parts, which holds `tables` only to begin and to commit.
    pub(crate) compaction: tokio::sync::Mutex<()>,
    /// Changed by whoever holds `tables`.
    pub(crate) deletes: Mutex<Deletes>,
    /// Appenders hold it for reading from before their record is in the log until its rows are in
    /// the heads; whoever freezes the heads holds it for writing, so that the heads hold exactly
    /// what the log's finished segments do. The value counts the freezes.
    pub(crate) gate: RwLock<u64>,
    /// Rung when the heads should be written out.
    pub(crate) flush_wanted: Notify,
    pub(crate) pace: Pace,
    /// Rung when parts may be worth merging.
    pub(crate) merge_wanted: Notify,
    /// Who is told of log lines.
    pub(crate) followers: Arc<Followers>,
    pub(crate) is_closed: AtomicBool,
    pub(crate) figures: Figures,
    pub(crate) space: Space,
    /// Days that are summed up: how many expired label sets each had when their rows were dropped.
    pub(crate) cleaned: Mutex<HashMap<i32, usize>>,
    /// The day on which expired rows were last looked for.
    pub(crate) expired_on: AtomicI32,
    /// Days' label sets are gone, so some may be of no more use.
    pub(crate) has_unused_sets: AtomicBool,
    /// Locked while the store is open.
    pub(crate) _lock: File,
}

/// What is counted for [`Store::stats`].
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) n_flushes: AtomicU64,
    pub(crate) n_flush_failures: AtomicU64,
    pub(crate) last_flush_ms: AtomicI64,
    pub(crate) disk_bytes: Mutex<TableBytes>,
    /// At the start.
    pub(crate) n_damaged_checkpoints: usize,
    pub(crate) n_damaged_parts: AtomicUsize,
    pub(crate) n_samples_rejected: AtomicU64,
    pub(crate) n_histograms_rejected: AtomicU64,
    pub(crate) n_entries_rejected: AtomicU64,
}

/// The oldest and newest time stamp that is taken, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    oldest: i64,
    newest: i64,
}

impl Bounds {
    pub(crate) fn check(self, ts: i64, what: impl Fn() -> String) -> Result<(), Rejection> {
        if ts < self.oldest {
            let oldest = TimestampMs(self.oldest);
            return Err(Rejection::TooOld { what: what(), ts: TimestampMs(ts), oldest });
        }
        if ts > self.newest {
            let newest = TimestampMs(self.newest);
            return Err(Rejection::TooNew { what: what(), ts: TimestampMs(ts), newest });
        }
        Ok(())
    }
}

/// Rows of one append on their way into the log and the heads.
#[derive(Default)]
struct Intake {
    entries: Vec<Arc<Entry>>,
    registrations: Vec<Registration>,
    appended: Appended,
}

impl Intake {
    fn add(&mut self, entry: Arc<Entry>, epoch: u64) {
        if !entry.is_registered_in(epoch) {
            self.registrations.push((entry.id, Arc::clone(&entry.labels)));
        }
        self.entries.push(entry);
    }

    fn reject(&mut self, n_rows: usize, rejection: Rejection) {
        self.appended.reject(n_rows, rejection);
    }
}

impl Store {
    /// Appends log entries; as [`Self::append_samples`].
    ///
    /// # Errors
    /// As [`Self::append_samples`].
    pub async fn append_logs(&self, rows: &LogRows<'_>) -> Result<Appended, AppendError> {
        self.wait_for_flush().await;
        self.admit()?;
        let bounds = self.bounds(&self.streams);
        let epoch = self.gate.read().await;
        let (intake, columns) = self.take_logs(rows, bounds, *epoch);
        if columns.ts.is_empty() {
            return Ok(counted(&self.figures.n_entries_rejected, intake.appended));
        }
        let record = encode_logs(&intake.registrations, &columns);
        self.wal.append(record).await.map_err(AppendError::from)?;
        let heads = Arc::clone(&self.view().logs.active);
        for (entry, (id, ts, entries)) in intake.entries.iter().zip(columns.groups()) {
            entry.set_registered_in(*epoch);
            mark_days(entry, ts.iter().map(|it| it.div_euclid(NS_PER_MS)));
            heads.append(id, ts, entries);
        }
        if self.followers.is_anybody_there() {
            let groups = intake.entries.iter().zip(columns.groups());
            self.followers.tell(&groups.map(|(it, (_, ts, entries))| (&it.labels, ts, entries)));
        }
        drop(epoch);
        self.ask_for_flush_if_due();
        Ok(counted(&self.figures.n_entries_rejected, intake.appended))
    }

    /// What of the samples changed since when.
    pub fn sample_changes(&self) -> &Changes {
        &self.changes
    }

    /// The store as it is now.
    pub fn snapshot(&self) -> Snapshot {
        // The view first: every row in it has its label set in an index taken later.
        let view = self.view().clone();
        Snapshot {
            view,
            series: IndexSnapshot::new(&self.series),
            streams: IndexSnapshot::new(&self.streams),
            metadata: Arc::clone(&self.metadata()),
            sample_cache: Arc::clone(&self.sample_cache),
            sample_expiry: self.expiry(Table::Samples),
            log_expiry: self.expiry(Table::Logs),
        }
    }

    fn take_logs<'a>(
        &self,
        rows: &'a LogRows<'_>,
        bounds: Bounds,
        epoch: u64,
    ) -> (Intake, LogColumns<'a>) {
        let mut intake = Intake::default();
        let mut columns = LogColumns::default();
        for (pairs, entries) in &rows.streams {
            let pairs = pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
            let n_before = columns.ts.len();
            for row in entries {
                match bounds.check(row.ts.to_ms().0, || {
                    format!("entry for stream '{}'", display(pairs.clone()))
                }) {
                    Ok(()) => {
                        columns.ts.push(row.ts.0);
                        columns.entries.push(LogBody {
                            line: &row.line,
                            metadata: row.metadata.iter().map(|(k, v)| (&**k, &**v)).collect(),
                        });
                    }
                    Err(rejection) => intake.reject(1, rejection),
                }
            }
            let n_entries = columns.ts.len() - n_before;
            if n_entries == 0 {
                continue;
            }
            match self.streams.resolve(hash_sorted_pairs(pairs.clone()), &pairs) {
                Ok(entry) => {
                    columns.ids.push(entry.id);
                    columns.n_entries.push(n_entries);
                    intake.appended.n_accepted += n_entries;
                    intake.add(entry, epoch);
                }
                Err(error) => {
                    columns.ts.truncate(n_before);
                    columns.entries.truncate(n_before);
                    intake.reject(n_entries, Rejection::Labels(error));
                }
            }
        }
        (intake, columns)
    }

    /// Whether more rows fit into memory.
    pub(crate) fn admit(&self) -> Result<(), AppendError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(AppendError::Closed);
        }
        match self.space.admit(|| self.wal.stats().n_bytes) {
            Ok(()) => {}
            Err(NoRoom::DiskFull) => return Err(AppendError::Full),
            Err(NoRoom::Soon) => {
                self.flush_wanted.notify_one();
                return Err(AppendError::Busy { retry_after: RETRY_AFTER });
            }
        }
        if self.view().head_bytes() > self.config.memory_bytes_max {
            self.flush_wanted.notify_one();
            return Err(AppendError::Busy { retry_after: RETRY_AFTER });
        }
        Ok(())
    }

    pub(crate) fn bounds(&self, index: &Index) -> Bounds {
        let now = self.clock.now().to_ms().0;
        let ms = |it: Duration| i64::try_from(it.as_millis()).unwrap_or(i64::MAX);
        // What nanoseconds can say, so that days of samples and of logs are the same.
        let representable = i64::MIN / NS_PER_MS;
        let oldest = index.periods().oldest_ms(now).max(representable);
        Bounds { oldest, newest: now.saturating_add(ms(self.config.future_max)) }
    }

    pub(crate) fn note_metadata(&self, rows: &SampleRows<'_>) {
        let mut known = self.metadata();
        for told in &rows.metadata {
            let it = known.get(told.metric);
            if it.is_some_and(|it| {
                (it.kind, it.help.as_str(), it.unit.as_str()) == (told.kind, told.help, told.unit)
            }) {
                continue;
            }
            let metadata = Metadata {
                kind: told.kind,
                help: told.help.to_owned(),
                unit: told.unit.to_owned(),
            };
            Arc::make_mut(&mut known).insert(told.metric.to_owned(), metadata);
        }
    }

    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().expect("nothing panics while it holds the view")
    }

    pub(crate) fn metadata(&self) -> MutexGuard<'_, Arc<BTreeMap<String, Metadata>>> {
        self.metadata.lock().expect("nothing panics while it holds the metadata")
    }
}

pub(crate) fn counted(n_rejected: &AtomicU64, appended: Appended) -> Appended {
    let n_rows = u64::try_from(appended.n_rejected).unwrap_or(u64::MAX);
    n_rejected.fetch_add(n_rows, Ordering::Relaxed);
    appended
}

fn display<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    skep_proto::Labels::from_pairs(pairs)
        .map_or_else(|error| error.to_string(), |it| it.to_string())
}

impl From<skep_wal::AppendError> for AppendError {
    fn from(error: skep_wal::AppendError) -> Self {
        match error {
            skep_wal::AppendError::Busy => Self::Busy { retry_after: RETRY_AFTER },
            skep_wal::AppendError::Full { .. } => Self::Full,
            skep_wal::AppendError::TooLarge { n_bytes } => Self::TooLarge { n_bytes },
            skep_wal::AppendError::Closed => Self::Closed,
            skep_wal::AppendError::Io { .. } => Self::Internal(error),
        }
    }
}
