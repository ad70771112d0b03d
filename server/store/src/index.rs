//! Label sets to ids and back: who has which labels, and when they had data.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering},
    },
};

use hashbrown::HashTable;
use skep_proto::{LabelIndex, Labels, Matcher, SeriesId, StreamId, TimeRange};

mod forget;
mod ids;
mod list;
mod select;
mod shares;
mod spellings;

pub(crate) use ids::IdOrder;
use ids::{IdAllocator, source_of};
pub use spellings::KnownSpellings;
pub(crate) use spellings::Spellings;

use crate::{
    day::{hour_of_ms, hours_of_day},
    retention::Periods,
};

const N_SHARDS: usize = 16;

/// All label sets of one table. Ordinals only grow; a snapshot is how far they had grown. What is
/// taken out has no rows any more, for any snapshot.
#[derive(Debug)]
pub(crate) struct Index {
    /// By label hash, to find the id of a row on its way in.
    shards: [Mutex<HashTable<Arc<Entry>>>; N_SHARDS],
    inner: Mutex<Inner>,
    n_entries: AtomicU32,
    periods: Periods,
}

/// One label set.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: i64,
    pub(crate) labels: Arc<Labels>,
    hash: u64,
    ordinal: u32,
    /// The log segment that holds its registration, by the store's count; 0 for none.
    registered_in: AtomicU64,
    /// Hours of rows that came since the start; of older rows and of lines, all of their day's.
    first_hour: AtomicI32,
    last_hour: AtomicI32,
}

#[derive(Debug)]
struct Inner {
    /// By ordinal; `None` once nothing of it is left.
    entries: Vec<Option<Arc<Entry>>>,
    n_live: usize,
    /// How long ids are kept that are not kept as long as most.
    exceptions: Arc<HashMap<i64, i64>>,
    ids: IdAllocator,
    /// Name → value → ordinals, ascending.
    postings: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Vec<u32>>>,
    /// Day → which ordinals have their row in that day's table.
    written: BTreeMap<i32, Bits>,
}

#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Entry {
    /// Notes that the set has data on this day. Cheap when it is known.
    pub(crate) fn mark_day(&self, day: i32) {
        let (first, last) = hours_of_day(day);
        self.mark_hour(first);
        self.mark_hour(last);
    }

    /// As [`Self::mark_day`], of an hour.
    pub(crate) fn mark_hour(&self, hour: i32) {
        if hour < self.first_hour.load(Ordering::Relaxed) {
            self.first_hour.fetch_min(hour, Ordering::Relaxed);
        }
        if hour > self.last_hour.load(Ordering::Relaxed) {
            self.last_hour.fetch_max(hour, Ordering::Relaxed);
        }
    }

    /// Whether the set may have data in these hours.
    fn is_active(&self, hours: (i32, i32)) -> bool {
        let (first, last) =
            (self.first_hour.load(Ordering::Relaxed), self.last_hour.load(Ordering::Relaxed));
        // Without any hour the first is after the last.
        first <= last && first <= hours.1 && hours.0 <= last
    }

    /// Its place in the index: label sets are numbered as they come.
    pub(crate) fn ordinal(&self) -> u32 {
        self.ordinal
    }

    pub(crate) fn is_registered_in(&self, epoch: u64) -> bool {
        self.registered_in.load(Ordering::Acquire) == epoch
    }

    pub(crate) fn set_registered_in(&self, epoch: u64) {
        self.registered_in.store(epoch, Ordering::Release);
    }
}

impl Index {
    #[cfg(test)]
    pub(crate) fn new(order: IdOrder) -> Self {
        Self::with_periods(order, Periods::default())
    }

    pub(crate) fn with_periods(order: IdOrder, periods: Periods) -> Self {
        Self {
            shards: Default::default(),
            inner: Mutex::new(Inner {
                entries: Vec::new(),
                n_live: 0,
                exceptions: Arc::default(),
                ids: IdAllocator::new(order),
                postings: BTreeMap::new(),
                written: BTreeMap::new(),
            }),
            n_entries: AtomicU32::new(0),
            periods,
        }
    }

