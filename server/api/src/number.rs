//! Numbers as Go prints them, which is what Prometheus' and Loki's clients read.

use std::fmt::Write as _;

use skep_proto::TimestampMs;

/// A sample's value as in Prometheus' JSON: positional, with an exponent only below 1e-6 and from
/// 1e21 on.
pub(crate) fn push_value(out: &mut String, value: f64) {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() || (1e-6..1e21).contains(&magnitude) {
        return push_positional(out, value);
    }
    push_with_exponent(out, value);
}

fn push_with_exponent(out: &mut String, value: f64) {
    let start = out.len();
    push(out, format_args!("{value:e}"));
    // Go writes two digits of exponent at least, and its sign.
    let Some(exponent_at) = out.get(start..).and_then(|it| it.find('e')).map(|it| start + it + 1)
    else {
        return;
    };
    let exponent = out.split_off(exponent_at);
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', &*exponent), |it| ('-', it));
    push(out, format_args!("{sign}{digits:0>2}"));
}

/// A sample's value as in Prometheus' text format: Go's `%g`, with an exponent below 1e-4 and from
/// 1e6 on.
pub(crate) fn push_exposed(out: &mut String, value: f64) {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() || (1e-4..1e6).contains(&magnitude) {
        return push_positional(out, value);
    }
    push_with_exponent(out, value);
}

/// As in Loki's JSON: never an exponent.
pub(crate) fn push_positional(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if !push_quickly(out, value) {
        push(out, format_args!("{value}"));
    }
}

/// Most values, many times faster than the standard library does; false where nothing was written.
fn push_quickly(out: &mut String, value: f64) -> bool {
    /// All whole numbers up to it are told apart.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if value.trunc() == value && value != 0.0 && value.abs() <= WHOLE_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
        push_int(out, value as i64);
        return true;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let is_plain = value != 0.0 && !text.contains('e');
    if is_plain {
        // Whole numbers above the bound come with a point.
        out.push_str(text.strip_suffix(".0").unwrap_or(text));
    }
    is_plain
}

/// Seconds since the epoch with up to three decimals.
pub(crate) fn push_seconds(out: &mut String, TimestampMs(ms): TimestampMs) {
    if ms < 0 {
        out.push('-');
    }
    let ms = ms.unsigned_abs();
    out.push_str(itoa::Buffer::new().format(ms / 1000));
    if ms % 1000 != 0 {
        push(out, format_args!(".{:03}", ms % 1000));
    }
}

/// A duration as a JSON number of seconds.
pub(crate) fn push_seconds_f64(out: &mut String, took: std::time::Duration) {
    push(out, format_args!("{}", took.as_secs_f64()));
}

pub(crate) fn push_int(out: &mut String, value: i64) {
    out.push_str(itoa::Buffer::new().format(value));
}

pub(crate) fn push_count(out: &mut String, value: usize) {
    out.push_str(itoa::Buffer::new().format(value));
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String never fails");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_is_printed_as_short_as_can_be_and_read_back_as_it_was(
            value in prop_oneof![
                any::<f64>(),
                (any::<i64>(), 0_i32..12).prop_map(|(n, scale)| n as f64 / 10_f64.powi(scale)),
                (-1_000_000_i64..1_000_000).prop_map(|n| n as f64 / 1_000.0),
            ],
        ) {
            if value.is_finite() {
                let mut out = String::new();
                push_positional(&mut out, value);
                // Of two that are as short and as near, Go and zmij take the even one.
                prop_assert_eq!(out.len(), value.to_string().len());
                prop_assert_eq!(out.parse::<f64>().unwrap().to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn values_are_as_go_prints_them() {
        let print = |value| {
            let mut out = String::new();
            push_value(&mut out, value);
            out
        };
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0 / 3.0, "0.3333333333333333"),
            (123_456_789_012_345_678.0, "123456789012345680"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (-2.5e-9, "-2.5e-09"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(print(value), expected);
        }
    }

    #[test]
    fn exposed_values_have_exponents_from_a_million_on() {
        for (value, expected) in [
            (12.0, "12"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (0.000_1, "0.0001"),
            (0.000_05, "5e-05"),
            (f64::INFINITY, "+Inf"),
        ] {
            let mut out = String::new();
            push_exposed(&mut out, value);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn seconds_have_decimals_only_where_needed() {
        let print = |ms| {
            let mut out = String::new();
            push_seconds(&mut out, TimestampMs(ms));
            out
        };
        assert_eq!(print(1_717_378_500_000), "1717378500");
        assert_eq!(print(1_717_378_500_005), "1717378500.005");
        assert_eq!(print(-1), "-0.001");
    }
}
