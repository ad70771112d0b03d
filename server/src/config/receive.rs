//! `[receive]`: what a write may hold.

use serde::Deserialize;
use skep_receive::Limits;

use super::values::{bytes, count, positive};

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
    labels_max: Option<usize>,
    label_name_max: Option<String>,
    label_value_max: Option<String>,
    buckets_max: Option<usize>,
    line_max: Option<String>,
    metadata_fields_max: Option<usize>,
    metadata_max: Option<String>,
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
}
