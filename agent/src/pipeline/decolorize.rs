//! Stage `decolorize`: ANSI escape sequences are cut out of the line.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value as Json;
use skep_proto::decolorized;

use super::{Builder, Context, Entry, Process, Stage, StageError, settings};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecolorizeStage {}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    Ok(Box::new(settings::<DecolorizeStage>(config)?))
}

impl Process for DecolorizeStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        if let Cow::Owned(plain) = decolorized(&entry.line) {
            entry.line = plain;
        }
        true
    }
}
