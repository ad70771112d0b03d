//! Texts cut, filled and joined, byte for byte as Go does.

use super::{N_REPEAT_MAX, Time, Value};

/// The first letter of each word in upper case; a word ends at what is no letter, digit or `_`.
pub(super) fn title(text: &str) -> String {
    let mut at_start = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if at_start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        at_start = match c {
            c if c.is_ascii() => !(c.is_ascii_alphanumeric() || c == '_'),
            c => !c.is_alphanumeric() && c.is_whitespace(),
        };
    }
    out
}

pub(super) fn trim<'v>(text: &str, cut: &str) -> Value<'v> {
    Value::text(text.trim_matches(|c| cut.contains(c)).to_owned())
}

pub(super) fn trim_prefix<'v>(text: &str, prefix: &str) -> Value<'v> {
    Value::text(text.strip_prefix(prefix).unwrap_or(text).to_owned())
}

pub(super) fn trim_suffix<'v>(text: &str, suffix: &str) -> Value<'v> {
    Value::text(text.strip_suffix(suffix).unwrap_or(text).to_owned())
}

/// Bytes of a text; a cut character becomes U+FFFD.
fn bytes<'v>(text: &str, from: usize, to: usize) -> Value<'v> {
    let bytes = text.as_bytes().get(from..to).unwrap_or_default();
    Value::text(String::from_utf8_lossy(bytes).into_owned())
}

/// The first `n` bytes, or the last where `n` is negative.
pub(super) fn trunc<'v>(n: i64, text: &str) -> Value<'v> {
    let len = text.len();
    match usize::try_from(n) {
        Ok(n) if len > n => bytes(text, 0, n),
        Err(_negative) => {
            let n = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
            if len > n { bytes(text, len - n, len) } else { Value::text(text.to_owned()) }
        }
        Ok(_) => Value::text(text.to_owned()),
    }
}

/// Bytes `from..to`; a negative start is the start, a negative end the end.
pub(super) fn substr<'v>(from: i64, to: i64, text: &str) -> Result<Value<'v>, String> {
    let len = text.len();
    let refuse = |place: String| Err(format!("runtime error: slice bounds out of range {place}"));
    let Ok(start) = usize::try_from(from) else {
        return match usize::try_from(to) {
            Ok(end) if end <= len => Ok(bytes(text, 0, end)),
            Ok(end) => refuse(format!("[:{end}] with length {len}")),
            Err(_negative) => refuse(format!("[:{to}]")),
        };
    };
    let end = usize::try_from(to).ok().filter(|it| *it <= len).unwrap_or(len);
    if start > end {
        return refuse(format!("[{start}:{end}]"));
    }
    Ok(bytes(text, start, end))
}

pub(super) fn repeat(n: i64, text: &str) -> Result<String, String> {
    let len = i64::try_from(text.len()).unwrap_or(i64::MAX);
    match usize::try_from(n) {
        Err(_negative) => Err("strings: negative Repeat count".to_owned()),
        Ok(_) if n.saturating_mul(len) > N_REPEAT_MAX => {
            Err(format!("strings: Repeat makes more than {N_REPEAT_MAX} bytes"))
        }
        Ok(n) => Ok(text.repeat(n)),
    }
}

pub(super) fn indent<'v>(before: &str, n: i64, text: &str) -> Result<Value<'v>, String> {
    let blanks = repeat(n, " ")?;
    Ok(Value::text(format!("{before}{blanks}{}", text.replace('\n', &format!("\n{blanks}")))))
}

/// How many characters are missing (or, negative, too many) to `width`; none where nothing is.
fn missing(width: i64, text: &str) -> Option<i64> {
    let n_chars = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    (width >= 0 && width != n_chars).then(|| width.min(N_REPEAT_MAX) - n_chars)
}

pub(super) fn align_left<'v>(width: i64, text: &str) -> Value<'v> {
    let Some(n_missing) = missing(width, text) else { return Value::text(text.to_owned()) };
    Value::text(match usize::try_from(n_missing) {
        Ok(n) => format!("{text}{}", " ".repeat(n)),
        Err(_too_long) => text.chars().take(usize::try_from(width).unwrap_or(usize::MAX)).collect(),
    })
}

pub(super) fn align_right<'v>(width: i64, text: &str) -> Value<'v> {
    let Some(n_missing) = missing(width, text) else { return Value::text(text.to_owned()) };
    Value::text(match usize::try_from(n_missing) {
        Ok(n) => format!("{}{text}", " ".repeat(n)),
        Err(_too_long) => {
            let n = usize::try_from(n_missing.unsigned_abs()).unwrap_or(usize::MAX);
            text.chars().skip(n).collect()
        }
    })
}

/// An epoch in days, seconds, milli-, micro- or nanoseconds, told apart by its length.
pub(super) fn unix_to_time(text: &str) -> Result<Time, String> {
    let refuse = |why: &str| Err(format!("unable to parse time '{text}': {why}"));
    let value: i64 = match text.parse() {
        Ok(value) => value,
        Err(_no_number) => {
            let shown = crate::go_text::quote(text);
            return refuse(&format!("strconv.ParseInt: parsing {shown}: invalid syntax"));
        }
    };
    Ok(match text.len() {
        5 => Time::unix(value * 86_400, 0),
        10 => Time::unix(value, 0),
        13 => Time::unix_ns(value.saturating_mul(1_000_000)),
        16 => Time::unix_ns(value.saturating_mul(1_000)),
        19 => Time::unix_ns(value),
        // Go wraps an error that is none.
        _ => return refuse("%!w(<nil>)"),
    })
}
