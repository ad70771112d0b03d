//! What the server says about itself, in Prometheus' shapes.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use axum::{extract::State, response::Response};
use skep_proto::{TimeRange, TimestampMs, names::METRIC_NAME};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

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
    let start = rfc3339(api.started);
    let now = rfc3339(api.now());
    let mut body = String::from("{\"startTime\":");
    push_string(&mut body, &start);
    body.push_str(",\"CWD\":\"\",\"hostname\":\"\",\"serverTime\":");
    push_string(&mut body, &now);
    body.push_str(",\"reloadConfigSuccess\":true,\"lastConfigTime\":");
    push_string(&mut body, &start);
    body.push_str(
        ",\"corruptionCount\":0,\"goroutineCount\":0,\"GOMAXPROCS\":0,\"GOMEMLIMIT\":0,\
         \"GOGC\":\"\",\"GODEBUG\":\"\",\"storageRetention\":\"\"}",
    );
    answer::data(&body)
}

/// Our settings are no flags.
pub(super) async fn flags() -> Response {
    answer::data("{}")
}

/// The configuration may hold secrets: it is not shown.
pub(super) async fn config() -> Response {
    answer::data("{\"yaml\":\"\"}")
}

/// Nothing is scraped; who asks for active targets is told nothing about dropped ones.
pub(super) async fn targets(params: Params) -> Response {
    answer::data(if params.get("state").eq_ignore_ascii_case("active") {
        "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":null}"
    } else {
        "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}"
    })
}

pub(super) async fn scrape_pools() -> Response {
    answer::data("{\"scrapePools\":[]}")
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
    for (name, value) in by_pair.keys() {
        *values.entry(name).or_default() += 1;
        *bytes.entry(name).or_default() += value.len();
    }
    let pairs = by_pair
        .iter()
        .filter(|((name, _), _)| *name != METRIC_NAME)
        .map(|((name, value), count)| (format!("{name}={value}"), *count));
    let (n_series, n_pairs) = (api.store.stats().n_series, by_pair.len());
    let mut body = format!(
        "{{\"headStats\":{{\"numSeries\":{n_series},\"numLabelPairs\":{n_pairs},\"chunkCount\":0,\
         \"minTime\":0,\"maxTime\":0}}"
    );
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

fn rfc3339(TimestampMs(ms): TimestampMs) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|it| it.format(&Rfc3339).ok())
        .unwrap_or_default()
}
