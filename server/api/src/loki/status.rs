//! Readiness, version, and query texts printed in Loki's own layout.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::CONTENT_TYPE};

use super::answer;
use crate::{
    Api,
    json::{push_pairs, push_string},
    params::Params,
};

pub(super) async fn ready() -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], "ready\n").into_response()
}

/// Without an envelope, as in Loki.
pub(super) async fn buildinfo(State(api): State<Arc<Api>>) -> Response {
    let mut body = String::new();
    let keys = ["version", "revision", "branch", "buildUser", "buildDate", "goVersion"];
    let value = |name| if name == "version" { api.version.as_str() } else { "" };
    push_pairs(&mut body, keys.map(|name| (name, value(name))));
    answer::json(body)
}

pub(super) async fn format_query(params: Params) -> Response {
    let mut body = String::new();
    match skep_logql::parse(params.get("query")) {
        Ok(expr) => {
            push_string(&mut body, &skep_logql::pretty(&expr));
            answer::data(&body)
        }
        Err(error) => {
            body.push_str("{\"status\":\"invalid-query\",\"error\":");
            push_string(&mut body, &error.to_string());
            body.push('}');
            (StatusCode::BAD_REQUEST, answer::json(body)).into_response()
        }
    }
}
