//! What a file may say, field by field.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};
use skep_proto::relabel::RawRule;

use super::{
    discovery::{RawFileSd, RawGroup, RawHttpSd},
    http::http_fields,
    values::{Size, Span},
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    pub(super) global: Option<RawGlobal>,
    pub(super) scrape_configs: Option<Vec<RawJob>>,
    pub(super) scrape_config_files: Option<Vec<String>>,
    rule_files: Option<IgnoredAny>,
    alerting: Option<IgnoredAny>,
    remote_write: Option<IgnoredAny>,
    remote_read: Option<IgnoredAny>,
    storage: Option<IgnoredAny>,
    tracing: Option<IgnoredAny>,
    otlp: Option<IgnoredAny>,
    runtime: Option<IgnoredAny>,
}

impl RawConfig {
    /// Sections about what this server does not do.
    pub(super) fn warnings(&self) -> Vec<String> {
        [
            ("rule_files", &self.rule_files),
            ("alerting", &self.alerting),
            ("remote_write", &self.remote_write),
            ("remote_read", &self.remote_read),
            ("storage", &self.storage),
            ("tracing", &self.tracing),
            ("otlp", &self.otlp),
            ("runtime", &self.runtime),
        ]
        .into_iter()
        .filter(|(_, section)| section.is_some())
        .map(|(name, _)| format!("{name} is ignored: only scraping is read from this file"))
        .collect()
    }
}

/// Of a file named by `scrape_config_files`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawScrapeFile {
    pub(super) scrape_configs: Option<Vec<RawJob>>,
}

/// What a job may say and, for all jobs that do not, `global`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawGlobal {
    pub(super) scrape_interval: Span,
    pub(super) scrape_timeout: Span,
    pub(super) scrape_protocols: Option<Vec<String>>,
    pub(super) external_labels: Option<BTreeMap<String, String>>,
    pub(super) body_size_limit: Size,
    pub(super) sample_limit: u64,
    pub(super) target_limit: u64,
    pub(super) label_limit: u64,
    pub(super) label_name_length_limit: u64,
    pub(super) label_value_length_limit: u64,
    pub(super) keep_dropped_targets: u64,
    pub(super) metric_name_validation_scheme: Option<String>,
    pub(super) metric_name_escaping_scheme: Option<String>,
    /// Classic ones are always kept.
    always_scrape_classic_histograms: Option<bool>,
    pub(super) convert_classic_histograms_to_nhcb: Option<bool>,
    pub(super) scrape_native_histograms: Option<bool>,
    pub(super) extra_scrape_metrics: Option<bool>,
    pub(super) scrape_failure_log_file: Option<IgnoredAny>,
    pub(super) evaluation_interval: Option<IgnoredAny>,
    pub(super) rule_query_offset: Option<IgnoredAny>,
    pub(super) query_log_file: Option<IgnoredAny>,
    pub(super) runtime: Option<IgnoredAny>,
}

http_fields! {
    pub(super) struct RawJob {
        pub(super) job_name: String,
        pub(super) scrape_interval: Option<Span>,
        pub(super) scrape_timeout: Option<Span>,
        pub(super) scrape_protocols: Option<Vec<String>>,
        pub(super) fallback_scrape_protocol: Option<String>,
        pub(super) metrics_path: Option<String>,
        pub(super) params: Option<BTreeMap<String, Vec<String>>>,
        pub(super) scheme: Option<String>,
        pub(super) enable_compression: Option<bool>,
        pub(super) honor_labels: bool,
        pub(super) honor_timestamps: Option<bool>,
        pub(super) track_timestamps_staleness: bool,
        pub(super) body_size_limit: Size,
        pub(super) sample_limit: u64,
        pub(super) target_limit: u64,
        pub(super) label_limit: u64,
        pub(super) label_name_length_limit: u64,
        pub(super) label_value_length_limit: u64,
        pub(super) keep_dropped_targets: u64,
        pub(super) metric_name_validation_scheme: Option<String>,
        pub(super) metric_name_escaping_scheme: Option<String>,
        /// Classic ones are always kept.
        always_scrape_classic_histograms: Option<bool>,
        pub(super) convert_classic_histograms_to_nhcb: Option<bool>,
        pub(super) scrape_native_histograms: Option<bool>,
        pub(super) native_histogram_bucket_limit: u64,
        pub(super) native_histogram_min_bucket_factor: f64,
        pub(super) extra_scrape_metrics: Option<bool>,
        pub(super) scrape_failure_log_file: Option<IgnoredAny>,
        pub(super) static_configs: Option<Vec<RawGroup>>,
        pub(super) file_sd_configs: Option<Vec<RawFileSd>>,
        pub(super) http_sd_configs: Option<Vec<RawHttpSd>>,
        pub(super) relabel_configs: Option<Vec<RawRule>>,
        pub(super) metric_relabel_configs: Option<Vec<RawRule>>,
    }
}
