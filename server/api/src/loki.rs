//! Loki's HTTP API: one file a group of endpoints, one line an endpoint.

mod answer;
mod delete;
mod files;
mod index;
mod labels;
mod params;
mod push;
mod query;
mod rate;
mod refused;
mod status;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::Api;

pub use rate::IngestionRate;
pub(crate) use rate::RateLimiter;

/// `/loki/api/v1/*` and `/ready`.
pub(crate) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/loki/api/v1/push", post(push::push))
        .route("/api/prom/push", post(push::push))
        .route("/loki/api/v1/query", get(query::instant).post(query::instant))
        .route("/loki/api/v1/query_range", get(query::range).post(query::range))
        .route("/loki/api/v1/labels", get(labels::names).post(labels::names))
        .route("/loki/api/v1/label", get(labels::names).post(labels::names))
        .route("/loki/api/v1/label/{name}/values", get(labels::values).post(labels::values))
        .route("/loki/api/v1/series", get(labels::series).post(labels::series))
        .route("/loki/api/v1/detected_labels", get(labels::detected).post(labels::detected))
        .route("/loki/api/v1/index/stats", get(index::stats).post(index::stats))
        .route("/loki/api/v1/index/volume", get(index::volume).post(index::volume))
        .route("/loki/api/v1/index/volume_range", get(refused::volume_range))
        .route("/loki/api/v1/detected_fields", get(refused::detected_fields))
        .route("/loki/api/v1/patterns", get(refused::patterns))
        .route("/loki/api/v1/tail", get(refused::tail))
        .route("/loki/api/v1/format_query", get(status::format_query).post(status::format_query))
        .route("/loki/api/v1/export", get(files::export).post(files::export))
        .route("/loki/api/v1/import", post(files::import))
        .route(
            "/loki/api/v1/delete",
            get(delete::list).post(delete::add).put(delete::add).delete(delete::cancel),
        )
        .route("/loki/api/v1/status/buildinfo", get(status::buildinfo))
        .route("/ready", get(status::ready))
}
