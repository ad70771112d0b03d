//! Quantiles and shares of native histograms: exponential within exponential buckets, linear within
//! the zero bucket and custom ones.

use super::{Bucket, Histogram};

/// A value, and why it may not be what was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) unsure: Option<Unsure>,
}

/// Observations that were NaN are counted, but lie in no bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsure {
    /// The rank lies among them.
    NanResult,
    /// They count as larger than everything.
    Skewed,
    /// They are in no share.
    Excluded,
}

impl Estimate {
    fn sure(value: f64) -> Self {
        Self { value, unsure: None }
    }
}

pub(crate) fn quantile(q: f64, histogram: &Histogram) -> Estimate {
    if q < 0.0 {
        return Estimate::sure(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return Estimate::sure(f64::INFINITY);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return Estimate::sure(f64::NAN);
    }
    let buckets = histogram.walk();
    // NaN are above everything, so only from below can a rank be found among them; else the shorter
    // way is the more exact.
    let is_forward = histogram.sum.is_nan() || q < 0.5;
    let rank = if is_forward { q * histogram.count } else { (1.0 - q) * histogram.count };
    let (found, count) =
        if is_forward { find(buckets.iter(), rank) } else { find(buckets.iter().rev(), rank) };
    // All that was counted may be NaN.
    let nothing = Bucket {
        lower: 0.0,
        upper: 0.0,
        lower_inclusive: false,
        upper_inclusive: false,
        count: 0.0,
    };
    let bucket = found.unwrap_or(nothing);
    let bucket = match tamed(histogram, bucket) {
        Ok(it) => it,
        Err(bound) => return Estimate::sure(bound),
    };
    let count = if count > histogram.count { histogram.count } else { count };
    if count < rank {
        let is_nan = histogram.sum.is_nan();
        let value = if is_nan { f64::NAN } else { bucket.upper };
        return Estimate { value, unsure: is_nan.then_some(Unsure::NanResult) };
    }
    let within = if is_forward { rank - (count - bucket.count) } else { count - rank };
    let n_in_buckets: f64 = buckets.iter().map(|it| it.count).sum();
    let is_skewed = histogram.sum.is_nan() && n_in_buckets < histogram.count;
    let value = interpolate(histogram, &bucket, within / bucket.count);
    Estimate { value, unsure: is_skewed.then_some(Unsure::Skewed) }
}

/// The bucket that reaches the rank, else the last, and how much is counted up to its end.
fn find<'a>(buckets: impl Iterator<Item = &'a Bucket>, rank: f64) -> (Option<Bucket>, f64) {
    let (mut found, mut count) = (None, 0.0);
    for bucket in buckets {
        found = Some(*bucket);
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    (found, count)
}

/// A bucket with finite bounds, or the only bound an open one has.
fn tamed(histogram: &Histogram, bucket: Bucket) -> Result<Bucket, f64> {
    if !histogram.has_custom_buckets() {
        let is_around_zero = bucket.lower < 0.0 && bucket.upper > 0.0;
        return Ok(if is_around_zero { one_sided(histogram, bucket) } else { bucket });
    }
    if bucket.lower == f64::NEG_INFINITY {
        if bucket.upper <= 0.0 {
            return Err(bucket.upper);
        }
        return Ok(Bucket { lower: 0.0, ..bucket });
    }
    if bucket.upper == f64::INFINITY { Err(bucket.lower) } else { Ok(bucket) }
}

/// The zero bucket: where all others lie on one side of zero, it does too.
fn one_sided(histogram: &Histogram, bucket: Bucket) -> Bucket {
    match (histogram.negative.is_empty(), histogram.positive.is_empty()) {
        (true, false) => Bucket { lower: 0.0, ..bucket },
        (false, true) => Bucket { upper: 0.0, ..bucket },
        _ => bucket,
    }
}

fn interpolate(histogram: &Histogram, bucket: &Bucket, share: f64) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if histogram.has_custom_buckets() || lower <= 0.0 && upper >= 0.0 {
        return lower + (upper - lower) * share;
    }
    let (low, high) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        (low + (high - low) * share).exp2()
    } else {
        -(high + (low - high) * (1.0 - share)).exp2()
    }
}

