//! Query texts, printed in Prometheus' own layout or taken apart.

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::{answer, tree::tree};
use crate::{Api, error::ApiError, json::push_string, params::Params};

pub(super) async fn format_query(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let options = api.engine.limits().parse_options();
    let text = skep_promql::format_query(params.get("query"), options)
        .map_err(|error| ApiError::invalid("query", error))?;
    let mut body = String::new();
    push_string(&mut body, &text);
    Ok(answer::data(&body))
}

pub(super) async fn parse_query(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let options = api.engine.limits().parse_options();
    let expr = skep_promql::parse_with(params.get("query"), options)
        .map_err(|error| ApiError::invalid("query", error))?;
    Ok(answer::data(&tree(&expr).to_string()))
}
