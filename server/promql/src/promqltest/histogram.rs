//! Native histograms of the text format: `{{schema:0 count:2 sum:3 buckets:[1 1]}}`.

use skep_proto::{NativeHistogram, ResetHint, Span};

use super::series::number;

/// A histogram, and whether its text says what is known of counter resets.
pub(super) struct Parsed {
    pub(super) histogram: NativeHistogram,
    pub(super) has_hint: bool,
}

/// Reads the histogram a text begins with; gives what follows it, too.
pub(super) fn parse_histogram(text: &str) -> Result<(Parsed, &str), String> {
    let fail = || format!("{text:?} does not begin with a histogram");
    let body = text.strip_prefix("{{").ok_or_else(fail)?;
    let (body, rest) = body.split_once("}}").ok_or_else(fail)?;
    let mut parsed = Parsed { histogram: NativeHistogram::default(), has_hint: false };
    let (mut offset, mut negative_offset) = (0, 0);
    let mut left = body.trim();
    while !left.is_empty() {
        let (key, after) = left.split_once(':').ok_or_else(fail)?;
        let (value, after) = if let Some(list) = after.strip_prefix('[') {
            list.split_once(']').ok_or_else(fail)?
        } else {
            after.split_once(char::is_whitespace).unwrap_or((after, ""))
        };
        left = after.trim_start();
        let (histogram, one) = (&mut parsed.histogram, || number(value).ok_or_else(fail));
        match key {
            "schema" => histogram.schema = value.parse().map_err(|_error| fail())?,
            "sum" => histogram.sum = one()?,
            "count" => histogram.count = one()?,
            "z_bucket" => histogram.zero_count = one()?,
            "z_bucket_w" => histogram.zero_threshold = one()?,
            "custom_values" => histogram.custom_values = list(value).ok_or_else(fail)?,
            "buckets" => histogram.positive = list(value).ok_or_else(fail)?,
            "offset" => offset = value.parse().map_err(|_error| fail())?,
            "n_buckets" => histogram.negative = list(value).ok_or_else(fail)?,
            "n_offset" => negative_offset = value.parse().map_err(|_error| fail())?,
            "counter_reset_hint" => {
                histogram.reset_hint = hint(value).ok_or_else(fail)?;
                parsed.has_hint = true;
            }
            other => return Err(format!("{other:?} is no part of a histogram")),
        }
    }
    let it = &mut parsed.histogram;
    it.positive_spans = spans(offset, it.positive.len());
    it.negative_spans = spans(negative_offset, it.negative.len());
    Ok((parsed, rest))
}

fn list(text: &str) -> Option<Vec<f64>> {
    text.split_whitespace().map(number).collect()
}

fn hint(text: &str) -> Option<ResetHint> {
    Some(match text {
        "unknown" => ResetHint::Unknown,
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        _ => return None,
    })
}

fn spans(offset: i32, n_buckets: usize) -> Vec<Span> {
    let length = u32::try_from(n_buckets).unwrap_or(u32::MAX);
    if length == 0 { Vec::new() } else { vec![Span { offset, length }] }
}
