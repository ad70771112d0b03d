//! Listings of series, label names and label values, all from the label index.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{Method, Uri};
use skep_promql::parse_selector;
use skep_proto::{Labels, Matcher, SeriesId, TimeRange};
use skep_store::LabelsOf;

use super::{
    answer::{TRUNCATED, with_notes},
    params::{limit, listing_range},
    unknown::unknown,
};
use crate::{
    Api,
    error::ApiError,
    json::{ARRAY, push_labels, push_list, push_strings},
    label_name,
    params::Params,
};

pub(super) async fn series(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = limit(&params)?;
    let range = listing_range(&params)?;
    let selectors = selectors(&params).map_err(|fault| ApiError::invalid("match[]", fault))?;
    let found = select(&api, &selectors, range);
    let (shown, warning) = cut(found.values(), found.len(), limit);
    let mut body = String::new();
    push_list(&mut body, ARRAY, shown, |out, labels| push_labels(out, labels));
    Ok(with_notes(&body, warning, []))
}

pub(super) async fn names(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    listing(&params, |matchers, range, limit| {
        api.store.snapshot().label_names(LabelsOf::Series, matchers, range, limit)
    })
}

pub(super) async fn values(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    (method, url): (Method, Uri),
    params: Params,
) -> Result<Response, ApiError> {
    // `label//values`.
    if name.is_empty() {
        return Ok(unknown(method, url).await);
    }
    let name = label_name::unescape(&name);
    listing(&params, |matchers, range, limit| {
        api.store.snapshot().label_values(LabelsOf::Series, &name, matchers, range, limit)
    })
}

/// Texts that `list` finds for any selector, or for all series where there is none.
fn listing(
    params: &Params,
    list: impl Fn(&[Matcher], TimeRange, usize) -> Vec<String>,
) -> Result<Response, ApiError> {
    let limit = limit(params)?;
    let range = listing_range(params)?;
    let mut selectors = selectors(params).map_err(ApiError::bad_data)?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    // One more than asked for tells whether there are more.
    let n_wanted = limit.map_or(usize::MAX, |it| it.saturating_add(1));
    let found: BTreeSet<String> =
        selectors.iter().flat_map(|it| list(it, range, n_wanted)).collect();
    Ok(texts(&found, limit))
}

fn texts(texts: &BTreeSet<String>, limit: Option<usize>) -> Response {
    let (shown, warning) = cut(texts.iter(), texts.len(), limit);
    let mut body = String::new();
    push_strings(&mut body, shown);
    with_notes(&body, warning, [])
}

fn cut<T>(
    items: impl Iterator<Item = T>,
    n_items: usize,
    limit: Option<usize>,
) -> (impl Iterator<Item = T>, Option<&'static str>) {
    let limit = limit.unwrap_or(usize::MAX);
    (items.take(limit), (n_items > limit).then_some(TRUNCATED))
}

/// The selectors of all `match[]`; each must be able to leave a series out.
pub(super) fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, String> {
    params
        .all("match[]")
        .map(|text| {
            parse_selector(text).map_err(|error| {
                // The parser speaks of queries here, Prometheus of the parameter.
                if error.message.ends_with("must contain at least one non-empty matcher") {
                    "match[] must contain at least one non-empty matcher".to_owned()
                } else {
                    error.to_string()
                }
            })
        })
        .collect()
}

/// What any of the selectors finds, by id.
pub(super) fn select(
    api: &Api,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
) -> BTreeMap<SeriesId, Arc<Labels>> {
    let index = api.engine.snapshot().series;
    selectors.iter().flat_map(|it| index.select(it, range)).collect()
}
