//! Any value to a number, as forgiving as Go's `cast`: what is no number counts as 0.

use super::Value;
use crate::go_units as units;

pub(super) fn to_int(value: Option<&Value<'_>>) -> i64 {
    match value {
        Some(Value::Int(value) | Value::Int64(value)) => *value,
        Some(Value::Byte(value)) => (*value).into(),
        #[expect(clippy::cast_possible_truncation, reason = "range checked")]
        Some(Value::Float(value)) if value.abs() < 9_223_372_036_854_775_808.0 => *value as i64,
        Some(Value::Bool(value)) => (*value).into(),
        Some(Value::Text(text)) => parse_int(without_decimals(text)).unwrap_or(0),
        _ => 0,
    }
}

pub(super) fn to_float(value: Option<&Value<'_>>) -> f64 {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "as Go converts")]
        Some(Value::Int(value) | Value::Int64(value)) => *value as f64,
        Some(Value::Byte(value)) => (*value).into(),
        Some(Value::Float(value)) => *value,
        Some(Value::Bool(value)) => f64::from(u8::from(*value)),
        Some(Value::Text(text)) => units::go_parse_float(text).unwrap_or(0.0),
        _ => 0.0,
    }
}

/// `12.34` counts as `12`.
fn without_decimals(text: &str) -> &str {
    let Some((whole, decimals)) = text.split_once('.') else { return text };
    let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let is_plain = digits.bytes().chain(decimals.bytes()).all(|it| it.is_ascii_digit());
    match (is_plain, digits.is_empty()) {
        (true, true) => "0",
        (true, false) => whole,
        (false, _) => text,
    }
}

/// Go's `strconv.ParseInt` with base 0: `0x`, `0o`, `0b` and a leading `0` choose the base.
fn parse_int(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.split_at_checked(2) {
        Some(("0x", digits)) => (16, digits),
        Some(("0o", digits)) => (8, digits),
        Some(("0b", digits)) => (2, digits),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let plain = digits.replace('_', "");
    if plain.len() != digits.len() && radix == 10 {
        return None;
    }
    let value = i128::from_str_radix(&plain, radix).ok()?;
    i64::try_from(if is_negative { -value } else { value }).ok()
}

pub(super) fn fold_float<'v>(args: &[Value<'v>], op: fn(f64, f64) -> f64) -> Value<'v> {
    let values = args.iter().map(|it| to_float(Some(it)));
    Value::Float(values.reduce(op).unwrap_or(0.0))
}

/// Unlike Rust's, Go's maximum is NaN if one side is, and an infinity beats even that.
pub(super) fn go_max(left: f64, right: f64) -> f64 {
    if left == f64::INFINITY || right == f64::INFINITY {
        return f64::INFINITY;
    }
    if left.is_nan() || right.is_nan() { f64::NAN } else { left.max(right) }
}

pub(super) fn go_min(left: f64, right: f64) -> f64 {
    -go_max(-left, -right)
}

/// Rounds to `places`; negative numbers go towards minus infinity, as sprig's do.
pub(super) fn round(value: f64, places: i64, round_on: f64) -> f64 {
    let scale = 10f64.powi(i32::try_from(places).unwrap_or(if places < 0 { -400 } else { 400 }));
    let digit = scale * value;
    let rounded = if digit.fract() >= round_on { digit.ceil() } else { digit.floor() };
    rounded / scale
}
