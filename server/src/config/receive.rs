//! `[receive]`: what a write may hold, and what a push of log lines becomes. Settings that Loki has
//! in its `limits_config` can be written under its names.

use anyhow::bail;
use serde::Deserialize;
use skep_api::IngestionRate;
use skep_receive::{
    Limits,
    loki_push::{LevelFields, Rules},
};

use super::values::{bytes, count, duration, positive, positive_duration};

/// Each holds a body and its rows in memory.
const CONCURRENCY_MAX: usize = 10_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawReceive {
    concurrency: Option<usize>,
    body_max: Option<String>,
    plain_max: Option<String>,
    series_max: Option<usize>,
    values_max: Option<usize>,
    pairs_max: Option<usize>,
    #[serde(alias = "max_label_names_per_series")]
    labels_max: Option<usize>,
    #[serde(alias = "max_label_name_length")]
    label_name_max: Option<String>,
    #[serde(alias = "max_label_value_length")]
    label_value_max: Option<String>,
    buckets_max: Option<usize>,
    #[serde(alias = "max_line_size")]
    line_max: Option<String>,
    #[serde(alias = "max_structured_metadata_entries_count")]
    metadata_fields_max: Option<usize>,
    #[serde(alias = "max_structured_metadata_size")]
    metadata_max: Option<String>,
    max_line_size_truncate: bool,
    max_line_size_truncate_identifier: String,
    allow_structured_metadata: Option<bool>,
    increment_duplicate_timestamp: bool,
    reject_old_samples: bool,
    reject_old_samples_max_age: Option<String>,
    creation_grace_period: Option<String>,
    discover_log_levels: Option<bool>,
    log_level_fields: Vec<String>,
    log_level_from_json_max_depth: Option<usize>,
    discover_service_name: Option<Vec<String>>,
    ingestion_rate: Option<String>,
    ingestion_burst_size: Option<String>,
}

impl RawReceive {
    pub(super) fn concurrency(&self, default: usize) -> anyhow::Result<usize> {
        count("receive.concurrency", self.concurrency.unwrap_or(default), 1..=CONCURRENCY_MAX)
    }

    pub(super) fn limits(&self) -> anyhow::Result<Limits> {
        let mut limits = Limits::default();
        for (key, text, limit) in [
            ("receive.body_max", &self.body_max, &mut limits.body_bytes_max),
            ("receive.plain_max", &self.plain_max, &mut limits.plain_bytes_max),
            ("receive.label_name_max", &self.label_name_max, &mut limits.label_name_bytes_max),
            ("receive.label_value_max", &self.label_value_max, &mut limits.label_value_bytes_max),
            ("receive.line_max", &self.line_max, &mut limits.line_bytes_max),
            ("receive.metadata_max", &self.metadata_max, &mut limits.metadata_bytes_max),
        ] {
            if let Some(text) = text {
                *limit = bytes(key, text)?;
            }
        }
        for (key, n, limit) in [
            ("receive.series_max", self.series_max, &mut limits.series_max),
            ("receive.values_max", self.values_max, &mut limits.values_max),
            ("receive.pairs_max", self.pairs_max, &mut limits.pairs_max),
            ("receive.labels_max", self.labels_max, &mut limits.labels_max),
            ("receive.buckets_max", self.buckets_max, &mut limits.buckets_max),
            (
                "receive.metadata_fields_max",
                self.metadata_fields_max,
                &mut limits.metadata_fields_max,
            ),
        ] {
            if let Some(n) = n {
                *limit = positive(key, n)?;
            }
        }
        Ok(limits)
    }

    /// What pushes become, beside their [`Self::limits`].
    pub(super) fn rules(&self) -> anyhow::Result<Rules> {
        let defaults = Rules::default();
        let limits = self.limits()?;
        if self.max_line_size_truncate_identifier.len() >= limits.line_bytes_max {
            bail!(
                "receive.max_line_size_truncate_identifier {:?} is longer than a line may be; \
                 write a shorter one or raise receive.line_max",
                self.max_line_size_truncate_identifier
            );
        }
        let depth = self.log_level_from_json_max_depth;
        let fields = self.log_level_fields.iter().map(String::as_str);
        let levels = match depth {
            Some(depth) => LevelFields::new(fields, depth),
            None => LevelFields::default().with_names(fields),
        };
        let age_max = self.reject_old_samples_max_age.as_deref().unwrap_or("7d");
        let age_max = positive_duration("receive.reject_old_samples_max_age", age_max)?;
        let ahead_max = self.creation_grace_period.as_deref();
        Ok(Rules {
            levels: self.discover_log_levels.unwrap_or(true).then_some(levels),
            service_name_labels: match &self.discover_service_name {
                Some(labels) => labels.clone(),
                None => defaults.service_name_labels.clone(),
            },
            truncate: self
                .max_line_size_truncate
                .then(|| self.max_line_size_truncate_identifier.clone()),
            increment_duplicate_timestamp: self.increment_duplicate_timestamp,
            allow_structured_metadata: self.allow_structured_metadata.unwrap_or(true),
            age_max: self.reject_old_samples.then_some(age_max),
            ahead_max: ahead_max
                .map(|text| duration("receive.creation_grace_period", text))
                .transpose()?,
            ..defaults
        })
    }

    /// What may come in a second; none without `ingestion_rate`.
    pub(super) fn ingestion_rate(&self) -> anyhow::Result<Option<IngestionRate>> {
        let size = |key: &str, text: &str| {
            u32::try_from(bytes(key, text)?).map_err(|_above| {
                anyhow::anyhow!("{key} {text:?} is too large; write \"4GB\" at most")
            })
        };
        let Some(rate) = &self.ingestion_rate else {
            if self.ingestion_burst_size.is_some() {
                bail!("receive.ingestion_burst_size is of no use without receive.ingestion_rate");
            }
            return Ok(None);
        };
        let bytes_per_second = size("receive.ingestion_rate", rate)?;
        let burst_bytes = match &self.ingestion_burst_size {
            Some(text) => size("receive.ingestion_burst_size", text)?,
            // Loki's defaults are 4 and 6 MB.
            None => bytes_per_second.saturating_add(bytes_per_second / 2),
        };
        Ok(Some(IngestionRate { bytes_per_second, burst_bytes }))
    }
}
