//! Queries at work, the slowest and the newest; and an end to one.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::json;

use super::{data, limit};
use crate::{Api, asker::Asker, error::ApiError, params::Params};

/// Of each list, without a `limit`.
const N_LISTED: usize = 100;

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    Ok(data(api.queries.lists(api.now(), limit(&params, N_LISTED)?)))
}

pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    asker: Asker,
) -> Result<Response, ApiError> {
    let Ok(number) = id.parse() else {
        return Err(ApiError::bad_data(format!("{id:?} is not the number of a query")));
    };
    if !api.queries.cancel(number) {
        return Err(ApiError::not_found(format!("no query {id} is at work; it may have ended")));
    }
    tracing::info!(query = number, by = asker.user.as_deref(), "Canceled a query, as asked.");
    Ok(data(json!({})))
}
