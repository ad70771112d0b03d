//! From the log to the heads at the start: what no part holds yet.
//!
//! Records are taken in rounds. Those of a round are decoded side by side; then, in their order,
//! their registrations count and their rows are sorted by where they go; then each place gets its
//! rows, in the order of the records, side by side with the others.
//!
//! The heads are written to parts between two segments when they hold more than the last process
//! may have had in memory. Those commits say which rows are in parts, not that segments may go,
//! since later records use the registrations of earlier ones.

use std::{collections::HashMap, sync::Arc};

use skep_wal::{AtRecord, Replay, SegmentSeq};

use crate::{
    commit::Covered,
    day::NS_PER_MS,
    error::OpenError,
    flush::Tables,
    heads::{HistogramHeads, LogHeads, PageRun, SampleColumns, SampleHeads},
    index::{Entry, Index},
    open::mark_days,
    parallel,
    record::{Content, HistogramColumns, LogBody, Record, RecordError, SampleRegistration},
    run::report,
    store::Store,
    view::View,
};

/// Decoded rows of a round: enough that cores seldom wait for each other, little beside the heads.
const ROUND_BYTES: usize = 16 << 20;

impl Store {
    /// Puts what no part holds yet into the heads, or into parts where it is too much.
    pub(crate) fn replay(&self, replay: &Replay, covered: CoveredTables) -> Result<(), OpenError> {
        let mut names = Names {
            slots: Slots::default(),
            series: HashMap::new(),
            streams: self.streams.by_id(),
        };
        let mut before = SegmentSeq(0);
        let replayed = replay.run(|seq, records| {
            if self.flush_replayed(before) {
                names.slots.forget_places();
            }
            before = seq;
            let wanted = Wanted {
                samples: seq.0 > covered.samples.table,
                histograms: seq.0 > covered.histograms.table,
                logs: seq.0 > covered.logs.table,
            };
            let mut n_done = 0;
            while let Some(rest) = records.get(n_done..)
                && !rest.is_empty()
            {
                let round = round_of(rest);
                self.replay_round(round, wanted, &mut names)
                    .map_err(|it| AtRecord { record_idx: n_done + it.record_idx, ..it })?;
                n_done += round.len();
            }
            Ok(())
        })?;
        if replayed.n_records > 0 {
            tracing::info!(
                n_segments = replayed.n_segments,
                n_records = replayed.n_records,
                n_bytes = replayed.n_bytes,
                "Replayed the log."
            );
        }
        self.ask_for_flush_if_due();
        Ok(())
    }

    fn replay_round(
        &self,
        records: &[&[u8]],
        wanted: Wanted,
        names: &mut Names,
    ) -> Result<(), AtRecord<RecordError>> {
        let records = decoded(parallel::map(records, |it| Record::decompress(it)))?;
        let mut contents = decoded(parallel::map(&records, Record::parse))?;
        let (sample_heads, histogram_heads, log_heads) = {
            let View { samples, histograms, logs, .. } = &*self.view();
            let histograms = Arc::clone(&histograms.active);
            (Arc::clone(&samples.active), histograms, Arc::clone(&logs.active))
        };
        let (mut runs, mut groups) = (Vec::new(), Vec::new());
        for content in &mut contents {
            match content {
                Content::Samples { registrations, columns } => {
                    names.slots.restore(&self.series, std::mem::take(registrations));
                    if wanted.samples
                        && names.slots.place(&sample_heads, &self.series, &mut columns.slots)
                    {
                        let columns: &SampleColumns = columns;
                        runs.extend(columns.page_runs().map(|it| (columns, it)));
                    }
                }
                Content::Histograms { registrations, columns } => {
                    for (id, labels) in registrations.drain(..) {
                        names.series.insert(id, self.series.restore(id, labels));
                    }
                    if wanted.histograms {
                        append_histograms(&histogram_heads, &names.series, columns);
                    }
                }
                Content::Logs { registrations, columns } => {
                    for (id, labels) in registrations.drain(..) {
                        names.streams.insert(id, self.streams.restore(id, labels));
                    }
                    if wanted.logs {
                        let streams = &names.streams;
                        groups.extend(columns.groups().map(|it| Group::of(streams, it)));
                    }
                }
            }
        }
        append_samples(&sample_heads, runs);
        append_logs(&log_heads, groups);
        Ok(())
    }

