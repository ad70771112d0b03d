//! From the bytes of an answer to samples: labels of the target, rules, limits. Pure.

use std::sync::Arc;

use skep_proto::{
    Labels, LabelsBuilder, is_label_name, is_metric_name, names::METRIC_NAME, relabel,
};
use skep_receive::exposition::{
    Fault, LabelVec, Line, Lines, Names, SampleLine, Syntax, read_series,
};

use crate::{
    batch::Batch,
    cache::{Cache, Series},
    config::Job,
};

const EXPORTED_PREFIX: &str = "exported_";

/// How many samples there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) scraped: u64,
    pub(crate) after_relabelling: u64,
    pub(crate) series_added: u64,
}

/// Why a scrape is worth nothing, in Prometheus' words.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum AppendError {
    #[error(transparent)]
    Exposition(#[from] Fault),
    #[error("invalid UTF-8 at byte {0}")]
    Utf8(usize),
    #[error("missing metric name (__name__ label)")]
    NoName,
    #[error("invalid metric name or label names: {0}")]
    Names(String),
    #[error("label name \"{0}\" is not unique: invalid sample")]
    Duplicate(String),
    #[error("sample limit exceeded")]
    Samples,
    #[error("label_limit exceeded (metric: {metric}, number of labels: {n}, limit: {max})")]
    Labels { metric: String, n: usize, max: u64 },
    #[error(
        "label_name_length_limit exceeded (metric: {metric}, label name: {name}, length: {length}, limit: {max})"
    )]
    NameLength { metric: String, name: String, length: usize, max: u64 },
    #[error(
        "label_value_length_limit exceeded (metric: {metric}, label name: {name}, value: {value:?}, length: {length}, limit: {max})"
    )]
    ValueLength { metric: String, name: String, value: String, length: usize, max: u64 },
}

/// One scrape of one target.
#[derive(Debug)]
pub(crate) struct Append<'a> {
    pub(crate) job: &'a Job,
    /// Of the target, none of them reserved.
    pub(crate) labels: &'a Labels,
    /// Of samples that bring none.
    pub(crate) ts_ms: i64,
    pub(crate) cache: &'a mut Cache,
    pub(crate) batch: &'a mut Batch,
    pub(crate) counts: Counts,
}

