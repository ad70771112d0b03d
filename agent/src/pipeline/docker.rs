//! Lines of Docker's json-file driver: the stage `docker`, and the reader of whole log files that
//! joins what Docker cut.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use skep_proto::{
    TimestampNs,
    go_time::{Time, Zone},
};

use super::{Builder, Context, Entry, Flush, Pipeline, Stage, StageError, settings};

const RFC3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";
/// Bounds a line that Docker cut into parts of 16 KiB.
const JOINED_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Promtail's stage, which is four others; the line keeps its break, and parts are not joined.
pub(super) fn build(config: &Json, builder: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let Nothing {} = settings(config)?;
    let stages = [
        (
            "json",
            json!({"expressions": {"output": "log", "stream": "stream", "timestamp": "time"}}),
        ),
        ("labels", json!({"stream": null})),
        ("timestamp", json!({"source": "timestamp", "format": "RFC3339Nano"})),
        ("output", json!({"source": "output"})),
    ];
    let stages = stages.map(|(name, config)| BTreeMap::from([(name.to_owned(), config)]));
    Ok(Box::new(Nested(Pipeline::build(&stages.into(), builder)?)))
}

/// Stages that stand for one.
#[derive(Debug, Clone)]
pub(super) struct Nested(pub(super) Pipeline);

impl Stage for Nested {
    fn run(&mut self, entry: Entry, context: &mut Context, out: &mut Vec<Entry>) {
        self.0.run(entry, context, out);
    }

    fn copied(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Reads whole log files: label `stream`, the time, the line; `attrs` become metadata. A line that
/// is none of Docker's passes as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct DockerLog {
    /// Lines that have not ended yet, by stream.
    parts: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct DockerLine<'l> {
    #[serde(borrow)]
    log: std::borrow::Cow<'l, str>,
    #[serde(borrow, default)]
    stream: std::borrow::Cow<'l, str>,
    #[serde(borrow)]
    time: std::borrow::Cow<'l, str>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

impl Stage for DockerLog {
    fn run(&mut self, mut entry: Entry, _: &mut Context, out: &mut Vec<Entry>) {
        let Ok(line) = serde_json::from_str::<DockerLine<'_>>(&entry.line) else {
            out.push(entry);
            return;
        };
        let DockerLine { log, stream, time, attrs } = line;
        let is_whole = log.ends_with('\n');
        let text = log.strip_suffix('\n').unwrap_or(&log).to_owned();
        let text =
            if is_whole { text.strip_suffix('\r').unwrap_or(&text).to_owned() } else { text };
        let (stream, ts) = (stream.into_owned(), timestamp(&time));
        entry = match self.parts.remove(&stream) {
            Some(mut begun) => {
                begun.line.push_str(&text);
                begun
            }
            None => {
                entry.ts = ts.unwrap_or(entry.ts);
                entry.labels.set("stream", &stream);
                entry.extracted.set_text("stream", stream.as_str());
                entry.metadata.extend(attrs);
                entry.line = text;
                entry
            }
        };
        if is_whole || entry.line.len() >= JOINED_BYTES_MAX {
            out.push(entry);
        } else {
            self.parts.insert(stream, entry);
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

fn timestamp(text: &str) -> Option<TimestampNs> {
    let time = Time::try_parse(RFC3339_NANO, text, &Zone::Utc)?;
    let seconds_ns = time.unix_s().checked_mul(1_000_000_000)?;
    seconds_ns.checked_add(time.nanos().into()).map(TimestampNs)
}
