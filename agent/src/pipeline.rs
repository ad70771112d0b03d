//! Pipelines: what becomes of a log line between its source and the spool, stage by stage.
//!
//! Stages, their settings and what they do are Promtail's: one file a stage and one line in
//! [`STAGES`]. A stage hands on none, one or several entries; one that holds lines back (to join
//! them) says from where on in its source, so that no position moves past what is not yet out.

mod cri;
mod decolorize;
pub(crate) mod docker;
mod drop;
mod error;
mod extracted;
mod json;
mod labelallow;
mod labeldrop;
mod labels;
mod limit;
mod logfmt;
mod matching;
mod metrics;
mod multiline;
mod output;
mod pack;
mod refused;
mod regex;
mod registry;
mod replace;
mod sampling;
mod selector;
mod static_labels;
mod structured_metadata;
mod template;
mod tenant;
mod timestamp;
mod units;

use std::{collections::BTreeMap, fmt, mem, sync::Arc, time::Duration};

use serde_json::Value as Json;
use skep_proto::{Clock, LabelsBuilder, LogEntry, TimestampNs};
use tokio::time::Instant;

pub(crate) use self::{error::StageError, registry::LogMetrics, units::size};
use self::{error::build_error, extracted::Extracted};
use crate::sources::LogRecord;

/// Bounds a configuration, nested pipelines included one by one.
const STAGES_MAX: usize = 200;

/// A kind of stage.
struct StageKind {
    name: &'static str,
    build: Build,
}

type Build = fn(&Json, &Builder<'_>) -> Result<Box<dyn Stage>, StageError>;

/// Every stage, by the name it has in a configuration.
const STAGES: &[StageKind] = &[
    StageKind { name: "cri", build: cri::build },
    StageKind { name: "decolorize", build: decolorize::build },
    StageKind { name: "docker", build: docker::build },
    StageKind { name: "drop", build: drop::build },
    StageKind { name: "eventlogmessage", build: refused::eventlogmessage },
    StageKind { name: "geoip", build: refused::geoip },
    StageKind { name: "json", build: json::build },
    StageKind { name: "labelallow", build: labelallow::build },
    StageKind { name: "labeldrop", build: labeldrop::build },
    StageKind { name: "labels", build: labels::build },
    StageKind { name: "limit", build: limit::build },
    StageKind { name: "logfmt", build: logfmt::build },
    StageKind { name: "match", build: matching::build },
    StageKind { name: "metrics", build: metrics::build },
    StageKind { name: "multiline", build: multiline::build },
    StageKind { name: "non_indexed_labels", build: structured_metadata::build },
    StageKind { name: "output", build: output::build },
    StageKind { name: "pack", build: pack::build },
    StageKind { name: "regex", build: regex::build },
    StageKind { name: "replace", build: replace::build },
    StageKind { name: "sampling", build: sampling::build },
    StageKind { name: "static_labels", build: static_labels::build },
    StageKind { name: "structured_metadata", build: structured_metadata::build },
    StageKind { name: "template", build: template::build },
    StageKind { name: "tenant", build: tenant::build },
    StageKind { name: "timestamp", build: timestamp::build },
];

/// Stages as they stand in a configuration: each a table with one key, its name.
pub(crate) type RawStages = Vec<BTreeMap<String, Json>>;

/// A line on its way through the stages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    /// Of its stream.
    pub(crate) labels: LabelsBuilder,
    pub(crate) ts: TimestampNs,
    pub(crate) line: String,
    pub(crate) metadata: Vec<(String, String)>,
    /// What stages took out of it, and its first labels.
    pub(crate) extracted: Extracted,
    /// Where it begins in its source.
    pub(crate) begins_at: u64,
}

impl Entry {
    /// Names that begin with `__` are not sent; metadata is sorted, of one name the last counts.
    pub(crate) fn into_record(self) -> LogRecord {
        let Self { mut labels, ts, line, metadata, .. } = self;
        labels.retain(|name| !name.starts_with("__"));
        let metadata: BTreeMap<String, String> = metadata.into_iter().collect();
        let entry = LogEntry { ts, line, metadata: metadata.into_iter().collect() };
        LogRecord { stream: labels.build(), entry }
    }
}

/// What stages need beside the entry. One a source thread.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) clock: Arc<dyn Clock>,
    /// Of the line that is being read.
    pub(crate) now: Instant,
    pub(crate) metrics: Arc<LogMetrics>,
    /// State of a xorshift generator.
    pub(crate) random: u64,
    /// How long the source must wait before it reads on, as a `limit` wants.
    pub(crate) delay: Duration,
}

impl Context {
    pub(crate) fn new(clock: Arc<dyn Clock>, metrics: Arc<LogMetrics>, seed: u64) -> Self {
        let (now, delay) = (Instant::now(), Duration::ZERO);
        Self { clock, now, metrics, random: seed | 1, delay }
    }

    pub(crate) fn take_delay(&mut self) -> Duration {
        mem::take(&mut self.delay)
    }
}

