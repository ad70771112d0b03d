//! Samples of a series into buckets, and what window functions make of a bucket. Pure.

use skep_proto::{is_stale_marker, stale_marker, uncounted_marker};

use super::{Rollup, Tier};

/// What is left of the samples in `(end - width, end]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) end: i64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) sum: f64,
    pub(crate) count: i64,
    pub(crate) first_ts: i64,
    pub(crate) first: f64,
    pub(crate) last_ts: i64,
    pub(crate) last: f64,
    /// What a counter stood at before each of its resets, added up: it rose by
    /// `last - first + lost`.
    pub(crate) lost: f64,
    /// A stale marker after the last sample.
    pub(crate) stale_ts: Option<i64>,
}

impl Bucket {
    fn of(end: i64, ts: i64, value: f64) -> Self {
        Self {
            end,
            min: value,
            max: value,
            sum: value,
            count: 1,
            first_ts: ts,
            first: value,
            last_ts: ts,
            last: value,
            lost: 0.0,
            stale_ts: None,
        }
    }

    /// `compensation` is what rounding took from the sum so far (Neumaier's).
    fn add(&mut self, ts: i64, value: f64, compensation: &mut f64) {
        // NaN loses against everything but NaN, as in PromQL.
        if value < self.min || self.min.is_nan() {
            self.min = value;
        }
        if value > self.max || self.max.is_nan() {
            self.max = value;
        }
        let sum = self.sum + value;
        if sum.is_infinite() {
            *compensation = 0.0;
        } else if self.sum.abs() >= value.abs() {
            *compensation += (self.sum - sum) + value;
        } else {
            *compensation += (value - sum) + self.sum;
        }
        self.sum = sum;
        self.count += 1;
        if value < self.last {
            self.lost += self.last;
        }
        (self.last_ts, self.last) = (ts, value);
        self.stale_ts = None;
    }

    /// The samples that stand for the bucket where one thing is asked of it, in order of time.
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    pub(crate) fn samples(&self, rollup: Rollup, mut take: impl FnMut(i64, f64)) {
        match rollup {
            Rollup::Min => take(self.last_ts, self.min),
            Rollup::Max => take(self.last_ts, self.max),
            Rollup::Sum => take(self.last_ts, self.sum),
            Rollup::Count => take(self.last_ts, self.count as f64),
            Rollup::Last => self.last_and_stale(take),
            Rollup::Ends => {
                if self.count > 1 {
                    take(self.first_ts, self.first);
                }
                self.last_and_stale(take);
            }
            Rollup::Counter | Rollup::Rate => self.counter(rollup == Rollup::Rate, take),
        }
    }

    fn last_and_stale(&self, mut take: impl FnMut(i64, f64)) {
        take(self.last_ts, self.last);
        if let Some(ts) = self.stale_ts {
            take(ts, stale_marker());
        }
    }

    fn counter(&self, is_counted: bool, mut take: impl FnMut(i64, f64)) {
        take(self.first_ts, self.first);
        if self.count == 1 {
            return;
        }
        let after = |n: i64| self.first_ts.saturating_add(n).min(self.last_ts);
        let has_reset = self.lost > 0.0;
        let n_taken = if has_reset { 4 } else { 2 };
        if is_counted && self.count != n_taken {
            let more = i32::try_from(self.count - n_taken).unwrap_or(i32::MAX);
            take(after(1), uncounted_marker(more));
        }
        // A fall from as much to zero loses the same as all resets together, the first of which
        // was from no less than the first sample.
        if has_reset {
            take(after(2), self.lost);
            take(after(3), 0.0);
        }
        take(self.last_ts, self.last);
    }
}

/// Sums up samples that come in order of (series, time).
#[derive(Debug)]
pub(crate) struct Buckets {
    width_ms: i64,
    current: Option<Current>,
}

/// A series' bucket under way.
#[derive(Debug)]
struct Current {
    id: i64,
    bucket: Bucket,
    compensation: f64,
}

