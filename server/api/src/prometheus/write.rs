//! Remote-write: bytes to rows to the store, acknowledged once they are durable.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use skep_proto::names::header;
use skep_receive::remote_write::{Version, decode_known, decompress, negotiate};
use skep_store::Appended;

use crate::{
    Api,
    error::{ApiError, WriteError},
    watch::write_turn,
};

pub(super) async fn write(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, WriteError> {
    let _turn = write_turn(&api)?;
    let text = |name| headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok());
    let format = negotiate(text(CONTENT_TYPE), text(CONTENT_ENCODING)).map_err(ApiError::from)?;
    let body = body.map_err(ApiError::from)?;
    api.telemetry.bytes_received.add(body.len());
    let (histograms, n_exemplars, prepared, refused) = {
        let plain = decompress(format, &body, &api.receive).map_err(ApiError::from)?;
        drop(body);
        let decoded = decode_known(format, &plain, &api.receive, &mut api.store.known_series())
            .map_err(ApiError::from)?;
        let histograms = if decoded.histograms.is_empty() {
            Appended::default()
        } else {
            let appended = api.store.append_histograms(&decoded.histograms).await;
            appended.map_err(|error| ApiError::from_append(&api, &error))?
        };
        let prepared = api.store.prepare_samples(&decoded.rows).await;
        let n_exemplars = api.store.add_exemplars(&decoded.exemplars);
        (histograms, n_exemplars, prepared, decoded.refused)
    };
    // The request's bytes are gone while it waits for the disk.
    let appended = match prepared {
        Ok(prepared) => prepared.commit().await,
        Err(error) => Err(error),
    };
    let mut appended = appended.map_err(|error| ApiError::from_append(&api, &error))?;
    let n_samples = appended.n_accepted;
    appended.add(&histograms);
    api.telemetry.samples_received.add(appended.n_accepted);
    api.telemetry.samples_refused.add(appended.n_rejected + refused.n_values);
    let mut response = match ApiError::from_left_out(&refused, &appended) {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(error) if format.version == Version::V1 && error.is_about_labels() => error.dropped(),
        Some(error) => WriteError(error).into_response(),
    };
    if format.version == Version::V2 {
        let n_histograms = histograms.n_accepted;
        tell_written(response.headers_mut(), [n_samples, n_histograms, n_exemplars]);
    }
    Ok(response)
}

/// 2.0's senders compare these with what they sent.
fn tell_written(headers: &mut HeaderMap, [n_samples, n_histograms, n_exemplars]: [usize; 3]) {
    for (name, count) in [
        (header::SAMPLES_WRITTEN, n_samples),
        (header::HISTOGRAMS_WRITTEN, n_histograms),
        (header::EXEMPLARS_WRITTEN, n_exemplars),
    ] {
        if let Ok(name) = HeaderName::try_from(name) {
            headers.insert(name, HeaderValue::from(count));
        }
    }
}
