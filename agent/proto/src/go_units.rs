//! Durations and sizes as Go prints and reads them, which is what LogQL shows and takes.

use std::fmt::Write as _;

const NS_US: i128 = 1_000;
const NS_MS: i128 = 1_000_000;
const NS_S: i128 = 1_000_000_000;
const NS_M: i128 = 60 * NS_S;
const NS_H: i128 = 60 * NS_M;
const NS_D: i128 = 24 * NS_H;

/// Reads `1h30m`, `1.5s`, `-250ms` into nanoseconds, as Go's `time.ParseDuration` does.
pub fn parse_go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (amount, after) = split_while(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split_while(after, |c| !c.is_ascii_digit() && c != '.');
        let unit_ns = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => NS_US,
            "ms" => NS_MS,
            "s" => NS_S,
            "m" => NS_M,
            "h" => NS_H,
            _ => return None,
        };
        total = total.checked_add(scaled(amount, unit_ns)?)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// `amount × unit`, exact for the digits a nanosecond can hold.
fn scaled(amount: &str, unit_ns: i128) -> Option<i128> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let mut total =
        if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()?.checked_mul(unit_ns)? };
    let mut scale = unit_ns;
    for digit in fraction.bytes() {
        scale /= 10;
        total += i128::from(digit - b'0') * scale;
    }
    Some(total)
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// Reads `1h30m`, `5d`, `1w`, `1y` into nanoseconds, as Prometheus' `model.ParseDuration` does:
/// whole numbers, units in falling order, each once.
///
/// # Errors
/// The text Prometheus would print.
pub fn parse_prometheus_duration(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, i128); 7] = [
        ("y", 365 * NS_D),
        ("w", 7 * NS_D),
        ("d", NS_D),
        ("h", NS_H),
        ("m", NS_M),
        ("s", NS_S),
        ("ms", NS_MS),
    ];
    match text {
        "" => return Err("empty duration string".to_owned()),
        "0" => return Ok(0),
        _ => {}
    }
    let mut rest = text;
    let mut total: i128 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let (amount, after) = split_while(rest, |c| c.is_ascii_digit());
        let (unit, after) = split_while(after, |c| !c.is_ascii_digit());
        let amount = amount.parse::<i128>().map_err(|_not_digits| not_a_duration(text))?;
        if unit.is_empty() {
            return Err(not_a_duration(text));
        }
        let Some(at) = UNITS.iter().position(|(it, _)| *it == unit) else {
            return Err(format!("unknown unit {unit:?} in duration {text:?}"));
        };
        if at < next_unit {
            return Err(not_a_duration(text));
        }
        next_unit = at + 1;
        let unit_ns = UNITS.get(at).map_or(0, |(_, ns)| *ns);
        total = amount
            .checked_mul(unit_ns)
            .and_then(|it| total.checked_add(it))
            .filter(|&it| it <= i128::from(i64::MAX))
            .ok_or_else(|| "duration out of range".to_owned())?;
        rest = after;
    }
    i64::try_from(total).map_err(|_too_long| "duration out of range".to_owned())
}

fn not_a_duration(text: &str) -> String {
    format!("not a valid duration string: {text:?}")
}

/// `1m30s`, `5d`, `2w`: Prometheus' `model.Duration`, which knows no unit below a millisecond.
pub fn prometheus_duration(ns: i64) -> String {
    let mut ms = ns / 1_000_000;
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    // Years, weeks and days only where nothing is left over, as Prometheus prints them.
    const UNITS: [(&str, i64, bool); 7] = [
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ];
    if ms < 0 {
        out.push('-');
        ms = -ms;
    }
    for (unit, unit_ms, exact) in UNITS {
        if exact && ms % unit_ms != 0 {
            continue;
        }
        let amount = ms / unit_ms;
        if amount > 0 {
            // Writing to a string cannot fail.
            write!(out, "{amount}{unit}").unwrap_or_default();
            ms -= amount * unit_ms;
        }
    }
    out
}

/// `1m30s`, `250ms`, `5m0s`: Go's `time.Duration`.
pub fn go_duration(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    if ns < 1_000_000_000 {
        let (unit, unit_ns) = match ns {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(ns, unit_ns));
    }
    let (minutes, rest) = (ns / 60_000_000_000, ns % 60_000_000_000);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let seconds = decimal(rest, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(value: u64, unit: u64) -> String {
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{}", format!("{fraction:0width$}").trim_end_matches('0'))
}

/// Reads `5KiB`, `1.5 MB`, `20` into bytes, as `humanize.ParseBytes` does.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (amount, unit) = split_while(text, |c| c.is_ascii_digit() || c == '.' || c == ',');
    let amount: f64 = amount.replace(',', "").parse().ok()?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "ki" | "kib" => 1024.0,
        "m" | "mb" => 1e6,
        "mi" | "mib" => 1024f64.powi(2),
        "g" | "gb" => 1e9,
        "gi" | "gib" => 1024f64.powi(3),
        "t" | "tb" => 1e12,
        "ti" | "tib" => 1024f64.powi(4),
        "p" | "pb" => 1e15,
        "pi" | "pib" => 1024f64.powi(5),
        "e" | "eb" => 1e18,
        "ei" | "eib" => 1024f64.powi(6),
        _ => return None,
    };
    let bytes = amount * factor;
    if !(0.0..18_446_744_073_709_551_616.0).contains(&bytes) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
    Some(bytes as u64)
}

