//! Health, maintenance and the server's own metrics.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::header::CONTENT_TYPE;

use crate::{
    Api, METRICS_CONTENT_TYPE,
    error::{ApiError, WriteError},
    memory_figures, store_figures,
};

pub(crate) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(async || text("Prometheus Server is Ready.\n")))
        .route("/-/flush", post(flush))
        .route("/-/compact", post(compact))
        .route("/-/reload", post(reload).put(reload))
        .route("/metrics", get(metrics))
}

/// 200 as long as queries are answered: a restart would not make room on the disk.
async fn healthy(State(api): State<Arc<Api>>) -> Response {
    if api.store.is_disk_full() {
        return text("Skep answers queries, but the disk is full: writes are refused with 507.\n");
    }
    // Scripts look for these words.
    text("Prometheus Server is Healthy.\n")
}

/// Writes what is in memory to parts; answers once queries read it from there.
async fn flush(State(api): State<Arc<Api>>) -> Result<Response, WriteError> {
    api.store.flush().await.map_err(|error| ApiError::internal(&error))?;
    Ok(text("flushed\n"))
}

/// Merges parts where a day has many.
async fn compact(State(api): State<Arc<Api>>) -> Result<Response, WriteError> {
    api.store.compact().await.map_err(|error| ApiError::internal(&error))?;
    Ok(text("compacted\n"))
}

/// Reads again what is to be scraped; answers once it counts.
async fn reload(State(api): State<Arc<Api>>) -> Result<Response, WriteError> {
    let Some(targets) = api.targets.clone() else {
        let text = "nothing can be read again: scrape.config_file is not set";
        return Err(ApiError::unavailable(text).into());
    };
    let reloaded = tokio::task::spawn_blocking(move || targets.reload()).await;
    match reloaded {
        Ok(Ok(())) => Ok(text("reloaded\n")),
        Ok(Err(fault)) => {
            Err(ApiError::bad_data(format!("failed to reload config: {fault}")).into())
        }
        Err(error) => Err(ApiError::internal(&error).into()),
    }
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    ([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], metrics_text(&api)).into_response()
}

pub(crate) fn metrics_text(api: &Api) -> String {
    let mut text = api.telemetry.to_text();
    store_figures::push_text(&mut text, &api.store.stats());
    memory_figures::push_text(&mut text, &api.memory);
    for figures in &api.figures {
        figures.push_text(&mut text);
    }
    text
}

fn text(text: &'static str) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
