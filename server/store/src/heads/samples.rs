//! Samples in memory, by series.
//!
//! A series that gets its first sample here gets a slot, numbered in order of arrival: the series
//! of one sender lie side by side, whatever their ids are. The log's records name series by their
//! slots, which is why a slot also knows whether its registration is in the log.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use hashbrown::HashTable;

use super::packed::{Blocks, Slot};
use crate::{
    day::{MS_PER_HOUR, day_of_ms, hour_of_ms},
    filter::RowFilter,
    index::{Entry, Index},
    shared::Shared,
};

/// Slots behind one lock; neighbours, since a request's series are.
const PAGE_SLOTS: usize = 1024;
/// What the directory takes for a series: entries of its collections.
const DIRECTORY_BYTES: usize = 32;
/// No slot: more series than this are more than an index can hold.
const NONE: u32 = u32::MAX;

/// Appended to by many, read by queries, then frozen and written out.
#[derive(Debug, Default)]
pub(crate) struct SampleHeads {
    directory: Shared<Directory>,
    /// The days that have samples.
    days: Mutex<BTreeSet<i32>>,
    n_bytes: AtomicUsize,
    n_samples: AtomicUsize,
}

#[derive(Debug, Default)]
struct Directory {
    /// Slot by the index's ordinal, [`NONE`] for none.
    by_ordinal: Vec<u32>,
    /// Slots by id.
    by_id: HashTable<u32>,
    /// By slot, as the next three.
    ids: Vec<i64>,
    entries: Vec<Arc<Entry>>,
    is_registered: Vec<AtomicBool>,
    pages: Vec<Mutex<Page>>,
}

#[derive(Debug, Default)]
struct Page {
    slots: Vec<Slot>,
    blocks: Blocks,
}

/// A series and the number that the log's records have for it.
#[derive(Debug, Clone)]
pub(crate) struct SlotOf {
    pub(crate) slot: u32,
    pub(crate) entry: Arc<Entry>,
}

/// Where the heads have a series, for those who read all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeriesSlot {
    pub(crate) id: i64,
    /// Its place in the index.
    pub(crate) ordinal: u32,
    slot: u32,
}

/// Samples by slot, on their way into the log and into the heads.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SampleColumns {
    pub(crate) slots: Vec<u32>,
    /// How many each slot of the above has.
    pub(crate) n_samples: Vec<u32>,
    /// Milliseconds.
    pub(crate) ts: Vec<i64>,
    pub(crate) bits: Vec<u64>,
}

/// One series' samples in order of time, each time stamp once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SampleRun {
    pub(crate) id: i64,
    pub(crate) ts: Vec<i64>,
    pub(crate) bits: Vec<u64>,
}

/// Neighbours among some columns' series that lie in one page.
#[derive(Debug, Clone)]
pub(crate) struct PageRun {
    pub(crate) page_idx: usize,
    series: Range<usize>,
    samples: Range<usize>,
}

impl SampleColumns {
    /// Cuts the columns where their series come to lie in another page.
    pub(crate) fn page_runs(&self) -> impl Iterator<Item = PageRun> {
        let page_of = |slot: u32| slot as usize / PAGE_SLOTS;
        let (mut series_end, mut samples_end) = (0, 0);
        self.slots.chunk_by(move |left, right| page_of(*left) == page_of(*right)).map(
            move |slots| {
                let series = series_end..series_end + slots.len();
                let n_samples = self.n_samples.get(series.clone()).unwrap_or_default();
                let n_samples: usize = n_samples.iter().map(|it| *it as usize).sum();
                let samples = samples_end..samples_end + n_samples;
                (series_end, samples_end) = (series.end, samples.end);
                PageRun { page_idx: slots.first().map_or(0, |it| page_of(*it)), series, samples }
            },
        )
    }

    /// Slots with their numbers of samples.
    fn series_of(&self, run: &PageRun) -> impl Iterator<Item = (u32, u32)> {
        let slots = self.slots.get(run.series.clone()).unwrap_or_default();
        let n_samples = self.n_samples.get(run.series.clone()).unwrap_or_default();
        slots.iter().copied().zip(n_samples.iter().copied())
    }

    fn samples_of(&self, run: &PageRun) -> impl Iterator<Item = (i64, u64)> {
        let ts = self.ts.get(run.samples.clone()).unwrap_or_default();
        let bits = self.bits.get(run.samples.clone()).unwrap_or_default();
        ts.iter().copied().zip(bits.iter().copied())
    }
}

