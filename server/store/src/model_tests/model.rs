//! What must be in the store, and what may be.

use std::collections::{BTreeMap, BTreeSet};

use crate::day::day_of_ms;

/// A series as it prints, and milliseconds; one of histograms with [`HISTOGRAM`] behind it.
pub(super) type SampleKey = (String, i64);
/// Behind the name of a series whose samples are native histograms.
pub(super) const HISTOGRAM: &str = " histogram";
/// A stream as it prints, nanoseconds, line and metadata.
pub(super) type LogRowKey = (String, i64, String, Vec<(String, String)>);

/// A row whose append failed may be there or not.
#[derive(Debug, Default, Clone)]
pub(super) struct Model {
    samples: BTreeMap<SampleKey, u64>,
    /// Values that may have taken the place of the one above, or of none.
    samples_maybe: BTreeMap<SampleKey, BTreeSet<u64>>,
    /// Every value since the last delete: what a lost part hid may come to light.
    samples_ever: BTreeMap<SampleKey, BTreeSet<u64>>,
    logs: BTreeSet<LogRowKey>,
    logs_maybe: BTreeSet<LogRowKey>,
    /// Acknowledged, and not on the disk for certain.
    unsynced_samples: BTreeSet<SampleKey>,
    unsynced_logs: BTreeSet<LogRowKey>,
}

impl Model {
    pub(super) fn sample(&mut self, key: SampleKey, bits: u64, is_acked: bool) {
        self.samples_ever.entry(key.clone()).or_default().insert(bits);
        if is_acked {
            self.unsynced_samples.insert(key.clone());
            self.samples_maybe.remove(&key);
            self.samples.insert(key, bits);
        } else {
            self.samples_maybe.entry(key).or_default().insert(bits);
        }
    }

    pub(super) fn log(&mut self, row: LogRowKey, is_acked: bool) {
        if is_acked {
            self.unsynced_logs.insert(row.clone());
            self.logs.insert(row);
        } else {
            self.logs_maybe.insert(row);
        }
    }

    /// A delete that failed may have been done or not, now or after a restart.
    pub(super) fn delete_samples(
        &mut self,
        is_deleted: impl Fn(&SampleKey) -> bool,
        is_acked: bool,
    ) {
        let gone = self.samples.extract_if(.., |key, _| is_deleted(key));
        for (key, bits) in gone.collect::<Vec<_>>() {
            if !is_acked {
                self.samples_maybe.entry(key).or_default().insert(bits);
            }
        }
        if is_acked {
            self.samples_ever.retain(|key, _| !is_deleted(key));
        }
    }

    pub(super) fn delete_logs(&mut self, is_deleted: impl Fn(&LogRowKey) -> bool, is_acked: bool) {
        for row in self.logs.extract_if(.., |it| is_deleted(it)).collect::<Vec<_>>() {
            if !is_acked {
                self.logs_maybe.insert(row);
            }
        }
    }

    /// All that was acknowledged.
    pub(super) fn rows(&self) -> (BTreeMap<SampleKey, u64>, BTreeSet<LogRowKey>) {
        (self.samples.clone(), self.logs.clone())
    }

    /// All that was acknowledged is on the disk.
    pub(super) fn synced(&mut self) {
        self.unsynced_samples.clear();
        self.unsynced_logs.clear();
    }

    /// What was not may be gone.
    pub(super) fn lose_unsynced(&mut self) {
        let samples = std::mem::take(&mut self.unsynced_samples);
        self.doubt_samples(|it| samples.contains(it));
        let logs = std::mem::take(&mut self.unsynced_logs);
        self.doubt_logs(|it| logs.contains(it));
    }

    /// These may be gone, or be as they were before.
    pub(super) fn doubt_samples(&mut self, is_in_doubt: impl Fn(&SampleKey) -> bool) {
        for (key, _) in self.samples.extract_if(.., |key, _| is_in_doubt(key)).collect::<Vec<_>>() {
            self.samples_maybe.entry(key).or_default();
        }
        for (key, maybe) in &mut self.samples_maybe {
            if is_in_doubt(key) {
                maybe.extend(self.samples_ever.get(key).into_iter().flatten());
            }
        }
    }

