//! Prometheus' TSDB administration: deleting series, snapshots.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use skep_store::LabelsOf;

use super::{answer, labels::selectors, params::listing_range};
use crate::{Api, error::ApiError, json::push_pairs, params::Params};

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

/// Copies all there is into a folder below the data folder, which the answer names.
pub(super) async fn snapshot(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    api.check_admin()?;
    let made = api.store.make_snapshot().await;
    let name = made.map_err(|error| ApiError::from_snapshot(&error))?;
    let mut body = String::new();
    push_pairs(&mut body, [("name", name.as_str())]);
    Ok(answer::data(&body))
}

/// Takes deleted rows off the disk; answers when that is done.
pub(super) async fn clean_tombstones(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    api.check_admin()?;
    api.store.clean_deleted().await.map_err(|error| ApiError::from_delete(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
