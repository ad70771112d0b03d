//! Loki's HTTP API: one file a group of endpoints, one line an endpoint.

mod answer;
mod delete;
mod detected;
mod files;
mod index;
mod labels;
mod legacy;
mod limits;
mod params;
mod patterns;
mod push;
mod query;
mod rate;
mod stats;
mod status;
mod tail;
mod volume;

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    routing::{MethodRouter, get, post},
};

pub use self::{rate::IngestionRate, tail::TailLimits};
pub(crate) use self::{rate::RateLimiter, tail::Tails};
use crate::Api;

/// `/loki/api/v1/*`, what Loki still has of `/api/prom/*`, and what stands beside them.
pub(crate) fn router() -> Router<Arc<Api>> {
    let delete = get(delete::list).post(delete::add).put(delete::add).delete(delete::cancel);
    Router::new()
        .route("/loki/api/v1/push", post(push::push))
        .route("/loki/api/v1/query", ask(query::instant))
        .route("/loki/api/v1/query_range", ask(query::range))
        .route("/loki/api/v1/explain", ask(query::explain))
        .route("/loki/api/v1/labels", ask(labels::names))
        .route("/loki/api/v1/label", ask(labels::names))
        .route("/loki/api/v1/label/{name}/values", ask(labels::values))
        .route("/loki/api/v1/series", ask(labels::series))
        .route("/loki/api/v1/detected_labels", ask(detected::labels))
        .route("/loki/api/v1/detected_fields", ask(detected::fields))
        .route("/loki/api/v1/detected_field/{name}/values", ask(detected::values))
        .route("/loki/api/v1/index/stats", ask(index::stats))
        .route("/loki/api/v1/index/volume", ask(volume::total))
        .route("/loki/api/v1/index/volume_range", ask(volume::by_step))
        .route("/loki/api/v1/patterns", ask(patterns::patterns))
        .route("/loki/api/v1/tail", get(tail::tail))
        .route("/loki/api/v1/format_query", ask(status::format_query))
        .route("/loki/api/v1/export", ask(files::export))
        .route("/loki/api/v1/import", post(files::import))
        .route("/loki/api/v1/delete", delete)
        .route("/loki/api/v1/cache/generation_numbers", get(status::cache_generation))
        .route("/loki/api/v1/drilldown-limits", get(status::drilldown_limits))
        .route("/loki/api/v1/status/buildinfo", get(status::buildinfo))
        .route("/api/prom/push", post(push::push))
        .route("/api/prom/query", ask(legacy::query))
        .route("/api/prom/label", ask(legacy::names))
        .route("/api/prom/label/{name}/values", ask(legacy::values))
        .route("/api/prom/series", ask(labels::series))
        .route("/api/prom/tail", get(tail::legacy))
        .route("/prometheus/api/v1/rules", get(status::rules))
        .route("/prometheus/api/v1/alerts", get(status::alerts))
        .route("/config", get(status::config))
        .route("/ready", get(status::ready))
}

/// What is asked with parameters: in the URL, or in a form.
fn ask<H, T>(handler: H) -> MethodRouter<Arc<Api>>
where
    H: Handler<T, Arc<Api>>,
    T: 'static,
{
    get(handler.clone()).post(handler)
}
