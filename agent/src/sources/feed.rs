//! From a source that keeps what it has to the spool: a batch at a time, waiting where the spool
//! takes nothing, so that nothing is lost.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::{
    log_batch::LogBatch,
    sources::LogRecord,
    spool::{AppendError, NewRecord, Positions, Spool, WhenFull},
};

/// How soon a source's thread notices that it shall stop.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(250);
/// Between two tries to fill a spool that is full.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Between two moves of positions that no batch carries.
const POSITIONS_DELAY: Duration = Duration::from_secs(5);

/// A source that runs: a thread that reads and feeds.
#[derive(Debug)]
pub(crate) struct FeedThread {
    /// What the messages call the source.
    source: &'static str,
    is_stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl FeedThread {
    /// `run` returns soon after [`Feed::is_stopping`] says so.
    ///
    /// # Errors
    /// There is no room for a thread.
    pub(crate) fn start(
        source: &'static str,
        spool: Arc<Spool>,
        run: impl FnOnce(Feed) + Send + 'static,
    ) -> io::Result<Self> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let feed = Feed::new(source, spool, Arc::clone(&is_stopping));
        let thread =
            std::thread::Builder::new().name(source.to_owned()).spawn(move || run(feed))?;
        Ok(Self { source, is_stopping, thread })
    }

    /// Returns once what was read is in the spool. Blocks.
    pub(crate) fn stop(self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            error!(source = self.source, "The thread of a source had panicked.");
        }
    }
}

/// The sending end of a source's thread.
#[derive(Debug)]
pub(crate) struct Feed {
    /// What the messages call the source.
    source: &'static str,
    spool: Arc<Spool>,
    is_stopping: Arc<AtomicBool>,
    batch: LogBatch,
    /// Of sources that are new.
    begun: Positions,
    /// Since when positions wait for a batch.
    positions_since: Option<Instant>,
}

impl Feed {
    pub(crate) fn new(
        source: &'static str,
        spool: Arc<Spool>,
        is_stopping: Arc<AtomicBool>,
    ) -> Self {
        Self {
            source,
            spool,
            is_stopping,
            batch: LogBatch::default(),
            begun: Positions::default(),
            positions_since: None,
        }
    }

    pub(crate) fn push(&mut self, record: LogRecord) {
        self.batch.push(Instant::now(), record);
    }

    /// Where the source has been read up to, once what it gave before was pushed.
    pub(crate) fn set_position(&mut self, key: &str, position: String) {
        self.batch.set_position(key, position);
    }

    /// Notes a source before its first entry is pushed; durable after [`Feed::store_begun`].
    pub(crate) fn begin_position(&mut self, key: &str, position: String) {
        self.begun.set(key, position);
    }

    pub(crate) fn store_begun(&mut self) {
        if self.begun.is_empty() {
            return;
        }
        let begun = std::mem::take(&mut self.begun);
        if let Err(error) = self.spool.begin(&begun) {
            warn!(source = self.source, error = chain(&error), "Could not store positions.");
        }
    }

    /// The source is gone; what it gave was pushed.
    pub(crate) fn forget_position(&mut self, key: &str) {
        self.batch.forget_position(key);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// How long the source may wait for more before it must call [`Feed::flush_due`].
    pub(crate) fn wait_max(&self) -> Duration {
        let until_due = self.batch.due_at().map(|it| it.saturating_duration_since(Instant::now()));
        until_due.unwrap_or(WAIT_MAX).min(WAIT_MAX)
    }

    /// Brings a batch into the spool that is full or has waited long enough.
    pub(crate) fn flush_due(&mut self) {
        let now = Instant::now();
        if self.batch.is_full() || self.batch.due_at().is_some_and(|it| it <= now) {
            self.flush();
        }
        if !self.batch.is_empty() || !self.batch.has_positions() {
            self.positions_since = None;
        } else if *self.positions_since.get_or_insert(now) + POSITIONS_DELAY <= now {
            self.positions_since = None;
            self.advance();
        }
    }

    /// Brings what was pushed into the spool, however long that takes. Told to stop meanwhile, it
    /// forgets it: the positions are not stored either, so that it is read again.
    pub(crate) fn flush(&mut self) {
        let Some(batch) = self.batch.take() else { return };
        let source = self.source;
        let mut is_blocked = false;
        loop {
            match self.spool.append(batch.clone(), WhenFull::Refuse) {
                Ok(_) => break,
                Err(error @ AppendError::TooLarge { .. }) => {
                    error!(source, %error, n_entries = batch.n_items, "Lost a batch of entries.");
                    break;
                }
                Err(error) if !is_blocked => {
                    warn!(source, error = chain(&error), "Not reading on for now.");
                    is_blocked = true;
                }
                Err(error) => debug!(source, %error, "Still not reading on."),
            }
            if self.is_stopping() {
                return;
            }
            self.wait_for_room(&batch);
        }
        if is_blocked {
            info!(source, "Reading on.");
        }
    }

    /// Brings everything out at the end.
    pub(crate) fn finish(&mut self) {
        self.flush();
        if self.batch.has_positions() {
            self.advance();
        }
    }

    /// Moves positions behind what was read and not sent.
    fn advance(&mut self) {
        let positions = self.batch.take_positions();
        match self.spool.advance(&positions) {
            Ok(true) => {}
            // Batches wait: these positions go with the next one, or later.
            Ok(false) => self.batch.put_positions(positions),
            Err(error) => {
                warn!(source = self.source, error = chain(&error), "Could not store positions.");
                self.batch.put_positions(positions);
            }
        }
    }

    fn wait_for_room(&self, batch: &NewRecord) {
        self.spool.wait_for_room(batch.body.len(), RETRY_DELAY);
        // There may be room and still no way to write.
        if !self.is_stopping() {
            std::thread::sleep(WAIT_MAX);
        }
    }

    /// Waits, but not much longer than until the source shall stop.
    pub(crate) fn pause(&self, pause: Duration) {
        let until = Instant::now().checked_add(pause);
        while !self.is_stopping() {
            let left = until.map_or(WAIT_MAX, |it| it.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(WAIT_MAX));
        }
    }
}

/// An error with its causes, for a log field.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
