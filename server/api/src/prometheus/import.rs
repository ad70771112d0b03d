//! Samples from files: VictoriaMetrics' JSON lines and text, read while they come.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use skep_receive::import::{Format, decode};
use tokio::time::sleep;

use super::params::time_or;
use crate::{Api, blocks::Blocks, error::ApiError, params::Params, watch::write_turn};

pub(super) async fn json_lines(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    import(&api, Format::JsonLines, &headers, body).await
}

/// `timestamp` is for lines without one.
pub(super) async fn text(
    State(api): State<Arc<Api>>,
    url: http::Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let params = Params::of_url(&url)?;
    let default_ts = match params.given("timestamp") {
        Some(text) => text
            .parse()
            .map(skep_proto::TimestampMs)
            .map_err(|error| ApiError::invalid("timestamp", format_args!("{text:?}: {error}")))?,
        None => time_or(&params, "time", api.now())?,
    };
    let media = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let is_open =
        media.starts_with("application/openmetrics-text") || params.get("format") == "openmetrics";
    let format = if is_open {
        Format::OpenMetrics { default_ts }
    } else {
        Format::Prometheus { default_ts }
    };
    import(&api, format, &headers, body).await
}

/// 204 once all of it is stored; 400 where lines were left out, the others are stored.
async fn import(
    api: &Api,
    format: Format,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let _turn = write_turn(api)?;
    let mut blocks = Blocks::new(headers, body, api.receive.plain_bytes_max)?;
    let mut left_out = None;
    while let Some(block) = blocks.next().await? {
        api.telemetry.bytes_received.add(block.text.len());
        let decoded = decode(format, &block.text, block.first_line, &api.receive);
        let appended = loop {
            match api.store.append_samples(&decoded.rows()).await {
                // The sender waits, its file has no hurry.
                Err(skep_store::AppendError::Busy { retry_after }) => sleep(retry_after).await,
                other => break other.map_err(|error| ApiError::from_append(api, &error))?,
            }
        };
        api.telemetry.samples_received.add(appended.n_accepted);
        api.telemetry.samples_refused.add(appended.n_rejected + decoded.refused.n_values);
        left_out = left_out.or_else(|| ApiError::from_left_out(&decoded.refused, &appended));
    }
    match left_out {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(error) => Err(error),
    }
}
