//! What the server says about itself, in Prometheus' shapes.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde_json::json;
use skep_proto::TimestampMs;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::runtime::Handle;

use super::answer;
use crate::{Api, json::push_pairs};

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

pub(super) fn rfc3339(TimestampMs(ms): TimestampMs) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|it| it.format(&Rfc3339).ok())
        .unwrap_or_default()
}
