//! Stage `drop`: entries that meet all its conditions are dropped, and counted.

use std::time::Duration;

use ::regex::Regex;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{
    Builder, Context, Entry, Process, Stage, StageError, settings,
    units::{duration, loose_text, pattern, size, texts},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Settings {
    drop_counter_reason: Option<String>,
    #[serde(deserialize_with = "texts")]
    source: Vec<String>,
    separator: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    value: Option<String>,
    expression: Option<String>,
    older_than: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    longer_than: Option<String>,
}

#[derive(Debug, Clone)]
struct DropStage {
    reason: String,
    sources: Vec<String>,
    separator: String,
    regex: Option<Regex>,
    older_than: Option<Duration>,
    longer_than_bytes: Option<usize>,
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let raw: Settings = settings(config)?;
    if raw.source.is_empty()
        && raw.expression.is_none()
        && raw.older_than.is_none()
        && raw.longer_than.is_none()
    {
        return Err(StageError::Invalid(
            "drop stage config must contain at least one of `source`, `expression`, `older_than` or `longer_than`",
        ));
    }
    let expression = match (raw.value, raw.expression) {
        (Some(_), Some(_)) => {
            return Err(StageError::Invalid(
                "drop stage config error, `value` and `expression` cannot both be defined at the same time.",
            ));
        }
        (Some(_), None) if raw.source.is_empty() => {
            return Err(StageError::Invalid("drop stage config error, `value` needs a `source`"));
        }
        (Some(value), None) => Some(format!("^{}$", ::regex::escape(&value))),
        (None, expression) => expression,
    };
    Ok(Box::new(DropStage {
        reason: raw
            .drop_counter_reason
            .filter(|it| !it.is_empty())
            .unwrap_or_else(|| "drop_stage".to_owned()),
        sources: raw.source,
        separator: raw.separator.filter(|it| !it.is_empty()).unwrap_or_else(|| ";".to_owned()),
        regex: expression.as_deref().map(pattern).transpose()?,
        older_than: raw.older_than.map(|it| duration("older_than", &it)).transpose()?,
        longer_than_bytes: raw.longer_than.map(|it| size("longer_than", &it)).transpose()?,
    }))
}

impl Process for DropStage {
    fn process(&mut self, entry: &mut Entry, context: &mut Context) -> bool {
        let is_dropped = self.is_met_by(entry, context);
        if is_dropped {
            context.metrics.count_dropped(&self.reason);
        }
        !is_dropped
    }
}

impl DropStage {
    fn is_met_by(&self, entry: &Entry, context: &Context) -> bool {
        if self.longer_than_bytes.is_some_and(|it| entry.line.len() <= it) {
            return false;
        }
        if let Some(age) = self.older_than {
            let age_ns = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
            if entry.ts.0 >= context.clock.now().0.saturating_sub(age_ns) {
                return false;
            }
        }
        let Some(regex) = &self.regex else {
            return self.sources.iter().all(|it| entry.extracted.get(it).is_some());
        };
        if self.sources.is_empty() {
            return regex.is_match(&entry.line);
        }
        let mut joined = String::new();
        for (n_before, value) in
            self.sources.iter().filter_map(|it| entry.extracted.get(it)).enumerate()
        {
            let Some(text) = value.text() else { return false };
            if n_before > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(&text);
        }
        regex.is_match(&joined)
    }
}
