//! `/api/v1/features`: what this server can do, by Prometheus' names for it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, response::Response};
use serde_json::json;
use skep_promql::{ParseOptions, functions::FUNCTIONS};

use super::answer;
use crate::Api;

/// Words of the language that are always there, and those that an experiment brings.
const WORDS: [&str; 12] = [
    "at_modifier",
    "bool",
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "subqueries",
    "without",
];
const WORDS_EXPERIMENTAL: [&str; 6] =
    ["anchored", "duration_expr", "fill", "fill_left", "fill_right", "smoothed"];
const OPERATORS: [&str; 31] = [
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "<=",
    "==",
    "=~",
    ">",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
];
const OPERATORS_EXPERIMENTAL: [&str; 2] = ["limit_ratio", "limitk"];

pub(super) async fn features(State(api): State<Arc<Api>>) -> Response {
    let ParseOptions { experimental, .. } = api.engine.limits().parse_options();
    let functions = FUNCTIONS.iter().map(|it| (it.name, experimental || !it.experimental));
    let words = with(&WORDS, true).chain(with(&WORDS_EXPERIMENTAL, experimental)).chain([
        ("delayed_name_removal", false),
        ("per_step_stats", false),
        ("type_and_unit_labels", false),
    ]);
    let operators = with(&OPERATORS, true).chain(with(&OPERATORS_EXPERIMENTAL, experimental));
    let body = json!({
        "api": {
            "admin": api.is_admin_enabled,
            "exclude_alerts": true,
            "label_values_match": true,
            "lifecycle": false,
            "otlp_write_receiver": false,
            "query_stats": true,
            "query_warnings": true,
            "remote_write_receiver": true,
            "time_range_labels": true,
            "time_range_series": true,
        },
        "prometheus": {"agent_mode": false, "auto_reload_config": false, "server_mode": true},
        "promql": words.collect::<BTreeMap<_, _>>(),
        "promql_functions": functions.collect::<BTreeMap<_, _>>(),
        "promql_operators": operators.collect::<BTreeMap<_, _>>(),
        "scrape": {
            "extra_scrape_metrics": true,
            "start_timestamp_zero_ingestion": false,
            "type_and_unit_labels": false,
        },
        "service_discovery_providers": {"file": true, "http": true, "static": true},
        "tsdb": {"exemplar_storage": true, "isolation": true, "native_histograms": true},
    });
    answer::data(&body.to_string())
}

fn with<'a>(names: &'a [&'a str], value: bool) -> impl Iterator<Item = (&'a str, bool)> {
    names.iter().map(move |it| (*it, value))
}
