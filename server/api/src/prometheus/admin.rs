//! Prometheus' TSDB administration: deleting series.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use skep_store::LabelsOf;

use super::{labels::selectors, params::listing_range};
use crate::{Api, error::ApiError, params::Params};

/// Deletes the samples of every series that any `match[]` finds, from `start` to `end`.
pub(super) async fn delete_series(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    api.check_admin()?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let range = listing_range(&params)?;
    let selectors = selectors(&params).map_err(|fault| ApiError::invalid("match[]", fault))?;
    let query: Vec<&str> = params.all("match[]").collect();
    api.store
        .delete(LabelsOf::Series, &selectors, &query.join(" or "), range)
        .await
        .map_err(|error| ApiError::from_delete(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Takes deleted rows off the disk; answers when that is done.
pub(super) async fn clean_tombstones(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    api.check_admin()?;
    api.store.clean_deleted().await.map_err(|error| ApiError::from_delete(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
