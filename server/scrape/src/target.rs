//! A target: from a discovered address over relabelling to a URL. Pure.
//!
//! Source: Prometheus' "Configuration", `relabel_config`, and how its scraper fills labels in.

use std::{fmt::Write as _, time::Duration};

use skep_proto::{Labels, LabelsBuilder, relabel};

use crate::config::{Group, Job, Span};

const ADDRESS: &str = "__address__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const METRICS_PATH: &str = "__metrics_path__";
const SCHEME: &str = "__scheme__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
/// Labels that no sample gets.
const RESERVED_PREFIX: &str = "__";
const JOB: &str = "job";
const INSTANCE: &str = "instance";

/// What is scraped, how often, and what its samples are labelled with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// Before relabelling.
    pub(crate) discovered: Labels,
    /// After it, without those that no sample gets.
    pub(crate) labels: Labels,
    pub(crate) url: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Of URL and all labels: targets that are equal are scraped once.
    pub(crate) hash: u64,
}

/// What becomes of an address.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    Active(Box<Target>),
    /// By a rule; its labels before.
    Dropped(Labels),
}

/// Why an address is no target, in Prometheus' words.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("no address")]
    NoAddress,
    #[error("{0:?} is not a valid hostname")]
    Address(String),
    #[error("error parsing scrape {what}: {text}")]
    Span { what: &'static str, text: String },
    #[error("scrape {0} cannot be 0")]
    Zero(&'static str),
    #[error("scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})")]
    Longer { timeout: String, interval: String },
}

/// Relabels one address of a group.
pub(crate) fn find(address: &str, group: &Group, job: &Job) -> Result<Found, TargetError> {
    let mut labels = discovered(address, group, job);
    let discovered = labels.clone().build();
    if !relabel::process(&job.relabel, &mut labels) {
        return Ok(Found::Dropped(discovered));
    }
    let address = labels.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err(TargetError::NoAddress);
    }
    if address.contains('/') {
        return Err(TargetError::Address(address));
    }
    let interval = span(&labels, INTERVAL, "interval")?;
    let timeout = span(&labels, TIMEOUT, "timeout")?;
    if timeout > interval {
        let timeout = labels.get(TIMEOUT).to_owned();
        return Err(TargetError::Longer { timeout, interval: labels.get(INTERVAL).to_owned() });
    }
    labels.retain(|name| !name.starts_with(META_PREFIX));
    if labels.get(INSTANCE).is_empty() {
        labels.set(INSTANCE, &address);
    }
    let labels = labels.build();
    let url = url(&labels, job);
    let hashed = labels.iter().chain([("", url.as_str())]);
    let hash = skep_proto::hash_sorted_pairs(hashed);
    Ok(Found::Active(Box::new(Target {
        discovered,
        labels: labels.keep(|name| !name.starts_with(RESERVED_PREFIX)),
        url,
        interval,
        timeout,
        hash,
    })))
}

/// What is known before relabelling; what the target says counts more than what the job says.
fn discovered(address: &str, group: &Group, job: &Job) -> LabelsBuilder {
    let mut labels = LabelsBuilder::default();
    for (name, value) in &group.labels {
        labels.set(name, value);
    }
    labels.set(ADDRESS, address);
    let (interval, timeout) = (Span(job.interval).to_string(), Span(job.timeout).to_string());
    for (name, value) in [
        (JOB, job.name.as_str()),
        (INTERVAL, &interval),
        (TIMEOUT, &timeout),
        (METRICS_PATH, &job.metrics_path),
        (SCHEME, &job.scheme),
    ] {
        if labels.get(name).is_empty() {
            labels.set(name, value);
        }
    }
    for (name, values) in &job.params {
        let name = format!("{PARAM_PREFIX}{name}");
        if let Some(value) = values.first()
            && labels.get(&name).is_empty()
        {
            labels.set(&name, value);
        }
    }
    labels
}

fn span(labels: &LabelsBuilder, name: &str, what: &'static str) -> Result<Duration, TargetError> {
    let span = Span::parse(labels.get(name)).map_err(|text| TargetError::Span { what, text })?;
    if span.0.is_zero() { Err(TargetError::Zero(what)) } else { Ok(span.0) }
}

fn url(labels: &Labels, job: &Job) -> String {
    let mut params = job.params.clone();
    for (name, value) in labels.iter() {
        let Some(name) = name.strip_prefix(PARAM_PREFIX) else { continue };
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(it) => value.clone_into(it),
            None => values.push(value.to_owned()),
        }
    }
    let path = labels.get(METRICS_PATH);
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    let mut url = format!("{}://{}{slash}", labels.get(SCHEME), labels.get(ADDRESS));
    escape(&mut url, path, |it| b"-_.~/$&+,:;=@%".contains(&it));
    let pairs = params.iter().flat_map(|(name, values)| values.iter().map(move |it| (name, it)));
    for (i, (name, value)) in pairs.enumerate() {
        url.push(if i == 0 { '?' } else { '&' });
        escape(&mut url, name, |it| b"-_.~".contains(&it));
        url.push('=');
        escape(&mut url, value, |it| b"-_.~".contains(&it));
    }
    url
}

/// Percent encoding of all but letters, digits and those that are `plain`.
fn escape(out: &mut String, text: &str, plain: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain(byte) {
            out.push(char::from(byte));
        } else if byte == b' ' && !plain(b'/') {
            // As forms write it, which a query is.
            out.push('+');
        } else {
            write!(out, "%{byte:02X}").expect("a String never fails");
        }
    }
}

/// How long after a point in time a target is due, so that targets share an interval evenly and
/// each keeps its place in it over restarts.
pub(crate) fn offset(now_ns: i64, interval: Duration, hash: u64) -> Duration {
    let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
    let into = now_ns.unsigned_abs() % interval_ns;
    let place = hash % interval_ns;
    let wait = if place >= into { place - into } else { interval_ns - into + place };
    Duration::from_nanos(wait)
}

#[cfg(test)]
mod tests;
