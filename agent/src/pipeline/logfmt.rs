//! Stage `logfmt`: values of `key=value` pairs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use skep_proto::logfmt::Decoder;

use super::{Builder, Context, Entry, Process, Stage, StageError, settings, units::checked_source};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    mapping: BTreeMap<String, Option<String>>,
    source: Option<String>,
}

#[derive(Debug, Clone)]
struct LogfmtStage {
    /// Name of the value by key of the pair.
    names: BTreeMap<String, String>,
    source: Option<String>,
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let Settings { mapping, source } = settings(config)?;
    if mapping.is_empty() {
        return Err(StageError::Invalid("logfmt mapping is required"));
    }
    checked_source(source.as_ref())?;
    let names = mapping
        .into_iter()
        .map(|(name, key)| (key.filter(|it| !it.is_empty()).unwrap_or_else(|| name.clone()), name))
        .collect();
    Ok(Box::new(LogfmtStage { names, source }))
}

impl Process for LogfmtStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        let Entry { extracted, line, .. } = entry;
        let mut found = Vec::new();
        if let Some(input) = extracted.input(self.source.as_deref(), line) {
            let mut decoder = Decoder::new(&input);
            // The first fault ends the line, as it does in go-logfmt.
            while let Some(Ok((key, value))) = decoder.next_pair() {
                if let Some(name) = self.names.get(key) {
                    found.push((name, value.into_owned()));
                }
            }
        }
        for (name, text) in found {
            extracted.set_text(name, text);
        }
        true
    }
}