impl SampleHeads {
    /// Turns ordinals of the index into slots, made where there are none, and tells those whose
    /// registration is not in the log yet. `None` where the index does not know one of them.
    pub(crate) fn reserve(&self, index: &Index, ordinals: &mut [u32]) -> Option<Vec<SlotOf>> {
        let directory = self.directory.read();
        if let Some(unregistered) = directory.look_up(ordinals) {
            return Some(unregistered);
        }
        drop(directory);
        let mut directory = self.directory.write();
        let n_bytes_before = directory.n_bytes();
        let missing: Vec<u32> =
            ordinals.iter().copied().filter(|it| directory.slot(*it).is_none()).collect();
        for entry in index.entries(&missing) {
            directory.add(entry);
        }
        self.n_bytes.fetch_add(directory.n_bytes() - n_bytes_before, Ordering::Relaxed);
        directory.look_up(ordinals)
    }

    /// Notes that the registrations of these are in the log.
    pub(crate) fn set_registered(&self, slots: &[SlotOf]) {
        if slots.is_empty() {
            return;
        }
        let directory = self.directory.read();
        for it in slots {
            if let Some(is_registered) = directory.is_registered.get(it.slot as usize) {
                is_registered.store(true, Ordering::Release);
            }
        }
    }

    pub(crate) fn append(&self, columns: &SampleColumns) {
        for run in columns.page_runs() {
            self.append_to_page(run.page_idx, [(columns, &run)]);
        }
    }

    /// Appends what some columns have for one page, in the order given.
    pub(crate) fn append_to_page<'c>(
        &self,
        page_idx: usize,
        runs: impl IntoIterator<Item = (&'c SampleColumns, &'c PageRun)>,
    ) {
        let directory = self.directory.read();
        let Some(page) = directory.pages.get(page_idx) else { return };
        let mut page = lock(page);
        let Page { slots, blocks } = &mut *page;
        let n_bytes_before = blocks.n_bytes();
        let mut n_samples_all = 0;
        let mut now = Hour::of(0);
        let mut day = None;
        for (columns, run) in runs {
            let mut samples = columns.samples_of(run);
            for (number, n_samples) in columns.series_of(run) {
                let Some(slot) = slots.get_mut(number as usize % PAGE_SLOTS) else { break };
                for (ts, bits) in samples.by_ref().take(n_samples as usize) {
                    if !now.contains(ts) {
                        now = Hour::of(ts);
                    }
                    if slot.hour() != now.hour {
                        slot.set_hour(now.hour);
                        self.note_hour(now, &mut day, directory.entries.get(number as usize));
                    }
                    slot.push(ts, bits, blocks);
                }
            }
            n_samples_all += run.samples.len();
        }
        self.n_bytes.fetch_add(blocks.n_bytes() - n_bytes_before, Ordering::Relaxed);
        self.n_samples.fetch_add(n_samples_all, Ordering::Relaxed);
    }

    /// `known_day` is in the days already.
    fn note_hour(&self, now: Hour, known_day: &mut Option<i32>, entry: Option<&Arc<Entry>>) {
        let day = day_of_ms(now.start_ms);
        if known_day.replace(day) != Some(day) {
            lock(&self.days).insert(day);
        }
        if let Some(entry) = entry {
            entry.mark_hour(now.hour);
        }
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.n_bytes.load(Ordering::Relaxed)
    }

    /// What the series take before they have many samples: writing them out does not pay as long
    /// as this is most of it.
    pub(crate) fn n_series_bytes(&self) -> usize {
        self.directory.read().n_bytes()
    }

    /// Overwritten ones included.
    pub(crate) fn n_samples(&self) -> usize {
        self.n_samples.load(Ordering::Relaxed)
    }

    /// The ids that have samples, in order; some that have none may be among them.
    pub(crate) fn ids(&self) -> Vec<i64> {
        let mut ids = self.directory.read().ids.clone();
        ids.sort_unstable();
        ids
    }

    /// The days that have samples, in order.
    pub(crate) fn days(&self) -> BTreeSet<i32> {
        lock(&self.days).clone()
    }

    /// The series that have samples, in order of id; some that have none may be among them.
    pub(crate) fn series(&self) -> Vec<SeriesSlot> {
        let directory = self.directory.read();
        let slots = directory.by_ordinal.iter().zip(0..).filter(|(slot, _)| **slot != NONE);
        let mut series: Vec<_> = slots
            .filter_map(|(&slot, ordinal)| {
                Some(SeriesSlot { id: *directory.ids.get(slot as usize)?, ordinal, slot })
            })
            .collect();
        drop(directory);
        series.sort_unstable_by_key(|it| it.id);
        series
    }

    /// One series' samples inside the filter's time range; `None` where there are none.
    pub(crate) fn read(&self, id: i64, filter: &RowFilter) -> Option<SampleRun> {
        let directory = self.directory.read();
        directory.run(id, directory.slot_of_id(id)?, filter)
    }

    /// As [`Self::read`].
    pub(crate) fn read_series(&self, series: &SeriesSlot, filter: &RowFilter) -> Option<SampleRun> {
        self.directory.read().run(series.id, series.slot, filter)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds a head")
}

