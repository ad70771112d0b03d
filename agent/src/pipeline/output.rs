//! Stage `output`: a value becomes the line.

use serde::Deserialize;
use serde_json::Value as Json;

use super::{Builder, Context, Entry, Process, Stage, StageError, settings};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputStage {
    #[serde(default)]
    source: String,
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let stage: OutputStage = settings(config)?;
    if stage.source.is_empty() {
        return Err(StageError::Invalid("output source value is required if output is specified"));
    }
    Ok(Box::new(stage))
}

impl Process for OutputStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        if let Some(text) = entry.extracted.get(&self.source).and_then(|it| it.text()) {
            entry.line = text.into_owned();
        }
        true
    }
}
