//! Exemplars: none are stored yet, so the answer to a valid question is an empty list.

use axum::response::Response;

use super::{answer, params::listing_range};
use crate::{error::ApiError, params::Params};

pub(super) async fn list(params: Params) -> Result<Response, ApiError> {
    listing_range(&params)?;
    skep_promql::parse(params.get("query"))
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    Ok(answer::data("[]"))
}
