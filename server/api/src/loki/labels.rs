//! Listings of label names, label values and streams.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    extract::{Path, State},
    response::Response,
};
use skep_proto::{Matcher, TimeRange};
use skep_store::LabelsOf;

use super::{
    answer,
    params::{HOUR_NS, bounds, selector},
};
use crate::{
    Api,
    error::{ApiError, LokiError},
    json::{ARRAY, push_labels, push_list, push_string, push_strings},
    number::push_count,
    params::Params,
};

/// How far a listing without a start looks back.
const LOOK_BACK_NS: i64 = 6 * HOUR_NS;

pub(super) async fn names(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    let range = range(&api, &params)?;
    let matchers = selector(params.get("query"))?;
    let snapshot = api.store.snapshot();
    let names = snapshot.label_names(LabelsOf::Streams, &matchers, range, usize::MAX);
    Ok(texts(&names))
}

pub(super) async fn values(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, LokiError> {
    let range = range(&api, &params)?;
    let matchers = selector(params.get("query"))?;
    let snapshot = api.store.snapshot();
    let values = snapshot.label_values(LabelsOf::Streams, &name, &matchers, range, usize::MAX);
    Ok(texts(&values))
}

pub(super) async fn series(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    let range = range(&api, &params)?;
    let mut selectors: Vec<Vec<Matcher>> =
        params.all("match[]").chain(params.all("match")).map(selector).collect::<Result<_, _>>()?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let index = api.engine.snapshot().streams;
    let found: BTreeMap<_, _> =
        selectors.iter().flat_map(|matchers| index.select(matchers, range)).collect();
    let mut body = String::new();
    push_list(&mut body, ARRAY, found.values(), |out, labels| push_labels(out, labels));
    Ok(answer::data(&body))
}

/// Labels with the number of their values.
pub(super) async fn detected(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    let range = range(&api, &params)?;
    let matchers = selector(params.get("query"))?;
    let streams = api.engine.snapshot().streams.select(&matchers, range);
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in streams.iter().flat_map(|(_, labels)| labels.iter()) {
        values.entry(name).or_default().insert(value);
    }
    let mut body = String::from("{\"detectedLabels\":");
    push_list(&mut body, ARRAY, values, |out, (name, values)| {
        out.push_str("{\"label\":");
        push_string(out, name);
        out.push_str(",\"cardinality\":");
        push_count(out, values.len());
        out.push('}');
    });
    body.push('}');
    Ok(answer::json(body))
}

fn range(api: &Api, params: &Params) -> Result<TimeRange, ApiError> {
    let (start, end) = bounds(params, api.clock.now(), LOOK_BACK_NS)?;
    Ok(TimeRange { start: start.to_ms(), end: end.to_ms() })
}

fn texts(texts: &[String]) -> Response {
    let mut body = String::new();
    push_strings(&mut body, texts);
    answer::data(&body)
}
