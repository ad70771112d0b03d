//! What may go under a cap, held against what went: whole days from the oldest on, of the last
//! day the parts that end first, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    World,
    model::{LogRowKey, SampleKey, is_histogram, log_day, sample_day},
    read::{read_logs, read_samples},
};
use crate::{Store, day::NS_PER_MS, part::PartInfo, space::SpaceStats};

/// Parts of rows.
#[derive(Debug, Default, Clone)]
pub(super) struct Live {
    samples: Vec<PartInfo>,
    histograms: Vec<PartInfo>,
    logs: Vec<PartInfo>,
}

/// Rows that may be in memory alone: those of parts that a cap is about are none of them.
#[derive(Debug, Default)]
pub(super) struct Heads {
    pub(super) samples: BTreeSet<SampleKey>,
    pub(super) logs: BTreeSet<LogRowKey>,
}

/// What is visible after parts went.
struct Left {
    samples: BTreeMap<SampleKey, u64>,
    logs: BTreeSet<LogRowKey>,
}

impl Live {
    fn of(store: &Store) -> Self {
        let view = store.view();
        let infos = |parts: &[Arc<crate::part::Part>]| {
            parts.iter().map(|it| it.info.clone()).collect::<Vec<_>>()
        };
        Self {
            samples: infos(&view.samples.parts),
            histograms: infos(&view.histograms.parts),
            logs: infos(&view.logs.parts),
        }
    }

    fn without(&self, others: &Self) -> Self {
        let is_other = |part: &PartInfo, others: &[PartInfo]| others.contains(part);
        let keep = |parts: &[PartInfo], others: &[PartInfo]| {
            parts.iter().filter(|it| !is_other(it, others)).cloned().collect::<Vec<_>>()
        };
        Self {
            samples: keep(&self.samples, &others.samples),
            histograms: keep(&self.histograms, &others.histograms),
            logs: keep(&self.logs, &others.logs),
        }
    }

    fn days(&self) -> BTreeSet<i32> {
        let Self { samples, histograms, logs } = self;
        samples.iter().chain(histograms).chain(logs).map(|it| it.day).collect()
    }
}

impl World {
    /// Everything in memory is in parts, and those are on the disk.
    pub(super) async fn note_flush(&mut self, store: &Arc<Store>, context: &str) {
        self.model.synced();
        self.note_evictions(store, context).await;
        self.heads = Heads::default();
        if self.is_clean {
            self.check_room(store, context);
        }
    }

    /// As much room was made as there was to make.
    fn check_room(&self, store: &Store, context: &str) {
        let SpaceStats { max_bytes: Some(cap), used_bytes, .. } = store.stats().space else {
            return;
        };
        let Live { samples, histograms, logs } = &self.live;
        let n_parts = [samples.len(), histograms.len(), logs.len()];
        let is_last = n_parts.iter().all(|it| *it <= 1) && self.live.days().len() <= 1;
        let is_well = used_bytes <= cap - cap / 8
            || (is_last && used_bytes <= cap)
            || n_parts.iter().all(|it| *it == 0);
        assert!(is_well, "{context}: {used_bytes} of {cap} bytes in {n_parts:?} parts");
    }

    /// Under a cap the oldest rows go. Where nothing fails it is known which, and they never come
    /// back; otherwise any of them may be gone or come back.
    pub(super) async fn note_evictions(&mut self, store: &Arc<Store>, context: &str) {
        let SpaceStats { n_evicted_parts, .. } = store.stats().space;
        assert!(n_evicted_parts == 0 || self.config.max_bytes.is_some());
        let live = Live::of(store);
        if n_evicted_parts > self.n_evicted_parts {
            if self.is_clean && !self.is_damaged {
                self.check_evicted(store, &live, context).await;
            } else {
                self.model.doubt_samples(|_| true);
                self.model.doubt_logs(|_| true);
            }
        }
        (self.n_evicted_parts, self.live) = (n_evicted_parts, live);
    }

    async fn check_evicted(&mut self, store: &Arc<Store>, live: &Live, context: &str) {
        let left = Left {
            samples: read_samples(store, self.may_lack_sets).await.into_iter().collect(),
            logs: read_logs(store, self.may_lack_sets).await.into_iter().collect(),
        };
        let evicted = self.live.without(live);
        let kept = self.live.without(&evicted);
        println!("{context}: {:?} evicted, {:?} kept", evicted.days(), kept.days());
        check_order(&evicted, &kept, context);
        let oldest_ms = self.oldest_ms();
        let (samples, logs) = self.model.forget_gone(&left.samples, &left.logs, oldest_ms);
        let reverted = self.model.revert(&left.samples);
        let in_part = |parts: &[PartInfo], day: i32, ts: i64| {
            parts.iter().any(|it| it.day == day && it.ts.0 <= ts && ts <= it.ts.1)
        };
        for key in samples.iter().chain(&reverted) {
            let parts = if is_histogram(key) { &evicted.histograms } else { &evicted.samples };
            let was_in_part = in_part(parts, sample_day(key), key.1);
            let may_be_new = self.heads.samples.contains(key);
            assert!(was_in_part || may_be_new, "{context}: {key:?} went without its part");
        }
        for row in &logs {
            let was_in_part = in_part(&evicted.logs, log_day(row), row.1);
            let may_be_new = self.heads.logs.contains(row);
            assert!(was_in_part || may_be_new, "{context}: {row:?} went without its part");
        }
        let last_gone = samples.iter().map(sample_day).chain(logs.iter().map(log_day)).max();
        let Some(last_gone) = last_gone else { return };
        let samples = left.samples.keys().filter(|it| !self.heads.samples.contains(*it));
        let logs = left.logs.iter().filter(|it| !self.heads.logs.contains(*it));
        let days: BTreeSet<i32> = samples.map(sample_day).chain(logs.map(log_day)).collect();
        let Some(&first_left) = days.first() else { return };
        assert!(
            last_gone < first_left || (last_gone == first_left && days.len() == 1),
            "{context}: rows of day {last_gone} went, of {days:?} some are left"
        );
    }
}

/// Days go as a whole, and before those after them; of the only day parts go, those first that end
/// first, though not the last of a table while another has more.
#[track_caller]
fn check_order(evicted: &Live, kept: &Live, context: &str) {
    let days = (evicted.days(), kept.days());
    let (Some(last_gone), Some(first_left)) = (days.0.last(), days.1.first()) else { return };
    if last_gone < first_left {
        return;
    }
    assert!(last_gone == first_left && days.1.len() == 1, "{context}: {days:?} went and stay");
    let age = |part: &PartInfo, unit: i64| (part.ts.1.div_euclid(unit), part.rank);
    let ages = |live: &Live| {
        let of_day = |it: &&PartInfo| it.day == *last_gone;
        let ages = |parts: &[PartInfo]| -> Vec<_> {
            parts.iter().filter(of_day).map(|it| age(it, 1)).collect()
        };
        let (samples, histograms) = (ages(&live.samples), ages(&live.histograms));
        let logs = live.logs.iter().filter(of_day).map(|it| age(it, NS_PER_MS)).collect();
        [samples, histograms, logs]
    };
    let [gone, left] = [ages(evicted), ages(kept)];
    for (table, gone) in gone.iter().enumerate() {
        for (other, left) in left.iter().enumerate() {
            let (Some(newest_gone), Some(oldest_left)) = (gone.iter().max(), left.iter().min())
            else {
                continue;
            };
            let is_last = other != table && left.len() == 1;
            assert!(newest_gone <= oldest_left || is_last, "{context}: {gone:?} before {left:?}");
        }
    }
}
