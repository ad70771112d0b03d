//! Stage `pack`: labels and values go into the line, as JSON that LogQL's `unpack` opens.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::{Builder, Context, Entry, Process, Stage, StageError, settings};

/// Where the line is in the JSON.
const ENTRY_KEY: &str = "_entry";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackStage {
    #[serde(default)]
    labels: Vec<String>,
    /// Whether the entry gets the time of now, since packed streams may be out of order.
    ingest_timestamp: Option<bool>,
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    Ok(Box::new(settings::<PackStage>(config)?))
}

impl Process for PackStage {
    fn process(&mut self, entry: &mut Entry, context: &mut Context) -> bool {
        let mut packed = Map::new();
        for name in &self.labels {
            if let Some(text) = entry.extracted.get(name).and_then(|it| it.text()) {
                packed.insert(name.clone(), Json::String(text.into_owned()));
                entry.labels.remove(name);
            }
        }
        // The line comes last, as Promtail writes it.
        let mut out = String::from("{");
        for (name, value) in &packed {
            out.push_str(&format!("{}:{value},", Json::String(name.clone())));
        }
        let line = Json::String(std::mem::take(&mut entry.line));
        out.push_str(&format!("\"{ENTRY_KEY}\":{line}}}"));
        entry.line = out;
        if self.ingest_timestamp.unwrap_or(true) {
            entry.ts = context.clock.now();
        }
        true
    }
}
