//! What the configuration says about the journal, made valid: `[journal]`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};
use skep_proto::relabel::{RawRule, Rule};

use crate::{
    pipeline::{Builder, LogMetrics, Pipeline, RawStages},
    sources::log_files::{JobError, checked_labels, rules},
};

/// Conditions of one configuration.
const MATCHES_MAX: usize = 100;

/// `[journal]` as it is written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawJournal {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) directory: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<String>,
    #[serde(deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub(crate) matches: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) boot: Option<Boot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_labels: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) relabel_configs: Vec<RawRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pipeline_stages: RawStages,
}

/// Of which boots entries are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Boot {
    #[default]
    All,
    Current,
}

/// One text of words, or a list of them: a word of a list may hold blanks.
fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Words::deserialize(from)? {
        Words::One(text) => text.split_whitespace().map(str::to_owned).collect(),
        Words::Many(words) => words,
    })
}

/// Alternatives, each of conditions that must all hold; of one field, any.
pub(crate) type Matches = Vec<Vec<(String, String)>>;

#[derive(Debug, Clone)]
pub(crate) struct JournalSettings {
    pub(crate) select: Select,
    /// How far back to begin where no cursor is known.
    pub(crate) max_age: Duration,
    pub(crate) host: String,
    /// Labels of every stream.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) shape: Shape,
}

/// Which entries are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Select {
    /// The host's own journal if `None`.
    pub(crate) directory: Option<PathBuf>,
    /// As `journalctl --namespace` takes it: `name`, `+name` for it and the default one, `*` for
    /// all.
    pub(crate) namespace: Option<String>,
    pub(crate) matches: Matches,
    /// Only entries of this boot.
    pub(crate) boot_id: Option<String>,
}

/// What becomes of an entry beside what becomes of all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    pub(crate) is_json: bool,
    /// Whether `host`, `unit`, `level` and `transport` are not labels but metadata.
    pub(crate) is_bare: bool,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) relabel: Vec<Rule>,
    pub(crate) pipeline: Pipeline,
}

impl Shape {
    pub(crate) fn new(raw: RawJournal, metrics: &Arc<LogMetrics>) -> Result<Self, JobError> {
        Ok(Self {
            is_json: raw.json.unwrap_or(false),
            is_bare: !raw.default_labels.unwrap_or(true),
            labels: checked_labels(raw.labels)?,
            relabel: rules(raw.relabel_configs)?,
            pipeline: Pipeline::build(&raw.pipeline_stages, &Builder { metrics })?,
        })
    }

    /// Whether entries stay as they are.
    pub(crate) fn is_plain(&self) -> bool {
        !self.is_json
            && !self.is_bare
            && self.labels.is_empty()
            && self.relabel.is_empty()
            && self.pipeline.is_empty()
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum MatchError {
    #[error("match {0:?} is none; write FIELD=VALUE, or + between alternatives")]
    Field(String),
    #[error("there are {0} matches; there may be {MATCHES_MAX}")]
    TooMany(usize),
}

/// `A=1 B=2 + C=3`: A and B, or C.
pub(crate) fn parse_matches(words: &[String]) -> Result<Matches, MatchError> {
    if words.len() > MATCHES_MAX {
        return Err(MatchError::TooMany(words.len()));
    }
    let mut matches: Matches = Vec::new();
    for alternative in words.split(|it| it == "+") {
        let mut conditions = Vec::new();
        for word in alternative {
            let is_field = |it: &str| {
                !it.is_empty()
                    && it.bytes().all(|c| c == b'_' || c.is_ascii_uppercase() || c.is_ascii_digit())
            };
            match word.split_once('=') {
                Some((field, value)) if is_field(field) => {
                    conditions.push((field.to_owned(), value.to_owned()));
                }
                _ => return Err(MatchError::Field(word.clone())),
            }
        }
        if !conditions.is_empty() {
            matches.push(conditions);
        }
    }
    Ok(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_conditions_and_alternatives() {
        let parse = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            parse_matches(&words)
        };
        let pair = |field: &str, value: &str| (field.to_owned(), value.to_owned());
        assert_eq!(
            parse("_SYSTEMD_UNIT=a.service PRIORITY=3 + _UID=0").unwrap(),
            [
                vec![pair("_SYSTEMD_UNIT", "a.service"), pair("PRIORITY", "3")],
                vec![pair("_UID", "0")]
            ]
        );
        assert_eq!(parse("").unwrap(), Matches::new());
        assert_eq!(parse("unit"), Err(MatchError::Field("unit".to_owned())));
    }
}
