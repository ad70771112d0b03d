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
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}
