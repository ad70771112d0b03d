//! Numbers as text, the way Go's `strconv.FormatFloat(value, 'f', -1, 64)` writes them.

/// The shortest text that reads back as the same value, without exponent.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        (if value > 0.0 { "+Inf" } else { "-Inf" }).to_owned()
    } else {
        format!("{value}")
    }
}

/// Go's `%g`: an exponent below 1e-4 and from 1e21 on.
pub(crate) fn format_go(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || (1e-4..1e21).contains(&value.abs()) {
        return format_float(value);
    }
    with_go_exponent(&format!("{value:e}"))
}

/// As in `OpenMetrics`: always with a decimal point or an exponent.
pub(crate) fn format_open_metrics(value: f64) -> String {
    let text = format_go(value);
    let is_whole = value.is_finite() && !text.contains(['e', '.']);
    if is_whole { text + ".0" } else { text }
}

/// `1e5` as Go writes it: `1e+05`.
fn with_go_exponent(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text.to_owned(),
    }
}

/// Go's `%.2g`.
pub(crate) fn format_two_digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format_float(value);
    }
    let rounded: f64 = format!("{value:.1e}").parse().unwrap_or(value);
    if (1e-4..100.0).contains(&rounded.abs()) {
        return format_float(rounded);
    }
    with_go_exponent(&format!("{rounded:e}"))
}
