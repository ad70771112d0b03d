//! Listings of label names, label values and streams.

use std::{collections::BTreeMap, sync::Arc};

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
    json::{ARRAY, push_labels, push_list, push_strings},
    params::Params,
};

/// How far a listing without a start looks back.
const LOOK_BACK_NS: i64 = 6 * HOUR_NS;

pub(super) async fn names(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    Ok(texts(&label_names(&api, &params)?))
}

pub(super) fn label_names(api: &Api, params: &Params) -> Result<Vec<String>, ApiError> {
    let range = range(api, params)?;
    let matchers = selector(params.get("query"))?;
    Ok(api.store.snapshot().label_names(LabelsOf::Streams, &matchers, range, usize::MAX))
}

pub(super) async fn values(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, LokiError> {
    Ok(texts(&label_values(&api, &name, &params)?))
}

pub(super) fn label_values(
    api: &Api,
    name: &str,
    params: &Params,
) -> Result<Vec<String>, ApiError> {
    let range = range(api, params)?;
    let matchers = selector(params.get("query"))?;
    let snapshot = api.store.snapshot();
    Ok(snapshot.label_values(LabelsOf::Streams, name, &matchers, range, usize::MAX))
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

pub(super) fn range(api: &Api, params: &Params) -> Result<TimeRange, ApiError> {
    let (start, end) = bounds(params, api.clock.now(), LOOK_BACK_NS)?;
    Ok(TimeRange { start: start.to_ms(), end: end.to_ms() })
}

/// Without texts Loki leaves the data out.
fn texts(texts: &[String]) -> Response {
    if texts.is_empty() {
        return answer::json("{\"status\":\"success\"}".to_owned());
    }
    let mut body = String::new();
    push_strings(&mut body, texts);
    answer::data(&body)
}
