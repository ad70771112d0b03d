//! What is scraped, and how the last scrapes went.

use std::{fmt, sync::Arc};

use axum::{extract::State, response::Response};
use skep_promql::parse_selector;
use skep_proto::Labels;
use skep_scrape::{Metadata, PoolStatus, TargetStatus};

use super::{answer, status::rfc3339};
use crate::{
    Api,
    error::ApiError,
    json::{ARRAY, OBJECT, push_labels, push_list, push_string},
    number::{push_count, push_seconds_f64},
    params::{Params, integer},
};

/// Go's zero time: a target was never scraped.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Whoever scrapes.
pub trait Targets: Send + Sync + fmt::Debug {
    /// Of each job, by name.
    fn status(&self) -> Vec<PoolStatus>;

    /// Reads again what is to be scraped. Reads files: not for a thread that must not wait.
    ///
    /// # Errors
    /// What is wrong with it; everything stays as it was.
    fn reload(&self) -> Result<(), String>;
}

pub(super) async fn targets(State(api): State<Arc<Api>>, params: Params) -> Response {
    let state = params.get("state").to_ascii_lowercase();
    let shows = |one: &str| ["", "any", one].contains(&state.as_str());
    let pools = pools(&api);
    let pool = params.given("scrapePool");
    let asked = || pools.iter().filter(|it| pool.is_none_or(|pool| it.name == pool));
    let mut body = String::from("{\"activeTargets\":");
    let active = asked().filter(|_| shows("active"));
    let active = active.flat_map(|pool| pool.active.iter().map(|it| (pool.name.as_str(), it)));
    push_list(&mut body, ARRAY, active, |out, (pool, target)| push_target(out, pool, target));
    body.push_str(",\"droppedTargets\":");
    let dropped = asked().filter(|_| shows("dropped"));
    let dropped = dropped.flat_map(|pool| pool.dropped.iter().map(|it| (pool.name.as_str(), it)));
    push_list(&mut body, ARRAY, dropped, |out, (pool, discovered)| {
        out.push_str("{\"discoveredLabels\":");
        push_labels(out, discovered);
        out.push_str(",\"scrapePool\":");
        push_string(out, pool);
        out.push('}');
    });
    body.push_str(",\"droppedTargetCounts\":");
    if shows("dropped") {
        // Of all pools, whichever was asked for.
        push_list(&mut body, OBJECT, &pools, |out, pool| {
            push_string(out, &pool.name);
            out.push(':');
            push_count(out, pool.n_dropped);
        });
    } else {
        body.push_str("null");
    }
    body.push('}');
    answer::data(&body)
}

fn push_target(out: &mut String, pool: &str, target: &TargetStatus) {
    out.push_str("{\"discoveredLabels\":");
    push_labels(out, &target.discovered);
    out.push_str(",\"labels\":");
    push_labels(out, &target.labels);
    let last_scrape = target.last_scrape.map_or_else(|| NEVER.to_owned(), rfc3339);
    for (name, value) in [
        ("scrapePool", pool),
        ("scrapeUrl", &target.url),
        ("globalUrl", &target.url),
        ("lastError", &target.last_error),
        ("lastScrape", &last_scrape),
    ] {
        push_field(out, name, value);
    }
    out.push_str(",\"lastScrapeDuration\":");
    push_seconds_f64(out, target.last_took);
    for (name, value) in [
        ("health", target.health.as_str()),
        ("scrapeInterval", &target.interval),
        ("scrapeTimeout", &target.timeout),
    ] {
        push_field(out, name, value);
    }
    out.push('}');
}

/// As any but the first of an object.
fn push_field(out: &mut String, name: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    push_string(out, value);
}

/// What targets say of their metrics.
pub(super) async fn metadata(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = match params.given("limit") {
        None => None,
        Some(text) => usize::try_from(
            integer(text).map_err(|_said_below| ApiError::bad_data("limit must be a number"))?,
        )
        .ok(),
    };
    let matchers = match params.given("match_target") {
        None => Vec::new(),
        Some(text) => parse_selector(text).map_err(|it| ApiError::invalid("match_target", it))?,
    };
    let metric = params.given("metric");
    let pools = pools(&api);
    let mut found: Vec<(&Labels, &str, &Metadata)> = Vec::new();
    for target in pools.iter().flat_map(|it| &it.active) {
        // Prometheus looks at the limit between targets.
        if limit.is_some_and(|limit| found.len() >= limit) {
            break;
        }
        if matchers.iter().all(|it| it.matches_labels(&target.labels)) {
            let named =
                target.metadata.iter().filter(|(name, _)| metric.is_none_or(|it| it == name));
            found.extend(named.map(|(name, it)| (&target.labels, name.as_str(), it)));
        }
    }
    let mut body = String::new();
    push_list(&mut body, ARRAY, found, |out, (labels, name, about)| {
        out.push_str("{\"target\":");
        push_labels(out, labels);
        if metric.is_none() {
            push_field(out, "metric", name);
        }
        for (name, value) in
            [("type", about.kind.as_str()), ("help", &about.help), ("unit", &about.unit)]
        {
            push_field(out, name, value);
        }
        out.push('}');
    });
    Ok(answer::data(&body))
}

pub(super) async fn pools_list(State(api): State<Arc<Api>>) -> Response {
    let mut body = String::from("{\"scrapePools\":");
    push_list(&mut body, ARRAY, pools(&api), |out, pool| push_string(out, &pool.name));
    body.push('}');
    answer::data(&body)
}

fn pools(api: &Api) -> Vec<PoolStatus> {
    api.targets.as_ref().map(|it| it.status()).unwrap_or_default()
}
