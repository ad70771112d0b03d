//! What one query may cost, and what it takes for granted. Each names the setting that moves it.

use std::time::Duration;

use skep_promql::{ParseOptions, StorageError};

/// Bounds of one query; all of them settings of `[query]` in the server's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `query.series_max`: label sets (series or streams) one selector may match.
    pub n_series_max: usize,
    /// `query.samples_max`: samples all selectors of one query may read, and rows that SQL may
    /// answer with.
    pub n_samples_max: u64,
    /// `query.memory_max`: bytes one query may hold.
    pub memory_bytes_max: usize,
    /// `query.memory_total`: bytes all queries may hold together.
    pub memory_bytes_total: usize,
    /// `query.spill_total`: bytes that sorts and joins of all SQL queries may have in temporary
    /// files together.
    pub spill_bytes_total: u64,
    /// `query.result_cache`: bytes of answers to range queries that are kept; 0 keeps none.
    pub result_cache_bytes: usize,
    /// `query.timeout`: the longest a query may run, whatever its `timeout` parameter says.
    pub timeout: Duration,
    /// `query.lines_max`: log lines one query may return.
    pub n_lines_max: usize,
    /// `query.pattern_lines_max`: log lines that patterns are mined from.
    pub n_pattern_lines_max: usize,
    /// `query.log_series_max`: series one LogQL metric query may answer with.
    pub n_log_series_max: usize,
    /// `query.lookback`: how old a sample an instant selector may take.
    pub lookback: Duration,
    /// `query.evaluation_interval`: the step of subqueries that give none.
    pub evaluation_interval: Duration,
    /// `query.experimental`: whether what Prometheus has behind `promql-experimental-functions` and
    /// its like is answered.
    pub is_experimental: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            n_series_max: 1_000_000,
            // Prometheus' `--query.max-samples`.
            n_samples_max: 50_000_000,
            memory_bytes_max: 512 << 20,
            memory_bytes_total: 1 << 30,
            spill_bytes_total: 4 << 30,
            result_cache_bytes: 64 << 20,
            timeout: Duration::from_mins(2),
            n_lines_max: 5_000,
            n_pattern_lines_max: 100_000,
            // Loki's `max_query_series`.
            n_log_series_max: 500,
            // Prometheus' `--query.lookback-delta` and `global.evaluation_interval`.
            lookback: Duration::from_mins(5),
            evaluation_interval: Duration::from_mins(1),
            is_experimental: true,
        }
    }
}

impl Limits {
    /// How PromQL is read.
    pub fn parse_options(&self) -> ParseOptions {
        ParseOptions { experimental: self.is_experimental }
    }

    pub(crate) fn check_series(&self, n_series: usize) -> Result<(), StorageError> {
        if n_series <= self.n_series_max {
            return Ok(());
        }
        let max = self.n_series_max;
        Err(StorageError::Limit(format!(
            "selector matches {n_series} series, the limit is {max}; add matchers or raise \
             query.series_max"
        )))
    }
}