    /// The entry of a label set, made if it is new. The pairs are sorted, unique and not empty;
    /// nothing is copied when the set is known.
    pub(crate) fn resolve<'a>(
        &self,
        hash: u64,
        pairs: &(impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone),
    ) -> Result<Arc<Entry>, skep_proto::LabelError> {
        let mut shard = self.shard(hash);
        let is_it = |it: &Arc<Entry>| it.hash == hash && is_same(&it.labels, pairs.clone());
        if let Some(entry) = shard.find(hash, is_it) {
            return Ok(Arc::clone(entry));
        }
        let labels = Arc::new(Labels::from_pairs(pairs.clone())?);
        let mut inner = self.inner();
        let id = inner.ids.next(source_of(&labels));
        let entry = inner.add(id, labels, hash, &self.periods);
        self.n_entries.store(inner.n_entries(), Ordering::Release);
        drop(inner);
        shard.insert_unique(hash, Arc::clone(&entry), |it| it.hash);
        Ok(entry)
    }

    /// The entry of a label set that is known.
    pub(crate) fn find<'a>(
        &self,
        hash: u64,
        pairs: &(impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone),
    ) -> Option<Arc<Entry>> {
        let is_it = |it: &Arc<Entry>| it.hash == hash && is_same(&it.labels, pairs.clone());
        self.shard(hash).find(hash, is_it).map(Arc::clone)
    }

    /// Takes a label set with the id it was given before a restart. Known ones stay as they are.
    pub(crate) fn restore(&self, id: i64, labels: Arc<Labels>) -> Arc<Entry> {
        let hash = labels.stable_hash();
        let mut shard = self.shard(hash);
        if let Some(entry) = shard.find(hash, |it| it.hash == hash && it.labels == labels) {
            return Arc::clone(entry);
        }
        let mut inner = self.inner();
        inner.ids.take(id, source_of(&labels));
        let entry = inner.add(id, labels, hash, &self.periods);
        self.n_entries.store(inner.n_entries(), Ordering::Release);
        drop(inner);
        shard.insert_unique(hash, Arc::clone(&entry), |it| it.hash);
        entry
    }

    /// Those with these ordinals.
    pub(crate) fn entries(&self, ordinals: &[u32]) -> Vec<Arc<Entry>> {
        let inner = self.inner();
        let entry = |it: &u32| inner.entries.get(*it as usize)?.clone();
        ordinals.iter().filter_map(entry).collect()
    }

    /// All entries, by id.
    pub(crate) fn by_id(&self) -> HashMap<i64, Arc<Entry>> {
        self.inner().entries.iter().flatten().map(|it| (it.id, Arc::clone(it))).collect()
    }

    /// Those of `seen`, by ordinal, that have no row in this day's table yet. Of the others, most
    /// of them, nothing but a bit is looked at.
    pub(crate) fn unwritten<T>(
        &self,
        day: i32,
        seen: impl IntoIterator<Item = (u32, T)>,
    ) -> Vec<(Arc<Entry>, T)> {
        let inner = self.inner();
        let written = inner.written.get(&day);
        seen.into_iter()
            .filter(|(ordinal, _)| written.is_none_or(|written| !written.contains(*ordinal)))
            .filter_map(|(ordinal, it)| Some((inner.entries.get(ordinal as usize)?.clone()?, it)))
            .collect()
    }

    pub(crate) fn mark_written(&self, day: i32, entries: &[Arc<Entry>]) {
        let mut inner = self.inner();
        let written = inner.written.entry(day).or_default();
        for entry in entries {
            written.insert(entry.ordinal);
        }
    }

    /// Forgets that these days have rows: their tables are gone.
    pub(crate) fn forget_days(&self, days: &BTreeSet<i32>) {
        self.inner().written.retain(|day, _| !days.contains(day));
    }

    /// Notes that whatever has one of these ids may have data on this day.
    pub(crate) fn mark_day_of_range(&self, day: i32, ids: (i64, i64)) {
        let inner = self.inner();
        let entries = inner.entries.iter().flatten();
        entries.filter(|it| ids.0 <= it.id && it.id <= ids.1).for_each(|it| it.mark_day(day));
    }

    /// From here on no id up to this one is given out.
    pub(crate) fn retire_ids_through(&self, id: i64) {
        self.inner().ids.retire_through(id);
    }

    pub(crate) fn periods(&self) -> &Periods {
        &self.periods
    }

    /// How long ids are kept that are not kept for the default period, in milliseconds.
    pub(crate) fn exceptions(&self) -> Arc<HashMap<i64, i64>> {
        Arc::clone(&self.inner().exceptions)
    }

    pub(crate) fn n_entries(&self) -> usize {
        self.inner().n_live
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, HashTable<Arc<Entry>>> {
        let at = usize::try_from(hash >> 32).unwrap_or(0) % N_SHARDS;
        let [first, ..] = &self.shards;
        self.shards.get(at).unwrap_or(first).lock().expect("nothing panics while it holds a shard")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the index")
    }
}

