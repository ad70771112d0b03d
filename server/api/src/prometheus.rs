//! Prometheus' HTTP API: one file a group of endpoints, one line an endpoint.

mod admin;
mod answer;
mod exemplars;
mod export;
mod exposition;
mod features;
mod federate;
mod format;
mod import;
mod labels;
mod metadata;
mod params;
mod query;
mod read;
mod rules;
mod status;
mod targets;
mod tree;
mod tsdb;
mod unknown;
mod write;

pub use targets::Targets;

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header::CONTENT_TYPE};

use crate::Api;

/// `/api/v1/*`, remote write and read included, and `/federate`.
pub(crate) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/api/v1/query", get(query::instant).post(query::instant))
        .route("/api/v1/query_range", get(query::range).post(query::range))
        .route("/api/v1/explain", get(query::explain).post(query::explain))
        .route("/api/v1/query_exemplars", get(exemplars::list).post(exemplars::list))
        .route("/api/v1/format_query", get(format::format_query).post(format::format_query))
        .route("/api/v1/parse_query", get(format::parse_query).post(format::parse_query))
        .route("/api/v1/series", get(labels::series).post(labels::series))
        .route("/api/v1/labels", get(labels::names).post(labels::names))
        .route("/api/v1/label/{name}/values", get(labels::values))
        .route("/api/v1/metadata", get(metadata::list))
        .route("/api/v1/targets", get(targets::targets))
        .route("/api/v1/targets/metadata", get(targets::metadata))
        .route("/api/v1/scrape_pools", get(targets::pools_list))
        .route("/api/v1/rules", get(rules::rules))
        .route("/api/v1/alerts", get(rules::alerts))
        .route("/api/v1/alertmanagers", get(rules::alertmanagers))
        .route("/api/v1/notifications", get(status::empty_list))
        .route("/api/v1/status/buildinfo", get(status::buildinfo))
        .route("/api/v1/status/runtimeinfo", get(status::runtimeinfo))
        .route("/api/v1/status/flags", get(status::flags))
        .route("/api/v1/status/config", get(status::config))
        .route("/api/v1/status/tsdb", get(tsdb::tsdb))
        .route("/api/v1/status/walreplay", get(status::walreplay))
        .route("/api/v1/features", get(features::features))
        .route("/api/v1/read", post(read::read))
        .route("/api/v1/write", post(write::write))
        .route("/api/v1/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route("/api/v1/export", get(export::export).post(export::export))
        .route("/api/v1/import", post(import::json_lines))
        .route("/api/v1/import/prometheus", post(import::text))
        .route(
            "/api/v1/admin/tsdb/delete_series",
            post(admin::delete_series).put(admin::delete_series),
        )
        .route(
            "/api/v1/admin/tsdb/clean_tombstones",
            post(admin::clean_tombstones).put(admin::clean_tombstones),
        )
        .route("/federate", get(federate::federate))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown::unknown)
}

async fn method_not_allowed() -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::METHOD_NOT_ALLOWED, headers, "Method Not Allowed\n").into_response()
}
