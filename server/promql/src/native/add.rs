//! Sums and differences of two histograms.

use skep_proto::ResetHint;

use super::{Buckets, Count, Histogram, schema::shared_bounds, zero::above_zero};

/// What a caller may want to tell of an addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Added {
    /// One said it follows a counter reset, the other that it does not.
    pub(crate) is_collision: bool,
    /// Custom buckets were mapped to the bounds both have.
    pub(crate) is_reconciled: bool,
}

/// Exponential and custom buckets have nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MixedSchemas;

impl<N: Count> Histogram<N> {
    pub(crate) fn add(&mut self, other: &Histogram) -> Result<Added, MixedSchemas> {
        self.add_signed(other, 1.0)
    }

    /// The hint is left as if it was a sum; where the result is no counter, the caller says so.
    pub(crate) fn sub(&mut self, other: &Histogram) -> Result<Added, MixedSchemas> {
        self.add_signed(other, -1.0)
    }

    fn add_signed(&mut self, other: &Histogram, sign: f64) -> Result<Added, MixedSchemas> {
        if self.has_custom_buckets() != other.has_custom_buckets() {
            return Err(MixedSchemas);
        }
        let is_collision = self.adjust_hint(other.hint);
        if !self.has_custom_buckets() {
            let zero_count = self.reconcile_zero(other);
            self.zero_count.add(sign * zero_count);
        }
        self.count.add(sign * other.count);
        self.sum.add(sign * other.sum);
        if self.has_custom_buckets() {
            let is_reconciled = self.add_custom(other, sign);
            return Ok(Added { is_collision, is_reconciled });
        }
        self.reduce_to(other.schema);
        let lowered;
        let other = if other.schema > self.schema {
            let mut copy = other.clone();
            copy.reduce_to(self.schema);
            lowered = copy;
            &lowered
        } else {
            other
        };
        let (schema, threshold) = (self.schema, self.zero_threshold);
        merge(&mut self.positive, above_zero(&other.positive, schema, threshold), sign);
        merge(&mut self.negative, above_zero(&other.negative, schema, threshold), sign);
        Ok(Added { is_collision, is_reconciled: false })
    }

    /// Whether bounds had to be reconciled.
    fn add_custom(&mut self, other: &Histogram, sign: f64) -> bool {
        if self.custom_values == other.custom_values {
            merge(&mut self.positive, &other.positive, sign);
            return false;
        }
        let bounds = shared_bounds(&self.custom_values, &other.custom_values);
        let mut other = other.clone();
        other.map_to(&bounds);
        self.map_to(&bounds);
        merge(&mut self.positive, &other.positive, sign);
        self.positive.retain(|(_, count)| count.total() != 0.0);
        true
    }

    /// Whether the hints contradict each other.
    fn adjust_hint(&mut self, other: ResetHint) -> bool {
        match (self.hint, other) {
            (a, b) if a == b => false,
            (ResetHint::Gauge | ResetHint::Unknown, ResetHint::Gauge) => {
                self.hint = ResetHint::Gauge;
                false
            }
            (ResetHint::Gauge | ResetHint::Unknown, _) => false,
            (_, ResetHint::Gauge | ResetHint::Unknown) => {
                self.hint = other;
                false
            }
            _ => {
                self.hint = ResetHint::Unknown;
                true
            }
        }
    }
}

/// Both in order of index.
fn merge<N: Count>(into: &mut Buckets<N>, other: &[(i32, f64)], sign: f64) {
    let is_new = |idx: i32| into.binary_search_by_key(&idx, |(it, _)| *it).is_err();
    let n_new = other.iter().filter(|(idx, _)| is_new(*idx)).count();
    if n_new == 0 {
        let mut held = into.iter_mut();
        for (idx, count) in other {
            if let Some((_, sum)) = held.find(|(it, _)| it == idx) {
                sum.add(sign * count);
            }
        }
        return;
    }
    let mut merged = Vec::with_capacity(into.len() + n_new);
    let (mut left, mut right) = (into.iter().peekable(), other.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (Some((i, a)), Some((j, b))) if i == j => {
                let mut sum = *a;
                sum.add(sign * b);
                merged.push((*i, sum));
                left.next();
                right.next();
            }
            (Some((i, a)), Some((j, _))) if i < j => {
                merged.push((*i, *a));
                left.next();
            }
            (Some((i, a)), None) => {
                merged.push((*i, *a));
                left.next();
            }
            (_, Some((j, b))) => {
                merged.push((*j, N::new(sign * b)));
                right.next();
            }
            (None, None) => break,
        }
    }
    *into = merged;
}
