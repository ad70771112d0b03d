//! Stage `static_labels`: labels that are always the same.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use skep_proto::is_label_name;

use super::{Builder, Context, Entry, Process, Stage, StageError, settings};

#[derive(Debug, Clone)]
struct StaticLabelsStage(Vec<(String, String)>);

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    if config.is_null() {
        return Err(StageError::Invalid("static_labels stage config cannot be empty"));
    }
    let raw: BTreeMap<String, Option<String>> = settings(config)?;
    if let Some(name) = raw.keys().find(|it| !is_label_name(it)) {
        return Err(StageError::LabelName(name.clone()));
    }
    let pairs = raw.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Ok(Box::new(StaticLabelsStage(pairs.filter(|(_, value)| !value.is_empty()).collect())))
}

impl Process for StaticLabelsStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        for (name, value) in &self.0 {
            entry.labels.set(name, value);
        }
        true
    }
}
