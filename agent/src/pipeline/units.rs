//! Texts of settings that stand for amounts, and settings that are written loosely.

use std::time::Duration;

use ::regex::Regex;
use serde::{Deserialize, Deserializer};
use skep_proto::{go_regex, go_units};

use super::StageError;

/// Go's durations, not below nothing.
pub(super) fn duration(key: &'static str, text: &str) -> Result<Duration, StageError> {
    go_units::parse_go_duration(text)
        .and_then(|ns| u64::try_from(ns).ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| StageError::Duration { key, text: text.to_owned() })
}

/// `8kb`, `1MB`, `512`: units are powers of 1024.
pub(crate) fn size(key: &'static str, text: &str) -> Result<usize, StageError> {
    let fault = || StageError::Size { key, text: text.to_owned() };
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(n_digits);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" => 10,
        "M" | "MB" => 20,
        "G" | "GB" => 30,
        _ => return Err(fault()),
    };
    let number = digits.parse::<usize>().ok().and_then(|it| it.checked_mul(1 << shift));
    number.ok_or_else(fault)
}

/// A pattern in Go's syntax, not anchored.
pub(super) fn pattern(pattern: &str) -> Result<Regex, StageError> {
    go_regex::compile_or_say(pattern).map_err(StageError::Regex)
}

/// The source of a stage must not be empty if it is given.
pub(super) fn checked_source(source: Option<&String>) -> Result<(), StageError> {
    match source {
        Some(source) if source.is_empty() => Err(StageError::Invalid("empty source")),
        _ => Ok(()),
    }
}

/// A text, or a number or a switch that stands for its text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Text(String),
    Bool(bool),
    Number(serde_json::Number),
}

pub(super) fn loose_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Loose>::deserialize(from)?.map(|it| match it {
        Loose::Text(text) => text,
        Loose::Bool(value) => value.to_string(),
        Loose::Number(number) => number.to_string(),
    }))
}

/// One text or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

pub(super) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(match Option::<OneOrMany>::deserialize(from)? {
        None => Vec::new(),
        Some(OneOrMany::One(text)) => vec![text],
        Some(OneOrMany::Many(texts)) => texts,
    })
}
