//! Which buckets answer, and which samples: never both for the same time of a series.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Tier, bucket::end_of};
use crate::{
    day::{MS_PER_DAY, day_of_ms, start_ms},
    part::Part,
    retention::Expiry,
};

/// What is left of samples at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// Days that have samples.
    pub(crate) raw_days: Arc<BTreeSet<i32>>,
    pub(crate) expiry: Expiry,
}

/// The parts that are asked, one for each day.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    scope: Scope,
    /// By day.
    parts: BTreeMap<i32, (Tier, Arc<Part>)>,
}

impl Served {
    /// Of each day some of whose samples are gone, the widest tier that divides `grain_ms`, or
    /// else the finest; `None` where no day is.
    pub(crate) fn new(
        tiers: &[(Tier, Arc<Part>)],
        scope: impl FnOnce() -> Scope,
        grain_ms: i64,
    ) -> Option<Self> {
        if tiers.is_empty() {
            return None;
        }
        let scope = scope();
        let rank = |tier: Tier| {
            let width = tier.width_ms();
            let divides = grain_ms > 0 && grain_ms % width == 0;
            (divides, if divides { width } else { -width })
        };
        let mut parts: BTreeMap<i32, (Tier, Arc<Part>)> = BTreeMap::new();
        for (tier, part) in tiers.iter().filter(|it| scope.has_gone(it.1.info.day)) {
            let new = (*tier, Arc::clone(part));
            let held = parts.entry(part.info.day).or_insert_with(|| new.clone());
            if rank(held.0) < rank(*tier) {
                *held = new;
            }
        }
        (!parts.is_empty()).then_some(Self { scope, parts })
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &(Tier, Arc<Part>)> {
        self.parts.values()
    }

    /// No bucket that ends later is asked.
    pub(crate) fn horizon_ms(&self) -> i64 {
        let end = |(tier, part): &(Tier, Arc<Part>)| self.scope.end_served(part.info.day, *tier);
        self.parts().map(end).max().unwrap_or(i64::MIN)
    }

    /// Of the widest buckets that are asked.
    pub(crate) fn width_ms(&self) -> i64 {
        self.parts().map(|it| it.0.width_ms()).max().unwrap_or(0)
    }

    /// Whether a bucket is asked.
    pub(super) fn serves(&self, tier: Tier, day: i32, id: i64, end: i64) -> bool {
        self.scope.serves(tier, day, id, end)
    }

    /// Whether a bucket stands for a sample that is still there.
    pub(super) fn covers(&self, id: i64, ts: i64) -> bool {
        let day = day_of_ms(ts);
        self.parts
            .get(&day)
            .is_some_and(|(tier, _)| self.serves(*tier, day, id, end_of(ts, tier.width_ms())))
    }
}

impl Scope {
    /// Whether a day's samples are gone, or some of them.
    fn has_gone(&self, day: i32) -> bool {
        !self.raw_days.contains(&day) || start_ms(day) < self.expiry.oldest_by_default_ms()
    }

    /// Whether the bucket had samples that are gone.
    fn serves(&self, tier: Tier, day: i32, id: i64, end: i64) -> bool {
        !self.expiry.is_shorter(id)
            && (!self.raw_days.contains(&day) || tier.ts_of(day, end).0 < self.expiry.oldest_ms(id))
    }

    fn end_served(&self, day: i32, tier: Tier) -> i64 {
        let day_end = start_ms(day).saturating_add(MS_PER_DAY);
        if !self.raw_days.contains(&day) {
            return day_end;
        }
        let newest_gone = self.expiry.oldest_by_default_ms().saturating_sub(1);
        end_of(newest_gone, tier.width_ms()).min(day_end)
    }
}
