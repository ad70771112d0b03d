//! `detected_level`: how serious an entry is, found as Loki 3.7 finds it.
//!
//! In this order: a label of the stream, a field of the structured metadata, OpenTelemetry's
//! severity number, a field of a line that is JSON or logfmt, a word in the line, else `unknown`.
//! It is done for every line that comes in, so that nothing is parsed further than to the level.

mod json;
mod logfmt;
mod word;

use std::borrow::Cow;

use skep_proto::LogRow;

use super::{labels::Pair, stream::field};

/// The field of structured metadata that holds what was found.
pub(super) const DETECTED_LEVEL: &str = "detected_level";
/// What OpenTelemetry's severity is kept as.
const SEVERITY_NUMBER: &str = "severity_number";

/// Names of labels and fields that hold a level, the first one there is counts: Loki's default.
pub const LEVEL_FIELDS: &[&str] = &[
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
    "SEVERITY_TEXT",
];
/// How deep in a JSON line a level is looked for: Loki's default.
const JSON_DEPTH: usize = 2;

const TRACE: &str = "trace";
const DEBUG: &str = "debug";
const INFO: &str = "info";
const WARN: &str = "warn";
const ERROR: &str = "error";
const CRITICAL: &str = "critical";
const FATAL: &str = "fatal";
const UNKNOWN: &str = "unknown";

/// Which fields hold a level: `log_level_fields` and `log_level_from_json_max_depth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelFields {
    names: Vec<Box<str>>,
    /// Objects within each other that are looked into; 0 is all.
    json_depth: usize,
    /// Bit `b & 31` is set where a name begins with a letter `b` of either case: most are told apart
    /// by it.
    first_letters: u32,
    name_bytes_max: usize,
}

impl Default for LevelFields {
    fn default() -> Self {
        Self::new(LEVEL_FIELDS.iter().copied(), JSON_DEPTH)
    }
}

impl LevelFields {
    /// No names stand for the default ones; a `json_depth` of 0 is without a bound.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>, json_depth: usize) -> Self {
        let mut names: Vec<Box<str>> = names.into_iter().map(Box::from).collect();
        if names.is_empty() {
            names = LEVEL_FIELDS.iter().map(|it| Box::from(*it)).collect();
        }
        let first_letters = names.iter().filter_map(|it| it.bytes().next()).map(bit_of);
        Self {
            json_depth,
            first_letters: first_letters.fold(0, |all, bit| all | bit),
            name_bytes_max: names.iter().map(|it| it.len()).max().unwrap_or_default(),
            names,
        }
    }

    /// The same depth with other names; none stand for the default ones.
    #[must_use]
    pub fn with_names<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Self {
        Self::new(names, self.json_depth)
    }

    /// The level that a stream's labels (sorted) tell of all its entries.
    pub(super) fn of_labels<'a>(&self, labels: &[Pair<'a>]) -> Option<Cow<'a, str>> {
        self.names.iter().find_map(|name| field(labels, name)).map(normal)
    }

    /// The level of an entry whose stream tells none: a name of a level, or whatever a field of
    /// structured metadata (sorted) holds.
    pub(super) fn of_entry<'a>(&self, entry: &LogRow<'a>) -> Cow<'a, str> {
        let metadata = &entry.metadata;
        if metadata.iter().any(|(name, _)| self.may_be(name.as_bytes()))
            && let Some(value) = self.names.iter().find_map(|name| field(metadata, name))
        {
            return normal(value);
        }
        if let Some(number) = field(metadata, SEVERITY_NUMBER).filter(|it| !it.is_empty()) {
            return Cow::Borrowed(of_severity_number(number));
        }
        Cow::Borrowed(self.of_line(&entry.line))
    }

    fn of_line(&self, line: &str) -> &'static str {
        let value = if json::is_json(line) {
            json::first_text(line.as_bytes(), self.json_depth, |key| self.is_name(key))
        } else if memchr::memchr(b'=', line.as_bytes()).is_some() {
            logfmt::best_value(line.as_bytes(), |key| self.rank(key))
        } else {
            None
        };
        value.and_then(known).unwrap_or_else(|| word::level(line))
    }

    fn may_be(&self, name: &[u8]) -> bool {
        name.len() <= self.name_bytes_max
            && name.first().is_some_and(|it| self.first_letters & bit_of(*it) != 0)
    }

    fn is_name(&self, key: &[u8]) -> bool {
        self.may_be(key) && self.names.iter().any(|it| it.as_bytes() == key)
    }

    /// Which name this is, in whatever case.
    fn rank(&self, key: &[u8]) -> Option<usize> {
        if !self.may_be(key) {
            return None;
        }
        self.names.iter().position(|it| it.as_bytes().eq_ignore_ascii_case(key))
    }
}

fn bit_of(byte: u8) -> u32 {
    1 << (byte & 31)
}

/// A level in one of its spellings by its name, anything else as it is.
pub(super) fn normal<'a>(level: &Cow<'a, str>) -> Cow<'a, str> {
    known(level.as_bytes()).map_or_else(|| level.clone(), Cow::Borrowed)
}

/// The name of a level that is spelt in one of the usual ways.
fn known(level: &[u8]) -> Option<&'static str> {
    const SPELLINGS: &[(&str, &str)] = &[
        ("info", INFO),
        ("inf", INFO),
        ("information", INFO),
        ("warn", WARN),
        ("wrn", WARN),
        ("warning", WARN),
        ("error", ERROR),
        ("err", ERROR),
        ("debug", DEBUG),
        ("dbg", DEBUG),
        ("trace", TRACE),
        ("trc", TRACE),
        ("critical", CRITICAL),
        ("fatal", FATAL),
    ];
    let spelling = SPELLINGS.iter().find(|(it, _)| it.as_bytes().eq_ignore_ascii_case(level));
    spelling.map(|(_, name)| *name)
}

/// By the ranges of OpenTelemetry's data model; what is no number is taken for `info`, as in Loki.
fn of_severity_number(number: &str) -> &'static str {
    match number.parse::<i64>() {
        Err(std::num::ParseIntError { .. }) => INFO,
        Ok(0 | 25..) => UNKNOWN,
        Ok(..=4) => TRACE,
        Ok(5..=8) => DEBUG,
        Ok(9..=12) => INFO,
        Ok(13..=16) => WARN,
        Ok(17..=20) => ERROR,
        Ok(21..=24) => FATAL,
    }
}

#[cfg(test)]
mod tests;
