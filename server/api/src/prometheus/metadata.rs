//! What senders said about metrics: type, help and unit.

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::answer;
use crate::{
    Api,
    error::ApiError,
    json::{OBJECT, push_list, push_string},
    params::Params,
};

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = number(&params, "limit")?;
    let per_metric = number(&params, "limit_per_metric")?;
    let metric = params.given("metric");
    let snapshot = api.store.snapshot();
    let known = snapshot.metadata().iter().filter(|(name, _)| metric.is_none_or(|it| it == *name));
    let mut body = String::new();
    push_list(&mut body, OBJECT, known.take(limit.unwrap_or(usize::MAX)), |out, (name, it)| {
        push_string(out, name);
        if per_metric == Some(0) {
            return out.push_str(":[]");
        }
        out.push_str(":[{\"type\":");
        push_string(out, it.kind.as_str());
        out.push_str(",\"unit\":");
        push_string(out, &it.unit);
        out.push_str(",\"help\":");
        push_string(out, &it.help);
        out.push_str("}]");
    });
    Ok(answer::data(&body))
}

/// A bound; none where it is left out or negative.
fn number(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    let Some(text) = params.given(name) else { return Ok(None) };
    let number: i64 = text.parse().map_err(|_said_below: std::num::ParseIntError| {
        ApiError::bad_data(format!("{name} must be a number"))
    })?;
    Ok(usize::try_from(number).ok())
}
