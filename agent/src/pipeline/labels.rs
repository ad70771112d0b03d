//! Stage `labels`: values become labels.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use skep_proto::is_label_name;

use super::{Builder, Context, Entry, Process, Stage, StageError, settings};

/// Names, and the values they are of; a name without one is the value's name, too.
pub(super) fn mapping(config: &Json) -> Result<Vec<(String, String)>, StageError> {
    if config.is_null() {
        return Err(StageError::Invalid("label stage config cannot be empty"));
    }
    let raw: BTreeMap<String, Option<String>> = settings(config)?;
    raw.into_iter()
        .map(|(name, source)| {
            if !is_label_name(&name) {
                return Err(StageError::LabelName(name));
            }
            let source = source.filter(|it| !it.is_empty()).unwrap_or_else(|| name.clone());
            Ok((name, source))
        })
        .collect()
}

#[derive(Debug, Clone)]
struct LabelsStage(Vec<(String, String)>);

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    Ok(Box::new(LabelsStage(mapping(config)?)))
}

impl Process for LabelsStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        for (name, source) in &self.0 {
            if let Some(text) = entry.extracted.get(source).and_then(|it| it.text()) {
                entry.labels.set(name, &text);
            }
        }
        true
    }
}
