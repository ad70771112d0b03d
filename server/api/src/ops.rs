//! Health, maintenance and the server's own metrics.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::header::CONTENT_TYPE;

use crate::Api;

pub(crate) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/-/healthy", get(async || text("Skep is healthy.\n")))
        .route("/-/ready", get(async || text("Skep is ready.\n")))
        .route("/metrics", get(metrics))
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, api.telemetry.to_text()).into_response()
}

fn text(text: &'static str) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
