//! `query_exemplars`: what was kept of the series that a query's selectors match.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use skep_proto::Exemplar;
use skep_store::SeriesExemplars;

use super::{answer, params::listing_range};
use crate::{
    Api,
    error::ApiError,
    json::{ARRAY, push_labels, push_list},
    number::{push_seconds, push_value},
    params::Params,
};

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let range = listing_range(&params)?;
    let expr = skep_promql::parse(params.get("query"))
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    let selectors: Vec<_> = expr.selectors().iter().map(|it| it.matchers.clone()).collect();
    // As in Prometheus, where an answer without data has no body.
    if selectors.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let found = api.store.exemplars(&selectors, range);
    let mut body = String::new();
    push_list(&mut body, ARRAY, &found, push_series);
    Ok(answer::data(&body))
}

fn push_series(out: &mut String, series: &SeriesExemplars) {
    out.push_str("{\"seriesLabels\":");
    push_labels(out, &series.labels);
    out.push_str(",\"exemplars\":");
    push_list(out, ARRAY, &series.exemplars, push_exemplar);
    out.push('}');
}

fn push_exemplar(out: &mut String, exemplar: &Exemplar) {
    out.push_str("{\"labels\":");
    push_labels(out, &exemplar.labels);
    out.push_str(",\"value\":\"");
    push_value(out, exemplar.value);
    out.push_str("\",\"timestamp\":");
    push_seconds(out, exemplar.ts);
    out.push('}');
}
