//! Resolution: neighbouring buckets made one, custom bounds mapped to those two layouts share.

use super::{Buckets, Count, Histogram};

impl<N: Count> Histogram<N> {
    /// Lowers the resolution; a schema that is not lower changes nothing.
    pub(crate) fn reduce_to(&mut self, schema: i8) {
        if self.has_custom_buckets() || schema >= self.schema {
            return;
        }
        let by = u32::from(self.schema.abs_diff(schema));
        self.positive = reduced(&self.positive, by);
        self.negative = reduced(&self.negative, by);
        self.schema = schema;
    }

    /// Maps custom buckets to bounds that are some of their own.
    pub(super) fn map_to(&mut self, bounds: &[f64]) {
        self.positive = mapped(&self.positive, &self.custom_values, bounds);
        self.custom_values = bounds.to_vec();
    }
}

/// Each step down makes one bucket of two.
pub(super) fn reduced<N: Count>(buckets: &Buckets<N>, by: u32) -> Buckets<N> {
    let target = |idx: i32| (idx.saturating_sub(1) >> by.min(31)).saturating_add(1);
    collected(buckets.iter().map(|(idx, count)| (target(*idx), *count)))
}

pub(super) fn mapped<N: Count>(buckets: &Buckets<N>, from: &[f64], to: &[f64]) -> Buckets<N> {
    let target = |idx: i32| {
        let bound = usize::try_from(idx).ok().and_then(|it| from.get(it));
        // What lies above the last bound goes to the bucket without one.
        let place = bound.and_then(|bound| to.iter().position(|it| it >= bound));
        i32::try_from(place.unwrap_or(to.len())).unwrap_or(i32::MAX)
    };
    let mut mapped = collected(buckets.iter().map(|(idx, count)| (target(*idx), *count)));
    mapped.retain(|(_, count)| count.total() != 0.0);
    mapped
}

/// Counts of equal indices become one; indices rise.
fn collected<N: Count>(pairs: impl Iterator<Item = (i32, N)>) -> Buckets<N> {
    let mut buckets: Buckets<N> = Vec::new();
    for (idx, count) in pairs {
        match buckets.last_mut() {
            Some((held_idx, held)) if *held_idx == idx => held.merge(count),
            _ => buckets.push((idx, count)),
        }
    }
    buckets
}

/// The bounds both layouts have.
pub(super) fn shared_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut shared = Vec::new();
    while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
        if left < right {
            a.next();
        } else if left > right {
            b.next();
        } else {
            shared.push(**left);
            a.next();
            b.next();
        }
    }
    shared
}
