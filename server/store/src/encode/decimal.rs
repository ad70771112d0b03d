//! Values as decimal mantissas: most measured values are short decimals, and whole numbers of one
//! scale compress to half of what doubles do. Bit-exact or not at all.

use crate::merge::POWERS_OF_TEN;

/// Whole numbers up to here are exact as doubles, with room for the rounding of the product.
const MANTISSA_MAX: f64 = 9e15;

/// Adding it and taking it away again rounds to a whole number what is smaller than 2^51: far
/// cheaper than a call of `round`.
const ROUNDING: f64 = 6_755_399_441_055_744.0;
const ROUNDING_MAX: f64 = 2_251_799_813_685_248.0;

/// Fills `mantissas` with those of a series at the smallest scale at which every value that is a
/// decimal at all has one, bit for bit; zero stands for the others. `None` where there is no such
/// scale. NaNs (stale markers with them), infinities and -0.0 are no decimals: they are kept as
/// they are beside.
pub(super) fn mantissas_of(bits: &[u64], mantissas: &mut Vec<i64>) -> Option<usize> {
    let mut scale = 0;
    // Bounded: each round begins with a larger scale.
    'scales: loop {
        mantissas.clear();
        let mut last = (0, 0);
        for &bits in bits {
            // Most series stay as they are from one sample to the next; zero's mantissa is zero.
            if bits != last.0 {
                let value = f64::from_bits(bits);
                let found = mantissa(value, scale);
                if found.is_none() && is_decimal(value) {
                    scale = (scale + 1..POWERS_OF_TEN.len())
                        .find(|it| mantissa(value, *it).is_some())?;
                    continue 'scales;
                }
                last = (bits, found.unwrap_or_default());
            }
            mantissas.push(last.1);
        }
        return Some(scale);
    }
}

/// Whether a value could be a mantissa at all.
pub(super) fn is_decimal(value: f64) -> bool {
    value.is_finite() && value.to_bits() != (-0.0_f64).to_bits()
}

/// `value * 10^scale`, if dividing it again gives the same bits.
#[expect(clippy::cast_possible_truncation, reason = "bounded by MANTISSA_MAX")]
#[expect(clippy::cast_precision_loss, reason = "bounded by MANTISSA_MAX")]
fn mantissa(value: f64, scale: usize) -> Option<i64> {
    let power = POWERS_OF_TEN.get(scale)?;
    let product = value * power;
    let rounded = if product.abs() < ROUNDING_MAX {
        (product + ROUNDING) - ROUNDING
    } else {
        product.round()
    };
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
        mantissas_of(&values.iter().map(|it| it.to_bits()).collect::<Vec<_>>(), &mut Vec::new())
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
