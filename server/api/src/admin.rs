//! What an administrator wants to know and no Prometheus tells: one file a subject, one line an
//! endpoint. The front lets nobody else below `/api/v1/admin/`.

mod metrics;
mod queries;
mod storage;

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;

use crate::{
    Api,
    error::ApiError,
    params::{Params, integer},
};

pub(crate) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/api/v1/admin/queries", get(queries::list))
        .route("/api/v1/admin/queries/{id}", delete(queries::cancel))
        .route("/api/v1/admin/storage", get(storage::storage))
        .route("/api/v1/admin/storage/metrics", get(metrics::metrics))
}

/// A success in Prometheus' envelope.
fn data(data: impl Serialize) -> Response {
    let body = serde_json::json!({"status": "success", "data": data}).to_string();
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (headers, body).into_response()
}

/// `limit`, a positive number.
fn limit(params: &Params, default: usize) -> Result<usize, ApiError> {
    let Some(text) = params.given("limit") else { return Ok(default) };
    let limit = integer(text).ok().and_then(|it| usize::try_from(it).ok()).filter(|it| *it > 0);
    limit.ok_or_else(|| {
        ApiError::invalid("limit", format_args!("{text:?} is not a number from 1 on"))
    })
}
