//! Relabelling: rules that change, keep or drop a label set. Pure.
//!
//! Source: Prometheus' "Configuration", `relabel_config`.

mod rule;

use md5::{Digest as _, Md5};
use regex::Regex;

use crate::{LabelsBuilder, is_label_name};

pub use rule::{RawRule, RuleError};

/// A rule that can be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    source_labels: Vec<String>,
    separator: String,
    regex: Anchored,
    modulus: u64,
    target_label: String,
    replacement: String,
    action: Action,
    /// Whether only names of the classic kind may come out.
    is_legacy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

/// An expression that must match from the first to the last character; equal if its text is.
#[derive(Debug, Clone)]
struct Anchored {
    text: String,
    regex: Regex,
}

impl PartialEq for Anchored {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Carries the rules out in turn. `false`: the label set is dropped.
#[must_use]
pub fn process(rules: &[Rule], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

impl Rule {
    /// `false`: drop it.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let value = self.value(labels);
        match self.action {
            Action::Keep => return self.regex.is_match(&value),
            Action::Drop => return !self.regex.is_match(&value),
            Action::KeepEqual => return labels.get(&self.target_label) == value,
            Action::DropEqual => return labels.get(&self.target_label) != value,
            Action::Replace => self.replace(&value, labels),
            Action::Lowercase => self.set(labels, &value.to_lowercase()),
            Action::Uppercase => self.set(labels, &value.to_uppercase()),
            Action::HashMod => {
                self.set(labels, &(last_8_bytes(&value) % self.modulus).to_string());
            }
            Action::LabelMap => self.map(labels),
            Action::LabelDrop => labels.retain(|name| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name| self.regex.is_match(name)),
        }
        true
    }

    fn set(&self, labels: &mut LabelsBuilder, value: &str) {
        labels.set(&self.target_label, value);
    }

    fn value(&self, labels: &LabelsBuilder) -> String {
        let mut value = String::new();
        for (i, name) in self.source_labels.iter().enumerate() {
            if i > 0 {
                value.push_str(&self.separator);
            }
            value.push_str(labels.get(name));
        }
        value
    }

    fn replace(&self, value: &str, labels: &mut LabelsBuilder) {
        let Some(captures) = self.regex.regex.captures(value) else { return };
        let (mut target, mut replacement) = (String::new(), String::new());
        captures.expand(&self.target_label, &mut target);
        if target.is_empty() || (self.is_legacy && !is_label_name(&target)) {
            return;
        }
        captures.expand(&self.replacement, &mut replacement);
        labels.set(&target, &replacement);
    }

    fn map(&self, labels: &mut LabelsBuilder) {
        let mapped: Vec<(String, String)> = labels
            .iter()
            .filter_map(|(name, value)| {
                let captures = self.regex.regex.captures(name)?;
                let mut renamed = String::new();
                captures.expand(&self.replacement, &mut renamed);
                Some((renamed, value.to_owned()))
            })
            .collect();
        for (name, value) in mapped {
            labels.set(&name, &value);
        }
    }
}

impl Anchored {
    fn new(text: &str) -> Result<Self, Box<regex::Error>> {
        let regex = Regex::new(&format!("^(?s:{text})$"))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// Of the MD5 sum, so that shards agree with Prometheus'.
fn last_8_bytes(value: &str) -> u64 {
    let sum: [u8; 16] = Md5::digest(value.as_bytes()).into();
    sum.last_chunk().map_or(0, |it| u64::from_be_bytes(*it))
}

#[cfg(test)]
mod tests;
