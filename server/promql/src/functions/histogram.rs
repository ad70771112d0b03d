//! Classic histograms: quantiles and shares from cumulative buckets.

/// Observations up to a bound, counted from below.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) upper_bound: f64,
    pub(crate) count: f64,
}

/// A quantile, and what had to be changed so that counts rise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    pub(crate) value: f64,
    pub(crate) fix: Option<Fix>,
}

/// Counts that fell by more than rounding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fix {
    pub(crate) bound_min: f64,
    pub(crate) bound_max: f64,
    pub(crate) difference_max: f64,
}

/// Counts that differ by less than this share are taken to be equal.
const SMALL_DELTA: f64 = 1e-12;

/// Interpolated within the bucket that holds the rank; buckets come sorted by bound.
pub(crate) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> Found {
    let plain = |value| Found { value, fix: None };
    if q.is_nan() {
        return plain(f64::NAN);
    }
    if q < 0.0 {
        return plain(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return plain(f64::INFINITY);
    }
    if buckets.last().is_none_or(|it| it.upper_bound != f64::INFINITY) {
        return plain(f64::NAN);
    }
    coalesce(buckets);
    let fix = ensure_monotonic(buckets);
    Found { value: interpolate(q, buckets), fix }
}

fn interpolate(q: f64, buckets: &[Bucket]) -> f64 {
    let [.., second_last, last] = buckets else {
        return f64::NAN;
    };
    let observations = last.count;
    if observations == 0.0 {
        return f64::NAN;
    }
    let mut rank = q * observations;
    let finite = buckets.len() - 1;
    let idx = buckets.iter().take(finite).position(|it| it.count >= rank).unwrap_or(finite);
    if idx == finite {
        // Nothing is known above the last finite bound.
        return second_last.upper_bound;
    }
    let Some(bucket) = buckets.get(idx) else {
        return f64::NAN;
    };
    let below = idx.checked_sub(1).and_then(|it| buckets.get(it));
    let Some(below) = below else {
        if bucket.upper_bound <= 0.0 {
            return bucket.upper_bound;
        }
        return bucket.upper_bound * (rank / bucket.count);
    };
    let start = below.upper_bound;
    let count = bucket.count - below.count;
    rank -= below.count;
    start + (bucket.upper_bound - start) * (rank / count)
}

/// Makes one of buckets with equal bounds.
fn coalesce(buckets: &mut Vec<Bucket>) {
    let mut merged: Vec<Bucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets.iter() {
        match merged.last_mut() {
            #[expect(clippy::float_cmp, reason = "bounds are labels: equal or not")]
            Some(held) if held.upper_bound == bucket.upper_bound => held.count += bucket.count,
            _ => merged.push(*bucket),
        }
    }
    *buckets = merged;
}

/// Raises counts that fall.
fn ensure_monotonic(buckets: &mut [Bucket]) -> Option<Fix> {
    let mut fix: Option<Fix> = None;
    let mut highest = buckets.first()?.count;
    for bucket in buckets.iter_mut().skip(1) {
        if almost_equal(highest, bucket.count) {
            bucket.count = highest;
        } else if bucket.count > highest {
            highest = bucket.count;
        } else if bucket.count < highest {
            let (bound, difference) = (bucket.upper_bound, highest - bucket.count);
            bucket.count = highest;
            let held = fix.get_or_insert(Fix {
                bound_min: bound,
                bound_max: bound,
                difference_max: difference,
            });
            held.bound_min = held.bound_min.min(bound);
            held.bound_max = held.bound_max.max(bound);
            held.difference_max = held.difference_max.max(difference);
        }
    }
    fix
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() {
        return true;
    }
    let difference = (a - b).abs();
    if difference == 0.0 {
        return true;
    }
    let sum = a.abs() + b.abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

/// The share of observations between two bounds.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets.last().is_none_or(|it| it.upper_bound != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let observations = buckets.last().map_or(0.0, |it| it.count);
    if observations == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    // NaN stays what it is.
    let rank = |bound| match rank_at(bound, buckets) {
        rank if rank > observations => observations,
        rank => rank,
    };
    (rank(upper) - rank(lower)) / observations
}

/// How many observations lie below a value, interpolated.
fn rank_at(value: f64, buckets: &[Bucket]) -> f64 {
    let first_bound = buckets.first().map_or(0.0, |it| it.upper_bound);
    let mut start = if first_bound > 0.0 { 0.0 } else { f64::NEG_INFINITY };
    let mut below = 0.0;
    for bucket in buckets {
        if value <= start {
            return below;
        }
        if value < bucket.upper_bound {
            // An open bucket says nothing about where in it its observations lie: none of them
            // count as between the bounds.
            if start == f64::NEG_INFINITY {
                return bucket.count;
            }
            if bucket.upper_bound == f64::INFINITY {
                return below;
            }
            let share = (value - start) / (bucket.upper_bound - start);
            return below + (bucket.count - below) * share;
        }
        below = bucket.count;
        start = bucket.upper_bound;
    }
    below
}
