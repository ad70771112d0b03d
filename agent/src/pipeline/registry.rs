//! Metrics that stages count: how much was dropped, and what a configuration counts of its own.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_proto::{Labels, MetricKind};
use tokio::time::Instant;

use super::StageError;
use crate::exposition::{Exposition, Number, as_f64};

/// Series of one configured metric; the lines of more are not counted.
const SERIES_MAX: usize = 10_000;
/// Values of labels whose dropped lines are counted one by one.
const LABEL_VALUES_MAX: usize = 10_000;
/// Of histograms without any, as Prometheus' client libraries have them.
const BUCKETS_DEFAULT: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What the stages of all sources have counted.
#[derive(Debug, Default)]
pub(crate) struct LogMetrics(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    dropped: BTreeMap<String, u64>,
    dropped_by_label: BTreeMap<(String, String), u64>,
    families: BTreeMap<String, Family>,
}

/// A configured metric.
#[derive(Debug)]
struct Family {
    description: String,
    kind: MetricKind,
    bounds: Vec<f64>,
    idle_max: Duration,
    series: BTreeMap<Labels, Series>,
}

#[derive(Debug)]
struct Series {
    /// Of a histogram, the sum.
    value: f64,
    /// Of a histogram: not cumulative, the last one above all bounds.
    counts: Vec<u64>,
    changed_at: Instant,
}

/// What happens to a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    Set(f64),
    Add(f64),
    Observe(f64),
}

impl LogMetrics {
    pub(super) fn count_dropped(&self, reason: &str) {
        count(&mut self.state().dropped, reason);
    }

    pub(super) fn count_dropped_by_label(&self, name: &str, value: &str) {
        let dropped = &mut self.state().dropped_by_label;
        if dropped.len() < LABEL_VALUES_MAX {
            *dropped.entry((name.to_owned(), value.to_owned())).or_default() += 1;
        }
    }

    /// Two metrics of one name share their series.
    ///
    /// # Errors
    /// One of that name is of another kind.
    pub(super) fn register(
        &self,
        name: &str,
        description: String,
        kind: MetricKind,
        bounds: Vec<f64>,
        idle_max: Duration,
    ) -> Result<(), StageError> {
        let mut state = self.state();
        if let Some(family) = state.families.get(name) {
            if family.kind == kind {
                return Ok(());
            }
            return Err(StageError::Metric {
                name: name.to_owned(),
                what: "there is one of another type under this name",
            });
        }
        let bounds = if bounds.is_empty() { BUCKETS_DEFAULT.to_vec() } else { bounds };
        let family = Family { description, kind, bounds, idle_max, series: BTreeMap::new() };
        state.families.insert(name.to_owned(), family);
        Ok(())
    }

    pub(super) fn change(&self, name: &str, labels: &Labels, change: Change, now: Instant) {
        let mut state = self.state();
        let Some(family) = state.families.get_mut(name) else { return };
        if !family.series.contains_key(labels) {
            if family.series.len() >= SERIES_MAX {
                return;
            }
            let counts = vec![0; family.bounds.len() + 1];
            let series = Series { value: 0.0, counts, changed_at: now };
            family.series.insert(labels.clone(), series);
        }
        let Some(series) = family.series.get_mut(labels) else { return };
        series.changed_at = now;
        match change {
            Change::Set(value) => series.value = value,
            Change::Add(value) => series.value += value,
            Change::Observe(value) => {
                series.value += value;
                let above = family.bounds.iter().position(|bound| value <= *bound);
                let bucket = series.counts.get_mut(above.unwrap_or(family.bounds.len()));
                if let Some(count) = bucket {
                    *count += 1;
                }
            }
        }
    }

    /// Adds everything; series that nothing has changed for long are then forgotten.
    pub(crate) fn collect(&self, now: Instant, out: &mut Exposition) {
        let mut state = self.state();
        let family = out.family(
            "logentry_dropped_lines_total",
            "A count of all log lines dropped as a result of a pipeline stage",
            MetricKind::Counter,
        );
        for (reason, n_lines) in &state.dropped {
            family.point([("reason", reason)], as_f64(*n_lines));
        }
        let family = out.family(
            "logentry_dropped_lines_by_label_total",
            "A count of all log lines dropped as a result of a pipeline stage",
            MetricKind::Counter,
        );
        for ((name, value), n_lines) in &state.dropped_by_label {
            family.point([("label_name", name), ("label_value", value)], as_f64(*n_lines));
        }
        for (name, family) in &mut state.families {
            family.collect(name, out);
            let idle_max = family.idle_max;
            family.series.retain(|_, it| it.changed_at + idle_max > now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters are whole after a panic, too.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Family {
    fn collect(&self, name: &str, out: &mut Exposition) {
        let family = out.family(name.to_owned(), self.description.clone(), self.kind);
        for (labels, series) in &self.series {
            let labels: Vec<(Cow<'static, str>, String)> = labels
                .iter()
                .map(|(name, value)| (Cow::Owned(name.to_owned()), value.to_owned()))
                .collect();
            if self.kind != MetricKind::Histogram {
                family.labelled(labels, series.value);
                continue;
            }
            let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
            let mut total = 0;
            for (bound, count) in bounds.zip(&series.counts) {
                total += count;
                let mut bucket = labels.clone();
                bucket.push((Cow::Borrowed("le"), Number(bound).to_string()));
                family.suffixed("_bucket", bucket, as_f64(total));
            }
            family.suffixed("_sum", labels.clone(), series.value);
            family.suffixed("_count", labels, as_f64(total));
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    match counts.get_mut(key) {
        Some(it) => *it += 1,
        None => drop(counts.insert(key.to_owned(), 1)),
    }
}
