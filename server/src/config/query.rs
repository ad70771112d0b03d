//! `[query]`: what queries may cost.

use std::path::PathBuf;

use anyhow::bail;
use serde::Deserialize;
use skep_api::{QueryLogConfig, TailLimits};
use skep_query::Limits;

use super::{
    memory::Shares,
    values::{bytes, count, positive, positive_duration},
};

/// More would wait for the same few cores.
const CONCURRENCY_MAX: usize = 10_000;

/// Each has a buffer of its own and sees every line.
const TAILS_MAX: usize = 10_000;

/// Each may have a text of 8 KiB.
const HISTORY_MAX: usize = 10_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawQuery {
    concurrency: Option<usize>,
    series_max: Option<usize>,
    log_series_max: Option<usize>,
    samples_max: Option<u64>,
    memory_max: Option<String>,
    memory_total: Option<String>,
    spill_total: Option<String>,
    result_cache: Option<String>,
    timeout: Option<String>,
    lookback: Option<String>,
    evaluation_interval: Option<String>,
    experimental: Option<bool>,
    lines_max: Option<usize>,
    pattern_lines_max: Option<usize>,
    tails_max: Option<usize>,
    tail_buffer: Option<String>,
    tail_duration: Option<String>,
    log_file: Option<PathBuf>,
    slow: Option<String>,
    history: Option<usize>,
}

impl RawQuery {
    pub(super) fn concurrency(&self, default: usize) -> anyhow::Result<usize> {
        count("query.concurrency", self.concurrency.unwrap_or(default), 1..=CONCURRENCY_MAX)
    }

    pub(super) fn history(&self, default: usize) -> anyhow::Result<usize> {
        count("query.history", self.history.unwrap_or(default), 0..=HISTORY_MAX)
    }

    pub(super) fn log(&self) -> anyhow::Result<QueryLogConfig> {
        if let Some(path) = self.log_file.as_ref().filter(|it| !it.is_absolute()) {
            bail!("query.log_file {path:?} is relative; write an absolute path");
        }
        let slow = self.slow.as_deref().map(|it| positive_duration("query.slow", it));
        Ok(QueryLogConfig { path: self.log_file.clone(), slow: slow.transpose()? })
    }

    pub(super) fn tails(&self) -> anyhow::Result<TailLimits> {
        let mut limits = TailLimits::default();
        if let Some(n) = self.tails_max {
            limits.n_tails_max = count("query.tails_max", n, 1..=TAILS_MAX)?;
        }
        if let Some(it) = &self.tail_buffer {
            limits.buffer_bytes_max = bytes("query.tail_buffer", it)?;
        }
        if let Some(it) = &self.tail_duration {
            limits.duration_max = positive_duration("query.tail_duration", it)?;
        }
        Ok(limits)
    }

    pub(super) fn limits(&self, memory: &Shares) -> anyhow::Result<Limits> {
        let mut limits = Limits::default();
        memory.lower_queries(&mut limits);
        for (key, n, limit) in [
            ("query.series_max", self.series_max, &mut limits.n_series_max),
            ("query.log_series_max", self.log_series_max, &mut limits.n_log_series_max),
            ("query.lines_max", self.lines_max, &mut limits.n_lines_max),
            ("query.pattern_lines_max", self.pattern_lines_max, &mut limits.n_pattern_lines_max),
        ] {
            if let Some(n) = n {
                *limit = positive(key, n)?;
            }
        }
        if let Some(n) = self.samples_max {
            limits.n_samples_max = positive("query.samples_max", n)?;
        }
        if let Some(it) = &self.memory_max {
            limits.memory_bytes_max = bytes("query.memory_max", it)?;
        }
        if let Some(it) = &self.memory_total {
            limits.memory_bytes_total = bytes("query.memory_total", it)?;
        }
        if let Some(it) = &self.spill_total {
            limits.spill_bytes_total = bytes("query.spill_total", it)? as u64;
        }
        match self.result_cache.as_deref() {
            Some("off") => limits.result_cache_bytes = 0,
            Some(it) => limits.result_cache_bytes = bytes("query.result_cache", it)?,
            None => {}
        }
        for (key, text, limit) in [
            ("query.timeout", &self.timeout, &mut limits.timeout),
            ("query.lookback", &self.lookback, &mut limits.lookback),
            (
                "query.evaluation_interval",
                &self.evaluation_interval,
                &mut limits.evaluation_interval,
            ),
        ] {
            if let Some(it) = text {
                *limit = positive_duration(key, it)?;
            }
        }
        if let Some(it) = self.experimental {
            limits.is_experimental = it;
        }
        Ok(limits)
    }
}