fn is_same<'a>(labels: &Labels, pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)>) -> bool {
    labels.len() == pairs.len() && labels.iter().zip(pairs).all(|(left, right)| left == right)
}

impl Inner {
    fn n_entries(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    fn add(&mut self, id: i64, labels: Arc<Labels>, hash: u64, periods: &Periods) -> Arc<Entry> {
        let ordinal = self.n_entries();
        let period = periods.of(&labels);
        if period != periods.default_ms() {
            Arc::make_mut(&mut self.exceptions).insert(id, period);
        }
        for (name, value) in labels.iter() {
            if !self.postings.contains_key(name) {
                self.postings.insert(name.into(), BTreeMap::new());
            }
            let Some(values) = self.postings.get_mut(name) else { continue };
            match values.get_mut(value) {
                Some(ordinals) => ordinals.push(ordinal),
                None => drop(values.insert(value.into(), vec![ordinal])),
            }
        }
        let entry = Arc::new(Entry {
            id,
            labels,
            hash,
            ordinal,
            registered_in: AtomicU64::new(0),
            first_hour: AtomicI32::new(i32::MAX),
            last_hour: AtomicI32::new(i32::MIN),
        });
        self.entries.push(Some(Arc::clone(&entry)));
        self.n_live += 1;
        entry
    }
}

impl Bits {
    fn contains(&self, at: u32) -> bool {
        self.0.get(at as usize / 64).is_some_and(|it| it >> (at % 64) & 1 == 1)
    }

    fn insert(&mut self, at: u32) {
        let word = at as usize / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if let Some(it) = self.0.get_mut(word) {
            *it |= 1 << (at % 64);
        }
    }
}

/// The index as it was at one moment.
#[derive(Debug, Clone)]
pub(crate) struct IndexSnapshot {
    index: Arc<Index>,
    /// Later ordinals are not seen.
    n_entries: u32,
}

impl IndexSnapshot {
    pub(crate) fn new(index: &Arc<Index>) -> Self {
        Self { index: Arc::clone(index), n_entries: index.n_entries.load(Ordering::Acquire) }
    }

    /// In order of id.
    pub(crate) fn select_entries(&self, matchers: &[Matcher], range: TimeRange) -> Vec<Arc<Entry>> {
        let mut entries = self.select_unordered(matchers, range);
        entries.sort_unstable_by_key(|it| it.id);
        entries
    }

    fn select_unordered(&self, matchers: &[Matcher], range: TimeRange) -> Vec<Arc<Entry>> {
        let hours = hours_of(range);
        let mut entries = self.index.inner().select(matchers, self.n_entries);
        entries.retain(|it| it.is_active(hours));
        entries
    }
}

fn hours_of(range: TimeRange) -> (i32, i32) {
    (hour_of_ms(range.start.0), hour_of_ms(range.end.0))
}

/// [`IndexSnapshot`] with the id type of its table.
pub(crate) struct TypedIndex<Id> {
    pub(crate) snapshot: IndexSnapshot,
    pub(crate) id: fn(i64) -> Id,
}

impl<Id> fmt::Debug for TypedIndex<Id> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TypedIndex").field("n_entries", &self.snapshot.n_entries).finish()
    }
}

impl LabelIndex<SeriesId> for TypedIndex<SeriesId> {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Vec<(SeriesId, Arc<Labels>)> {
        self.pairs(matchers, range)
    }
}

impl LabelIndex<StreamId> for TypedIndex<StreamId> {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Vec<(StreamId, Arc<Labels>)> {
        self.pairs(matchers, range)
    }
}

impl<Id> TypedIndex<Id> {
    fn pairs(&self, matchers: &[Matcher], range: TimeRange) -> Vec<(Id, Arc<Labels>)> {
        let entries = self.snapshot.select_entries(matchers, range);
        entries.iter().map(|it| ((self.id)(it.id), Arc::clone(&it.labels))).collect()
    }
}
