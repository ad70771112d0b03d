//! The systemd journal as a source: a thread that follows it and fills the spool of logs.
//!
//! The journal is the spool: while ours takes nothing, the thread does not read on. A batch
//! carries the cursor of its last entry, which is stored once the server has acknowledged the
//! batch; see [`crate::spool`] for where a restarted agent goes on.

mod entry;
mod reader;

#[cfg(test)]
mod journal_test;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use skep_proto::Clock;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use self::{
    entry::to_record,
    reader::{JournalError, JournalReader, Place},
};
use crate::{
    log_batch::LogBatch,
    own_metrics::OwnMetrics,
    spool::{AppendError, NewRecord, Spool, WhenFull},
};

/// How soon the thread notices that it shall stop.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// Between two tries to open a journal that cannot be read, or to fill a spool that is full.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Without the group libsystemd opens nothing and says nothing.
const NO_JOURNAL_HINT: &str = "is there one, and is the agent in the group systemd-journal?";
/// After so many failures at one place the entry there is given up.
const FAILURES_MAX: u32 = 3;

#[derive(Debug, Clone)]
pub(crate) struct JournalSettings {
    /// The host's own journal if `None`.
    pub(crate) directory: Option<PathBuf>,
    /// How far back to begin where no cursor is known.
    pub(crate) max_age: Duration,
    pub(crate) host: String,
    /// Labels of every stream.
    pub(crate) labels: Vec<(String, String)>,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct JournalSource {
    is_stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl JournalSource {
    pub(crate) fn start(
        settings: JournalSettings,
        spool: Arc<Spool>,
        own: Arc<OwnMetrics>,
        clock: &dyn Clock,
    ) -> io::Result<Self> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            place: first_place(&spool, settings.max_age, clock),
            settings,
            spool,
            own,
            is_stopping: Arc::clone(&is_stopping),
            batch: LogBatch::default(),
            last_realtime_us: None,
            n_failures: 0,
        };
        let thread =
            std::thread::Builder::new().name("journal".to_owned()).spawn(move || follower.run())?;
        Ok(Self { is_stopping, thread })
    }

    /// Returns once what was read is in the spool. Blocks.
    pub(crate) fn stop(self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            error!("The journal's thread had panicked.");
        }
    }
}

/// Whether there is a journal and we may read it; for a check before the start.
pub(crate) fn can_read_journal(directory: Option<&Path>) -> anyhow::Result<()> {
    let reader = JournalReader::open(directory, &Place::Time(0))?;
    if !reader.can_read_any_file(directory) {
        anyhow::bail!("no journal file can be read; {NO_JOURNAL_HINT}");
    }
    Ok(())
}

fn first_place(spool: &Spool, max_age: Duration, clock: &dyn Clock) -> Place {
    if let Some(cursor) = spool.resume_cursor() {
        info!(cursor, "Going on in the journal.");
        return Place::Behind(cursor);
    }
    info!(?max_age, "Reading the journal for the first time.");
    let now_us = u64::try_from(clock.now().0 / 1_000).unwrap_or(0);
    let age_us = u64::try_from(max_age.as_micros()).unwrap_or(u64::MAX);
    Place::Time(now_us.saturating_sub(age_us))
}

/// The thread's state.
struct Follower {
    settings: JournalSettings,
    spool: Arc<Spool>,
    own: Arc<OwnMetrics>,
    is_stopping: Arc<AtomicBool>,
    batch: LogBatch,
    /// Where to go on if the journal must be opened anew.
    place: Place,
    last_realtime_us: Option<u64>,
    /// Since the last entry that could be read.
    n_failures: u32,
}

impl Follower {
    fn run(mut self) {
        while !self.is_stopping() {
            if let Err(error) = self.follow() {
                self.note_failure(&error);
                self.flush();
                self.pause();
            }
        }
        self.flush();
    }

    /// Reads until told to stop; an error means: open the journal anew.
    fn follow(&mut self) -> Result<(), JournalError> {
        let mut reader = JournalReader::open(self.settings.directory.as_deref(), &self.place)?;
        if !reader.can_read_any_file(self.settings.directory.as_deref()) {
            warn!(
                directory = ?self.settings.directory,
                hint = NO_JOURNAL_HINT,
                "No journal file can be read."
            );
        }
        while !self.is_stopping() {
            match reader.next()? {
                Some(entry) => {
                    if self.n_failures > 0 {
                        info!("The journal can be read again.");
                    }
                    self.n_failures = 0;
                    self.place = Place::Behind(entry.cursor.clone());
                    self.last_realtime_us = Some(entry.realtime_us);
                    self.own.count_journal_entry();
                    self.take(entry);
                }
                None => reader.wait(self.wait_max())?,
            }
            let now = now();
            if self.batch.is_full() || self.batch.due_at().is_some_and(|it| it <= now) {
                self.flush();
            }
        }
        Ok(())
    }

    fn take(&mut self, entry: entry::JournalEntry) {
        let cursor = entry.cursor.clone();
        let record = to_record(entry, &self.settings.host, &self.settings.labels);
        self.batch.push(now(), record);
        self.batch.set_cursor(cursor);
    }

    fn wait_max(&self) -> Duration {
        let until_due = self.batch.due_at().map(|it| it.saturating_duration_since(now()));
        until_due.unwrap_or(WAIT_MAX).min(WAIT_MAX)
    }

    /// Brings what was read into the spool, however long that takes. Told to stop meanwhile, it
    /// forgets it: the cursor is not stored either, so that it is read again.
    fn flush(&mut self) {
        let Some(batch) = self.batch.take() else { return };
        let mut is_blocked = false;
        loop {
            match self.spool.append(batch.clone(), WhenFull::Refuse) {
                Ok(_) => break,
                Err(error @ AppendError::TooLarge { .. }) => {
                    error!(%error, n_entries = batch.n_items, "Lost a batch of journal entries.");
                    break;
                }
                Err(error) if !is_blocked => {
                    warn!(error = chain(&error), "Not reading on in the journal for now.");
                    is_blocked = true;
                }
                Err(error) => debug!(%error, "Still not reading on in the journal."),
            }
            if self.is_stopping() {
                return;
            }
            self.wait_for_room(&batch);
        }
        if is_blocked {
            info!("Reading on in the journal.");
        }
    }

    fn wait_for_room(&self, batch: &NewRecord) {
        self.spool.wait_for_room(batch.body.len(), RETRY_DELAY);
        // There may be room and still no way to write.
        if !self.is_stopping() {
            std::thread::sleep(WAIT_MAX);
        }
    }

    fn note_failure(&mut self, error: &JournalError) {
        self.own.count_journal_error();
        self.n_failures += 1;
        if self.n_failures == 1 {
            warn!(error = chain(error), "Could not read the journal; opening it anew.");
        }
        // One broken entry must not stop the journal for ever.
        if self.n_failures > FAILURES_MAX
            && let Some(realtime_us) = self.last_realtime_us
        {
            error!(realtime_us, "Skipped what cannot be read behind this point of the journal.");
            self.place = Place::Time(realtime_us + u64::from(self.n_failures - FAILURES_MAX));
        }
    }

    fn pause(&self) {
        let n_rounds = RETRY_DELAY.as_millis() / WAIT_MAX.as_millis();
        for _ in 0..n_rounds {
            if !self.is_stopping() {
                std::thread::sleep(WAIT_MAX);
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}

fn now() -> Instant {
    Instant::now()
}

/// An error with its causes, for a log field.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
