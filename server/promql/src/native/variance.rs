//! The variance of what a histogram counted, each bucket taken at its middle.

use super::Histogram;
use crate::kahan::Kahan;

pub(crate) fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let squares: Kahan = histogram
        .walk()
        .iter()
        .filter(|it| it.count != 0.0)
        .map(|it| {
            let middle = if histogram.has_custom_buckets() {
                f64::midpoint(it.upper, it.lower)
            } else if it.lower <= 0.0 && it.upper >= 0.0 {
                0.0
            } else {
                (it.upper * it.lower).sqrt().copysign(it.upper)
            };
            let distance = middle - mean;
            it.count * distance * distance
        })
        .collect();
    squares.total() / histogram.count
}
