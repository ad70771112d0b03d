//! Stage `metrics`: values of lines are counted, in metrics with the labels of their stream.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value as Json;
use skep_proto::{Labels, MetricKind, is_metric_name};

use super::{
    Builder, Context, Entry, Process, Stage, StageError,
    extracted::Value,
    registry::Change,
    settings,
    units::{duration, loose_text},
};

const PREFIX_DEFAULT: &str = "promtail_custom_";
const IDLE_MAX_DEFAULT: Duration = Duration::from_secs(300);
/// More would make each series of a histogram too big.
const BUCKETS_MAX: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    description: String,
    source: Option<String>,
    #[serde(default)]
    prefix: String,
    max_idle_duration: Option<String>,
    config: Option<Json>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CounterSettings {
    match_all: bool,
    count_entry_bytes: bool,
    #[serde(deserialize_with = "loose_text")]
    value: Option<String>,
    action: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GaugeSettings {
    #[serde(deserialize_with = "loose_text")]
    value: Option<String>,
    action: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HistogramSettings {
    #[serde(deserialize_with = "loose_text")]
    value: Option<String>,
    buckets: Vec<f64>,
}

#[derive(Debug, Clone)]
struct MetricsStage(Vec<Metric>);

#[derive(Debug, Clone)]
struct Metric {
    name: String,
    source: String,
    /// Only lines with this value count.
    value: Option<String>,
    /// Every line counts, whether it has the value or not.
    is_for_all: bool,
    action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Increment,
    Decrement,
    /// Counters only grow.
    AddPositive,
    AddBytes,
    Add,
    Subtract,
    Set,
    Observe,
}

pub(super) fn build(config: &Json, builder: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    if config.is_null() {
        return Err(StageError::Invalid("empty metric stage configuration"));
    }
    let raw: BTreeMap<String, Settings> = settings(config)?;
    let metrics = raw.into_iter().map(|(name, raw)| metric(name, raw, builder));
    Ok(Box::new(MetricsStage(metrics.collect::<Result<_, _>>()?)))
}

fn metric(key: String, raw: Settings, builder: &Builder<'_>) -> Result<Metric, StageError> {
    let fault = |what| StageError::Metric { name: key.clone(), what };
    let idle_max = match &raw.max_idle_duration {
        None => IDLE_MAX_DEFAULT,
        Some(text) => duration("max_idle_duration", text)?,
    };
    if idle_max < Duration::from_secs(1) {
        return Err(fault("max_idle_duration less than 1s not allowed"));
    }
    let config = raw.config.unwrap_or(Json::Null);
    let (kind, value, is_for_all, action, bounds) = match raw.kind.to_lowercase().as_str() {
        "counter" => {
            let it: CounterSettings = settings(&config)?;
            let action = counter_action(&it).map_err(fault)?;
            (MetricKind::Counter, it.value, it.match_all, action, Vec::new())
        }
        "gauge" => {
            let it: GaugeSettings = settings(&config)?;
            let action = gauge_action(&it.action).map_err(fault)?;
            (MetricKind::Gauge, it.value, false, action, Vec::new())
        }
        "histogram" => {
            let it: HistogramSettings = settings(&config)?;
            if it.buckets.len() > BUCKETS_MAX || !it.buckets.is_sorted_by(|a, b| a < b) {
                return Err(fault(
                    "histogram buckets must be in increasing order, and at most 200",
                ));
            }
            (MetricKind::Histogram, it.value, false, Action::Observe, it.buckets)
        }
        _ => {
            return Err(fault(
                "invalid metric type, metric type must be one of 'counter', 'gauge', or 'histogram'",
            ));
        }
    };
    let prefix = if raw.prefix.is_empty() { PREFIX_DEFAULT } else { &raw.prefix };
    let name = format!("{prefix}{key}");
    if !is_metric_name(&name) {
        return Err(fault("this is no name of a metric"));
    }
    builder.metrics.register(&name, raw.description, kind, bounds, idle_max)?;
    Ok(Metric { name, source: raw.source.unwrap_or(key), value, is_for_all, action })
}

fn counter_action(raw: &CounterSettings) -> Result<Action, &'static str> {
    let action = match raw.action.to_lowercase().as_str() {
        "" => return Err("counter action must be defined as either `inc` or `add`"),
        "inc" => Action::Increment,
        "add" => Action::AddPositive,
        _ => return Err("action is not valid, action must be either `inc` or `add`"),
    };
    if raw.match_all && raw.value.is_some() {
        return Err(
            "`match_all: true` cannot be combined with `value`, please remove `match_all` or `value`",
        );
    }
    match (raw.count_entry_bytes, raw.match_all, action) {
        (false, ..) => Ok(action),
        (true, false, _) => Err("`count_entry_bytes: true` can only be set with `match_all: true`"),
        (true, true, Action::AddPositive) => Ok(Action::AddBytes),
        (true, true, _) => Err("`count_entry_bytes: true` can only be used with `action: add`"),
    }
}

fn gauge_action(action: &str) -> Result<Action, &'static str> {
    Ok(match action.to_lowercase().as_str() {
        "" => return Err("gauge action must be defined as `set`, `inc`, `dec`, `add`, or `sub`"),
        "set" => Action::Set,
        "inc" => Action::Increment,
        "dec" => Action::Decrement,
        "add" => Action::Add,
        "sub" => Action::Subtract,
        _ => {
            return Err("action is not valid, action must be `set`, `inc`, `dec`, `add`, or `sub`");
        }
    })
}

impl Process for MetricsStage {
    fn process(&mut self, entry: &mut Entry, context: &mut Context) -> bool {
        let mut labels = None;
        for metric in &self.0 {
            let Some(change) = metric.change(entry) else { continue };
            let labels: &Labels = labels.get_or_insert_with(|| entry.labels.clone().build());
            context.metrics.change(&metric.name, labels, change, context.now);
        }
        true
    }
}

impl Metric {
    fn change(&self, entry: &Entry) -> Option<Change> {
        let found = entry.extracted.get(&self.source);
        if found.is_none() && !self.is_for_all {
            return None;
        }
        if let Some(wanted) = &self.value
            && found.and_then(Value::text).as_deref() != Some(wanted)
        {
            return None;
        }
        let number = || found.and_then(Value::number);
        Some(match self.action {
            Action::Increment => Change::Add(1.0),
            Action::Decrement => Change::Add(-1.0),
            Action::AddPositive => Change::Add(number().filter(|it| *it >= 0.0)?),
            #[expect(clippy::cast_precision_loss, reason = "lines are short")]
            Action::AddBytes => Change::Add(entry.line.len() as f64),
            Action::Add => Change::Add(number()?),
            Action::Subtract => Change::Add(-number()?),
            Action::Set => Change::Set(number()?),
            Action::Observe => Change::Observe(number()?),
        })
    }
}