/// The share of observations between two bounds.
pub(crate) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> Estimate {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return Estimate::sure(f64::NAN);
    }
    if lower >= upper {
        return Estimate::sure(0.0);
    }
    let buckets = histogram.walk();
    let n_in_buckets: f64 = buckets.iter().map(|it| it.count).sum();
    let has_nan = histogram.sum.is_nan();
    let count = if has_nan { n_in_buckets } else { histogram.count };
    let rank = |bound| match rank_at(bound, histogram, &buckets) {
        Some(rank) if rank <= count => rank,
        _ => count,
    };
    let value = (rank(upper) - rank(lower)) / histogram.count;
    let is_unsure = has_nan && n_in_buckets < histogram.count;
    Estimate { value, unsure: is_unsure.then_some(Unsure::Excluded) }
}

/// How many observations lie below a value; nothing where it lies above all buckets.
fn rank_at(value: f64, histogram: &Histogram, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    for bucket in buckets {
        let is_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        let bucket = if is_zero { one_sided(histogram, *bucket) } else { *bucket };
        if bucket.lower >= value {
            return Some(rank);
        }
        if bucket.upper > value {
            return Some(if histogram.has_custom_buckets() || is_zero {
                linear_rank(value, rank, &bucket)
            } else {
                exponential_rank(value, rank, &bucket)
            });
        }
        rank += bucket.count;
    }
    None
}

fn linear_rank(value: f64, rank: f64, bucket: &Bucket) -> f64 {
    // Where in a bucket without a lower bound its observations lie is not known: none count as
    // between the bounds.
    if bucket.lower == f64::NEG_INFINITY {
        return bucket.count;
    }
    rank + bucket.count * (value - bucket.lower) / (bucket.upper - bucket.lower)
}

fn exponential_rank(value: f64, rank: f64, bucket: &Bucket) -> f64 {
    let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let at = value.abs().log2();
    let share =
        if value > 0.0 { (at - low) / (high - low) } else { 1.0 - (at - high) / (low - high) };
    rank + bucket.count * share
}

#[cfg(test)]
mod tests {
    use skep_proto::{NativeHistogram, Span};

    use super::*;

    /// 4 observations in (1, 2], 4 in (2, 4].
    fn histogram() -> Histogram {
        Histogram::from(&NativeHistogram {
            count: 8.0,
            sum: 18.0,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive: vec![4.0, 4.0],
            ..NativeHistogram::default()
        })
    }

    #[test]
    fn quantiles_grow_exponentially_within_a_bucket() {
        let of = |q| quantile(q, &histogram()).value;
        assert_eq!(of(0.0), 1.0);
        assert_eq!(of(0.25), std::f64::consts::SQRT_2);
        assert_eq!(of(0.5), 2.0);
        assert_eq!(of(1.0), 4.0);
        assert_eq!(of(-0.1), f64::NEG_INFINITY);
        assert_eq!(of(1.1), f64::INFINITY);
    }

    #[test]
    fn shares_are_the_inverse_of_quantiles() {
        for q in [0.1, 0.25, 0.5, 0.8] {
            let bound = quantile(q, &histogram()).value;
            let share = fraction(f64::NEG_INFINITY, bound, &histogram()).value;
            assert!((share - q).abs() < 1e-12, "{q}: {bound} has {share} below");
        }
    }

    #[test]
    fn nan_observations_are_told() {
        let with_nan = Histogram { count: 10.0, sum: f64::NAN, ..histogram() };
        assert_eq!(quantile(0.5, &with_nan).unsure, Some(Unsure::Skewed));
        let high = quantile(0.9, &with_nan);
        assert!(high.value.is_nan());
        assert_eq!(high.unsure, Some(Unsure::NanResult));
        let share = fraction(0.0, 2.0, &with_nan);
        assert_eq!((share.value, share.unsure), (0.4, Some(Unsure::Excluded)));
    }
}
