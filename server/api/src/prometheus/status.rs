//! What the server says about itself, in Prometheus' shapes.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use axum::{extract::State, response::Response};
use serde_json::json;
use skep_proto::{TimeRange, TimestampMs, remote_read::xor};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::runtime::Handle;

use super::answer;
use crate::{
    Api,
    error::ApiError,
    json::{ARRAY, push_list, push_pairs, push_string},
    number::push_count,
    params::{Params, integer},
};

pub(super) async fn buildinfo(State(api): State<Arc<Api>>) -> Response {
    let mut body = String::new();
    push_pairs(
        &mut body,
        [
            ("version", api.version.as_str()),
            ("revision", ""),
            ("branch", ""),
            ("buildUser", ""),
            ("buildDate", ""),
            ("goVersion", ""),
        ],
    );
    answer::data(&body)
}

pub(super) async fn runtimeinfo(State(api): State<Arc<Api>>) -> Response {
    let flag =
        |name| api.flags.iter().find(|(it, _)| *it == name).map_or("", |(_, it)| it.as_str());
    let memory_limit = api.memory.iter().map(|(_, n_bytes)| n_bytes).sum::<u64>();
    // Tasks and cores are what comes closest to goroutines and their threads.
    let body = json!({
        "startTime": rfc3339(api.started),
        "CWD": flag("storage.tsdb.path"),
        "hostname": "",
        "serverTime": rfc3339(api.now()),
        "reloadConfigSuccess": true,
        "lastConfigTime": rfc3339(api.started),
        "corruptionCount": api.store.stats().n_damaged_parts,
        "goroutineCount": Handle::current().metrics().num_alive_tasks(),
        "GOMAXPROCS": Handle::current().metrics().num_workers(),
        "GOMEMLIMIT": memory_limit,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": flag("storage.tsdb.retention.time"),
    });
    answer::data(&body.to_string())
}

/// Settings that have a counterpart among Prometheus' flags.
pub(super) async fn flags(State(api): State<Arc<Api>>) -> Response {
    let mut body = String::new();
    push_pairs(&mut body, api.flags.iter().map(|(name, value)| (*name, value.as_str())));
    answer::data(&body)
}

/// Requests are answered only once the log was read.
pub(super) async fn walreplay() -> Response {
    answer::data("{\"min\":0,\"max\":0,\"current\":0}")
}

/// The configuration may hold secrets: it is not shown.
pub(super) async fn config() -> Response {
    answer::data("{\"yaml\":\"\"}")
}

pub(super) async fn empty_list() -> Response {
    answer::data("[]")
}

/// Entries of each ranking in `tsdb` without a `limit`.
const N_RANKED: usize = 10;

/// Cardinality: which metrics and labels have the most series.
pub(super) async fn tsdb(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = match params.given("limit") {
        None => N_RANKED,
        Some(text) => integer(text)
            .ok()
            .and_then(|it| usize::try_from(it).ok())
            .filter(|it| *it > 0)
            .ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?,
    };
    let series = api.engine.snapshot().series.select(&[], TimeRange::ALL);
    let mut by_metric: HashMap<&str, usize> = HashMap::new();
    let mut by_pair: HashMap<(&str, &str), usize> = HashMap::new();
    for (_, labels) in &series {
        *by_metric.entry(labels.metric_name()).or_default() += 1;
        for pair in labels.iter() {
            *by_pair.entry(pair).or_default() += 1;
        }
    }
    let mut values: HashMap<&str, usize> = HashMap::new();
    let mut bytes: HashMap<&str, usize> = HashMap::new();
    for ((name, value), count) in &by_pair {
        *values.entry(name).or_default() += 1;
        *bytes.entry(name).or_default() += value.len() * count;
    }
    let pairs = by_pair.iter().map(|((name, value), count)| (format!("{name}={value}"), *count));
    let stats = api.store.stats();
    let head = json!({
        "numSeries": stats.n_series,
        "numLabelPairs": by_pair.len(),
        "chunkCount": stats.n_head_samples.div_ceil(xor::N_SAMPLES_MAX),
        // What is in memory came since the last flush, nearly always.
        "minTime": stats.last_flush_ms.max(api.started.0),
        "maxTime": api.now().0,
    });
    let mut body = format!("{{\"headStats\":{head}");
    push_ranking(&mut body, "seriesCountByMetricName", owned(&by_metric), limit);
    push_ranking(&mut body, "labelValueCountByLabelName", owned(&values), limit);
    push_ranking(&mut body, "memoryInBytesByLabelName", owned(&bytes), limit);
    push_ranking(&mut body, "seriesCountByLabelValuePair", pairs, limit);
    body.push('}');
    Ok(answer::data(&body))
}

fn owned(counts: &HashMap<&str, usize>) -> impl Iterator<Item = (String, usize)> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count))
}

fn push_ranking(
    out: &mut String,
    name: &str,
    counts: impl Iterator<Item = (String, usize)>,
    limit: usize,
) {
    let mut counts: Vec<(String, usize)> = counts.collect();
    counts.sort_by_cached_key(|(name, count)| (Reverse(*count), name.clone()));
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    push_list(out, ARRAY, counts.iter().take(limit), |out, (name, count)| {
        out.push_str("{\"name\":");
        push_string(out, name);
        out.push_str(",\"value\":");
        push_count(out, *count);
        out.push('}');
    });
}

pub(super) fn rfc3339(TimestampMs(ms): TimestampMs) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|it| it.format(&Rfc3339).ok())
        .unwrap_or_default()
}
