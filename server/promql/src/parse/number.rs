//! Numbers and durations, as Go and Prometheus' common library read and print them.

use super::{ParseError, Parser};
use crate::{
    ast::{BinaryOp, NumberLiteral},
    lex::{Kind, quote},
};

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The longest length of time, 292 years: Prometheus counts nanoseconds in 63 bits.
const DURATION_MS_MAX: u64 = i64::MAX as u64 / 1_000_000;

impl Parser<'_> {
    /// A number or a duration, which is a number of seconds.
    pub(super) fn number(&mut self) -> Result<NumberLiteral, ParseError> {
        let token = self.advance()?;
        let is_duration = token.kind == Kind::Duration;
        let value = if is_duration {
            parse_duration(token.text).map(seconds)
        } else {
            parse_number(token.text)
        };
        let value = value.map_err(|message| self.error_at(token.span, message))?;
        Ok(NumberLiteral { value, is_duration, span: token.span })
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self.token.kind, Kind::Number | Kind::Duration)
    }

    /// `+1`, `-1` or `1`.
    pub(super) fn signed_number(&mut self) -> Result<f64, ParseError> {
        let sign = match self.token.kind {
            Kind::Operator(BinaryOp::Add) => Some(1.0),
            Kind::Operator(BinaryOp::Sub) => Some(-1.0),
            _ => None,
        };
        if sign.is_some() {
            self.advance()?;
        }
        if !self.is_number() {
            return Err(self.unexpected("", ""));
        }
        Ok(sign.unwrap_or(1.0) * self.number()?.value)
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts durations in float seconds too")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// Go's `ParseInt(text, 0, 64)`, else its `ParseFloat`.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    let fail = |why: &str| {
        Err(format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quote(text)))
    };
    let plain = text.replace('_', "");
    match plain.to_ascii_lowercase().as_str() {
        "inf" => return Ok(f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    if let Some(hex) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        return match i64::from_str_radix(hex, 16) {
            #[expect(
                clippy::cast_precision_loss,
                reason = "as Prometheus: every number is a float"
            )]
            Ok(value) => Ok(value as f64),
            Err(_) => fail("invalid syntax"),
        };
    }
    let is_octal = plain.len() > 1
        && plain.starts_with('0')
        && plain.bytes().all(|it| (b'0'..=b'7').contains(&it));
    if is_octal && let Ok(value) = i64::from_str_radix(&plain, 8) {
        #[expect(clippy::cast_precision_loss, reason = "as Prometheus: every number is a float")]
        return Ok(value as f64);
    }
    match plain.parse::<f64>() {
        Ok(value) if value.is_infinite() => fail("value out of range"),
        Ok(value) => Ok(value),
        Err(_) => fail("invalid syntax"),
    }
}

/// Milliseconds of `1h30m`: units in falling order, each once.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("not a valid duration string: {}", quote(text));
    if text.is_empty() {
        return Err("empty duration string".to_owned());
    }
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut n_units_passed = 0;
    while !rest.is_empty() {
        let (digits, after) = split_at_first(rest, |it| !it.is_ascii_digit());
        let (unit, after) = split_at_first(after, |it| it.is_ascii_digit());
        if digits.is_empty() || unit.is_empty() {
            return Err(invalid());
        }
        let amount: u64 = digits.parse().map_err(|_error| invalid())?;
        let idx = UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(|| format!("unknown unit {} in duration {}", quote(unit), quote(text)))?;
        if idx < n_units_passed {
            return Err(invalid());
        }
        n_units_passed = idx + 1;
        let millis = UNITS.get(idx).map_or(1, |(_, it)| *it);
        total = amount
            .checked_mul(millis)
            .and_then(|it| total.checked_add(it))
            .filter(|it| *it <= DURATION_MS_MAX)
            .ok_or_else(|| "duration out of range".to_owned())?;
        rest = after;
    }
    i64::try_from(total).map_err(|_error| "duration out of range".to_owned())
}

fn split_at_first(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

/// `1h30m`; years and weeks only where nothing is left over.
pub(crate) fn format_duration(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let mut rest = millis.unsigned_abs();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::from(sign);
    for (name, size) in UNITS {
        if matches!(name, "y" | "w") && !rest.is_multiple_of(size) {
            continue;
        }
        if rest >= size {
            out.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    out
}
