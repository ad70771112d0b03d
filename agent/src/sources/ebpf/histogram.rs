//! Classic histograms whose buckets double, as kernel programs count them.

pub(super) const NS_PER_SECOND: f64 = 1e9;

/// Upper bounds in seconds of all buckets but the last, the first being `2^shift` ns.
pub(super) fn bounds_seconds(shift: u32, n_buckets: usize) -> Vec<f64> {
    let first = 2_f64.powi(i32::try_from(shift).unwrap_or(i32::MAX));
    std::iter::successors(Some(first / NS_PER_SECOND), |it| Some(it * 2.0))
        .take(n_buckets.saturating_sub(1))
        .collect()
}

#[cfg(test)]
mod tests {
    use skep_abi::{WAIT_BUCKETS, WAIT_SHIFT};

    use super::*;

    #[test]
    fn wait_buckets_double_from_a_microsecond_to_a_second() {
        let bounds = bounds_seconds(WAIT_SHIFT, WAIT_BUCKETS);
        assert_eq!(bounds.first(), Some(&1.024e-6));
        assert_eq!(bounds.last(), Some(&1.073_741_824));
        assert!(bounds.windows(2).all(|pair| pair[1] == 2.0 * pair[0]));
    }
}
