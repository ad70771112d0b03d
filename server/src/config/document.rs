//! A configuration's text and what is wrong with it: line, column, key, and what to write instead.
//!
//! A fault names its key by the layers of its error, outermost first: each is a key by itself
//! (`sites[1]`, `routes[0]`), but for the last, a sentence that may begin with one (`front.https
//! "8443" is not an address …`).

use std::fmt;

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeArray, DeString, DeTable, DeValue, Deserializer},
};

/// More would scroll away.
const FAULTS_MAX: usize = 50;

/// A TOML text with the place of each key and value.
#[derive(Debug)]
pub(super) struct Document<'t> {
    text: &'t str,
    root: Spanned<DeTable<'t>>,
}

/// What is wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Counted from 1, if it is known.
    place: Option<(usize, usize)>,
    text: String,
}

/// All that is wrong with a file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Faults {
    path: String,
    all: Vec<Fault>,
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, Fault { place, text }) in self.all.iter().enumerate() {
            if idx > 0 {
                writeln!(f)?;
            }
            match (place, self.path.as_str()) {
                // A text that is in no file.
                (_, "") => write!(f, "{text}")?,
                (Some((line, column)), path) => write!(f, "{path}:{line}:{column}: {text}")?,
                (None, path) => write!(f, "{path}: {text}")?,
            }
        }
        Ok(())
    }
}

impl Faults {
    /// `path` is how the file is named to people.
    pub(crate) fn new(path: &str, mut all: Vec<Fault>) -> Self {
        all.sort_by_key(|it| it.place);
        all.truncate(FAULTS_MAX);
        Self { path: path.to_owned(), all }
    }

    /// One a line, for a log.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.all
            .iter()
            .map(|it| Self { path: self.path.clone(), all: vec![it.clone()] }.to_string())
    }
}

impl<'t> Document<'t> {
    /// # Errors
    /// All that is not TOML.
    pub(super) fn parse(text: &'t str) -> Result<Self, Vec<Fault>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { text, root });
        }
        let fault = |error: &toml::de::Error| Fault {
            place: error.span().map(|it| place(text, it.start)),
            text: error.message().to_owned(),
        };
        Err(errors.iter().map(fault).collect())
    }

    /// # Errors
    /// Every key that is unknown, missing, or of another type.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Vec<Fault>> {
        let mut rest = self.root.clone();
        let mut faults = Vec::new();
        loop {
            match T::deserialize(Deserializer::from(rest.clone())) {
                Ok(read) if faults.is_empty() => return Ok(read),
                Ok(_the_rest) => return Err(faults),
                Err(error) => {
                    let start = error.span().map(|it| it.start);
                    let fault = self.unreadable(&error);
                    if !is_taken_out(&fault, &faults) {
                        faults.push(fault);
                    }
                    // What is behind it may be wrong, too.
                    let is_gone = start.is_some_and(|it| remove(rest.get_mut(), it));
                    if !is_gone || faults.len() >= FAULTS_MAX {
                        return Err(faults);
                    }
                }
            }
        }
    }

    fn unreadable(&self, error: &toml::de::Error) -> Fault {
        let message = error.message().trim_end();
        let Some(span) = error.span() else {
            return Fault { place: None, text: message.to_owned() };
        };
        let key = path_at(self.root.get_ref(), span.start);
        let text = if key.is_empty() { message.to_owned() } else { format!("{key}: {message}") };
        Fault { place: Some(place(self.text, span.start)), text }
    }

    /// Finds what an error is about.
    pub(super) fn fault(&self, error: &anyhow::Error) -> Fault {
        let layers: Vec<String> = error.chain().map(ToString::to_string).collect();
        let mut at = At { key: String::new(), value: None, table: Some(self.root.get_ref()) };
        let mut start = None;
        let mut rest = layers.as_slice();
        while let [layer, behind @ ..] = rest {
            let word = layer.split([' ', ':']).next().unwrap_or_default();
            let Some(found) = at.below(word) else { break };
            start = Some(found.start);
            at = found.at;
            if word.len() < layer.len() || behind.is_empty() {
                let sentence = layer.strip_prefix(word).unwrap_or_default();
                let text = [&[format!("{}{sentence}", at.key)], behind].concat().join(": ");
                return Fault { place: Some(self.closer(&at, &layers, found.start)), text };
            }
            rest = behind;
        }
        let text = rest.join(": ");
        let text = if at.key.is_empty() { text } else { format!("{}: {text}", at.key) };
        let place = match start {
            Some(start) => Some(self.closer(&at, &layers, start)),
            None => quoted(&layers)
                .and_then(|it| last_string(self.root.get_ref(), it))
                .map(|it| place(self.text, it)),
        };
        Fault { place, text }
    }

    /// Of a list, the place of the value that the error quotes.
    fn closer(&self, at: &At<'_, '_>, layers: &[String], start: usize) -> (usize, usize) {
        let value = at.value.and_then(|it| string_in(it, quoted(layers)?));
        place(self.text, value.unwrap_or(start))
    }
}

