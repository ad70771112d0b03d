//! Values as decimal mantissas: most measured values are short decimals, and whole numbers of one
//! scale compress to half of what doubles do. Bit-exact or not at all.

use crate::merge::POWERS_OF_TEN;

/// Whole numbers up to here are exact as doubles, with room for the rounding of the product.
const MANTISSA_MAX: f64 = 9e15;

/// The smallest scale at which every value of a series that is a decimal at all is a whole
/// mantissa, bit for bit. `None` where there is no such scale. NaNs (stale markers with them),
/// infinities and -0.0 do not count: they are kept as they are beside.
pub(super) fn scale_of(bits: &[u64]) -> Option<usize> {
    let mut scale = 0;
    let values = || bits.iter().map(|it| f64::from_bits(*it)).filter(|it| is_decimal(*it));
    for value in values() {
        while mantissa(value, scale).is_none() {
            scale += 1;
            if scale >= POWERS_OF_TEN.len() {
                return None;
            }
        }
    }
    // A larger scale makes larger mantissas: the first values may not fit the last scale.
    values().all(|it| mantissa(it, scale).is_some()).then_some(scale)
}

/// Whether a value could be a mantissa at all.
pub(super) fn is_decimal(value: f64) -> bool {
    value.is_finite() && value.to_bits() != (-0.0_f64).to_bits()
}

/// `value * 10^scale`, if dividing it again gives the same bits.
#[expect(clippy::cast_possible_truncation, reason = "bounded by MANTISSA_MAX")]
#[expect(clippy::cast_precision_loss, reason = "bounded by MANTISSA_MAX")]
pub(super) fn mantissa(value: f64, scale: usize) -> Option<i64> {
    let power = POWERS_OF_TEN.get(scale)?;
    let rounded = (value * power).round();
    // Also false for NaN.
    if !is_decimal(value) || rounded.abs() > MANTISSA_MAX {
        return None;
    }
    let mantissa = rounded as i64;
    (((mantissa as f64) / power).to_bits() == value.to_bits()).then_some(mantissa)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skep_proto::stale_marker;

    use super::*;

    fn scale(values: &[f64]) -> Option<usize> {
        scale_of(&values.iter().map(|it| it.to_bits()).collect::<Vec<_>>())
    }

    #[test]
    fn the_smallest_scale_that_fits_all() {
        assert_eq!(scale(&[1.0, 2.0, -3.0, 0.0]), Some(0));
        assert_eq!(scale(&[1.0, 0.25, 0.1]), Some(2));
        assert_eq!(scale(&[1.5, stale_marker(), f64::INFINITY, -0.0]), Some(1));
        assert_eq!(scale(&[std::f64::consts::PI]), None);
        assert_eq!(scale(&[9e15, 0.1]), None);
    }

    proptest! {
        #[test]
        fn what_has_a_mantissa_comes_back_bit_for_bit(bits in any::<u64>(), m in any::<i32>(), s in 0_usize..9) {
            for value in [f64::from_bits(bits), f64::from(m) / POWERS_OF_TEN[s]] {
                for (scale, power) in POWERS_OF_TEN.iter().enumerate() {
                    if let Some(mantissa) = mantissa(value, scale) {
                        let back = mantissa as f64 / power;
                        prop_assert_eq!(back.to_bits(), value.to_bits());
                    }
                }
            }
            let value = f64::from(m) / POWERS_OF_TEN[s];
            prop_assert!(scale(&[value]).is_some_and(|it| it <= s) || !is_decimal(value));
        }
    }
}
