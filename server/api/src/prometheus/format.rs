//! Query texts printed in Prometheus' own layout.

use axum::response::Response;
use skep_promql::ParseOptions;

use super::answer;
use crate::{error::ApiError, json::push_string, params::Params};

pub(super) async fn format_query(params: Params) -> Result<Response, ApiError> {
    let text = skep_promql::format_query(params.get("query"), ParseOptions::default())
        .map_err(|error| ApiError::invalid("query", error))?;
    let mut body = String::new();
    push_string(&mut body, &text);
    Ok(answer::data(&body))
}

pub(super) async fn parse_query(params: Params) -> Result<Response, ApiError> {
    skep_promql::parse(params.get("query")).map_err(|error| ApiError::invalid("query", error))?;
    Err(ApiError::not_implemented(
        "parse_query: the tree as JSON is not supported yet; /api/v1/format_query prints the query",
    ))
}
