//! Push: bytes to rows to the store, acknowledged once they are durable.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use skep_receive::loki_push::{Terms, decode, decompress, negotiate};

use crate::{
    Api,
    error::{ApiError, LokiPushError},
    watch::write_turn,
};

pub(super) async fn push(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, LokiPushError> {
    let _turn = write_turn(&api)?;
    let text = |name| headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok());
    let format = negotiate(text(CONTENT_TYPE), text(CONTENT_ENCODING)).map_err(ApiError::from)?;
    let body = body.map_err(ApiError::from)?;
    api.telemetry.bytes_received.add(body.len());
    let plain = decompress(format, &body, &api.receive).map_err(ApiError::from)?;
    let terms = Terms { limits: &api.receive, rules: &api.push, now: api.clock.now() };
    let decoded = decode(format, &plain, &terms).map_err(ApiError::from)?;
    if let Some(limiter) = &api.ingestion_rate {
        limiter.admit(&decoded.rows, terms.now)?;
    }
    let appended = api
        .store
        .append_logs(&decoded.rows)
        .await
        .map_err(|error| ApiError::from_append(&api, &error))?;
    api.telemetry.entries_received.add(appended.n_accepted);
    api.telemetry.entries_refused.add(appended.n_rejected + decoded.refused.n_values);
    match ApiError::from_left_out_lines(&decoded.refused, &appended) {
        None => Ok(StatusCode::NO_CONTENT),
        Some(error) => Err(error.into()),
    }
}