/// Samples of a request are of one hour, nearly always: a comparison instead of a division.
#[derive(Debug, Clone, Copy)]
struct Hour {
    hour: i32,
    start_ms: i64,
}

impl Hour {
    fn of(ts: i64) -> Self {
        let hour = hour_of_ms(ts);
        Self { hour, start_ms: i64::from(hour).saturating_mul(MS_PER_HOUR) }
    }

    fn contains(self, ts: i64) -> bool {
        (0..MS_PER_HOUR).contains(&ts.wrapping_sub(self.start_ms))
    }
}

impl Directory {
    /// Replaces ordinals by slots, unless one has none; then nothing is replaced.
    fn look_up(&self, ordinals: &mut [u32]) -> Option<Vec<SlotOf>> {
        if ordinals.iter().any(|it| self.slot(*it).is_none()) {
            return None;
        }
        let mut unregistered = Vec::new();
        for number in ordinals {
            let slot = self.slot(*number).unwrap_or(NONE);
            *number = slot;
            let is_registered = self.is_registered.get(slot as usize);
            if is_registered.is_none_or(|it| it.load(Ordering::Acquire)) {
                continue;
            }
            if let Some(entry) = self.entries.get(slot as usize) {
                unregistered.push(SlotOf { slot, entry: Arc::clone(entry) });
            }
        }
        Some(unregistered)
    }

    fn slot(&self, ordinal: u32) -> Option<u32> {
        self.by_ordinal.get(ordinal as usize).copied().filter(|it| *it != NONE)
    }

    fn slot_of_id(&self, id: i64) -> Option<u32> {
        let is_it = |it: &u32| self.ids.get(*it as usize) == Some(&id);
        self.by_id.find(hash_of(id), is_it).copied()
    }

    fn run(&self, id: i64, slot: u32, filter: &RowFilter) -> Option<SampleRun> {
        let mut run = SampleRun { id, ts: Vec::new(), bits: Vec::new() };
        let slot = slot as usize;
        let page = lock(self.pages.get(slot / PAGE_SLOTS)?);
        page.slots.get(slot % PAGE_SLOTS)?.read(&page.blocks, |ts, bits| {
            if filter.wants_ts(ts) {
                run.ts.push(ts);
                run.bits.push(bits);
            }
        });
        drop(page);
        (!run.ts.is_empty()).then(|| run.sorted())
    }

    /// Nothing if it has a slot, as one that comes twice in a request has.
    fn add(&mut self, entry: Arc<Entry>) {
        let ordinal = entry.ordinal() as usize;
        if self.slot(entry.ordinal()).is_some() {
            return;
        }
        let slot = u32::try_from(self.entries.len()).unwrap_or(NONE);
        if ordinal >= self.by_ordinal.len() {
            self.by_ordinal.resize(ordinal + 1, NONE);
        }
        if let Some(it) = self.by_ordinal.get_mut(ordinal) {
            *it = slot;
        }
        self.ids.push(entry.id);
        let Self { ids, by_id, .. } = self;
        let hash = |it: &u32| ids.get(*it as usize).map_or(0, |id| hash_of(*id));
        by_id.insert_unique(hash_of(entry.id), slot, hash);
        self.entries.push(entry);
        self.is_registered.push(AtomicBool::new(false));
        if (slot as usize).is_multiple_of(PAGE_SLOTS) {
            let slots = Vec::with_capacity(PAGE_SLOTS);
            self.pages.push(Mutex::new(Page { slots, blocks: Blocks::default() }));
        }
        if let Some(page) = self.pages.last_mut() {
            page.get_mut()
                .expect("nothing panics while it holds a head")
                .slots
                .push(Slot::default());
        }
    }

    /// Without the blocks.
    fn n_bytes(&self) -> usize {
        self.pages.len() * PAGE_SLOTS * size_of::<Slot>()
            + self.entries.len() * DIRECTORY_BYTES
            + self.by_ordinal.len() * size_of::<u32>()
    }
}

