//! `| json`, `| json a="b.c"` and `| unpack`: a forgiving JSON reader that takes what it can from
//! a line, as Loki's does. It never builds a tree.

use std::borrow::Cow;

use super::{
    Line, RunStage,
    json_path::JsonPath,
    labels::{LineLabels, sanitize_into},
};
use crate::{ast::Extraction, error::QueryError};

/// The `__error__` of a line that is no JSON.
const JSON_ERROR: &str = "JSONParserErr";
/// The key under which `unpack` finds the original line.
const PACKED_LINE: &str = "_entry";
/// Bounds the stack a nested line takes.
const DEPTH_MAX: usize = 128;

#[derive(Debug)]
pub(super) struct JsonStage;

impl RunStage for JsonStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        if line.labels.hints().no_labels() {
            return true;
        }
        let labels = &mut *line.labels;
        let mut scratch = labels.take_scratch();
        let walked = flatten(&line.text, &mut scratch.prefix, &mut scratch.name, labels, 0);
        labels.keep_scratch(scratch);
        if let Err(Stop::Malformed(details)) = walked {
            labels.parser_error(JSON_ERROR, Some(details));
        }
        true
    }
}

/// Why reading ended early.
pub(super) enum Stop {
    /// All labels that matter were found.
    Done,
    Malformed(&'static str),
}

fn flatten(
    object: &str,
    prefix: &mut String,
    name: &mut String,
    labels: &mut LineLabels,
    depth: usize,
) -> Result<(), Stop> {
    if depth > DEPTH_MAX {
        return Err(Stop::Malformed("JSON is nested too deeply"));
    }
    each_member(object, |key, value| {
        let prefix_len = prefix.len();
        name.clear();
        if depth > 0 {
            name.push_str(prefix);
            name.push('_');
        }
        sanitize_into(name, &key, depth == 0);
        match value {
            Value::Object(inner) => {
                prefix.clear();
                prefix.push_str(name);
                let walked = flatten(inner, prefix, name, labels, depth + 1);
                prefix.truncate(prefix_len);
                // The prefix was replaced by the longer one, of which it is the start.
                walked
            }
            Value::Array(_) | Value::Null => Ok(()),
            Value::Text(_) | Value::Plain(_) => {
                if name.is_empty() {
                    return Ok(());
                }
                if labels.extract(name, &value.text()) { Ok(()) } else { Err(Stop::Done) }
            }
        }
    })
}

/// A value as it stands in the line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'l> {
    /// Between its quotes, still escaped.
    Text(&'l str),
    /// A number or a boolean.
    Plain(&'l str),
    Null,
    Array(&'l str),
    Object(&'l str),
}

impl<'l> Value<'l> {
    /// What a label gets: texts unescaped, the rest as written.
    fn text(self) -> Cow<'l, str> {
        match self {
            Self::Text(raw) => unescape(raw).unwrap_or_default(),
            Self::Plain(raw) | Self::Array(raw) | Self::Object(raw) => Cow::Borrowed(raw),
            Self::Null => Cow::Borrowed(""),
        }
    }
}

const MALFORMED_OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";
const MALFORMED_ARRAY: &str = "Value is array, but can't find closing ']' symbol";
const MALFORMED_TEXT: &str = "Value is string, but can't find closing '\"' symbol";
/// The number is how Loki's JSON reader counts kinds of values.
const NOT_AN_OBJECT: &str = "expecting json object(6), but it is not";
const MALFORMED_JSON: &str = "Malformed JSON error";
const MALFORMED_ESCAPE: &str = "Encountered an invalid escape sequence in a string";
const UNKNOWN_VALUE: &str = "Unknown value type";

/// Calls `take` with each member of an object, in order. What follows the object is not looked at.
pub(super) fn each_member<'l>(
    text: &'l str,
    mut take: impl FnMut(Cow<'l, str>, Value<'l>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let malformed = Stop::Malformed;
    let mut at = next_token(text, 0).ok_or(malformed(MALFORMED_OBJECT))?;
    if byte(text, at) != Some(b'{') {
        return Err(malformed(MALFORMED_OBJECT));
    }
    at = next_token(text, at + 1).ok_or(malformed(MALFORMED_JSON))?;
    loop {
        match byte(text, at) {
            Some(b'"') => at += 1,
            Some(b'}') => return Ok(()),
            _ => return Err(malformed(MALFORMED_OBJECT)),
        }
        let end = text_end(text, at).ok_or(malformed(MALFORMED_JSON))?;
        let key = unescape(slice(text, at, end)).ok_or(malformed(MALFORMED_ESCAPE))?;
        at = next_token(text, end + 1).ok_or(malformed(MALFORMED_JSON))?;
        if byte(text, at) != Some(b':') {
            return Err(malformed(MALFORMED_JSON));
        }
        let (value, after) = read_value(text, at + 1).map_err(malformed)?;
        take(key, value)?;
        at = next_token(text, after).ok_or(malformed(MALFORMED_ARRAY))?;
        match byte(text, at) {
            Some(b'}') => return Ok(()),
            Some(b',') => at += 1,
            _ => return Err(malformed(MALFORMED_OBJECT)),
        }
        at = next_token(text, at).ok_or(malformed(MALFORMED_ARRAY))?;
    }
}

/// The value at the next token, and where it ends.
pub(super) fn read_value(text: &str, at: usize) -> Result<(Value<'_>, usize), &'static str> {
    let at = next_token(text, at).ok_or(MALFORMED_JSON)?;
    match byte(text, at) {
        Some(b'"') => {
            let end = text_end(text, at + 1).ok_or(MALFORMED_TEXT)?;
            Ok((Value::Text(slice(text, at + 1, end)), end + 1))
        }
        Some(b'[') => {
            let end = block_end(text, at, b'[', b']').ok_or(MALFORMED_ARRAY)?;
            Ok((Value::Array(slice(text, at, end)), end))
        }
        Some(b'{') => {
            let end = block_end(text, at, b'{', b'}').ok_or(MALFORMED_OBJECT)?;
            Ok((Value::Object(slice(text, at, end)), end))
        }
        first => {
            let rest = text.get(at..).unwrap_or_default();
            let end = at + rest.find([' ', '\n', '\r', '\t', ',', '}', ']']).unwrap_or(rest.len());
            let word = slice(text, at, end);
            match (first, word) {
                (_, "null") => Ok((Value::Null, end)),
                (_, "true" | "false") | (Some(b'0'..=b'9' | b'-'), _) => {
                    Ok((Value::Plain(word), end))
                }
                _ => Err(UNKNOWN_VALUE),
            }
        }
    }
}

fn slice(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}

fn byte(text: &str, at: usize) -> Option<u8> {
    text.as_bytes().get(at).copied()
}

/// Where the next byte that is no blank stands.
pub(super) fn next_token(text: &str, from: usize) -> Option<usize> {
    let rest = text.as_bytes().get(from..)?;
    rest.iter().position(|it| !matches!(it, b' ' | b'\n' | b'\r' | b'\t')).map(|it| from + it)
}

/// Where the quote stands that ends the text starting at `from`.
fn text_end(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// The end of a bracketed block that opens at `from`; brackets in texts do not count.
fn block_end(text: &str, from: usize, open: u8, close: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut at = from;
    loop {
        at += memchr::memchr3(b'"', open, close, bytes.get(at..)?)?;
        match bytes.get(at) {
            Some(b'"') => at = text_end(text, at + 1)?,
            Some(it) if *it == open => depth += 1,
            _ => depth = depth.checked_sub(1)?,
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Undoes JSON's escapes; none where one is invalid.
pub(super) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    let Some(first) = raw.find('\\') else { return Some(Cow::Borrowed(raw)) };
    let mut out = String::with_capacity(raw.len());
    out.push_str(raw.get(..first)?);
    let mut chars = raw.get(first..)?.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            c @ ('"' | '\\' | '/') => out.push(c),
            'u' => {
                let high = hex4(&mut chars)?;
                let c = if (0xd800..0xdc00).contains(&high) {
                    (chars.next()? == '\\' && chars.next()? == 'u').then_some(())?;
                    let low = hex4(&mut chars)?.checked_sub(0xdc00).filter(|&it| it < 0x400)?;
                    char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)?
                } else {
                    char::from_u32(high)?
                };
                out.push(c);
            }
            _ => return None,
        }
    }
    Some(Cow::Owned(out))
}

fn hex4(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |value, _| Some(value * 16 + chars.next()?.to_digit(16)?))
}

#[derive(Debug)]
pub(super) struct JsonExprsStage {
    exprs: Vec<(String, JsonPath)>,
}

impl JsonExprsStage {
    pub(super) fn compile(exprs: &[Extraction]) -> Result<Self, QueryError> {
        let exprs = exprs
            .iter()
            .map(|it| Ok((it.label.clone(), JsonPath::parse(&it.path)?)))
            .collect::<Result<_, QueryError>>()?;
        Ok(Self { exprs })
    }
}

impl RunStage for JsonExprsStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        let labels = &mut *line.labels;
        if labels.hints().no_labels() {
            return true;
        }
        let text = line.text.as_ref();
        let starts_well = next_token(text, 0)
            .and_then(|at| byte(text, at))
            .is_some_and(|it| matches!(it, b'{' | b'['));
        if !starts_well {
            labels.parser_error(JSON_ERROR, None);
            return true;
        }
        for (label, path) in &self.exprs {
            match path.find(text) {
                Ok(Some(value)) => {
                    labels.extract(label, &value.text());
                }
                // Every expression gives a label, if only an empty one.
                Ok(None) if !labels.has(label) => {
                    labels.extract(label, "");
                }
                Ok(None) => {}
                Err(details) => labels.parser_error(JSON_ERROR, Some(details)),
            }
        }
        true
    }
}

#[derive(Debug)]
pub(super) struct UnpackStage;

impl RunStage for UnpackStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        if line.labels.hints().no_labels() && !line.text.contains(PACKED_LINE) {
            return true;
        }
        let text = line.text.as_ref();
        let labels = &mut *line.labels;
        if next_token(text, 0).and_then(|at| byte(text, at)) != Some(b'{') {
            labels.parser_error(JSON_ERROR, Some(NOT_AN_OBJECT));
            return true;
        }
        let mut packed: Option<String> = None;
        let mut found: Vec<(String, String)> = Vec::new();
        let walked = each_member(text, |key, value| {
            if let Value::Text(raw) = value {
                let value = unescape(raw).unwrap_or_default();
                if key == PACKED_LINE {
                    packed = Some(value.into_owned());
                } else {
                    found.push((key.into_owned(), value.into_owned()));
                }
            }
            Ok(())
        });
        if let Err(Stop::Malformed(details)) = walked {
            labels.parser_error(JSON_ERROR, Some(details));
            return true;
        }
        // Only a packed line was made by `pack`: other JSON keeps its keys to itself.
        if let Some(packed) = packed {
            for (key, value) in found {
                labels.extract(&key, &value);
            }
            line.text = Cow::Owned(packed);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::tests::check;
    use expect_test::expect;

    #[test]
    fn json_is_flattened_and_arrays_and_nulls_are_left_out() {
        check(
            "| json",
            r#"{"a":"x","b":{"c":1.5,"d.e":{"f":true}},"l":[1],"n":null,"1k":"v"} tail"#,
            expect![[r#"
                {"a":"x","b":{"c":1.5,"d.e":{"f":true}},"l":[1],"n":null,"1k":"v"} tail
                _1k="v" a="x" b_c="1.5" b_d_e_f="true""#]],
        );
    }

    #[test]
    fn a_broken_line_keeps_what_was_read_and_says_why() {
        check(
            "| json",
            r#"{"a":"x","b":nope}"#,
            expect![[r#"
                {"a":"x","b":nope}
                __error__="JSONParserErr" __error_details__="Unknown value type" a="x""#]],
        );
    }

    #[test]
    fn expressions_find_members_and_elements() {
        check(
            r#"| json first="l[0].x", ua="h[\"User-Agent\"]", all="h", no="z""#,
            r#"{"l":[{"x":1},2],"h":{"User-Agent":"f\"o\u00e9"}}"#,
            expect![[r#"
                {"l":[{"x":1},2],"h":{"User-Agent":"f\"o\u00e9"}}
                all="{\"User-Agent\":\"f\\\"o\\u00e9\"}" first="1" no="" ua="f\"oé""#]],
        );
    }

    #[test]
    fn unpack_gives_the_original_line_and_its_labels() {
        check(
            "| unpack",
            r#"{"pod":"p1","_entry":"hello","n":1}"#,
            expect![[r#"
                hello
                pod="p1""#]],
        );
    }
}
