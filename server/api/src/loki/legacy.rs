//! `/api/prom`: Loki's first API, which 3.x still answers.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use skep_logql::{LogStream, Value};
use skep_proto::TimestampNs;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    answer,
    labels::{label_names, label_values},
    query::{Asked, ask_range},
    stats,
};
use crate::{
    Api,
    asker::Asker,
    error::{ApiError, LokiError},
    json::{ARRAY, push_list, push_string, push_strings},
    params::Params,
};

/// Lines alone; `regexp` is a line filter of its own.
pub(super) async fn query(
    State(api): State<Arc<Api>>,
    asker: Asker,
    mut params: Params,
) -> Result<Response, LokiError> {
    if let Some(regexp) = params.given("regexp").map(str::to_owned) {
        let mut query = params.get("query").to_owned();
        query.push_str(" |~ ");
        push_string(&mut query, &regexp);
        params.put("query", Some(query));
    }
    let Asked { answer, waited, .. } = ask_range(&api, &asker, &params).await?;
    let Value::Streams(streams) = &answer.value else {
        let fault = "legacy endpoints only support streams result type";
        return Err(ApiError::bad_data(fault).into());
    };
    let mut body = String::from("{\"streams\":");
    push_list(&mut body, ARRAY, streams, push_stream);
    body.push_str(",\"stats\":");
    stats::push(&mut body, &answer.stats, waited, stats::n_entries(&answer.value));
    body.push('}');
    Ok(answer::json(body))
}

pub(super) async fn names(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    Ok(values_of(&label_names(&api, &params)?))
}

pub(super) async fn values(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, LokiError> {
    Ok(values_of(&label_values(&api, &name, &params)?))
}

fn values_of(texts: &[String]) -> Response {
    let mut body = String::from("{\"values\":");
    push_strings(&mut body, texts);
    body.push('}');
    answer::json(body)
}

fn push_stream(out: &mut String, LogStream { labels, entries }: &LogStream) {
    out.push_str("{\"labels\":");
    push_string(out, &label_text(labels.merged()));
    out.push_str(",\"entries\":");
    push_list(out, ARRAY, entries, |out, entry| {
        out.push_str("{\"ts\":");
        push_string(out, &rfc3339(entry.ts));
        out.push_str(",\"line\":");
        push_string(out, &entry.line);
        out.push('}');
    });
    out.push('}');
}

/// `{app="web", level="info"}`.
pub(super) fn label_text<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    push_list(&mut out, ('{', '}'), pairs, |out, (name, value)| {
        // Between the brackets and the first name stands nothing, behind a comma a blank.
        if out.ends_with(',') {
            out.push(' ');
        }
        out.push_str(name);
        out.push('=');
        push_string(out, value);
    });
    out
}

/// A time as Go writes it in JSON.
pub(super) fn rfc3339(TimestampNs(ns): TimestampNs) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns))
        .ok()
        .and_then(|it| it.format(&Rfc3339).ok())
        .unwrap_or_default()
}