/// Ids are given out by this program: nobody can choose them so that they meet.
fn hash_of(id: i64) -> u64 {
    // Of Fibonacci hashing; the table looks at the low and at the high bits.
    let product = id.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

impl SampleRun {
    /// Sorts by time; of equal time stamps the last written stays.
    fn sorted(self) -> Self {
        if self.ts.is_sorted_by(|a, b| a < b) {
            return self;
        }
        let mut samples: Vec<_> = self.ts.iter().copied().zip(self.bits.iter().copied()).collect();
        samples.sort_by_key(|it| it.0);
        samples.reverse();
        samples.dedup_by_key(|it| it.0);
        samples.reverse();
        let (ts, bits) = samples.into_iter().unzip();
        Self { ts, bits, ..self }
    }
}

#[cfg(test)]
mod tests {
    use skep_proto::Labels;

    use super::*;
    use crate::{day::MS_PER_DAY, index::IdOrder};

    /// Appends to the series of each name and tells which of them are not registered.
    fn append(
        heads: &SampleHeads,
        index: &Index,
        series: &[&str],
        samples: &[(i64, u64)],
    ) -> Vec<SlotOf> {
        let mut ordinals: Vec<u32> = series
            .iter()
            .map(|name| {
                let labels = Labels::from_pairs([("__name__", *name)]).unwrap();
                index.resolve(labels.stable_hash(), &labels.iter()).unwrap().ordinal()
            })
            .collect();
        let unregistered = heads.reserve(index, &mut ordinals).unwrap();
        let mut columns = SampleColumns::default();
        for slot in ordinals {
            columns.slots.push(slot);
            columns.n_samples.push(u32::try_from(samples.len()).unwrap());
            columns.ts.extend(samples.iter().map(|it| it.0));
            columns.bits.extend(samples.iter().map(|it| it.1));
        }
        heads.append(&columns);
        unregistered
    }

    #[test]
    fn the_last_write_of_a_time_stamp_wins_and_order_does_not_matter() {
        let (heads, index) = (SampleHeads::default(), Index::new(IdOrder::Sequential));
        append(&heads, &index, &["a"], &[(10, 1), (30, 2), (20, 3)]);
        append(&heads, &index, &["a"], &[(30, 4), (5, 5)]);
        assert_eq!(
            heads.read(1, &RowFilter::ALL),
            Some(SampleRun { id: 1, ts: vec![5, 10, 20, 30], bits: vec![5, 1, 3, 4] })
        );
        assert_eq!(heads.read(4, &RowFilter::ALL), None);
        assert_eq!((heads.n_samples(), heads.ids()), (5, vec![1]));
    }

    #[test]
    fn a_series_is_told_as_unregistered_until_it_is_registered() {
        let (heads, index) = (SampleHeads::default(), Index::new(IdOrder::Sequential));
        let told = |unregistered: &[SlotOf]| {
            unregistered.iter().map(|it| (it.slot, it.entry.id)).collect::<Vec<_>>()
        };
        let first = append(&heads, &index, &["a", "b", "a"], &[(1, 1)]);
        assert_eq!(told(&first), [(0, 1), (1, 2), (0, 1)]);
        heads.set_registered(&first[..1]);
        assert_eq!(told(&append(&heads, &index, &["b", "c", "a"], &[(2, 1)])), [(1, 2), (2, 3)]);
        // Other heads have other slots.
        let heads = SampleHeads::default();
        assert_eq!(told(&append(&heads, &index, &["b", "a"], &[(2, 1)])), [(0, 2), (1, 1)]);
    }

    #[test]
    fn many_series_fill_many_pages_and_every_day_is_noted() {
        let (heads, index) = (SampleHeads::default(), Index::new(IdOrder::Sequential));
        let names: Vec<String> = (0..3 * PAGE_SLOTS + 5).map(|it| format!("n{it}")).collect();
        let series: Vec<&str> = names.iter().map(String::as_str).collect();
        append(&heads, &index, &series, &[(1, 7), (MS_PER_DAY, 8), (2, 9)]);
        assert_eq!(heads.ids().len(), series.len());
        for id in heads.ids() {
            let run = heads.read(id, &RowFilter::between(0, 10)).unwrap();
            assert_eq!((run.ts, run.bits), (vec![1, 2], vec![7, 9]));
        }
        assert_eq!(heads.days(), BTreeSet::from([0, 1]));
        assert!(heads.n_bytes() > series.len() * size_of::<Slot>());
    }
}