impl Buckets {
    pub(crate) fn new(tier: Tier) -> Self {
        Self { width_ms: tier.width_ms(), current: None }
    }

    /// Takes a sample; hands on the bucket before, if that was its last. A stale marker is no
    /// sample, but told where it ends a bucket's.
    pub(crate) fn add<E>(
        &mut self,
        id: i64,
        ts: i64,
        value: f64,
        take: impl FnMut(i64, Bucket) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = end_of(ts, self.width_ms);
        if let Some(Current { id: its_id, bucket, compensation }) = &mut self.current
            && (*its_id, bucket.end) == (id, end)
        {
            if is_stale_marker(value) {
                bucket.stale_ts = Some(ts);
            } else {
                bucket.add(ts, value, compensation);
            }
            return Ok(());
        }
        if is_stale_marker(value) {
            return Ok(());
        }
        self.finish(take)?;
        self.current = Some(Current { id, bucket: Bucket::of(end, ts, value), compensation: 0.0 });
        Ok(())
    }

    /// Hands on the last bucket.
    pub(crate) fn finish<E>(
        &mut self,
        mut take: impl FnMut(i64, Bucket) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(Current { id, mut bucket, compensation }) = self.current.take() else {
            return Ok(());
        };
        bucket.sum += compensation;
        take(id, bucket)
    }
}

/// The end of the bucket that holds a time stamp.
pub(super) fn end_of(ts: i64, width_ms: i64) -> i64 {
    let start = ts.saturating_sub(1).div_euclid(width_ms).saturating_mul(width_ms);
    start.saturating_add(width_ms)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn buckets(samples: &[(i64, f64)]) -> Vec<Bucket> {
        let mut found = Vec::new();
        let mut buckets = Buckets::new(Tier::Minutes5);
        let mut take = |_, bucket| {
            found.push(bucket);
            Ok::<_, Infallible>(())
        };
        for (ts, value) in samples {
            buckets.add(7, *ts, *value, &mut take).unwrap();
        }
        buckets.finish(&mut take).unwrap();
        found
    }

    /// What a counter rose by from its first to its last sample.
    fn increase(samples: &[(i64, f64)]) -> f64 {
        let rise = |pair: &[(i64, f64)]| {
            if pair[1].1 < pair[0].1 { pair[1].1 } else { pair[1].1 - pair[0].1 }
        };
        samples.windows(2).map(rise).sum()
    }

    #[test]
    fn a_bucket_is_open_at_its_start_and_holds_its_end() {
        let stale = stale_marker();
        let found =
            buckets(&[(1, 2.0), (150_000, 5.0), (150_001, stale), (300_000, 1.0), (300_001, 9.0)]);
        assert_eq!(
            found,
            [
                Bucket {
                    end: 300_000,
                    min: 1.0,
                    max: 5.0,
                    sum: 8.0,
                    count: 3,
                    first_ts: 1,
                    first: 2.0,
                    last_ts: 300_000,
                    last: 1.0,
                    lost: 5.0,
                    stale_ts: None,
                },
                Bucket::of(600_000, 300_001, 9.0),
            ]
        );
    }

    proptest! {
        #[test]
        fn a_counter_rises_as_much_in_buckets_as_in_samples(
            steps in prop::collection::vec((15_000..400_000_i64, 0..1_000_u32), 1..60),
        ) {
            let mut ts = 0;
            let samples: Vec<(i64, f64)> = steps
                .iter()
                .map(|(gap, value)| {
                    ts += gap;
                    (ts, f64::from(*value))
                })
                .collect();
            let mut stand_ins = Vec::new();
            for bucket in buckets(&samples) {
                bucket.samples(Rollup::Counter, |ts, value| stand_ins.push((ts, value)));
            }
            prop_assert!(stand_ins.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert_eq!(increase(&stand_ins), increase(&samples));
            prop_assert_eq!(stand_ins.first(), samples.first());
            prop_assert_eq!(stand_ins.last(), samples.last());
        }
    }
}