impl Append<'_> {
    /// Takes all of a body. After an error the samples taken so far are to be forgotten.
    pub(crate) fn text(&mut self, body: &[u8], syntax: Syntax) -> Result<(), AppendError> {
        let body = str::from_utf8(body).map_err(|fault| AppendError::Utf8(fault.valid_up_to()))?;
        let mut pairs = LabelVec::new();
        for line in Lines::new(body, syntax) {
            match line? {
                Line::Nothing | Line::End => {}
                Line::Sample(line) => self.sample(&line, &mut pairs)?,
                Line::Help { metric, help } => {
                    self.describe(&metric, |it| it.help = help.into_owned());
                }
                Line::Type { metric, kind } => self.describe(&metric, |it| it.kind = kind),
                Line::Unit { metric, unit } => {
                    self.describe(&metric, |it| unit.clone_into(&mut it.unit));
                }
            }
        }
        let max = self.job.limits.samples;
        if max > 0 && self.counts.after_relabelling > max {
            return Err(AppendError::Samples);
        }
        Ok(())
    }

    fn describe(&mut self, metric: &str, change: impl FnOnce(&mut crate::batch::Metadata)) {
        if let Some(metadata) = self.cache.describe(metric, change) {
            self.batch.describe(metric, metadata);
        }
    }

    fn sample<'t>(
        &mut self,
        line: &SampleLine<'t>,
        pairs: &mut LabelVec<'t>,
    ) -> Result<(), AppendError> {
        self.counts.scraped += 1;
        let (series, is_new) = match self.cache.get(line.series) {
            Some(None) => return Ok(()),
            Some(Some(series)) => (series.clone(), false),
            None => {
                read_series(line.series, Names::Checked, pairs)?;
                let series = self.series(pairs)?;
                self.cache.put(line.series, series.clone());
                let Some(series) = series else { return Ok(()) };
                (series, true)
            }
        };
        self.counts.after_relabelling += 1;
        self.counts.series_added += u64::from(is_new);
        let ts = line.ts.filter(|_| self.job.honor_timestamps);
        let is_twice = match ts {
            Some(_) if !self.job.track_timestamps_staleness => false,
            _ => self.cache.track(&series),
        };
        // Of two values at one time the first counts.
        if ts.is_some() || !is_twice {
            let ts_ms = ts.map_or(self.ts_ms, |it| it.0);
            self.batch.push(&series.labels, ts_ms, line.value);
        }
        Ok(())
    }

    /// What a series is called here; `None` if rules drop it.
    fn series(&self, exposed: &LabelVec<'_>) -> Result<Option<Series>, AppendError> {
        let mut labels = LabelsBuilder::default();
        for (i, (name, value)) in exposed.iter().enumerate() {
            if exposed.iter().take(i).any(|(it, _)| it == name) {
                return Err(AppendError::Duplicate(name.to_string()));
            }
            labels.set(name, value);
        }
        if self.job.honor_labels {
            self.fill(exposed, &mut labels);
        } else {
            self.overwrite(&mut labels);
        }
        if !relabel::process(&self.job.metric_relabel, &mut labels) {
            return Ok(None);
        }
        let labels = labels.build();
        if labels.is_empty() {
            return Ok(None);
        }
        self.check(&labels)?;
        let hash = labels.stable_hash();
        Ok(Some(Series { labels: Arc::new(labels), hash }))
    }

    /// Where both say a label, the exposition is right, even if it says that there is none.
    fn fill(&self, exposed: &LabelVec<'_>, labels: &mut LabelsBuilder) {
        for (name, value) in self.labels.iter() {
            if !exposed.iter().any(|(it, _)| it == name) {
                labels.set(name, value);
            }
        }
    }

    /// Where both say a label, the target is right, and what was exposed gets another name.
    fn overwrite(&self, labels: &mut LabelsBuilder) {
        let mut conflicts = Vec::new();
        for (name, value) in self.labels.iter() {
            let exposed = labels.get(name).to_owned();
            if !exposed.is_empty() {
                conflicts.push((name, exposed));
            }
            labels.set(name, value);
        }
        conflicts.sort_by_key(|(name, _)| name.len());
        for (name, value) in conflicts {
            let mut name = format!("{EXPORTED_PREFIX}{name}");
            while !labels.get(&name).is_empty() {
                name.insert_str(0, EXPORTED_PREFIX);
            }
            labels.set(&name, &value);
        }
    }

    fn check(&self, labels: &Labels) -> Result<(), AppendError> {
        let metric = labels.metric_name();
        if metric.is_empty() {
            return Err(AppendError::NoName);
        }
        let are_classic =
            || is_metric_name(metric) && labels.iter().all(|(it, _)| is_label_name(it));
        if self.job.is_legacy && !are_classic() {
            return Err(AppendError::Names(labels.to_string()));
        }
        let limits = &self.job.limits;
        let is_over = |n: usize, max: u64| max > 0 && u64::try_from(n).is_ok_and(|it| it > max);
        let metric = || beginning(labels.get(METRIC_NAME));
        if is_over(labels.len(), limits.labels) {
            let n = labels.len();
            return Err(AppendError::Labels { metric: metric(), n, max: limits.labels });
        }
        for (name, value) in labels.iter() {
            if is_over(name.len(), limits.label_name_bytes) {
                let (length, max) = (name.len(), limits.label_name_bytes);
                let name = beginning(name);
                return Err(AppendError::NameLength { metric: metric(), name, length, max });
            }
            if is_over(value.len(), limits.label_value_bytes) {
                let (length, max) = (value.len(), limits.label_value_bytes);
                let (name, value) = (beginning(name), beginning(value));
                return Err(AppendError::ValueLength {
                    metric: metric(),
                    name,
                    value,
                    length,
                    max,
                });
            }
        }
        Ok(())
    }
}

/// As much of a text as a message repeats.
fn beginning(text: &str) -> String {
    text.chars().take(50).collect()
}

#[cfg(test)]
mod tests;
