//! The systemd journal as a source: a thread that follows it and fills the spool of logs.
//!
//! The journal is the spool: while ours takes nothing, the thread does not read on. A batch
//! carries the cursor of its last entry, which is stored once the server has acknowledged the
//! batch; see [`crate::spool`] for where a restarted agent goes on.

mod damage;
mod entry;
mod reader;
mod settings;
mod shape;

#[cfg(test)]
mod journal_test;

use std::{collections::BTreeSet, io, path::PathBuf, sync::Arc, time::Duration};

use skep_proto::Clock;
use tracing::{error, info, warn};

pub(crate) use self::settings::{
    Boot, JournalSettings, MatchError, RawJournal, Select, Shape, parse_matches,
};
use self::{
    entry::{JournalEntry, Naming, to_record},
    reader::{JournalError, JournalReader, Place},
    shape::Shaper,
};
use crate::{
    own_metrics::OwnMetrics,
    pipeline::{Context, Flush},
    sources::feed::{Feed, FeedThread, WAIT_MAX, chain},
    spool::{Spool, positions::JOURNAL_KEY},
};

/// Between two tries to open a journal that cannot be read.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Without the group libsystemd opens nothing and says nothing.
const NO_JOURNAL_HINT: &str = "is there one, and is the agent in the group systemd-journal?";
/// After so many failures at one place the entry there is given up.
const FAILURES_MAX: u32 = 3;

/// Starts the thread.
///
/// # Errors
/// There is no room for one.
pub(crate) fn start(
    settings: JournalSettings,
    spool: Arc<Spool>,
    own: Arc<OwnMetrics>,
    clock: &Arc<dyn Clock>,
) -> io::Result<FeedThread> {
    let seed = clock.now().0.unsigned_abs();
    let context = Context::new(Arc::clone(clock), Arc::clone(&own.pipeline), seed);
    let place = first_place(&spool, settings.max_age, clock.as_ref());
    let shaper = (!settings.shape.is_plain()).then(|| Shaper::new(&settings, context));
    FeedThread::start("journal", spool, move |feed| {
        let follower = Follower {
            settings,
            shaper,
            feed,
            own,
            place,
            last_realtime_us: None,
            n_failures: 0,
            damaged: BTreeSet::new(),
        };
        follower.run();
    })
}

/// Whether there is a journal and we may read it; for a check before the start.
pub(crate) fn can_read_journal(select: &Select) -> anyhow::Result<()> {
    let reader = JournalReader::open(select, &Place::Time(0))?;
    if !reader.can_read_any_file(select.directory.as_deref()) {
        anyhow::bail!("no journal file can be read; {NO_JOURNAL_HINT}");
    }
    Ok(())
}

fn first_place(spool: &Spool, max_age: Duration, clock: &dyn Clock) -> Place {
    if let Some(cursor) = spool.resume().get(JOURNAL_KEY).map(str::to_owned) {
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
    /// Where the configuration makes more of entries than labels and metadata.
    shaper: Option<Shaper>,
    feed: Feed,
    own: Arc<OwnMetrics>,
    /// Where to go on if the journal must be opened anew.
    place: Place,
    last_realtime_us: Option<u64>,
    /// Since the last entry that could be read.
    n_failures: u32,
    /// Files that were found damaged, so that it is said once.
    damaged: BTreeSet<PathBuf>,
}

impl Follower {
    fn run(mut self) {
        while !self.feed.is_stopping() {
            if let Err(error) = self.follow() {
                self.note_failure(&error);
                self.feed.flush();
                self.feed.pause(RETRY_DELAY);
            }
        }
        if let Some(shaper) = &mut self.shaper {
            shaper.flush(Flush::All, &mut self.feed);
        }
        self.feed.finish();
    }

    /// Reads until told to stop; an error means: open the journal anew.
    fn follow(&mut self) -> Result<(), JournalError> {
        let mut reader = JournalReader::open(&self.settings.select, &self.place)?;
        let directory = self.settings.select.directory.clone();
        if !reader.can_read_any_file(directory.as_deref()) {
            warn!(?directory, hint = NO_JOURNAL_HINT, "No journal file can be read.");
        }
        self.report_damage();
        while !self.feed.is_stopping() {
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
                None => {
                    if let Some(shaper) = &mut self.shaper {
                        shaper.flush(Flush::Due, &mut self.feed);
                    }
                    reader.wait(self.feed.wait_max().min(WAIT_MAX))?;
                }
            }
            self.feed.flush_due();
        }
        Ok(())
    }

    fn take(&mut self, entry: JournalEntry) {
        if let Some(shaper) = &mut self.shaper {
            let delay = shaper.take(entry, &self.settings, &mut self.feed);
            if !delay.is_zero() {
                self.feed.flush_due();
                self.feed.pause(delay);
            }
            return;
        }
        let cursor = entry.cursor.clone();
        let JournalSettings { host, labels, .. } = &self.settings;
        self.feed.push(to_record(entry, host, labels, Naming::Labels));
        self.feed.set_position(JOURNAL_KEY, cursor);
    }

    /// Files that libsystemd leaves out without a word.
    fn report_damage(&mut self) {
        for path in damage::files(self.settings.select.directory.as_deref()) {
            if let Some(fault) = damage::fault(&path)
                && self.damaged.insert(path.clone())
            {
                self.own.count_journal_error();
                warn!(path = %path.display(), fault, "Skipped a damaged journal file.");
            }
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
}
