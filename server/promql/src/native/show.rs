//! A histogram as text, where PromQL needs one: `{count:2, sum:3, (1,2]:2}`.

use super::{Bucket, Histogram};
use crate::number::format_go;

pub(crate) fn show(histogram: &Histogram) -> String {
    let (count, sum) = (format_go(histogram.count), format_go(histogram.sum));
    let mut text = format!("{{count:{count}, sum:{sum}");
    // Bounds as they are, wherever the zero bucket may reach.
    let plain = Histogram { zero_threshold: 0.0, ..histogram.clone() };
    let negative = plain.negative.iter().rev().map(|it| plain.negative_bucket(it));
    let positive = plain.positive.iter().map(|it| plain.positive_bucket(it));
    let all = negative.chain([histogram.zero_bucket()]).chain(positive);
    for bucket in all.filter(|it| it.count != 0.0) {
        text.push_str(", ");
        text.push_str(&show_bucket(&bucket));
    }
    text.push('}');
    text
}

fn show_bucket(bucket: &Bucket) -> String {
    let (open, close) = (
        if bucket.lower_inclusive { '[' } else { '(' },
        if bucket.upper_inclusive { ']' } else { ')' },
    );
    let (lower, upper) = (format_go(bucket.lower), format_go(bucket.upper));
    format!("{open}{lower},{upper}{close}:{}", format_go(bucket.count))
}
