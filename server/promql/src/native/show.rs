//! A histogram as text, where PromQL needs one: `{count:2, sum:3, (1,2]:2}`.

use super::{Bucket, Histogram};
use crate::number::format_go;

pub(crate) fn show(histogram: &Histogram) -> String {
    let (count, sum) = (format_go(histogram.count), format_go(histogram.sum));
    let mut text = format!("{{count:{count}, sum:{sum}");
    for bucket in histogram.walk().iter().filter(|it| it.count != 0.0) {
        text.push_str(", ");
        text.push_str(&show_bucket(bucket));
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
