//! Histograms of durations on the whole host.

use std::borrow::Cow;

use skep_abi::{Counted, DURATION_BUCKETS, DURATION_SHIFT, Durations};

use super::{
    by_unit::{Counters, Wrapping, counters},
    histogram::{NS_PER_SECOND, bounds_seconds},
};
use crate::exposition::{Family, as_f64};

counters!(Durations { sum_ns, counts });
counters!(Counted { n, ns });

impl Wrapping for Durations {
    fn wrapping_plus(&mut self, other: &Self) {
        self.plus(other);
    }

    fn add_difference(total: &mut Self, now: &Self, last: &Self) {
        now.add_since(last, total);
    }
}

/// Labels of a series.
pub(super) type Labels = Vec<(Cow<'static, str>, String)>;

pub(super) fn labels<const N: usize>(labels: [(&'static str, &str); N]) -> Labels {
    labels.into_iter().map(|(name, it)| (Cow::Borrowed(name), it.to_owned())).collect()
}

/// Adds one histogram in seconds.
pub(super) fn add(family: &mut Family, labels: &Labels, durations: &Durations) {
    let bounds = bounds_seconds(DURATION_SHIFT, DURATION_BUCKETS);
    let sum = as_f64(durations.sum_ns) / NS_PER_SECOND;
    family.histogram(labels, &bounds, &durations.counts, sum);
}
