//! Query texts, printed in Prometheus' own layout or taken apart.

use axum::response::Response;
use skep_promql::ParseOptions;

use super::{answer, tree::tree};
use crate::{error::ApiError, json::push_string, params::Params};

pub(super) async fn format_query(params: Params) -> Result<Response, ApiError> {
    let text = skep_promql::format_query(params.get("query"), ParseOptions::default())
        .map_err(|error| ApiError::invalid("query", error))?;
    let mut body = String::new();
    push_string(&mut body, &text);
    Ok(answer::data(&body))
}

pub(super) async fn parse_query(params: Params) -> Result<Response, ApiError> {
    let expr = skep_promql::parse(params.get("query"))
        .map_err(|error| ApiError::invalid("query", error))?;
    Ok(answer::data(&tree(&expr).to_string()))
}
