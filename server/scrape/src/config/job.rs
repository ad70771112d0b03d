//! One job: a set of targets that are scraped alike.

use std::{collections::BTreeMap, path::Path, time::Duration};

use skep_proto::relabel::{RawRule, Rule};

use super::{Discovery, Fault, FieldError, HttpConfig, discovery, global::Global, raw::RawJob};
use crate::protocol::Protocol;

/// Valid settings of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub name: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// In the order they are wanted.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) fallback: Option<Protocol>,
    pub(crate) metrics_path: String,
    pub(crate) params: BTreeMap<String, Vec<String>>,
    pub(crate) scheme: String,
    pub(crate) enable_compression: bool,
    pub(crate) honor_labels: bool,
    pub(crate) honor_timestamps: bool,
    pub(crate) track_timestamps_staleness: bool,
    pub(crate) limits: Limits,
    pub(crate) http: HttpConfig,
    pub(crate) discoveries: Vec<Discovery>,
    pub(crate) relabel: Vec<Rule>,
    pub(crate) metric_relabel: Vec<Rule>,
    /// Whether names must be of the classic kind.
    pub(crate) is_legacy: bool,
    pub(crate) extra_metrics: bool,
    ignored: Vec<&'static str>,
}

/// Bounds of a scrape and of the job; 0: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    pub(crate) body_bytes: u64,
    pub(crate) samples: u64,
    pub(crate) targets: u64,
    pub(crate) labels: u64,
    pub(crate) label_name_bytes: u64,
    pub(crate) label_value_bytes: u64,
    /// Dropped targets that are shown.
    pub(crate) dropped_targets: u64,
}

impl Job {
    /// # Errors
    /// The first field that is wrong.
    pub(super) fn new(mut raw: RawJob, global: &Global, dir: &Path) -> Result<Self, Fault> {
        if raw.job_name.is_empty() {
            return Err(("job_name", FieldError::new("job_name is empty")));
        }
        let (interval, timeout) = times(&raw, global)?;
        let is_legacy = is_legacy(&raw, global)?;
        let http = raw.http(dir)?;
        let protocol = |text: &String| Protocol::parse(text);
        let fallback = raw.fallback_scrape_protocol.as_ref().filter(|it| !it.is_empty());
        let fallback = fallback
            .map(protocol)
            .transpose()
            .map_err(|text| ("fallback_scrape_protocol", FieldError::new(text)))?;
        let scheme = raw.scheme.take().unwrap_or_else(|| "http".to_owned());
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(("scheme", FieldError::new(format!("{scheme:?} is not http or https"))));
        }
        Ok(Self {
            interval,
            timeout,
            protocols: protocols(&raw, global)?,
            fallback,
            metrics_path: raw.metrics_path.take().unwrap_or_else(|| "/metrics".to_owned()),
            params: raw.params.take().unwrap_or_default(),
            scheme,
            enable_compression: raw.enable_compression.unwrap_or(true),
            honor_labels: raw.honor_labels,
            honor_timestamps: raw.honor_timestamps.unwrap_or(true),
            track_timestamps_staleness: raw.track_timestamps_staleness,
            limits: Limits::new(&raw, global),
            http,
            discoveries: discoveries(&mut raw, dir)?,
            relabel: rules("relabel_configs", raw.relabel_configs.take(), is_legacy)?,
            metric_relabel: rules(
                "metric_relabel_configs",
                raw.metric_relabel_configs.take(),
                is_legacy,
            )?,
            is_legacy,
            extra_metrics: either(raw.extra_scrape_metrics, global.raw.extra_scrape_metrics),
            ignored: ignored(&raw, global),
            name: raw.job_name,
        })
    }

    /// What the job says and is not done.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        self.ignored.iter().map(|field| format!("job {:?}: {field} is ignored", self.name))
    }
}

fn either(job: Option<bool>, global: Option<bool>) -> bool {
    job.or(global).unwrap_or(false)
}

fn ignored(raw: &RawJob, global: &Global) -> Vec<&'static str> {
    let converts = either(
        raw.convert_classic_histograms_to_nhcb,
        global.raw.convert_classic_histograms_to_nhcb,
    );
    let native = either(raw.scrape_native_histograms, global.raw.scrape_native_histograms);
    [
        ("scrape_native_histograms", native),
        ("convert_classic_histograms_to_nhcb", converts),
        ("native_histogram_bucket_limit", raw.native_histogram_bucket_limit > 0),
        ("native_histogram_min_bucket_factor", raw.native_histogram_min_bucket_factor > 0.0),
        ("scrape_failure_log_file", raw.scrape_failure_log_file.is_some()),
    ]
    .into_iter()
    .filter_map(|(field, is_there)| is_there.then_some(field))
    .collect()
}