/// Whether a key is missing only because it was wrong, too.
fn is_taken_out(fault: &Fault, faults: &[Fault]) -> bool {
    let Some((key, name)) = fault.text.split_once(": missing field `") else { return false };
    let wrong = format!("{key}.{}: ", name.trim_end_matches('`'));
    faults.iter().any(|it| it.text.starts_with(&wrong))
}

/// A key and what it holds.
struct At<'d, 't> {
    key: String,
    value: Option<&'d DeValue<'t>>,
    table: Option<&'d DeTable<'t>>,
}

struct Found<'d, 't> {
    at: At<'d, 't>,
    start: usize,
}

impl<'d, 't> At<'d, 't> {
    /// What `path` (`routes[0].to`) leads to from here; `None` if it is no path, or leads nowhere.
    fn below(&self, path: &str) -> Option<Found<'d, 't>> {
        let mut table = self.table;
        let (mut value, mut start) = (None, None);
        for part in path.split('.') {
            let (name, indices) = part.split_once('[').map_or((part, ""), |(it, rest)| (it, rest));
            let (key, found) = table?.iter().find(|(key, _)| key.get_ref() == name)?;
            let (mut here, mut at) = (found.get_ref(), key.span().start);
            for index in indices.split('[').filter(|it| !it.is_empty()) {
                let index: usize = index.strip_suffix(']')?.parse().ok()?;
                let DeValue::Array(array) = here else { return None };
                let element = array.get(index)?;
                (here, at) = (element.get_ref(), element.span().start);
            }
            table = as_table(here);
            (value, start) = (Some(here), Some(at));
        }
        let key =
            if self.key.is_empty() { path.to_owned() } else { format!("{}.{path}", self.key) };
        Some(Found { at: At { key, value, table }, start: start? })
    }
}

fn as_table<'d, 't>(value: &'d DeValue<'t>) -> Option<&'d DeTable<'t>> {
    match value {
        DeValue::Table(table) => Some(table),
        _other => None,
    }
}

/// The first value that an error shows.
fn quoted(layers: &[String]) -> Option<&str> {
    layers.iter().find_map(|it| it.split('"').nth(1)).filter(|it| !it.is_empty())
}

/// Where the last such string begins.
fn last_string(table: &DeTable<'_>, text: &str) -> Option<usize> {
    table
        .iter()
        .filter_map(|(_, value)| match value.get_ref() {
            DeValue::String(it) if it == text => Some(value.span().start),
            other => string_in(other, text),
        })
        .max()
}

fn string_in(value: &DeValue<'_>, text: &str) -> Option<usize> {
    match value {
        DeValue::Table(table) => last_string(table, text),
        DeValue::Array(array) => array
            .iter()
            .filter_map(|it| match it.get_ref() {
                DeValue::String(string) if string == text => Some(it.span().start),
                other => string_in(other, text),
            })
            .max(),
        _scalar => None,
    }
}

/// The key that stands at a place of the text, or whose value does.
fn path_at(table: &DeTable<'_>, at: usize) -> String {
    for (key, value) in table {
        let name = key.get_ref();
        if key.span().contains(&at) {
            return name.to_string();
        }
        if let Some(below) = path_in(value, at) {
            let dot = if below.is_empty() || below.starts_with('[') { "" } else { "." };
            return format!("{name}{dot}{below}");
        }
    }
    String::new()
}

/// `None` if the place is not inside.
fn path_in(value: &Spanned<DeValue<'_>>, at: usize) -> Option<String> {
    let is_inside = value.span().contains(&at);
    match value.get_ref() {
        // Headers of tables are all over the file.
        DeValue::Table(table) => {
            let below = path_at(table, at);
            (is_inside || !below.is_empty()).then_some(below)
        }
        DeValue::Array(array) => {
            let below = array.iter().enumerate().find_map(|(idx, it)| {
                let below = path_in(it, at)?;
                let dot = if below.is_empty() { "" } else { "." };
                Some(format!("[{idx}]{dot}{below}"))
            });
            below.or_else(|| is_inside.then(String::new))
        }
        _scalar => is_inside.then(String::new),
    }
}

