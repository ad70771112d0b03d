//! Which times were last written when: what tells a cached answer that it is out of date.
//!
//! Time is cut into slots of a minute. A write counts up the version and leaves it in the slots of
//! its samples; an answer remembers the version from before it was computed and is good as long as
//! no slot it looked at has a later one.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use skep_proto::{TimeRange, TimestampMs};

const SLOT_MS: i64 = 60_000;

/// Slots that are told apart, near three days of live writes; of all others only the latest
/// version is known.
const N_SLOTS_MAX: usize = 4_096;

/// A write of more slots than this counts as one of all times.
const N_SLOTS_A_WRITE_MAX: i64 = 512;

/// What changed in a table since when.
#[derive(Debug, Default)]
pub struct Changes(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    version: u64,
    by_slot: BTreeMap<i64, u64>,
    /// The latest version of any slot that is not listed.
    others: u64,
}

impl Changes {
    /// Grows with each write. Read it before taking a snapshot: what the snapshot lacks has a later
    /// version.
    pub fn version(&self) -> u64 {
        self.held().version
    }

    /// From when on answers may differ that were computed at `version`, if they look at nothing
    /// outside `range`; `None` where nothing in it changed. Never too late, at times too early.
    pub fn first_since(&self, version: u64, range: TimeRange) -> Option<TimestampMs> {
        if range.end < range.start {
            return None;
        }
        let slots = self.held();
        let (first, last) = (slot_of(range.start.0), slot_of(range.end.0));
        let at = |slot: i64| TimestampMs(slot.saturating_mul(SLOT_MS).max(range.start.0));
        let mut next = first;
        for (&slot, &changed) in slots.by_slot.range(first..=last) {
            if slots.others > version && next < slot {
                return Some(at(next));
            }
            if changed > version {
                return Some(at(slot));
            }
            next = slot.saturating_add(1);
        }
        (slots.others > version && next <= last).then(|| at(next))
    }

    /// Notes samples written between these times, which queries see already.
    pub(crate) fn note(&self, ts_min: i64, ts_max: i64) {
        let (first, last) = (slot_of(ts_min), slot_of(ts_max));
        if last.saturating_sub(first) >= N_SLOTS_A_WRITE_MAX {
            return self.note_all();
        }
        let mut slots = self.held();
        slots.version += 1;
        let version = slots.version;
        for slot in first..=last {
            slots.by_slot.insert(slot, version);
        }
        while slots.by_slot.len() > N_SLOTS_MAX {
            let Some((_, version)) = slots.by_slot.pop_first() else { break };
            slots.others = slots.others.max(version);
        }
    }

    /// Notes that samples of any time may have come or gone.
    pub(crate) fn note_all(&self) {
        let mut slots = self.held();
        slots.version += 1;
        slots.others = slots.version;
        slots.by_slot.clear();
    }

    fn held(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().expect("nothing panics while it holds the changes")
    }
}

fn slot_of(ts: i64) -> i64 {
    ts.div_euclid(SLOT_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange { start: TimestampMs(start), end: TimestampMs(end) }
    }

    #[test]
    fn a_late_sample_is_told_apart_from_live_ones() {
        let changes = Changes::default();
        changes.note(600_000, 600_000);
        let version = changes.version();
        assert_eq!(changes.first_since(version, range(0, 600_000)), None);
        changes.note(660_000, 661_000);
        assert_eq!(changes.first_since(version, range(0, 600_000)), None);
        assert_eq!(changes.first_since(version, range(0, 660_000)), Some(TimestampMs(660_000)));
        changes.note(59_999, 59_999);
        assert_eq!(changes.first_since(version, range(7, 660_000)), Some(TimestampMs(7)));
        assert_eq!(changes.first_since(version, range(60_000, 659_999)), None);
    }

    #[test]
    fn of_long_writes_and_forgotten_slots_everything_may_have_changed() {
        let changes = Changes::default();
        let version = changes.version();
        changes.note(0, i64::MAX);
        assert_eq!(changes.first_since(version, range(-5, 5)), Some(TimestampMs(-5)));
        let version = changes.version();
        assert_eq!(changes.first_since(version, range(-5, 5)), None);
        let n_slots = i64::try_from(N_SLOTS_MAX).unwrap();
        (0..=n_slots).for_each(|it| changes.note(it * SLOT_MS, it * SLOT_MS));
        assert_eq!(changes.held().by_slot.len(), N_SLOTS_MAX);
        assert_eq!(changes.first_since(version, range(-5, -1)), Some(TimestampMs(-5)));
        let version = changes.version();
        changes.note((n_slots + 1) * SLOT_MS, (n_slots + 1) * SLOT_MS);
        assert_eq!(changes.first_since(version, range(-5, n_slots * SLOT_MS)), None);
    }

    proptest! {
        #[test]
        fn no_write_is_missed(
            writes in prop::collection::vec((-90_i64..90, 0_i64..9), 0..40),
            n_before in 0_usize..40,
            (start, length) in (-90_i64..90, 0_i64..60),
        ) {
            let changes = Changes::default();
            let mut version = changes.version();
            let mut first = None::<i64>;
            let asked = range(start * 10_000, (start + length) * 10_000);
            for (n, (ts, length)) in writes.iter().enumerate() {
                if n == n_before {
                    (version, first) = (changes.version(), None);
                }
                let (from, to) = (ts * 10_000, (ts + length) * 10_000);
                changes.note(from, to);
                if from <= asked.end.0 && asked.start.0 <= to {
                    let at = from.max(asked.start.0);
                    first = Some(first.map_or(at, |it| it.min(at)));
                }
            }
            let told = changes.first_since(version, asked);
            if let Some(first) = first {
                prop_assert!(told.is_some_and(|it| it.0 <= first));
            }
        }
    }
}
