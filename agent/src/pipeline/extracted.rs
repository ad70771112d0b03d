//! What stages take out of a line for the stages behind: values by name.

use std::{borrow::Cow, collections::BTreeMap};

use skep_proto::LabelsBuilder;

/// A value as Promtail's stages have them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
}

impl Value {
    /// As a text, if it can be one.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null => None,
            Self::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Self::Number(value) => Some(Cow::Owned(value.to_string())),
            Self::Text(text) => Some(Cow::Borrowed(text)),
        }
    }

    /// As a number: a text may also be a duration, which counts in seconds.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Null => None,
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            Self::Number(value) => Some(*value),
            Self::Text(text) => skep_proto::go_units::go_parse_float(text).ok().or_else(|| {
                let ns = skep_proto::go_units::parse_go_duration(text)?;
                #[expect(clippy::cast_precision_loss, reason = "Go divides floats, too")]
                Some(ns as f64 / 1e9)
            }),
        }
    }
}

/// Values by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Extracted(BTreeMap<String, Value>);

impl Extracted {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        match self.0.get_mut(name) {
            Some(it) => *it = value,
            None => drop(self.0.insert(name.to_owned(), value)),
        }
    }

    pub(crate) fn set_text(&mut self, name: &str, text: impl Into<String>) {
        self.set(name, Value::Text(text.into()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A pipeline begins with the labels as values.
    pub(super) fn add_labels(&mut self, labels: &LabelsBuilder) {
        for (name, value) in labels.iter() {
            self.set_text(name, value);
        }
    }

    /// Where a stage reads: the value of its source as text, or the line where it has none.
    pub(super) fn input<'a>(&'a self, source: Option<&str>, line: &'a str) -> Option<Cow<'a, str>> {
        match source {
            None => Some(Cow::Borrowed(line)),
            Some(source) => self.get(source)?.text(),
        }
    }
}
