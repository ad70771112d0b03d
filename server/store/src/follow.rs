//! Log lines told as they are stored: what a live tail listens to.
//!
//! An append tells its rows after they are durable and in the heads, and before it lets go of the
//! gate. So who follows first and reads the store then misses nothing, and what it read that is
//! told, too, was told by the time [`Store::logs_told`] returns.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use skep_proto::{Labels, LogEntry, Matcher, TimestampNs};
use tokio::sync::Notify;

use crate::{Store, record::LogBody};

/// Missed rows that are told one by one, as many as Loki keeps; the rest is only counted.
const N_MISSED_NAMED_MAX: usize = 1_000;
/// What a queued row takes beside its texts.
const ROW_BYTES: usize = size_of::<LogEntry>();

/// Rows of one stream, in the order they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldRows {
    pub labels: Arc<Labels>,
    pub entries: Vec<LogEntry>,
}

/// Rows that came while the queue of a follower was full.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missed {
    pub n_rows: u64,
    /// The first of them.
    pub named: Vec<(TimestampNs, Arc<Labels>)>,
}

impl Missed {
    /// Counts one more row.
    pub fn add(&mut self, ts: TimestampNs, labels: &Arc<Labels>) {
        self.n_rows += 1;
        if self.named.len() < N_MISSED_NAMED_MAX {
            self.named.push((ts, Arc::clone(labels)));
        }
    }

    /// Adds those of another.
    pub fn append(&mut self, other: Self) {
        self.n_rows += other.n_rows;
        let n_free = N_MISSED_NAMED_MAX - self.named.len();
        self.named.extend(other.named.into_iter().take(n_free));
    }
}

/// What was told since the last time one asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    pub rows: Vec<ToldRows>,
    pub missed: Missed,
}

impl Store {
    /// Tells all rows stored from now on whose stream satisfies the matchers. At most `bytes_max`
    /// wait to be fetched; what comes beyond is missed and counted.
    pub fn follow_logs(&self, matchers: Vec<Matcher>, bytes_max: usize) -> Following {
        let follower = Arc::new(Follower {
            matchers,
            bytes_max,
            queue: Mutex::default(),
            woken: Notify::new(),
        });
        let followers = Arc::clone(&self.followers);
        let id = followers.add(Arc::clone(&follower));
        Following { followers, id, follower }
    }

    /// Returns once every row that anybody could have read by now has been told.
    pub async fn logs_told(&self) {
        drop(self.gate.write().await);
    }
}

/// One who is told. Dropping it ends that.
#[derive(Debug)]
pub struct Following {
    followers: Arc<Followers>,
    id: u64,
    follower: Arc<Follower>,
}

impl Following {
    /// Waits for rows; `None` once the store is closed and all is fetched. May be dropped at any
    /// time without losing a row.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(answer) = self.follower.take() {
                return answer;
            }
            // Telling leaves a permit, so nothing told since the look is slept over.
            self.follower.woken.notified().await;
        }
    }
}

impl Following {
    /// What waits, without waiting.
    pub fn take(&mut self) -> Told {
        self.follower.take().flatten().unwrap_or_default()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.followers.remove(self.id);
    }
}

/// All who are told. An append without followers costs one load.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    /// Locked to come, to go, and while rows are told.
    listed: Mutex<Listed>,
    /// As many as are listed.
    n_followers: AtomicUsize,
}

#[derive(Debug, Default)]
struct Listed {
    by_id: BTreeMap<u64, Arc<Follower>>,
    next_id: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Follower {
    matchers: Vec<Matcher>,
    bytes_max: usize,
    /// Locked to add a write's rows and to take all.
    queue: Mutex<Queue>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    told: Told,
    n_bytes: usize,
    is_closed: bool,
}

impl Followers {
    pub(crate) fn is_anybody_there(&self) -> bool {
        self.n_followers.load(Ordering::Acquire) > 0
    }

    /// Tells the rows of one append.
    pub(crate) fn tell<'r>(
        &self,
        groups: &(impl Iterator<Item = (&'r Arc<Labels>, &'r [i64], &'r [LogBody<'r>])> + Clone),
    ) {
        for follower in self.held().by_id.values() {
            follower.hear(groups.clone());
        }
    }

    /// Lets everybody fetch what they were told and then end.
    pub(crate) fn close(&self) {
        let mut listed = self.held();
        listed.is_closed = true;
        for follower in listed.by_id.values() {
            follower.held().is_closed = true;
            follower.woken.notify_one();
        }
    }

    fn add(&self, follower: Arc<Follower>) -> u64 {
        let mut listed = self.held();
        let id = listed.next_id;
        listed.next_id += 1;
        follower.held().is_closed = listed.is_closed;
        listed.by_id.insert(id, follower);
        self.n_followers.store(listed.by_id.len(), Ordering::Release);
        id
    }

    fn remove(&self, id: u64) {
        let mut listed = self.held();
        listed.by_id.remove(&id);
        self.n_followers.store(listed.by_id.len(), Ordering::Release);
    }

    fn held(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    fn hear<'r>(
        &self,
        groups: impl Iterator<Item = (&'r Arc<Labels>, &'r [i64], &'r [LogBody<'r>])>,
    ) {
        let wanted =
            groups.filter(|(labels, ..)| self.matchers.iter().all(|it| it.matches_labels(labels)));
        let mut is_anything_new = false;
        let mut queue = self.held();
        for (labels, ts, rows) in wanted {
            is_anything_new = true;
            queue.push(labels, ts, rows, self.bytes_max);
        }
        if is_anything_new {
            self.woken.notify_one();
        }
    }

    /// `Some(None)` at the end.
    fn take(&self) -> Option<Option<Told>> {
        let mut queue = self.held();
        if queue.told == Told::default() {
            return queue.is_closed.then_some(None);
        }
        queue.n_bytes = 0;
        Some(Some(std::mem::take(&mut queue.told)))
    }

    fn held(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, labels: &Arc<Labels>, ts: &[i64], rows: &[LogBody<'_>], bytes_max: usize) {
        let mut entries = Vec::new();
        for (ts, row) in ts.iter().zip(rows) {
            let metadata: usize = row.metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
            let n_bytes = ROW_BYTES + row.line.len() + metadata;
            // After a gap everything is missed until the queue is fetched: what is told has no
            // holes but the one it names.
            if self.told.missed.n_rows > 0 || self.n_bytes + n_bytes > bytes_max {
                self.told.missed.add(TimestampNs(*ts), labels);
                continue;
            }
            self.n_bytes += n_bytes;
            let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
            entries.push(LogEntry {
                ts: TimestampNs(*ts),
                line: row.line.to_owned(),
                metadata: row.metadata.iter().map(owned).collect(),
            });
        }
        if !entries.is_empty() {
            self.told.rows.push(ToldRows { labels: Arc::clone(labels), entries });
        }
    }
}

#[cfg(test)]
mod tests;
