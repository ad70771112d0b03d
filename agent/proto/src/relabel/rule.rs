//! A relabelling rule as it is written, and what makes it valid.

use serde::{Deserialize, Serialize};

use super::{Action, Anchored, Rule};
use crate::is_label_name;

/// What a file may say of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_labels: Vec<String>,
    #[serde(skip_serializing_if = "is_separator")]
    separator: String,
    #[serde(skip_serializing_if = "is_regex")]
    regex: String,
    #[serde(skip_serializing_if = "is_zero")]
    modulus: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    target_label: String,
    #[serde(skip_serializing_if = "is_replacement")]
    replacement: String,
    action: String,
}

fn is_separator(text: &str) -> bool {
    text == SEPARATOR
}

fn is_regex(text: &str) -> bool {
    text == REGEX
}

fn is_replacement(text: &str) -> bool {
    text == REPLACEMENT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

const REGEX: &str = "(.*)";
const SEPARATOR: &str = ";";
const REPLACEMENT: &str = "$1";

impl Default for RawRule {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: SEPARATOR.to_owned(),
            regex: REGEX.to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: REPLACEMENT.to_owned(),
            action: "replace".to_owned(),
        }
    }
}

/// Why a rule is none, in Prometheus' words.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    #[error("unknown relabel action {0:?}")]
    Action(String),
    #[error("error parsing regexp {regex:?}")]
    Regex { regex: String, source: Box<regex::Error> },
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    Modulus,
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    NoTarget(String),
    #[error("{label:?} is invalid 'target_label' for {action} action")]
    Target { label: String, action: String },
    #[error("{label:?} is invalid 'replacement' for {action} action")]
    Replacement { label: String, action: String },
    #[error("{0} action requires only 'regex', and no other fields")]
    OnlyRegex(String),
    #[error("{0} action requires only 'source_labels' and `target_label`, and no other fields")]
    OnlySourceAndTarget(String),
    #[error("{0:?} is not a valid label name")]
    Source(String),
}

impl RawRule {
    pub fn target_label(&self) -> &str {
        &self.target_label
    }

    /// The labels it reads.
    pub fn source_labels(&self) -> impl Iterator<Item = &str> {
        self.source_labels.iter().map(String::as_str)
    }

    /// Makes it valid; `is_legacy` allows only names of the classic kind.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn rule(self, is_legacy: bool) -> Result<Rule, RuleError> {
        let action = self.parsed_action()?;
        self.check_fields(action)?;
        self.check_labels(action, is_legacy)?;
        let regex = Anchored::new(&self.regex)
            .map_err(|source| RuleError::Regex { regex: self.regex.clone(), source })?;
        let Self { source_labels, separator, modulus, target_label, replacement, .. } = self;
        Ok(Rule {
            source_labels,
            separator,
            regex,
            modulus,
            target_label,
            replacement,
            action,
            is_legacy,
        })
    }

    fn parsed_action(&self) -> Result<Action, RuleError> {
        Ok(match self.action.to_lowercase().as_str() {
            "replace" => Action::Replace,
            "keep" => Action::Keep,
            "drop" => Action::Drop,
            "keepequal" => Action::KeepEqual,
            "dropequal" => Action::DropEqual,
            "hashmod" => Action::HashMod,
            "labelmap" => Action::LabelMap,
            "labeldrop" => Action::LabelDrop,
            "labelkeep" => Action::LabelKeep,
            "lowercase" => Action::Lowercase,
            "uppercase" => Action::Uppercase,
            _ => return Err(RuleError::Action(self.action.clone())),
        })
    }

    /// Fields that would have no effect.
    fn check_fields(&self, action: Action) -> Result<(), RuleError> {
        let name = || self.action.to_lowercase();
        let has_others =
            self.modulus != 0 || self.separator != SEPARATOR || self.replacement != REPLACEMENT;
        match action {
            Action::HashMod if self.modulus == 0 => Err(RuleError::Modulus),
            Action::LabelDrop | Action::LabelKeep
                if has_others
                    || !self.source_labels.is_empty()
                    || !self.target_label.is_empty() =>
            {
                Err(RuleError::OnlyRegex(name()))
            }
            Action::KeepEqual | Action::DropEqual if has_others || self.regex != REGEX => {
                Err(RuleError::OnlySourceAndTarget(name()))
            }
            _ => Ok(()),
        }
    }

    fn check_labels(&self, action: Action, is_legacy: bool) -> Result<(), RuleError> {
        let is_name = |it: &str| !it.is_empty() && (!is_legacy || is_label_name(it));
        if let Some(name) = self.source_labels.iter().find(|it| !is_name(it)) {
            return Err(RuleError::Source(name.clone()));
        }
        let name = || self.action.to_lowercase();
        let needs_target = matches!(
            action,
            Action::Replace
                | Action::KeepEqual
                | Action::DropEqual
                | Action::HashMod
                | Action::Lowercase
                | Action::Uppercase
        );
        if needs_target && self.target_label.is_empty() {
            return Err(RuleError::NoTarget(name()));
        }
        let is_template = action == Action::Replace && self.target_label.contains('$');
        if needs_target && !is_template && !is_name(&self.target_label) {
            return Err(RuleError::Target { label: self.target_label.clone(), action: name() });
        }
        if matches!(
            action,
            Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual
        ) && self.replacement != REPLACEMENT
            || action == Action::LabelMap
                && !self.replacement.contains('$')
                && !is_name(&self.replacement)
        {
            return Err(RuleError::Replacement { label: self.replacement.clone(), action: name() });
        }
        Ok(())
    }
}
