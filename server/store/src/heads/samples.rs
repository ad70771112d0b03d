//! Samples in memory, by series.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{Shards, days_in, shard_of, sorted_ids};
use crate::{day::days_of_ms, filter::RowFilter};

/// What a sample takes in its two columns.
const SAMPLE_BYTES: usize = 16;
/// A guess of what a series takes beside its samples: map entry and two allocations.
const SERIES_BYTES: usize = 128;

/// Appended to by many, read by queries, then frozen and written out.
#[derive(Debug, Default)]
pub(crate) struct SampleHeads {
    shards: Shards<Columns>,
    n_bytes: AtomicUsize,
    n_samples: AtomicUsize,
}

#[derive(Debug, Default)]
struct Columns {
    ts: Vec<i64>,
    bits: Vec<u64>,
}

/// One series' samples in order of time, each time stamp once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SampleRun {
    pub(crate) id: i64,
    pub(crate) ts: Vec<i64>,
    pub(crate) bits: Vec<u64>,
}

impl SampleHeads {
    pub(crate) fn append(&self, id: i64, ts: &[i64], bits: &[u64]) {
        let Some(shard) = self.shards.get(shard_of(id)) else { return };
        let mut shard = shard.lock().expect("nothing panics while it holds a head");
        let n_before = shard.len();
        let columns = shard.entry(id).or_default();
        columns.ts.extend(ts);
        columns.bits.extend(bits);
        let n_bytes = ts.len() * SAMPLE_BYTES + (shard.len() - n_before) * SERIES_BYTES;
        self.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        self.n_samples.fetch_add(ts.len(), Ordering::Relaxed);
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.n_bytes.load(Ordering::Relaxed)
    }

    /// Overwritten ones included.
    pub(crate) fn n_samples(&self) -> usize {
        self.n_samples.load(Ordering::Relaxed)
    }

    /// The ids that have samples, in order.
    pub(crate) fn ids(&self) -> Vec<i64> {
        sorted_ids(&self.shards)
    }

    /// The days that have samples, in order.
    pub(crate) fn days(&self) -> BTreeSet<i32> {
        days_in(&self.shards, |columns| days_of_ms(columns.ts.iter().copied()))
    }

    /// One series' samples inside the filter's time range; `None` where there are none.
    pub(crate) fn read(&self, id: i64, filter: &RowFilter) -> Option<SampleRun> {
        let shard = self.shards.get(shard_of(id))?;
        let shard = shard.lock().expect("nothing panics while it holds a head");
        let columns = shard.get(&id)?;
        let run = columns.read(id, filter);
        drop(shard);
        (!run.ts.is_empty()).then(|| run.sorted())
    }
}

impl Columns {
    fn read(&self, id: i64, filter: &RowFilter) -> SampleRun {
        let mut run = SampleRun { id, ts: Vec::new(), bits: Vec::new() };
        for (&ts, &bits) in self.ts.iter().zip(&self.bits) {
            if filter.wants_ts(ts) {
                run.ts.push(ts);
                run.bits.push(bits);
            }
        }
        run
    }
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
    use super::*;

    #[test]
    fn the_last_write_of_a_time_stamp_wins_and_order_does_not_matter() {
        let heads = SampleHeads::default();
        heads.append(3, &[10, 30, 20], &[1, 2, 3]);
        heads.append(3, &[30, 5], &[4, 5]);
        assert_eq!(
            heads.read(3, &RowFilter::ALL),
            Some(SampleRun { id: 3, ts: vec![5, 10, 20, 30], bits: vec![5, 1, 3, 4] })
        );
        assert_eq!(heads.read(4, &RowFilter::ALL), None);
        assert_eq!((heads.n_samples(), heads.ids()), (5, vec![3]));
    }
}
