//! Exemplars: none are stored yet, so the answer to a valid question is an empty list.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::{answer, params::listing_range};
use crate::{error::ApiError, params::Params};

pub(super) async fn list(params: Params) -> Result<Response, ApiError> {
    listing_range(&params)?;
    let expr = skep_promql::parse(params.get("query"))
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    // As in Prometheus, where an answer without data has no body.
    if expr.selectors().is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(answer::data("[]"))
}
