//! Stage `match`: other stages for the entries a selector chooses, or an end to them.

use serde::Deserialize;
use serde_json::Value as Json;
use tokio::time::Instant;

use super::{
    Builder, Context, Entry, Flush, Pipeline, RawStages, Stage, StageError, selector::Selector,
    settings,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Named the metrics of a nested pipeline once; read and without effect.
    pipeline_name: Option<String>,
    #[serde(default)]
    selector: String,
    #[serde(default)]
    stages: RawStages,
    #[serde(default)]
    action: String,
    drop_counter_reason: Option<String>,
}

#[derive(Debug, Clone)]
struct MatchStage {
    selector: Selector,
    /// `None`: drop what matches.
    pipeline: Option<Pipeline>,
    reason: String,
}

pub(super) fn build(config: &Json, builder: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let raw: Settings = settings(config)?;
    if raw.pipeline_name.is_some_and(|it| it.is_empty()) {
        return Err(StageError::Invalid(
            "match stage pipeline name can be omitted but cannot be an empty string",
        ));
    }
    if raw.selector.is_empty() {
        return Err(StageError::Invalid("selector statement required for match stage"));
    }
    let pipeline = match (raw.action.as_str(), raw.stages.is_empty()) {
        ("" | "keep", true) => {
            return Err(StageError::Invalid(
                "match stage requires at least one additional stage to be defined in '- stages'",
            ));
        }
        ("" | "keep", false) => Some(Pipeline::build(&raw.stages, builder)?),
        ("drop", true) => None,
        ("drop", false) => {
            return Err(StageError::Invalid(
                "match stage configured to drop entries cannot contains stages",
            ));
        }
        _ => return Err(StageError::Invalid("match stage action should be 'keep' or 'drop'")),
    };
    let reason = raw.drop_counter_reason.filter(|it| !it.is_empty());
    Ok(Box::new(MatchStage {
        selector: Selector::parse(&raw.selector)?,
        pipeline,
        reason: reason.unwrap_or_else(|| "match_stage".to_owned()),
    }))
}

impl Stage for MatchStage {
    fn run(&mut self, entry: Entry, context: &mut Context, out: &mut Vec<Entry>) {
        if !self.selector.matches(&entry.labels, &entry.line) {
            out.push(entry);
            return;
        }
        match &mut self.pipeline {
            Some(pipeline) => pipeline.run(entry, context, out),
            None => context.metrics.count_dropped(&self.reason),
        }
    }

    fn flush(&mut self, context: &mut Context, which: Flush, out: &mut Vec<Entry>) {
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.flush(context, which, out);
        }
    }

    fn held_from(&self) -> Option<u64> {
        self.pipeline.as_ref()?.held_from()
    }

    fn due_at(&self) -> Option<Instant> {
        self.pipeline.as_ref()?.due_at()
    }

    fn copied(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
