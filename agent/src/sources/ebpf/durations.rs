//! Histograms of durations on the whole host.

use std::{borrow::Cow, collections::HashMap};

use skep_abi::{Counted, DURATION_BUCKETS, DURATION_SHIFT, Durations};

use super::{
    by_unit::{Counters, Wrapping, counters},
    family::CollectError,
    histogram::{NS_PER_SECOND, bounds_seconds},
    maps::Maps,
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

/// The entries of a per-CPU array, each summed up over the CPUs.
pub(super) fn summed<C: Counters + aya::Pod>(
    maps: &Maps,
    name: &'static str,
) -> Result<Vec<C>, CollectError> {
    let values = maps.per_cpu_array::<C>(name)?;
    let sum = |values: &[C]| {
        let mut sum = C::default();
        values.iter().for_each(|it| sum.plus(it));
        sum
    };
    Ok(values.chunks(maps.n_cpus.max(1)).map(sum).collect())
}

/// The entries of a hash map whose entries are never removed, in order.
pub(super) fn sorted<K, C>(maps: &Maps, name: &'static str) -> Result<Vec<(K, C)>, CollectError>
where
    K: aya::Pod + Default + Ord + std::hash::Hash,
    C: Counters + aya::Pod,
{
    let mut readings = HashMap::new();
    maps.counters(name, &mut readings)?;
    let mut sorted: Vec<(K, C)> = readings.into_iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    Ok(sorted)
}
