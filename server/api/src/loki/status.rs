//! Readiness, version, settings, rules, and query texts printed in Loki's own layout.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::CONTENT_TYPE};
use skep_store::LabelsOf;

use super::{answer, limits};
use crate::{
    Api,
    json::{push_pairs, push_string},
    params::Params,
};

const PLAIN: &str = "text/plain; charset=utf-8";

pub(super) async fn ready() -> Response {
    ([(CONTENT_TYPE, PLAIN)], "ready\n").into_response()
}

/// Without an envelope, as in Loki.
pub(super) async fn buildinfo(State(api): State<Arc<Api>>) -> Response {
    let mut body = String::new();
    let keys = ["version", "revision", "branch", "buildUser", "buildDate", "goVersion"];
    let value = |name| if name == "version" { api.version.as_str() } else { "" };
    push_pairs(&mut body, keys.map(|name| (name, value(name))));
    answer::json(body)
}

/// What Grafana's Logs Drilldown adapts itself to.
pub(super) async fn drilldown_limits(State(api): State<Arc<Api>>) -> Response {
    let mut body = String::from("{\"limits\":{");
    for (at, (name, value)) in limits::limits(&api).iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        push_string(&mut body, name);
        body.push(':');
        body.push_str(&value.to_string());
    }
    body.push_str("},\"pattern_ingester_enabled\":true,\"version\":");
    push_string(&mut body, &api.version);
    body.push('}');
    answer::json(body)
}

/// The limits in the words of Loki's configuration file.
pub(super) async fn config(State(api): State<Arc<Api>>) -> Response {
    let mut body = String::from("target: all\nauth_enabled: false\nlimits_config:\n");
    for (name, value) in limits::limits(&api) {
        // What is JSON is YAML, too.
        writeln!(body, "  {name}: {value}").expect("a String never fails");
    }
    ([(CONTENT_TYPE, PLAIN)], body).into_response()
}

/// This server evaluates no rules, which clients must be able to see.
pub(super) async fn rules() -> Response {
    envelope("{\"groups\":[]}")
}

pub(super) async fn alerts() -> Response {
    envelope("{\"alerts\":[]}")
}

fn envelope(data: &str) -> Response {
    let status = "\"status\":\"success\"";
    answer::json(format!("{{{status},\"data\":{data},\"errorType\":\"\",\"error\":\"\"}}"))
}

/// Changes whenever lines are deleted, for caches of answers in front of this server.
pub(super) async fn cache_generation(State(api): State<Arc<Api>>) -> Response {
    let deletes = api.store.deletes(LabelsOf::Streams);
    let newest = deletes.iter().map(|it| it.id).max();
    let text = newest.map_or_else(String::new, |it| it.to_string());
    answer::json(format!("\"{text}\"\n"))
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
