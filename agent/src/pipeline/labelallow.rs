//! Stage `labelallow`: only these labels stay.

use serde_json::Value as Json;

use super::{Builder, Context, Entry, Process, Stage, StageError, settings};

/// Names of labels.
#[derive(Debug, Clone)]
struct LabelAllowStage(Vec<String>);

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    if config.as_array().is_none_or(Vec::is_empty) {
        return Err(StageError::Invalid("labelallow stage config cannot be empty"));
    }
    Ok(Box::new(LabelAllowStage(settings(config)?)))
}

impl Process for LabelAllowStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        entry.labels.retain(|name| self.0.iter().any(|it| it == name));
        true
    }
}
