//! Stage `labeldrop`: labels are taken off.

use serde_json::Value as Json;

use super::{Builder, Context, Entry, Process, Stage, StageError, settings};

/// Names of labels.
#[derive(Debug, Clone)]
struct LabelDropStage(Vec<String>);

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    if config.as_array().is_none_or(Vec::is_empty) {
        return Err(StageError::Invalid("labeldrop stage config cannot be empty"));
    }
    Ok(Box::new(LabelDropStage(settings(config)?)))
}

impl Process for LabelDropStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        entry.labels.retain(|name| !self.0.iter().any(|it| it == name));
        true
    }
}