    /// Writes the heads to parts if they are large; they hold all of `through`, and nothing newer.
    fn flush_replayed(&self, through: SegmentSeq) -> bool {
        let n_bytes_max = self.config.replay_bytes_max.unwrap_or(self.config.memory_bytes_max);
        if self.view().head_bytes() <= n_bytes_max {
            return false;
        }
        let Ok(mut tables) = self.tables.try_lock() else { return false };
        if let Err(error) = self.write_replayed(&mut tables, through.0) {
            // On a full disk, say: the rows stay in memory, as after a flush that failed.
            let error = report(&error);
            tracing::warn!(error, "Could not write replayed rows to parts; they stay in memory.");
        }
        true
    }
}

/// Up to which segment each table has the log's rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CoveredTables {
    pub(crate) samples: Covered,
    pub(crate) histograms: Covered,
    pub(crate) logs: Covered,
}

impl CoveredTables {
    pub(crate) fn of(tables: &Tables) -> Self {
        let Tables { samples, histograms, logs, .. } = tables;
        let (samples, histograms) = (samples.covered(), histograms.covered());
        Self { samples, histograms, logs: logs.covered() }
    }

    /// All of them have all of the log's rows.
    pub(crate) fn all(self) -> u64 {
        self.samples.all.max(self.histograms.all).max(self.logs.all)
    }
}

/// Which tables do not have a segment's rows.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    samples: bool,
    histograms: bool,
    logs: bool,
}

/// As many of the first records as make a round, one at least.
fn round_of<'r, 'b>(records: &'r [&'b [u8]]) -> &'r [&'b [u8]] {
    let mut n_bytes = 0;
    let is_inside = |record: &&&[u8]| {
        n_bytes += Record::decoded_bytes(record);
        n_bytes <= ROUND_BYTES
    };
    let n_inside = records.iter().take_while(is_inside).count();
    records.get(..n_inside.max(1)).unwrap_or(records)
}

fn decoded<T>(results: Vec<Result<T, RecordError>>) -> Result<Vec<T>, AtRecord<RecordError>> {
    let at = |(record_idx, it): (usize, Result<T, RecordError>)| {
        it.map_err(|source| AtRecord { record_idx, source })
    };
    results.into_iter().enumerate().map(at).collect()
}

/// What the log's names stand for.
#[derive(Debug)]
struct Names {
    slots: Slots,
    /// By id, those of histograms.
    series: HashMap<i64, Arc<Entry>>,
    /// By id; at first those that parts have.
    streams: HashMap<i64, Arc<Entry>>,
}

/// Which series the slots of the log's records are of: each process and each flush numbers anew,
/// and registers before it uses.
#[derive(Debug, Default)]
struct Slots {
    /// The index's ordinal by slot of the log, [`NONE`] for none.
    ordinals: Vec<u32>,
    /// The heads' slot by slot of the log, [`NONE`] before its first sample.
    places: Vec<u32>,
}

const NONE: u32 = u32::MAX;
/// No process has had as many series: a record that names a higher one is not of ours.
const SLOTS_MAX: usize = 1 << 27;

impl Slots {
    fn restore(&mut self, index: &Index, registrations: Vec<SampleRegistration>) {
        for it in registrations {
            let ordinal = index.restore(it.id, it.labels).ordinal();
            let slot = it.slot as usize;
            if slot >= self.ordinals.len() && slot < SLOTS_MAX {
                self.ordinals.resize(slot + 1, NONE);
                self.places.resize(slot + 1, NONE);
            }
            let known = self.ordinals.get_mut(slot).zip(self.places.get_mut(slot));
            if let Some((known, place)) = known
                && *known != ordinal
            {
                (*known, *place) = (ordinal, NONE);
            }
        }
    }

    /// Turns slots of the log into slots of the heads. If it does not know one, all stay.
    fn place(&mut self, heads: &SampleHeads, index: &Index, slots: &mut [u32]) -> bool {
        if slots.iter().any(|it| self.place_of(*it) == NONE) && !self.reserve(heads, index, slots) {
            return false;
        }
        slots.iter_mut().for_each(|it| *it = self.place_of(*it));
        true
    }

