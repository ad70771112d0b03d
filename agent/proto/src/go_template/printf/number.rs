//! Numbers by Go's verbs: signs, zeros, digits and exponents.

use super::Spec;
use crate::go_units as units;

/// None where the verb is none of whole numbers.
pub(super) fn int(verb: char, value: i64, spec: Spec) -> Option<String> {
    let magnitude = value.unsigned_abs();
    let digits = match verb {
        'v' | 'd' => magnitude.to_string(),
        'b' => format!("{magnitude:b}"),
        'o' | 'O' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        'c' | 'q' => return Some(character(verb, value)),
        'U' => return Some(format!("U+{magnitude:04X}")),
        _ => return None,
    };
    let prefix = match (verb, spec.sharp) {
        ('O', _) => "0o",
        ('b', true) => "0b",
        ('o', true) => "0",
        ('x', true) => "0x",
        ('X', true) => "0X",
        _ => "",
    };
    let sign = sign(value < 0, spec);
    let n_digits = match (spec.precision, spec.width) {
        (Some(0), _) if value == 0 => return Some(String::new()),
        (Some(precision), _) => precision,
        // Zeros fill the width behind the sign.
        (None, Some(width)) if spec.zero => width.saturating_sub(sign.len()),
        _ => 0,
    };
    Some(format!("{sign}{prefix}{digits:0>n_digits$}"))
}

fn sign(is_negative: bool, spec: Spec) -> &'static str {
    match (is_negative, spec.plus, spec.space) {
        (true, _, _) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn character(verb: char, value: i64) -> String {
    let c = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    match (verb, c) {
        ('c', c) => c.to_string(),
        (_, '\'') => r"'\''".to_owned(),
        (_, '"') => "'\"'".to_owned(),
        (_, c) => {
            let quoted = crate::go_text::quote(&c.to_string());
            format!("'{}'", quoted.trim_matches('"'))
        }
    }
}

/// None where the verb is none of floats.
pub(super) fn float(verb: char, value: f64, spec: Spec) -> Option<String> {
    let magnitude = value.abs();
    let digits = match verb {
        _ if !"vgGeEfF".contains(verb) => return None,
        _ if value.is_nan() => "NaN".to_owned(),
        _ if value.is_infinite() => "Inf".to_owned(),
        'v' | 'g' | 'G' => match spec.precision {
            None => units::go_float_g(magnitude),
            Some(precision) => general(magnitude, precision.max(1)),
        },
        'e' | 'E' => exponential(magnitude, spec.precision.unwrap_or(6)),
        _ => format!("{magnitude:.*}", spec.precision.unwrap_or(6)),
    };
    let digits = if verb.is_ascii_uppercase() { digits.to_uppercase() } else { digits };
    let is_negative = value.is_sign_negative() && !value.is_nan();
    let sign = match value {
        it if it == f64::INFINITY && !spec.space => "+",
        _ => sign(is_negative, spec),
    };
    let n_digits = match spec.width {
        Some(width) if spec.zero && value.is_finite() => width.saturating_sub(sign.len()),
        _ => 0,
    };
    Some(format!("{sign}{digits:0>n_digits$}"))
}

/// `1.500000e+00`
fn exponential(magnitude: f64, precision: usize) -> String {
    let text = format!("{magnitude:.precision$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{exponent:0>2}")
}

/// `%g` with so many digits: an exponent where there are more before the point, or more than four
/// zeros behind it.
fn general(magnitude: f64, precision: usize) -> String {
    let text = format!("{magnitude:.*e}", precision - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let n_digits = digits.trim_end_matches('0').len().max(1);
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let n_whole = exponent + 1;
    let count = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
    let limit = if count(precision) > count(n_digits) && count(n_digits) >= n_whole {
        count(n_digits)
    } else {
        count(precision)
    };
    if exponent < -4 || exponent >= limit {
        return exponential(magnitude, n_digits - 1);
    }
    let n_decimals = usize::try_from(count(n_digits) - n_whole).unwrap_or(0);
    format!("{magnitude:.n_decimals$}")
}