/// Takes the innermost key or element at a place out; `false` if there is none.
fn remove<'t>(table: &mut DeTable<'t>, at: usize) -> bool {
    let is_below = table.iter_mut().any(|(_, value)| remove_in(value, at));
    let n_before = table.len();
    if !is_below {
        let here = |(key, value): &(&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            key.span().contains(&at) || value.span().contains(&at)
        };
        if let Some(key) = table.iter().find(here).map(|(key, _)| key.clone()) {
            table.remove(&key);
        }
    }
    is_below || table.len() < n_before
}

fn remove_in<'t>(value: &mut Spanned<DeValue<'t>>, at: usize) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => remove(table, at),
        DeValue::Array(array) => {
            let mut all: Vec<_> = std::mem::replace(array, DeArray::new()).into_iter().collect();
            let is_below = all.iter_mut().any(|it| remove_in(it, at));
            let n_before = all.len();
            if !is_below {
                all.retain(|it| !it.span().contains(&at));
            }
            let is_gone = is_below || all.len() < n_before;
            *array = all.into_iter().collect();
            is_gone
        }
        _scalar => false,
    }
}

/// Line and column in characters, both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    const TEXT: &str = "[front]\nhttps = [\n  \"1.2.3.4:1\",\n  \"8443\",\n]\n\
        [[sites]]\nhosts = [\"a.lan\"]\n[[sites]]\nhosts = [\"a.lan\"]\n\
        [[sites.routes]]\nto = [\"htp://x\"]\n";

    #[track_caller]
    fn check(error: &anyhow::Error, expected: &str) {
        let fault = Document::parse(TEXT).unwrap().fault(error);
        assert_eq!(Faults::new("x.toml", vec![fault]).to_string(), expected);
    }

    #[test]
    fn an_error_is_shown_where_its_key_or_value_stands() {
        check(
            &anyhow!("front.https \"8443\" is not an address"),
            "x.toml:4:3: front.https \"8443\" is not an address",
        );
        let error = anyhow!("\"htp://x\" is no URL").context("to");
        let nested = Err::<(), _>(error).context("routes[0]").context("sites[1]").unwrap_err();
        check(&nested, "x.toml:11:7: sites[1].routes[0].to: \"htp://x\" is no URL");
        let missing = anyhow!("nothing answers here").context("routes[0]").context("sites[1]");
        check(&missing, "x.toml:10:1: sites[1].routes[0]: nothing answers here");
        check(
            &anyhow!("hosts is empty; write names").context("sites[0]"),
            "x.toml:7:1: sites[0].hosts is empty; write names",
        );
        check(&anyhow!("\"a.lan\" is there twice"), "x.toml:9:10: \"a.lan\" is there twice");
        check(&anyhow!("no such file"), "x.toml: no such file");
        check(&anyhow!("store.retention \"x\" is none"), "x.toml: store.retention \"x\" is none");
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read")]
    struct Raw {
        #[serde(default)]
        front: Option<RawFront>,
        #[serde(default)]
        sites: Vec<RawSite>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read")]
    struct RawFront {
        drain: Option<String>,
        n: Option<u8>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read")]
    struct RawSite {
        hosts: Vec<String>,
    }

    #[track_caller]
    fn check_read(text: &str, expected: &[&str]) {
        let faults = match Document::parse(text).map(|it| it.read::<Raw>()) {
            Ok(Ok(read)) => panic!("{read:?}"),
            Ok(Err(faults)) | Err(faults) => Faults::new("x", faults),
        };
        assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        check_read(
            "[front]\ndrian = '1s'\nn = 300\n[[sites]]\n[[sites]]\nhosts = 'a'\n[x]\n",
            &[
                "x:2:1: front.drian: unknown field `drian`, expected `drain` or `n`",
                "x:3:5: front.n: invalid value: integer `300`, expected u8",
                "x:4:1: sites[0]: missing field `hosts`",
                "x:6:9: sites[1].hosts: invalid type: string \"a\", expected a sequence",
                "x:7:2: x: unknown field `x`, expected `front` or `sites`",
            ],
        );
    }

    #[test]
    fn what_is_no_toml_is_told_by_line() {
        check_read(
            "[front]\ndrain = \nn = 1 2\n",
            &[
                "x:2:9: string values must be quoted, expected literal string",
                "x:3:5: string values must be quoted, expected literal string",
            ],
        );
    }
}
