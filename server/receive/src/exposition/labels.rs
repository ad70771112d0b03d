//! A series as it is spelled: `up{host="a"}`, `{"my.metric", "a b"="c"}`.

use std::borrow::Cow;

use memchr::memchr2;
use skep_proto::{is_label_name, is_metric_name, names::METRIC_NAME};

use super::{Fault, Syntax, blanks, split};

/// Name and value pairs as they are spelled: unsorted, empty values kept, names maybe twice.
pub type LabelVec<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Which names without quotes are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Those of Prometheus' format; others need quotes there.
    Checked,
    /// All, as files of other systems have them.
    Any,
}

/// Where a series' text ends: the text, and what follows it.
pub(super) fn split_series(line: &str) -> Result<(&str, &str), Fault> {
    let bytes = line.as_bytes();
    let name_end =
        bytes.iter().position(|it| matches!(it, b'{' | b' ' | b'\t')).unwrap_or(bytes.len());
    let (name, rest) = split(line, name_end, 0);
    let Some(inside) = blanks(rest).strip_prefix('{') else { return Ok((name, rest)) };
    let mut at = line.len() - inside.len();
    let fault = || Fault::expected("label name or right brace", "", line);
    loop {
        at += memchr2(b'"', b'}', bytes.get(at..).unwrap_or_default()).ok_or_else(fault)?;
        if bytes.get(at) == Some(&b'}') {
            return Ok(split(line, at + 1, 0));
        }
        at = end_of_string(bytes, at).ok_or_else(fault)?;
    }
}

/// Reads name and labels of a series, the name as `__name__`. `labels` is emptied before.
///
/// # Errors
/// What was expected and what stands there instead.
pub fn read_series<'a>(
    series: &'a str,
    names: Names,
    labels: &mut LabelVec<'a>,
) -> Result<(), Fault> {
    labels.clear();
    let name_end = series.bytes().position(|it| matches!(it, b'{' | b' ' | b'\t'));
    let (name, rest) = split(series, name_end.unwrap_or(series.len()), 0);
    if !name.is_empty() {
        if names == Names::Checked && !is_metric_name(name) {
            return Err(Fault::expected("a metric name", name, series));
        }
        labels.push((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name)));
    }
    let Some(mut rest) = blanks(rest).strip_prefix('{') else {
        return match name {
            "" => Err(Fault::expected("a metric name", rest, series)),
            _ => Ok(()),
        };
    };
    loop {
        rest = blanks(rest);
        if let Some(behind) = rest.strip_prefix('}') {
            return match blanks(behind) {
                "" => Ok(()),
                _ => Err(Fault::expected("value after metric", behind, series)),
            };
        }
        rest = blanks(read_pair(rest, series, names, labels)?);
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.starts_with('}') => {}
            None => return Err(Fault::expected("comma or right brace", rest, series)),
        }
    }
}

/// One label, or the metric's name in quotes; what follows it.
fn read_pair<'a>(
    text: &'a str,
    series: &str,
    names: Names,
    labels: &mut LabelVec<'a>,
) -> Result<&'a str, Fault> {
    let is_quoted = text.starts_with('"');
    let (name, rest) = if is_quoted {
        quoted(text, series)?
    } else {
        let end =
            text.bytes().position(|it| matches!(it, b'=' | b' ' | b'\t' | b'}' | b',' | b'"'));
        let (name, rest) = split(text, end.unwrap_or(text.len()), 0);
        (Cow::Borrowed(name), rest)
    };
    if let Some(rest) = blanks(rest).strip_prefix('=') {
        let is_good = is_quoted || names == Names::Any || is_label_name(&name);
        if !is_good || name.is_empty() {
            return Err(Fault::expected("label name", &name, series));
        }
        let (value, rest) = quoted(blanks(rest), series)?;
        labels.push((name, value));
        return Ok(rest);
    }
    let is_first = labels.is_empty();
    if is_quoted && is_first && !name.is_empty() {
        labels.push((Cow::Borrowed(METRIC_NAME), name));
        return Ok(rest);
    }
    Err(Fault::expected("equal", rest, series))
}

/// A metric's name behind `# TYPE`, in quotes or not; what follows it.
pub(super) fn metric_name<'a>(text: &'a str, line: &str) -> Result<(Cow<'a, str>, &'a str), Fault> {
    if text.starts_with('"') {
        return quoted(text, line);
    }
    match super::word(text) {
        ("", _) => Err(Fault::expected("metric name", text, line)),
        (name, rest) => Ok((Cow::Borrowed(name), rest)),
    }
}

/// A string in quotes, without them, and what follows it.
fn quoted<'a>(text: &'a str, line: &str) -> Result<(Cow<'a, str>, &'a str), Fault> {
    if !text.starts_with('"') {
        return Err(Fault::expected("label value", text, line));
    }
    let end = end_of_string(text.as_bytes(), 0)
        .ok_or_else(|| Fault::expected("the end of a string", text, line))?;
    let inside = text.get(1..end - 1).unwrap_or_default();
    let (_, rest) = split(text, end, 0);
    Ok((unescape(inside, Syntax::OpenMetrics), rest))
}

/// Behind the closing quote of the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// Resolves `\\`, `\n`, and (but in help texts of the older format) `\"`; others stay as they are.
pub(super) fn unescape(text: &str, syntax: Syntax) -> Cow<'_, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(it) = chars.next() {
        if it != '\\' {
            out.push(it);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('\\') | None => out.push('\\'),
            Some('"') if syntax == Syntax::OpenMetrics => out.push('"'),
            Some(it) => out.extend(['\\', it]),
        }
    }
    Cow::Owned(out)
}
