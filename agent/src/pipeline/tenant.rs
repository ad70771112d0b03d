//! Stage `tenant`: read and without effect, since a Skep server has one tenant.

use serde::Deserialize;
use serde_json::Value as Json;

use super::{Builder, Context, Entry, Process, Stage, StageError, settings};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct TenantStage {
    label: String,
    source: String,
    value: String,
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let stage: TenantStage = settings(config)?;
    let given = [&stage.label, &stage.source, &stage.value];
    match given.into_iter().filter(|it| !it.is_empty()).count() {
        1 => Ok(Box::new(stage)),
        0 => Err(StageError::Invalid("label, source or value config are required")),
        _ => Err(StageError::Invalid(
            "label, source and value are mutually exclusive: you should set source, value or label but not all",
        )),
    }
}

impl Process for TenantStage {
    fn process(&mut self, _: &mut Entry, _: &mut Context) -> bool {
        true
    }
}