fn times(raw: &RawJob, global: &Global) -> Result<(Duration, Duration), Fault> {
    let given = |it: Option<super::Span>| it.map(|it| it.0).filter(|it| !it.is_zero());
    let interval = given(raw.scrape_interval).unwrap_or(global.interval);
    let timeout = given(raw.scrape_timeout).unwrap_or_else(|| global.timeout.min(interval));
    if timeout > interval {
        let text = "scrape timeout greater than scrape interval";
        return Err(("scrape_timeout", FieldError::new(text)));
    }
    Ok((interval, timeout))
}

fn is_legacy(raw: &RawJob, global: &Global) -> Result<bool, Fault> {
    let choose = |job: &Option<String>, global: &Option<String>| {
        let given = |it: &Option<String>| it.clone().filter(|it| !it.is_empty());
        given(job).or_else(|| given(global))
    };
    let scheme =
        choose(&raw.metric_name_validation_scheme, &global.raw.metric_name_validation_scheme);
    let is_legacy = match scheme.as_deref() {
        None | Some("utf8") => false,
        Some("legacy") => true,
        Some(other) => {
            let text = format!(
                "unknown global name validation method specified, must be either '', 'legacy' or 'utf8', got {other}"
            );
            return Err(("metric_name_validation_scheme", FieldError::new(text)));
        }
    };
    let escaping =
        choose(&raw.metric_name_escaping_scheme, &global.raw.metric_name_escaping_scheme);
    match escaping.as_deref() {
        None => {}
        Some("allow-utf-8") if !is_legacy => {}
        Some("underscores" | "dots" | "values") => {
            let text = "only allow-utf-8 is supported: names are stored as they come";
            return Err(("metric_name_escaping_scheme", FieldError::new(text)));
        }
        Some(other) => {
            let text = format!("unknown metric name escaping scheme specified, got {other}");
            return Err(("metric_name_escaping_scheme", FieldError::new(text)));
        }
    }
    Ok(is_legacy)
}

/// Those that can be read, of the ones that are wanted.
fn protocols(raw: &RawJob, global: &Global) -> Result<Vec<Protocol>, Fault> {
    let fault = |text| ("scrape_protocols", FieldError::new(text));
    let mut protocols = match (&raw.scrape_protocols, &global.protocols) {
        (Some(list), _) => Protocol::list(list).map_err(fault)?,
        (None, Some(list)) => list.clone(),
        (None, None) => Protocol::default_list(),
    };
    protocols.retain(|it| it.is_read());
    if protocols.is_empty() {
        let text = "PrometheusProto alone is not supported; add a text format";
        return Err(fault(text.to_owned()));
    }
    Ok(protocols)
}

fn discoveries(raw: &mut RawJob, dir: &Path) -> Result<Vec<Discovery>, Fault> {
    let mut discoveries = Vec::new();
    if let Some(groups) = raw.static_configs.take() {
        discoveries.push(discovery::static_groups(groups)?);
    }
    for it in raw.file_sd_configs.take().unwrap_or_default() {
        discoveries.push(it.discovery(dir)?);
    }
    for it in raw.http_sd_configs.take().unwrap_or_default() {
        discoveries.push(it.discovery(dir)?);
    }
    Ok(discoveries)
}

fn rules(
    field: &'static str,
    raw: Option<Vec<RawRule>>,
    is_legacy: bool,
) -> Result<Vec<Rule>, Fault> {
    let numbered = raw.unwrap_or_default().into_iter().zip(1..);
    numbered
        .map(|(raw, number)| {
            raw.rule(is_legacy).map_err(|source| (field, FieldError::Rule { number, source }))
        })
        .collect()
}

impl Limits {
    fn new(raw: &RawJob, global: &Global) -> Self {
        let or = |job: u64, global: u64| if job == 0 { global } else { job };
        let global = &global.raw;
        Self {
            body_bytes: or(raw.body_size_limit.0, global.body_size_limit.0),
            samples: or(raw.sample_limit, global.sample_limit),
            targets: or(raw.target_limit, global.target_limit),
            labels: or(raw.label_limit, global.label_limit),
            label_name_bytes: or(raw.label_name_length_limit, global.label_name_length_limit),
            label_value_bytes: or(raw.label_value_length_limit, global.label_value_length_limit),
            dropped_targets: or(raw.keep_dropped_targets, global.keep_dropped_targets),
        }
    }
}
