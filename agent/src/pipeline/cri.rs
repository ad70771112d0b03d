//! Stage `cri`: lines as container runtimes of Kubernetes write them, parts joined.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use skep_proto::Labels;

use super::{
    Builder, Context, Entry, Flush, Pipeline, Stage, StageError,
    extracted::Value,
    settings,
    units::{loose_text, size},
};

const PARTIAL_LINES_MAX_DEFAULT: usize = 100;
/// Bounds a joined line where no bound is set.
const JOINED_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Streams with a line that has not ended.
    max_partial_lines: usize,
    #[serde(deserialize_with = "loose_text")]
    max_partial_line_size: Option<String>,
    max_partial_line_size_truncate: bool,
}

#[derive(Debug, Clone)]
struct CriStage {
    base: Pipeline,
    n_partial_max: usize,
    /// Longer lines are cut.
    n_bytes_max: Option<usize>,
    parts: BTreeMap<Labels, Entry>,
}

pub(super) fn build(config: &Json, builder: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let raw: Settings = settings(config)?;
    Ok(Box::new(CriStage::new(raw, builder)?))
}

impl CriStage {
    fn new(raw: Settings, builder: &Builder<'_>) -> Result<Self, StageError> {
        let expression =
            r"^(?s)(?P<time>\S+?) (?P<stream>stdout|stderr) (?P<flags>\S+?) (?P<content>.*)$";
        let stages = [
            ("regex", json!({"expression": expression})),
            ("labels", json!({"stream": null})),
            ("timestamp", json!({"source": "time", "format": "RFC3339Nano"})),
            ("output", json!({"source": "content"})),
            ("output", json!({"source": "tags"})),
        ];
        let stages = stages.map(|(name, config)| BTreeMap::from([(name.to_owned(), config)]));
        let size = raw.max_partial_line_size.map(|it| size("max_partial_line_size", &it));
        Ok(Self {
            base: Pipeline::build(&stages.into(), builder)?,
            n_partial_max: match raw.max_partial_lines {
                0 => PARTIAL_LINES_MAX_DEFAULT,
                n => n,
            },
            n_bytes_max: size.transpose()?.filter(|_| raw.max_partial_line_size_truncate),
            parts: BTreeMap::new(),
        })
    }

    fn cut(&self, entry: &mut Entry) {
        if let Some(n_bytes_max) = self.n_bytes_max
            && entry.line.len() > n_bytes_max
        {
            entry.line.truncate(entry.line.floor_char_boundary(n_bytes_max));
        }
    }

    fn take(&mut self, mut entry: Entry, out: &mut Vec<Entry>) {
        let stream = entry.labels.clone().build();
        let is_partial =
            entry.extracted.get("flags").is_some_and(|it| *it == Value::Text("P".to_owned()));
        if is_partial && self.parts.len() >= self.n_partial_max {
            out.extend(std::mem::take(&mut self.parts).into_values());
        }
        if let Some(begun) = self.parts.remove(&stream) {
            entry.line.insert_str(0, &begun.line);
            entry.begins_at = begun.begins_at;
        }
        self.cut(&mut entry);
        if is_partial && entry.line.len() < JOINED_BYTES_MAX {
            self.parts.insert(stream, entry);
        } else {
            out.push(entry);
        }
    }
}

impl Stage for CriStage {
    fn run(&mut self, entry: Entry, context: &mut Context, out: &mut Vec<Entry>) {
        let mut read = Vec::new();
        self.base.run(entry, context, &mut read);
        for entry in read {
            self.take(entry, out);
        }
    }

    fn flush(&mut self, _: &mut Context, which: Flush, out: &mut Vec<Entry>) {
        if which == Flush::All {
            out.extend(std::mem::take(&mut self.parts).into_values());
        }
    }

    fn held_from(&self) -> Option<u64> {
        self.parts.values().map(|it| it.begins_at).min()
    }

    fn copied(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
