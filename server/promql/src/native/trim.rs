//! `</` and `>/`: what a histogram counted below or above a value.

use super::{Bucket, Buckets, Histogram};

/// Which observations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Below,
    Above,
}

/// What is left of a bucket, and the value its observations are taken to have.
struct Kept {
    count: f64,
    middle: f64,
}

/// Buckets that hold the value are split by interpolation; where anything was cut away, count and
/// sum are what the rest comes to.
pub(crate) fn trim(histogram: &Histogram, at: f64, side: Side) -> Histogram {
    let mut trimmed = histogram.clone();
    let mut rest = Rest { count: 0.0, sum: 0.0, is_cut: false };
    let has = |it: &Buckets<f64>| it.iter().any(|(_, count)| *count != 0.0);
    let (has_negative, has_positive) = (has(&histogram.negative), has(&histogram.positive));
    let is_linear = histogram.has_custom_buckets();
    for pair in &mut trimmed.positive {
        let bucket = histogram.positive_bucket(pair);
        rest.take(&mut pair.1, |_| kept(&bucket, at, side, is_linear, 1.0));
    }
    for pair in &mut trimmed.negative {
        let bucket = histogram.negative_bucket(pair);
        rest.take(&mut pair.1, |_| kept(&bucket, at, side, is_linear, -1.0));
    }
    if histogram.zero_count > 0.0 {
        let mut zero = histogram.zero_bucket();
        if has_negative && !has_positive {
            zero.upper = 0.0;
        }
        if has_positive && !has_negative {
            zero.lower = 0.0;
        }
        rest.take(&mut trimmed.zero_count, |_| kept_of_zero(&zero, at, side));
    }
    if rest.is_cut {
        trimmed.count = rest.count;
        trimmed.sum = rest.sum;
        trimmed.compact();
    }
    trimmed
}

/// What was kept so far.
struct Rest {
    count: f64,
    sum: f64,
    is_cut: bool,
}

impl Rest {
    fn take(&mut self, count: &mut f64, keep: impl FnOnce(f64) -> Kept) {
        if *count == 0.0 {
            return;
        }
        let kept = keep(*count);
        self.count += kept.count;
        self.sum += kept.middle * kept.count;
        self.is_cut |= kept.count.to_bits() != count.to_bits();
        *count = kept.count;
    }
}

const NOTHING: Kept = Kept { count: 0.0, middle: 0.0 };

fn kept(bucket: &Bucket, at: f64, side: Side, is_linear: bool, sign: f64) -> Kept {
    let (is_whole, is_split) = match side {
        Side::Below => (bucket.upper <= at, bucket.lower < at),
        Side::Above => (bucket.lower >= at, bucket.upper > at),
    };
    if is_whole {
        let middle = middle(bucket.lower, bucket.upper, is_linear, sign);
        return Kept { count: bucket.count, middle };
    }
    if !is_split {
        return NOTHING;
    }
    if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
        return kept_of_open(bucket, at, side);
    }
    let below = count_below(bucket, at, is_linear, sign);
    match side {
        Side::Below => Kept { count: below, middle: middle(bucket.lower, at, is_linear, sign) },
        Side::Above => {
            let count = bucket.count - below;
            Kept { count, middle: middle(at, bucket.upper, is_linear, sign) }
        }
    }
}

/// How observations lie in a bucket without an end is not known: it is kept only where none of them
/// can be on the wrong side, or where it is taken to begin at zero.
fn kept_of_open(bucket: &Bucket, at: f64, side: Side) -> Kept {
    let Bucket { lower, upper, count, .. } = *bucket;
    let begins_at_zero = lower == f64::NEG_INFINITY && upper > 0.0 && upper != f64::INFINITY;
    match side {
        Side::Below if begins_at_zero && at > 0.0 => {
            Kept { count: count * at / upper, middle: at / 2.0 }
        }
        Side::Below if lower == f64::NEG_INFINITY && upper <= 0.0 => Kept { count, middle: at },
        Side::Above if begins_at_zero && at >= 0.0 => {
            Kept { count: count * (1.0 - at / upper), middle: f64::midpoint(at, upper) }
        }
        Side::Above if lower != f64::NEG_INFINITY && at >= lower => Kept { count, middle: at },
        _ => NOTHING,
    }
}

fn kept_of_zero(bucket: &Bucket, at: f64, side: Side) -> Kept {
    let Bucket { lower, upper, count, .. } = *bucket;
    let whole = Kept { count, middle: f64::midpoint(lower, upper) };
    match side {
        Side::Below if at <= lower => NOTHING,
        Side::Below if at >= upper => whole,
        Side::Below => Kept {
            count: count * ((at - lower) / (upper - lower)),
            middle: f64::midpoint(lower, at),
        },
        Side::Above if at <= lower => whole,
        Side::Above if at >= upper => NOTHING,
        Side::Above => Kept {
            count: count * ((upper - at) / (upper - lower)),
            middle: f64::midpoint(at, upper),
        },
    }
}

fn count_below(bucket: &Bucket, at: f64, is_linear: bool, sign: f64) -> f64 {
    let Bucket { lower, upper, count, .. } = *bucket;
    if at <= lower {
        return 0.0;
    }
    if at >= upper {
        return count;
    }
    if is_linear {
        return count * ((at - lower) / (upper - lower));
    }
    let (low, high, at) = (lower.abs().log2(), upper.abs().log2(), at.abs().log2());
    let share =
        if sign > 0.0 { (at - low) / (high - low) } else { 1.0 - (at - high) / (low - high) };
    count * share
}

fn middle(lower: f64, upper: f64, is_linear: bool, sign: f64) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if is_linear => f64::midpoint(lower, upper),
        (false, false) => (lower * upper).abs().sqrt().copysign(sign),
    }
}
