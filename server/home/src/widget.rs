//! Values of JSON documents at addresses: which one, and how it is written.

use std::fmt;

use serde_json::Value;

use crate::config::{Format, FormatKind, JsonField};

/// Where in a document: `data.items[0].name`, or `data.items.0.name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path(Vec<String>);

/// Deeper is no document for a widget.
const DEPTH_MAX: usize = 32;
/// A tile has no room for more.
const VALUE_CHARS_MAX: usize = 80;

impl Path {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let plain = text.trim().trim_start_matches('$').trim_start_matches('.');
        let plain = plain.replace('[', ".").replace(']', "");
        let steps: Vec<_> = plain.split('.').map(|it| it.trim().to_owned()).collect();
        if steps.iter().any(String::is_empty) || steps.len() > DEPTH_MAX {
            return Err(format!("{text:?} is no path; write one like \"data.items[0].name\""));
        }
        Ok(Self(steps))
    }

    fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, step| match value {
            Value::Object(fields) => fields.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _scalar => None,
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// What a tile shows of a document.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    pub label: String,
    pub text: String,
}

/// The values of a document.
pub(crate) fn values(body: &[u8], fields: &[JsonField]) -> Result<Vec<Shown>, String> {
    let document: Value =
        serde_json::from_slice(body).map_err(|error| format!("the answer is no JSON: {error}"))?;
    let found = fields.iter().map(|field| {
        let value = field.path.find(&document);
        let value = value.ok_or_else(|| format!("the answer has no {}", field.path))?;
        Ok(Shown { label: field.label.clone(), text: field.format.text(value) })
    });
    found.collect()
}

impl Format {
    fn text(&self, value: &Value) -> String {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _other => None,
        };
        let body = match (self.kind, number.map(|it| it * self.scale)) {
            (FormatKind::Text, Some(number))
                if value.is_number() && (self.scale - 1.0).abs() > f64::EPSILON =>
            {
                plain(number)
            }
            (FormatKind::Text, _) | (_, None) => match value {
                Value::String(text) => text.clone(),
                Value::Array(items) => items.len().to_string(),
                Value::Null => "–".to_owned(),
                other => other.to_string(),
            },
            (FormatKind::Number, Some(number)) => plain(number),
            (FormatKind::Percent, Some(number)) => format!("{} %", plain(number)),
            (FormatKind::Bytes, Some(number)) => scaled(number),
            (FormatKind::BytesPerSecond, Some(number)) => format!("{}/s", scaled(number)),
            (FormatKind::Duration, Some(number)) => duration(number),
        };
        let body: String = body.chars().take(VALUE_CHARS_MAX).collect();
        format!("{}{body}{}", self.prefix, self.suffix)
    }
}

/// Two digits behind the point at most, and thousands apart.
fn plain(number: f64) -> String {
    let text = format!("{number:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let digits = whole.trim_start_matches('-');
    let mut spaced = String::from(if whole.len() > digits.len() { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && digits.len() > 4 {
            spaced.push('\u{202f}');
        }
        spaced.push(digit);
    }
    spaced + rest
}

fn scaled(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut size = bytes;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or("B");
    while size.abs() >= 999.5 {
        let Some(larger) = units.next() else { break };
        size /= 1_000.0;
        unit = larger;
    }
    let digits = if unit == "B" || size.abs() >= 99.5 { 0 } else { 1 };
    format!("{size:.digits$} {unit}")
}

fn duration(seconds: f64) -> String {
    if !(0.0..=1e11).contains(&seconds) {
        return "–".to_owned();
    }
    let whole = std::time::Duration::from_secs_f64(seconds.round());
    let text = humantime::format_duration(whole).to_string();
    // Two units are as exact as anybody reads.
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(json: &str, path: &str, kind: FormatKind, expected: &Expect) {
        let format = Format { kind, scale: 1.0, prefix: String::new(), suffix: String::new() };
        let field = JsonField { label: "x".to_owned(), path: Path::parse(path).unwrap(), format };
        let shown = match values(json.as_bytes(), &[field]) {
            Ok(shown) => shown[0].text.clone(),
            Err(text) => format!("error: {text}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_value_is_found_by_its_path_and_written_for_people() {
        let json = r#"{"a": [{"b": 1234567.891}, {"b": "up"}], "n": null, "s": 93784}"#;
        check(json, "a[0].b", FormatKind::Number, &expect!["1\u{202f}234\u{202f}567.89"]);
        check(json, "$.a.1.b", FormatKind::Text, &expect!["up"]);
        check(json, "a[0].b", FormatKind::Bytes, &expect!["1.2 MB"]);
        check(json, "a[0].b", FormatKind::BytesPerSecond, &expect!["1.2 MB/s"]);
        check(json, "s", FormatKind::Duration, &expect!["1day 2h"]);
        check(json, "a", FormatKind::Text, &expect!["2"]);
        check(json, "n", FormatKind::Number, &expect!["–"]);
        check(json, "a[7].b", FormatKind::Text, &expect!["error: the answer has no a.7.b"]);
        check(
            "<html>",
            "a",
            FormatKind::Text,
            &expect!["error: the answer is no JSON: expected value at line 1 column 1"],
        );
    }

    #[test]
    fn no_path_is_endless_or_empty() {
        for bad in ["", "a..b", ".", "a[]"] {
            assert!(Path::parse(bad).is_err(), "{bad:?} was taken");
        }
        assert!(Path::parse(&"a.".repeat(DEPTH_MAX + 1)).is_err());
    }
}
