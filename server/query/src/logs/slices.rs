//! A long time range as a few short ones, so that a scan can stop early.

use skep_proto::TimestampNs;

/// The first slice is this share of the range; each further one is twice as long.
const FIRST_SHARE: i64 = 64;
/// No slice is shorter: planning one costs as much as reading some lines.
const SLICE_NS_MIN: i64 = 60_000_000_000;

/// Disjoint ranges, ends included, that cover `first..=last`; the newest first if `backward`.
pub(super) fn slices(
    first: TimestampNs,
    last: TimestampNs,
    backward: bool,
) -> Vec<(TimestampNs, TimestampNs)> {
    let mut width = (last.0.saturating_sub(first.0) / FIRST_SHARE).max(SLICE_NS_MIN);
    let (mut low, mut high) = (first.0, last.0);
    let mut slices = Vec::new();
    while low <= high {
        let is_rest = high.saturating_sub(low) < width;
        let (from, to) = match (is_rest, backward) {
            (true, _) => (low, high),
            (false, true) => (high - width + 1, high),
            (false, false) => (low, low + width - 1),
        };
        slices.push((TimestampNs(from), TimestampNs(to)));
        if is_rest {
            break;
        }
        if backward {
            high = from - 1;
        } else {
            low = to + 1;
        }
        width = width.saturating_mul(2);
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_range_once() {
        for backward in [false, true] {
            for last in [0, 59_999_999_999, 3_600_000_000_000, 86_400_000_000_123] {
                let mut parts = slices(TimestampNs(5), TimestampNs(5 + last), backward);
                if backward {
                    parts.reverse();
                }
                assert_eq!(parts.first().unwrap().0, TimestampNs(5));
                assert_eq!(parts.last().unwrap().1, TimestampNs(5 + last));
                assert!(parts.windows(2).all(|it| it[0].1.0 + 1 == it[1].0.0), "{parts:?}");
                assert!(parts.len() <= 8);
            }
        }
    }
}