    pub(super) fn doubt_logs(&mut self, is_in_doubt: impl Fn(&LogRowKey) -> bool) {
        let lost = self.logs.extract_if(.., |it| is_in_doubt(it));
        self.logs_maybe.extend(lost);
    }

    /// Of the acknowledged rows inside retention those that are not there, which then are no more.
    pub(super) fn forget_gone(
        &mut self,
        samples: &BTreeMap<SampleKey, u64>,
        logs: &BTreeSet<LogRowKey>,
        oldest_ms: i64,
    ) -> (Vec<SampleKey>, Vec<LogRowKey>) {
        let is_gone = |key: &SampleKey| key.1 >= oldest_ms && !samples.contains_key(key);
        let gone_samples = self.samples.extract_if(.., |key, _| is_gone(key));
        let gone_samples: Vec<_> = gone_samples.map(|it| it.0).collect();
        let is_gone = |row: &LogRowKey| ms_of(row) >= oldest_ms && !logs.contains(row);
        let gone_logs = self.logs.extract_if(.., |row| is_gone(row)).collect();
        (gone_samples, gone_logs)
    }

    /// What is written there counts again as it was before what was written last went.
    pub(super) fn revert(&mut self, samples: &BTreeMap<SampleKey, u64>) -> Vec<SampleKey> {
        let mut reverted = Vec::new();
        for (key, bits) in &mut self.samples {
            let Some(found) = samples.get(key).filter(|it| *it != bits) else { continue };
            if self.samples_ever.get(key).is_some_and(|it| it.contains(found)) {
                *bits = *found;
                reverted.push(key.clone());
            }
        }
        reverted
    }

    /// `oldest_ms` is where retention begins.
    #[track_caller]
    pub(super) fn check(
        &self,
        samples: &[(SampleKey, u64)],
        logs: &[LogRowKey],
        oldest_ms: i64,
        context: &str,
    ) {
        let mut found = BTreeMap::new();
        for (key, bits) in samples {
            assert!(found.insert(key, *bits).is_none(), "{context}: {key:?} is twice");
            let maybe = self.samples_maybe.get(key);
            let is_known =
                self.samples.get(key) == Some(bits) || maybe.is_some_and(|it| it.contains(bits));
            assert!(is_known, "{context}: {key:?} has {bits:#x}, which nobody wrote last");
            assert!(key.1 >= oldest_ms, "{context}: {key:?} is past retention");
        }
        for key in self.samples.keys().filter(|it| it.1 >= oldest_ms) {
            assert!(found.contains_key(key), "{context}: acknowledged {key:?} is gone");
        }
        let distinct: BTreeSet<_> = logs.iter().collect();
        assert_eq!(distinct.len(), logs.len(), "{context}: an entry is twice");
        for row in self.logs.iter().filter(|it| ms_of(it) >= oldest_ms) {
            assert!(distinct.contains(row), "{context}: acknowledged {row:?} is gone");
        }
        for row in distinct {
            let is_known = self.logs.contains(row) || self.logs_maybe.contains(row);
            assert!(is_known, "{context}: nobody wrote {row:?}");
            assert!(ms_of(row) >= oldest_ms, "{context}: {row:?} is past retention");
        }
    }
}

fn ms_of(row: &LogRowKey) -> i64 {
    row.1.div_euclid(1_000_000)
}

/// Whether it stands for a native histogram.
pub(super) fn is_histogram(key: &SampleKey) -> bool {
    key.0.ends_with(HISTOGRAM)
}

/// Of samples.
pub(super) fn sample_day(key: &SampleKey) -> i32 {
    day_of_ms(key.1)
}

/// Of log entries.
pub(super) fn log_day(row: &LogRowKey) -> i32 {
    day_of_ms(ms_of(row))
}