/// Which held lines a flush lets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    /// Those that have waited long enough.
    Due,
    /// All: no more comes.
    All,
}

/// A step of a pipeline, with its state. A stage in a [`PipelinePlan`] has not run: its copies
/// begin without state, but share what counts for a whole job.
pub(crate) trait Stage: Send + Sync + fmt::Debug {
    fn run(&mut self, entry: Entry, context: &mut Context, out: &mut Vec<Entry>);

    fn flush(&mut self, _context: &mut Context, _which: Flush, _out: &mut Vec<Entry>) {}

    /// Where the first line begins that is held back.
    fn held_from(&self) -> Option<u64> {
        None
    }

    /// When a flush will let something go.
    fn due_at(&self) -> Option<Instant> {
        None
    }

    fn copied(&self) -> Box<dyn Stage>;
}

/// A stage that changes an entry or drops it.
pub(crate) trait Process: Send + Sync + fmt::Debug + Clone + 'static {
    /// `false`: the entry is dropped.
    fn process(&mut self, entry: &mut Entry, context: &mut Context) -> bool;
}

impl<T: Process> Stage for T {
    fn run(&mut self, mut entry: Entry, context: &mut Context, out: &mut Vec<Entry>) {
        if self.process(&mut entry, context) {
            out.push(entry);
        }
    }

    fn copied(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// What building stages needs.
pub(crate) struct Builder<'a> {
    pub(crate) metrics: &'a Arc<LogMetrics>,
}

/// The stages of one source, or of a `match`.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    stages: Vec<Box<dyn Stage>>,
    /// Kept to be used again: entries before and behind a stage.
    before: Vec<Entry>,
    behind: Vec<Entry>,
}

impl Clone for Pipeline {
    fn clone(&self) -> Self {
        Self::of(self.stages.iter().map(|it| it.copied()).collect())
    }
}

impl Pipeline {
    /// # Errors
    /// The first stage that is wrong, by its place.
    pub(crate) fn build(raw: &RawStages, builder: &Builder<'_>) -> Result<Self, StageError> {
        if raw.len() > STAGES_MAX {
            return Err(StageError::TooMany { n_stages: raw.len(), n_stages_max: STAGES_MAX });
        }
        let mut stages = Vec::with_capacity(raw.len());
        for (idx, stage) in raw.iter().enumerate() {
            let mut pairs = stage.iter();
            let (Some((name, config)), None) = (pairs.next(), pairs.next()) else {
                return Err(build_error(idx, "", StageError::OneKey));
            };
            let kind = STAGES.iter().find(|it| it.name == name);
            let kind = kind.ok_or_else(|| build_error(idx, name, StageError::Unknown))?;
            stages.push((kind.build)(config, builder).map_err(|it| build_error(idx, name, it))?);
        }
        Ok(Self::of(stages))
    }

    pub(crate) fn of(stages: Vec<Box<dyn Stage>>) -> Self {
        Self { stages, before: Vec::new(), behind: Vec::new() }
    }

    pub(crate) fn push_front(&mut self, stage: Box<dyn Stage>) {
        self.stages.insert(0, stage);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Sends an entry through all stages; what comes out is appended to `out`.
    pub(crate) fn run(&mut self, mut entry: Entry, context: &mut Context, out: &mut Vec<Entry>) {
        entry.extracted.add_labels(&entry.labels);
        self.before.push(entry);
        self.pass(context, None, out);
    }

    /// Lets held lines go through the stages behind.
    pub(crate) fn flush(&mut self, context: &mut Context, which: Flush, out: &mut Vec<Entry>) {
        self.pass(context, Some(which), out);
    }

    pub(crate) fn held_from(&self) -> Option<u64> {
        self.stages.iter().filter_map(|it| it.held_from()).min()
    }

    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.stages.iter().filter_map(|it| it.due_at()).min()
    }

    fn pass(&mut self, context: &mut Context, flush: Option<Flush>, out: &mut Vec<Entry>) {
        for stage in &mut self.stages {
            for entry in self.before.drain(..) {
                stage.run(entry, context, &mut self.behind);
            }
            if let Some(which) = flush {
                stage.flush(context, which, &mut self.behind);
            }
            mem::swap(&mut self.before, &mut self.behind);
            if self.before.is_empty() && flush.is_none() {
                return;
            }
        }
        out.append(&mut self.before);
    }
}

/// Whether a pipeline can be built.
pub(crate) fn checked_stages(raw: &RawStages) -> Result<(), StageError> {
    Pipeline::build(raw, &Builder { metrics: &Arc::default() }).map(drop)
}

/// Reads whole log files of container runtimes, parts of lines joined.
pub(crate) fn cri_log(builder: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    cri::build(&Json::Null, builder)
}

/// Reads the settings of a stage; none at all count as empty ones.
fn settings<T: serde::de::DeserializeOwned>(config: &Json) -> Result<T, StageError> {
    let empty = Json::Object(serde_json::Map::new());
    let config = if config.is_null() { &empty } else { config };
    T::deserialize(config).map_err(StageError::Settings)
}

#[cfg(test)]
mod tests;
