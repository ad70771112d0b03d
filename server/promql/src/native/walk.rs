//! Buckets with their bounds, from the lowest to the highest.

use skep_proto::NativeHistogram;

use super::{Histogram, bounds::upper_bound};

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    /// Whether a value equal to the bound is counted here.
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: f64,
}

/// Every bucket of a histogram by rising bounds, the zero bucket among them where it counts
/// anything; those without a count too.
pub fn buckets(histogram: &NativeHistogram) -> Vec<Bucket> {
    Histogram::from(histogram).walk()
}

impl Histogram {
    /// See [`buckets`].
    pub(crate) fn walk(&self) -> Vec<Bucket> {
        let mut all = Vec::with_capacity(self.negative.len() + self.positive.len() + 1);
        all.extend(self.negative.iter().rev().map(|it| self.negative_bucket(it)));
        if self.zero_count > 0.0 {
            all.push(self.zero_bucket());
        }
        all.extend(self.positive.iter().map(|it| self.positive_bucket(it)));
        all
    }

    pub(super) fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    pub(super) fn positive_bucket(&self, &(idx, count): &(i32, f64)) -> Bucket {
        if self.has_custom_buckets() {
            return self.custom_bucket(idx, count);
        }
        let (lower, upper) = self.bounds(idx);
        // The zero bucket may reach into the first.
        let lower = if lower < self.zero_threshold { self.zero_threshold } else { lower };
        Bucket { lower, upper, lower_inclusive: false, upper_inclusive: true, count }
    }

    pub(super) fn negative_bucket(&self, &(idx, count): &(i32, f64)) -> Bucket {
        let (near, far) = self.bounds(idx);
        let near = if near < self.zero_threshold { self.zero_threshold } else { near };
        Bucket { lower: -far, upper: -near, lower_inclusive: true, upper_inclusive: false, count }
    }

    fn bounds(&self, idx: i32) -> (f64, f64) {
        (upper_bound(idx.saturating_sub(1), self.schema), upper_bound(idx, self.schema))
    }

    fn custom_bucket(&self, idx: i32, count: f64) -> Bucket {
        let bound =
            |idx: i32| usize::try_from(idx).ok().and_then(|it| self.custom_values.get(it)).copied();
        let is_first = idx <= 0;
        let lower = if is_first {
            f64::NEG_INFINITY
        } else {
            bound(idx.saturating_sub(1)).unwrap_or(f64::INFINITY)
        };
        Bucket {
            lower,
            upper: bound(idx).unwrap_or(f64::INFINITY),
            lower_inclusive: is_first,
            upper_inclusive: true,
            count,
        }
    }
}
