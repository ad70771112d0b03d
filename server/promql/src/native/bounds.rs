//! Bounds of exponential buckets.

/// How much wider the upper half of a bucket ends than its lower one when a bucket of the schema
/// below is split in two: for schema 1 first, the square root of two, then the root of that.
///
/// The first is a digit short of the nearest float, since that is what Prometheus' bounds are made
/// with and clients are shown them to the last digit.
#[expect(clippy::approx_constant, reason = "not the nearest float on purpose")]
const STEPS: [f64; 8] = [
    1.414_213_562_373_095,
    1.189_207_115_002_721,
    1.090_507_732_665_257_7,
    1.044_273_782_427_413_8,
    1.021_897_148_654_116_6,
    1.010_889_286_051_700_5,
    1.005_429_901_112_802_7,
    1.002_711_275_050_202_5,
];

/// The highest schema there is: 256 buckets for each power of two.
const SCHEMA_MAX: i8 = 8;

/// The lowest: one bucket for sixteen powers of two.
const SCHEMA_MIN: i8 = -4;

/// The exponent one above the largest float.
const EXPONENT_OVER: i64 = 1024;

/// The upper bound of the bucket `idx` among the positive ones; schemas that do not exist are taken
/// for the nearest that do.
pub(super) fn upper_bound(idx: i32, schema: i8) -> f64 {
    let schema = schema.clamp(SCHEMA_MIN, SCHEMA_MAX);
    let idx = i64::from(idx);
    if schema < 0 {
        let exponent = idx << schema.unsigned_abs();
        // The last bucket ends where floats do, not at infinity.
        return if exponent == EXPONENT_OVER { f64::MAX } else { scaled(1.0, exponent) };
    }
    let n_in_octave = 1_i64 << schema;
    let place = idx.rem_euclid(n_in_octave);
    let exponent = idx.div_euclid(n_in_octave) + 1;
    if place == 0 && exponent == EXPONENT_OVER + 1 {
        return f64::MAX;
    }
    scaled(fraction(place, schema), exponent)
}

/// The start of the bucket `place` of those from 1/2 to 1: each schema keeps the bounds of the one
/// below and splits every bucket in two.
fn fraction(place: i64, schema: i8) -> f64 {
    let upper_halves = STEPS.iter().zip((0..schema).rev()).filter(|(_, bit)| place >> bit & 1 == 1);
    upper_halves.fold(0.5, |bound, (step, _)| bound * step)
}

/// `fraction` times two to the power of `exponent`.
fn scaled(fraction: f64, exponent: i64) -> f64 {
    /// Beyond this, all is zero or infinite.
    const FAR: i64 = 2_200;
    let exponent = exponent.clamp(-FAR, FAR);
    // A power of its own would already be infinite or zero where the product is not.
    let third = exponent / 3;
    let power = |it: i64| f64::powi(2.0, i32::try_from(it).unwrap_or(0));
    fraction * power(third) * power(third) * power(exponent - 2 * third)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_powers_of_two_split_evenly() {
        assert_eq!(upper_bound(0, 0), 1.0);
        assert_eq!(upper_bound(3, 0), 8.0);
        assert_eq!(upper_bound(-2, 0), 0.25);
        assert_eq!(upper_bound(1, -2), 16.0);
    }

    #[test]
    fn bounds_between_are_those_prometheus_prints() {
        let printed = |idx, schema| upper_bound(idx, schema).to_string();
        assert_eq!(printed(1, 1), "1.414213562373095");
        assert_eq!(printed(-1, 1), "0.7071067811865475");
        assert_eq!(printed(3, 1), "2.82842712474619");
        assert_eq!(printed(1, 8), "1.0027112750502025");
        assert_eq!(printed(-38, 8), "0.9022270839033115");
        assert_eq!(printed(-1, 8), "0.9972960560854698");
    }

    #[test]
    fn bounds_end_where_floats_do() {
        assert_eq!(upper_bound(1024, 0), f64::MAX);
        assert_eq!(upper_bound(1025, 0), f64::INFINITY);
        assert_eq!(upper_bound(64, -4), f64::MAX);
        assert_eq!(upper_bound(-1074, 0), f64::from_bits(1));
        assert_eq!(upper_bound(-1080, 0), 0.0);
        assert_eq!(upper_bound(i32::MIN, -4), 0.0);
        assert_eq!(upper_bound(i32::MAX, 8), f64::INFINITY);
    }
}