    /// Has the heads make room for those that have none yet.
    fn reserve(&mut self, heads: &SampleHeads, index: &Index, slots: &[u32]) -> bool {
        let new: Vec<u32> = slots.iter().copied().filter(|it| self.place_of(*it) == NONE).collect();
        let ordinal_of = |slot: &u32| self.ordinals.get(*slot as usize).copied();
        let ordinals = new.iter().map(|it| ordinal_of(it).filter(|it| *it != NONE)).collect();
        let Some::<Vec<u32>>(mut places) = ordinals else {
            let n_series = slots.len();
            tracing::error!(n_series, "A record of the log names a series that it does not know.");
            return false;
        };
        if heads.reserve(index, &mut places).is_none() {
            return false;
        }
        for (slot, place) in new.into_iter().zip(places) {
            if let Some(it) = self.places.get_mut(slot as usize) {
                *it = place;
            }
        }
        true
    }

    fn place_of(&self, slot: u32) -> u32 {
        self.places.get(slot as usize).copied().unwrap_or(NONE)
    }

    /// The heads are others now.
    fn forget_places(&mut self) {
        self.places.fill(NONE);
    }
}

fn append_samples(heads: &SampleHeads, mut runs: Vec<(&SampleColumns, PageRun)>) {
    // Stable: of one page the newer samples come later.
    runs.sort_by_key(|(_, it)| it.page_idx);
    let pages: Vec<_> = runs.chunk_by(|(_, a), (_, b)| a.page_idx == b.page_idx).collect();
    parallel::for_each(pages.into_iter(), |runs| {
        let page_idx = runs.first().map_or(0, |(_, it)| it.page_idx);
        heads.append_to_page(page_idx, runs.iter().map(|(columns, it)| (*columns, it)));
    });
}

fn append_histograms(
    heads: &HistogramHeads,
    series: &HashMap<i64, Arc<Entry>>,
    columns: &HistogramColumns,
) {
    for (id, histograms) in &columns.0 {
        match series.get(id) {
            Some(entry) => {
                heads.append(*id, histograms);
                mark_days(entry, histograms.iter().map(|it| it.ts.0));
            }
            None => {
                tracing::error!(id, "A record of the log names a series that it does not know.");
            }
        }
    }
}

/// A record's entries of one stream.
struct Group<'c> {
    id: i64,
    entry: Option<Arc<Entry>>,
    ts: &'c [i64],
    entries: &'c [LogBody<'c>],
}

impl<'c> Group<'c> {
    fn of(
        streams: &HashMap<i64, Arc<Entry>>,
        (id, ts, entries): (i64, &'c [i64], &'c [LogBody<'c>]),
    ) -> Self {
        let entry = streams.get(&id).map(Arc::clone);
        if entry.is_none() {
            tracing::error!(id, "A record of the log names a stream that it does not know.");
        }
        Self { id, entry, ts, entries }
    }
}

fn append_logs(heads: &LogHeads, mut groups: Vec<Group<'_>>) {
    // Stable: of one stream the newer entries come later.
    groups.sort_by_key(|it| LogHeads::shard_of(it.id));
    let is_same =
        |a: &Group<'_>, b: &Group<'_>| LogHeads::shard_of(a.id) == LogHeads::shard_of(b.id);
    let shards: Vec<_> = groups.chunk_by(is_same).collect();
    parallel::for_each(shards.into_iter(), |groups| {
        for Group { id, entry, ts, entries } in groups {
            heads.append(*id, ts, entries);
            if let Some(entry) = entry {
                mark_days(entry, ts.iter().map(|it| it.div_euclid(NS_PER_MS)));
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_as_many_records_as_fit_and_one_at_least() {
        let logs =
            |n_bytes: usize| [&[1, 4], &u32::try_from(n_bytes).unwrap().to_le_bytes()[..]].concat();
        let n_inside = |sizes: &[usize]| {
            let records: Vec<Vec<u8>> = sizes.iter().map(|it| logs(*it)).collect();
            round_of(&records.iter().map(Vec::as_slice).collect::<Vec<_>>()).len()
        };
        assert_eq!(n_inside(&[ROUND_BYTES / 2, ROUND_BYTES / 2, 1]), 2);
        assert_eq!(n_inside(&[ROUND_BYTES + 1, 1]), 1);
        assert_eq!(n_inside(&[1, 1]), 2);
    }
}
