//! Stage `structured_metadata`: values become metadata of the entry.

use serde_json::Value as Json;

use super::{Builder, Context, Entry, Process, Stage, StageError, labels::mapping};

#[derive(Debug, Clone)]
struct MetadataStage(Vec<(String, String)>);

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    Ok(Box::new(MetadataStage(mapping(config)?)))
}

impl Process for MetadataStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        for (name, source) in &self.0 {
            if let Some(text) = entry.extracted.get(source).and_then(|it| it.text()) {
                entry.metadata.push((name.clone(), text.into_owned()));
            }
        }
        true
    }
}
