//! The zero bucket: how wide it is, and what falls into a wider one.

use std::cmp::Ordering;

use super::{Buckets, Count, Histogram, bounds::upper_bound};

impl<N: Count> Histogram<N> {
    /// What the zero bucket would count if it reached to `threshold`, which is at least what it is
    /// now, and how wide it must then be: a populated bucket is taken in whole.
    pub(super) fn zero_count_for(&self, mut threshold: f64) -> (N, f64) {
        loop {
            let before = threshold;
            let mut count = self.zero_count;
            for side in [&self.positive, &self.negative] {
                for (idx, more) in side {
                    if upper_bound(idx.saturating_sub(1), self.schema) >= threshold {
                        break;
                    }
                    count.merge(*more);
                    let upper = upper_bound(*idx, self.schema);
                    if upper > threshold {
                        if more.total() != 0.0 {
                            threshold = upper;
                        }
                        break;
                    }
                }
            }
            // The other side was looked at with a narrower bucket.
            if threshold.to_bits() == before.to_bits() {
                return (count, threshold);
            }
        }
    }

    /// Widens the zero bucket, and takes what it now covers from the others.
    fn widen_zero(&mut self, threshold: f64) {
        let (count, threshold) = self.zero_count_for(threshold);
        self.zero_count = count;
        self.zero_threshold = threshold;
        let schema = self.schema;
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|(idx, count)| {
                upper_bound(idx.saturating_sub(1), schema) >= threshold && count.total() != 0.0
            });
        }
    }

    /// Makes the zero bucket wide enough for both; gives what the other's would then count.
    pub(super) fn reconcile_zero(&mut self, other: &Histogram) -> f64 {
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        // Each round widens one of them to a bound of the other; NaN ends it at once.
        loop {
            match threshold.partial_cmp(&self.zero_threshold) {
                Some(Ordering::Less) => {
                    (count, threshold) = other.zero_count_for(self.zero_threshold);
                }
                Some(Ordering::Greater) => self.widen_zero(threshold),
                Some(Ordering::Equal) | None => return count,
            }
        }
    }
}

/// Without the buckets a zero bucket of that width covers.
pub(super) fn above_zero(buckets: &Buckets<f64>, schema: i8, threshold: f64) -> &[(i32, f64)] {
    let n_covered =
        buckets.iter().take_while(|(idx, _)| upper_bound(*idx, schema) <= threshold).count();
    buckets.get(n_covered..).unwrap_or_default()
}