/// `5.1kB`: `humanize.Bytes` without its blanks.
pub fn humanize_bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes}B");
    }
    let exponent = bytes.ilog(1000);
    #[expect(clippy::cast_precision_loss, reason = "three digits are printed")]
    let value = bytes as f64 / 1000f64.powi(exponent.cast_signed());
    let value = (value * 10.0 + 0.5).floor() / 10.0;
    let unit = UNITS.get(exponent as usize).copied().unwrap_or("EB");
    if value < 10.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// Go's `%v` of a float: the shortest text, with an exponent below 1e-4 and from 1e21 on.
pub fn go_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        let Some((mantissa, exponent)) = text.split_once('e') else { return text };
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{value}")
}

/// Go's `%v` of a float: the shortest text, with an exponent below 1e-4 and from 1e6 on where that
/// is not the shorter one.
pub fn go_float_g(value: f64) -> String {
    let magnitude = value.abs();
    if value.is_finite() && magnitude >= 1e6 {
        let text = format!("{value:e}");
        if let Some((mantissa, exponent)) = text.split_once('e') {
            return format!("{mantissa}e+{exponent:0>2}");
        }
    }
    if value == 0.0 && value.is_sign_negative() {
        return "-0".to_owned();
    }
    go_float(value)
}

/// Go's `strconv.ParseFloat`.
pub fn go_parse_float(text: &str) -> Result<f64, String> {
    if let Some(whole) = small_number(text) {
        return Ok(f64::from(whole));
    }
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.iInN".contains(c));
    match text.parse::<f64>() {
        Ok(value) if value.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) => {
            Err(format!("strconv.ParseFloat: parsing {text:?}: value out of range"))
        }
        Ok(value) if is_number => Ok(value),
        _ => Err(format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
    }
}

/// Digits alone, as most numbers in lines are.
fn small_number(text: &str) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.bytes().try_fold(0, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| value * 10 + u32::from(digit))
    })
}

/// Go's `time.ParseDuration`, with its error.
pub fn go_duration_or_error(text: &str) -> Result<i64, String> {
    if let Some(ns) = parse_go_duration(text) {
        return Ok(ns);
    }
    let amount = text.trim_start_matches(['-', '+']);
    let (number, rest) = split_while(amount, |c| c.is_ascii_digit() || c == '.');
    let (unit, _) = split_while(rest, |c| !c.is_ascii_digit() && c != '.');
    Err(if number.is_empty() || number.parse::<f64>().is_err() {
        format!("time: invalid duration {text:?}")
    } else if unit.is_empty() {
        format!("time: missing unit in duration {text:?}")
    } else {
        format!("time: unknown unit {unit:?} in duration {text:?}")
    })
}

/// `humanize.ParseBytes`, with its error.
pub fn bytes_or_error(text: &str) -> Result<u64, String> {
    if let Some(bytes) = parse_bytes(text) {
        return Ok(bytes);
    }
    let (amount, unit) = split_while(text, |c| c.is_ascii_digit() || c == '.' || c == ',');
    go_parse_float(amount)?;
    Err(format!("unhandled size name: {}", unit.trim().to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_read_back_as_printed() {
        for (text, ns) in [
            ("250ms", 250_000_000),
            ("5m0s", 300_000_000_000),
            ("1h0m0.5s", 3_600_500_000_000),
            ("1.5µs", 1_500),
            ("-3s", -3_000_000_000),
        ] {
            assert_eq!(parse_go_duration(text), Some(ns), "{text}");
            assert_eq!(go_duration(ns), text);
        }
        for bad in ["", "5", "1d", "1..5s", "s", "-"] {
            assert_eq!(parse_go_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn prometheus_durations_have_days_and_whole_numbers() {
        for (text, printed, s) in [
            ("90s", "1m30s", 90),
            ("5d", "5d", 432_000),
            ("14d", "2w", 1_209_600),
            ("36h", "1d12h", 129_600),
        ] {
            let ns = parse_prometheus_duration(text).unwrap();
            assert_eq!(ns, s * 1_000_000_000);
            assert_eq!(prometheus_duration(ns), printed);
        }
        assert_eq!(
            parse_prometheus_duration("5m:1m").unwrap_err(),
            r#"unknown unit "m:" in duration "5m:1m""#
        );
        assert_eq!(
            parse_prometheus_duration("-5m").unwrap_err(),
            r#"not a valid duration string: "-5m""#
        );
    }

    #[test]
    fn sizes_are_decimal_unless_an_i_says_otherwise() {
        assert_eq!(parse_bytes("5KiB"), Some(5120));
        assert_eq!(parse_bytes("1.5 MB"), Some(1_500_000));
        assert_eq!(parse_bytes("20"), Some(20));
        assert_eq!(parse_bytes("x"), None);
        assert_eq!(humanize_bytes(5120), "5.1kB");
        assert_eq!(humanize_bytes(82_854_982), "83MB");
        assert_eq!(humanize_bytes(7), "7B");
    }

    #[test]
    fn floats_print_as_in_go() {
        assert_eq!(go_float(0.5), "0.5");
        assert_eq!(go_float(1e21), "1e+21");
        assert_eq!(go_float(0.00001), "1e-05");
        assert_eq!(go_float(-3.0), "-3");
    }
}
