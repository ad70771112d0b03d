//! Deleting log lines: by stream selector and time, in the words of Loki's compactor.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use skep_logql::ast::Expr;
use skep_proto::{Matcher, TimeRange, TimestampMs};
use skep_store::LabelsOf;

use super::{answer, params::parse_time};
use crate::{
    Api,
    error::{ApiError, LokiError},
    json::{ARRAY, push_list, push_string},
    number::push_seconds,
    params::Params,
};

/// Digits of a time in whole seconds, the only number Loki takes here.
const SECONDS_DIGITS: usize = 10;

/// Deletes at once; Loki waits for its compactor.
pub(super) async fn add(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    api.check_admin()?;
    let query = params.given("query").ok_or_else(|| ApiError::bad_data("query not set"))?;
    let matchers = selector(query)?;
    let range = range(&api, &params)?;
    api.store
        .delete(LabelsOf::Streams, &[matchers], query, range)
        .await
        .map_err(|error| ApiError::from_delete(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `processed` once the lines are off the disk; no query sees them from the start.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Response, LokiError> {
    api.check_admin()?;
    let deletes = api.store.deletes(LabelsOf::Streams);
    let mut body = String::new();
    push_list(&mut body, ARRAY, &deletes, |out, delete| {
        out.push_str("{\"request_id\":");
        push_string(out, &request_id(delete.id));
        out.push_str(",\"start_time\":");
        push_seconds(out, delete.range.start);
        out.push_str(",\"end_time\":");
        push_seconds(out, delete.range.end);
        out.push_str(",\"query\":");
        push_string(out, &delete.query);
        out.push_str(",\"status\":");
        push_string(out, if delete.is_finished { "processed" } else { "received" });
        out.push_str(",\"created_at\":");
        push_seconds(out, delete.created);
        out.push('}');
    });
    Ok(answer::json(body))
}

/// There is nothing to take back: what was deleted is deleted.
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    api.check_admin()?;
    let wanted = params.get("request_id");
    let is_known =
        api.store.deletes(LabelsOf::Streams).iter().any(|it| request_id(it.id) == wanted);
    Err(LokiError(if is_known {
        ApiError::bad_data(
            "deletion of request which is in process or already processed is not allowed",
        )
    } else {
        ApiError::not_found("could not find delete request with given id")
    }))
}

fn request_id(id: u64) -> String {
    format!("{id:08x}")
}

/// A selector alone: lines are deleted by stream and time, not by what they say.
fn selector(query: &str) -> Result<Vec<Matcher>, ApiError> {
    match skep_logql::parse(query)? {
        Expr::Log(log) if log.stages.is_empty() => Ok(log.matchers),
        Expr::Log(_) => Err(ApiError::bad_data(format!(
            "cannot delete by line filter or pipeline: {query}; write a stream selector alone, \
             like {{unit=\"a.service\"}}"
        ))),
        Expr::Metric(_) => Err(ApiError::bad_data("only log selectors can be deleted by")),
    }
}

fn range(api: &Api, params: &Params) -> Result<TimeRange, ApiError> {
    let now = api.now();
    let fault = |which: &str| {
        ApiError::bad_data(format!("invalid {which} time: require unix seconds or RFC3339 format"))
    };
    let start = params.given("start").ok_or_else(|| ApiError::bad_data("start time not set"))?;
    let start = time(start).ok_or_else(|| fault("start"))?;
    let end = match params.given("end") {
        Some(end) => time(end).ok_or_else(|| fault("end"))?,
        None => now,
    };
    if end > now {
        return Err(ApiError::bad_data("deletes in the future are not allowed"));
    }
    if start > end {
        return Err(ApiError::bad_data("start time can't be greater than end time"));
    }
    Ok(TimeRange { start, end })
}

fn time(text: &str) -> Option<TimestampMs> {
    let is_number = text.parse::<f64>().is_ok();
    if is_number && text.len() != SECONDS_DIGITS {
        return None;
    }
    parse_time(text).ok().map(skep_proto::TimestampNs::to_ms)
}
