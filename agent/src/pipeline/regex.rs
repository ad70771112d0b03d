//! Stage `regex`: named groups of an expression become values.

use ::regex::Regex;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{
    Builder, Context, Entry, Process, Stage, StageError, settings,
    units::{checked_source, pattern},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    expression: String,
    source: Option<String>,
}

#[derive(Debug, Clone)]
struct RegexStage {
    regex: Regex,
    source: Option<String>,
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let Settings { expression, source } = settings(config)?;
    if expression.is_empty() {
        return Err(StageError::Invalid("expression is required"));
    }
    checked_source(source.as_ref())?;
    Ok(Box::new(RegexStage { regex: pattern(&expression)?, source }))
}

impl Process for RegexStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        let Entry { extracted, line, .. } = entry;
        let mut found = Vec::new();
        if let Some(input) = extracted.input(self.source.as_deref(), line)
            && let Some(captures) = self.regex.captures(&input)
        {
            for (idx, name) in self.regex.capture_names().enumerate() {
                if let Some(name) = name {
                    let text = captures.get(idx).map_or("", |it| it.as_str());
                    found.push((name, text.to_owned()));
                }
            }
        }
        for (name, text) in found {
            extracted.set_text(name, text);
        }
        true
    }
}
