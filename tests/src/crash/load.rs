//! What is sent: batches numbered from 0 on each connection, each a pure function of its number.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_proto::{
    Labels, LogEntry, MetricKind, Sample, TimestampMs, TimestampNs, remote_write::SeriesBatch,
};
use skep_wal::sim::Seeded;
use tokio::sync::RwLock;

use crate::Client;

pub(super) const METRIC: &str = "crash_total";
const START_S: i64 = 1_790_000_000;
/// Between two time stamps of a series; divides no number of days.
pub(super) const STEP_S: i64 = 17;
/// One batch in ten comes two days late.
pub(super) const LATE_S: i64 = 2 * 86_400;
/// A connection's series are other ones after so many batches, as when a fleet is redeployed.
const BATCHES_PER_EPOCH: u64 = 150;
/// Rows per batch are series × stamps: at most 64, so that a mask tells which were seen.
pub(super) const N_STAMPS: u64 = 4;
const N_SERIES: u64 = 15;
const N_STREAMS: u64 = 5;
/// Between two batches: all that were acknowledged are read back, again and again.
const PAUSE: Duration = Duration::from_millis(5);

/// Which of the two loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Samples,
    Lines,
}

/// One connection's load and how far it is.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) connection: u32,
    pub(super) kind: Kind,
    n_acknowledged: Arc<AtomicU64>,
    /// Held for reading while a batch is on its way, for writing while all are looked at: the load
    /// would only make that slow.
    gate: Arc<RwLock<()>>,
}

/// Where a row is in the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) batch: u64,
    pub(super) set: u64,
    pub(super) stamp: u64,
}

/// When a batch begins that is not late.
pub(super) fn start_s(batch: u64) -> i64 {
    let n = i64::try_from(batch * N_STAMPS).unwrap_or(i64::MAX / STEP_S);
    START_S.saturating_add(n * STEP_S)
}

impl Place {
    /// The row's bit among its batch's.
    pub(super) fn bit(self) -> u64 {
        1 << (self.set * N_STAMPS + self.stamp)
    }

    pub(super) fn ts_s(self) -> i64 {
        start_s(self.batch) + i64::try_from(self.stamp).unwrap_or(0) * STEP_S
            - if self.batch % 10 == 7 { LATE_S } else { 0 }
    }

    /// The place of the row of `set` with this time stamp.
    pub(super) fn at(set: u64, ts_s: i64) -> Option<Self> {
        [0, LATE_S].into_iter().find_map(|late_s| {
            let n = u64::try_from(ts_s - START_S + late_s).ok()? / STEP_S.unsigned_abs();
            let place = Self { batch: n / N_STAMPS, set, stamp: n % N_STAMPS };
            (place.ts_s() == ts_s).then_some(place)
        })
    }

    pub(super) fn epoch(self) -> u64 {
        self.batch / BATCHES_PER_EPOCH
    }
}

impl Sender {
    pub(super) fn new(connection: u32, kind: Kind, gate: Arc<RwLock<()>>) -> Self {
        Self { connection, kind, n_acknowledged: Arc::default(), gate }
    }

    /// Batches below this were acknowledged; the one at it may have been sent.
    pub(super) fn n_acknowledged(&self) -> u64 {
        self.n_acknowledged.load(Ordering::Acquire)
    }

    /// Sends the same batch until it is acknowledged, as an agent does.
    pub(super) async fn run(self, client: Client, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let sending = self.gate.read().await;
            let batch = self.n_acknowledged();
            let status = match self.kind {
                Kind::Samples => client.write(&self.samples(batch)).await,
                Kind::Lines => client.push(&self.lines(batch)).await,
            };
            if status.is_ok_and(|it| it.is_success()) {
                self.n_acknowledged.store(batch + 1, Ordering::Release);
            }
            drop(sending);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How many label sets a batch has.
    pub(super) fn n_sets(&self) -> u64 {
        match self.kind {
            Kind::Samples => N_SERIES,
            Kind::Lines => N_STREAMS,
        }
    }

    /// Every bit that a batch has.
    pub(super) fn full_mask(&self) -> u64 {
        (1 << (self.n_sets() * N_STAMPS)) - 1
    }

    fn places(batch: u64, set: u64) -> impl Iterator<Item = Place> {
        (0..N_STAMPS).map(move |stamp| Place { batch, set, stamp })
    }

    fn labels(&self, name: &str, batch: u64, set: u64) -> Labels {
        let epoch = Place { batch, set, stamp: 0 }.epoch().to_string();
        let (connection, set) = (self.connection.to_string(), set.to_string());
        let pairs = [("job", name), ("connection", &connection), ("set", &set), ("epoch", &epoch)];
        let metric = (self.kind == Kind::Samples).then_some(("__name__", METRIC));
        Labels::from_pairs(pairs.into_iter().chain(metric)).unwrap_or_default()
    }

    fn samples(&self, batch: u64) -> Vec<SeriesBatch> {
        (0..N_SERIES)
            .map(|set| SeriesBatch {
                labels: self.labels("crash", batch, set),
                samples: Self::places(batch, set)
                    .map(|it| Sample { ts: TimestampMs(it.ts_s() * 1_000), value: self.value(it) })
                    .collect(),
                kind: MetricKind::Counter,
                help: "".into(),
            })
            .collect()
    }

    fn lines(&self, batch: u64) -> Vec<(Labels, Vec<LogEntry>)> {
        (0..N_STREAMS)
            .map(|set| {
                let entries = Self::places(batch, set).map(|it| LogEntry {
                    ts: TimestampNs(it.ts_s() * 1_000_000_000),
                    line: self.line(it),
                    metadata: vec![("batch".to_owned(), batch.to_string())],
                });
                (self.labels("crash", batch, set), entries.collect())
            })
            .collect()
    }

    fn hash(&self, place: Place) -> u64 {
        let Place { batch, set, stamp } = place;
        Seeded::new(u64::from(self.connection) << 48 ^ batch << 16 ^ set << 8 ^ stamp).next_u64()
    }

    /// Whole numbers, decimals and full-entropy floats, by series.
    #[expect(clippy::cast_precision_loss, reason = "any value is fine if it is always the same")]
    pub(super) fn value(&self, place: Place) -> f64 {
        let hash = self.hash(place) >> 12;
        match place.set % 3 {
            0 => (hash % 1_000_000) as f64,
            1 => (hash % 1_000_000) as f64 / 1_000.0,
            _ => hash as f64 * std::f64::consts::PI,
        }
    }

    pub(super) fn line(&self, place: Place) -> String {
        let Place { batch, set, stamp } = place;
        let hash = self.hash(place);
        format!(
            "connection={} batch={batch} set={set} stamp={stamp} id={hash:016x} msg=\"took {} ms\"",
            self.connection,
            hash % 977
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_again_by_its_time_stamp() {
        for batch in 0..20_000 {
            for stamp in 0..N_STAMPS {
                let place = Place { batch, set: 3, stamp };
                assert_eq!(Place::at(3, place.ts_s()), Some(place));
            }
        }
        assert_eq!(Place::at(3, START_S + 1), None);
    }
}
