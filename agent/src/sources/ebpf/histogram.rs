//! Classic histograms whose buckets double, as kernel programs count them.

use std::borrow::Cow;

use skep_abi::Histogram;

use super::by_unit::Wrapping;
use crate::exposition::{Family, as_f64};

pub(super) const NS_PER_SECOND: f64 = 1e9;

impl<const SHIFT: u32, const N: usize> Wrapping for Histogram<SHIFT, N> {
    fn wrapping_plus(&mut self, other: &Self) {
        self.sum_ns.wrapping_plus(&other.sum_ns);
        self.counts.wrapping_plus(&other.counts);
    }

    fn add_difference(total: &mut Self, now: &Self, last: &Self) {
        u64::add_difference(&mut total.sum_ns, &now.sum_ns, &last.sum_ns);
        Wrapping::add_difference(&mut total.counts, &now.counts, &last.counts);
    }
}

type Label = (Cow<'static, str>, String);

/// Labels of a series.
pub(super) fn labels<const N: usize>(labels: [(&'static str, &str); N]) -> Vec<Label> {
    labels.into_iter().map(|(name, it)| (Cow::Borrowed(name), it.to_owned())).collect()
}

/// Adds one histogram in seconds.
pub(super) fn add<const SHIFT: u32, const N: usize>(
    family: &mut Family,
    labels: &[Label],
    histogram: &Histogram<SHIFT, N>,
) {
    let Histogram { sum_ns, counts } = histogram;
    let bounds = bounds_seconds(SHIFT, N);
    family.histogram(labels, &bounds, counts, as_f64(*sum_ns) / NS_PER_SECOND);
}

/// Upper bounds in seconds of all buckets but the last, the first being `2^shift` ns.
fn bounds_seconds(shift: u32, n_buckets: usize) -> Vec<f64> {
    let first = 2_f64.powi(i32::try_from(shift).unwrap_or(i32::MAX));
    std::iter::successors(Some(first / NS_PER_SECOND), |it| Some(it * 2.0))
        .take(n_buckets.saturating_sub(1))
        .collect()
}

#[cfg(test)]
mod tests {
    use skep_abi::{Durations, Latency, WAIT_BUCKETS, WAIT_SHIFT};

    use super::*;

    /// Series of a released agent must go on: its buckets stay what they are.
    #[test]
    fn buckets_double_from_microseconds_to_seconds() {
        fn check<const SHIFT: u32, const N: usize>(_: Histogram<SHIFT, N>, first: f64, last: f64) {
            let bounds = bounds_seconds(SHIFT, N);
            assert_eq!((bounds.first(), bounds.last()), (Some(&first), Some(&last)));
            assert!(bounds.windows(2).all(|pair| pair[1] == 2.0 * pair[0]));
        }
        check(Histogram::<WAIT_SHIFT, WAIT_BUCKETS>::NONE, 1.024e-6, 1.073_741_824);
        check(Durations::NONE, 1.024e-6, 4.294_967_296);
        check(Latency::NONE, 8.192e-6, 8.589_934_592);
    }
}
