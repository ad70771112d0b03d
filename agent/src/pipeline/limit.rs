//! Stage `limit`: a token bucket, for the whole job or by the value of a label.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value as Json;
use tokio::time::Instant;

use super::{Builder, Context, Entry, Process, Stage, StageError, settings};

const REASON: &str = "ratelimit_drop_stage";
/// Fewer buckets would be forgotten too soon; each takes some 80 bytes.
const LABELS_MIN: usize = 10_000;
/// More would take more memory than an agent has.
const LABELS_MAX: usize = 100_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Settings {
    rate: f64,
    burst: u32,
    drop: bool,
    by_label_name: String,
    max_distinct_labels: usize,
}

#[derive(Debug, Clone)]
struct LimitStage {
    rate: f64,
    burst: f64,
    is_dropping: bool,
    label: Option<String>,
    n_labels_max: usize,
    /// All files of a job draw from the same ones.
    buckets: Arc<Mutex<Buckets>>,
}

#[derive(Debug, Default)]
struct Buckets {
    whole: Option<Bucket>,
    /// By value of the label; what is not used for long gets into `older` and then away.
    newer: HashMap<String, Bucket>,
    older: HashMap<String, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let raw: Settings = settings(config)?;
    if raw.rate.is_nan() || raw.rate <= 0.0 || raw.burst == 0 {
        return Err(StageError::Invalid("limit stage failed to parse rate or burst"));
    }
    let label = (!raw.by_label_name.is_empty()).then_some(raw.by_label_name);
    if label.is_some() && !raw.drop {
        return Err(StageError::Invalid("When ratelimiting by label, drop must be true"));
    }
    Ok(Box::new(LimitStage {
        rate: raw.rate,
        burst: raw.burst.into(),
        is_dropping: raw.drop,
        label,
        n_labels_max: raw.max_distinct_labels.clamp(LABELS_MIN, LABELS_MAX),
        buckets: Arc::default(),
    }))
}

impl Process for LimitStage {
    fn process(&mut self, entry: &mut Entry, context: &mut Context) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { tokens: self.burst, at: context.now };
        if let Some(name) = &self.label {
            let value = entry.labels.get(name);
            if value.is_empty() {
                return true;
            }
            let bucket = buckets.of(value, full, self.n_labels_max);
            bucket.fill(context.now, self.rate, self.burst);
            if bucket.tokens >= 1.0 {
                bucket.tokens -= 1.0;
                return true;
            }
            context.metrics.count_dropped(REASON);
            context.metrics.count_dropped_by_label(name, value);
            return false;
        }
        let bucket = buckets.whole.get_or_insert(full);
        bucket.fill(context.now, self.rate, self.burst);
        if self.is_dropping && bucket.tokens < 1.0 {
            context.metrics.count_dropped(REASON);
            return false;
        }
        bucket.tokens -= 1.0;
        if bucket.tokens < 0.0 {
            let wait = Duration::try_from_secs_f64(-bucket.tokens / self.rate);
            context.delay = context.delay.max(wait.unwrap_or(Duration::MAX));
        }
        true
    }
}

impl Buckets {
    fn of(&mut self, value: &str, full: Bucket, n_max: usize) -> &mut Bucket {
        if !self.newer.contains_key(value) {
            let bucket = self.older.remove(value).unwrap_or(full);
            if self.newer.len() >= n_max {
                self.older = mem::take(&mut self.newer);
            }
            self.newer.insert(value.to_owned(), bucket);
        }
        self.newer.get_mut(value).expect("inserted above where it was missing")
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant, rate: f64, burst: f64) {
        let passed = now.saturating_duration_since(self.at);
        self.tokens = (self.tokens + passed.as_secs_f64() * rate).min(burst);
        self.at = self.at.max(now);
    }
}
