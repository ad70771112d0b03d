//! What can be asked for: fields of lines with their types and values, labels worth a look.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    extract::{Path, State},
    response::Response,
};
use skep_logql::{Direction, Field, FieldDetector, FieldParser, ast::Expr};
use skep_query::LogqlOptions;

use super::{
    answer,
    labels::range,
    params::{HOUR_NS, bounds, check_order, positive, selector},
};
use crate::{
    Api,
    error::{ApiError, LokiError},
    json::{ARRAY, push_list, push_string, push_strings},
    number::push_count,
    params::Params,
    watch::query_turn,
};

/// Lines that are looked at, and fields or values that are told, unless a request says otherwise:
/// Loki's.
const N_LINES: usize = 100;
const N_FIELDS: usize = 1_000;
/// Labels that are told even if all their values are ids.
const STATIC_LABELS: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

pub(super) async fn fields(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    let limit = n_fields(&params)?;
    let fields = detect(&api, &params, limit).await?;
    let mut body = String::from("{\"fields\":");
    push_list(&mut body, ARRAY, &fields, |out, (name, field)| push_field(out, name, field));
    push_limit(&mut body, limit);
    Ok(answer::json(body))
}

pub(super) async fn values(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, LokiError> {
    let limit = n_fields(&params)?;
    // One of many fields may be the last that is found.
    let mut fields = detect(&api, &params, usize::MAX).await?;
    let values = fields.remove(&name).unwrap_or_default().values;
    let mut body = String::from("{\"values\":");
    push_strings(&mut body, values.iter().take(limit));
    push_limit(&mut body, limit);
    Ok(answer::json(body))
}

/// Labels with the number of their values, without those whose values are all ids.
pub(super) async fn labels(
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
    values.retain(|name, values| STATIC_LABELS.contains(name) || !are_ids(values));
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

async fn detect(
    api: &Api,
    params: &Params,
    n_fields_max: usize,
) -> Result<BTreeMap<String, Field>, ApiError> {
    let Expr::Log(log) = skep_logql::parse(params.get("query"))? else {
        return Err(ApiError::bad_data("only log selector is supported"));
    };
    let limit = positive(params, "line_limit", N_LINES)?;
    let max = api.engine.limits().n_lines_max;
    if limit > max {
        return Err(ApiError::bad_data(format!(
            "max entries limit per query exceeded, limit > max_entries_limit_per_query \
             ({limit} > {max})"
        )));
    }
    let bounds = bounds(params, api.clock.now(), HOUR_NS)?;
    check_order(bounds.0, bounds.1)?;
    let _turn = query_turn(api).await?;
    let options = LogqlOptions { timeout: None, direction: Direction::Backward, limit };
    let streams = api.engine.logql_lines(api.engine.snapshot(), &log, bounds, options).await?;
    let mut detector = FieldDetector::new(n_fields_max)?;
    for stream in &streams {
        for entry in &stream.entries {
            detector.add(&stream.labels, &entry.line);
        }
    }
    Ok(detector.finish())
}

/// `limit`, or `field_limit` as it was called once.
fn n_fields(params: &Params) -> Result<usize, ApiError> {
    let name = if params.given("limit").is_some() { "limit" } else { "field_limit" };
    positive(params, name, N_FIELDS)
}

fn push_field(out: &mut String, name: &str, field: &Field) {
    out.push_str("{\"label\":");
    push_string(out, name);
    out.push_str(",\"type\":");
    push_string(out, field.type_of_most().as_str());
    out.push_str(",\"cardinality\":");
    push_count(out, field.values.len());
    out.push_str(",\"parsers\":");
    if field.parsers.is_empty() {
        out.push_str("null");
    } else {
        push_strings(out, field.parsers.iter().map(|it| FieldParser::as_str(*it)));
    }
    if !field.json_path.is_empty() {
        out.push_str(",\"jsonPath\":");
        push_strings(out, &field.json_path);
    }
    out.push('}');
}

fn push_limit(body: &mut String, limit: usize) {
    body.push_str(",\"limit\":");
    push_count(body, limit);
    body.push('}');
}

/// Numbers and UUIDs; flags of 0 and 1 are none.
fn are_ids(values: &BTreeSet<&str>) -> bool {
    let are_flags = values.len() <= 2 && values.iter().all(|it| ["0", "1"].contains(it));
    !are_flags && values.iter().all(|it| it.parse::<f64>().is_ok() || is_uuid(it))
}

fn is_uuid(text: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let is_hex = |it: &str| it.bytes().all(|it| it.is_ascii_hexdigit());
    let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let text = text.strip_prefix('{').and_then(|it| it.strip_suffix('}')).unwrap_or(text);
    let groups = text.split('-').map(str::len);
    (text.len() == 32 && is_hex(text)) || (groups.eq(GROUPS) && text.split('-').all(is_hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_ids_are_told_from_others() {
        let are_ids = |values: &[&str]| are_ids(&values.iter().copied().collect());
        assert!(are_ids(&["17", "4.5", "2e3"]));
        assert!(are_ids(&["550e8400-e29b-41d4-a716-446655440000", "1"]));
        assert!(are_ids(&["550e8400e29b41d4a716446655440000"]));
        assert!(!are_ids(&["0", "1"]));
        assert!(!are_ids(&["17", "web"]));
        assert!(!are_ids(&["550e8400-e29b-41d4-a716-44665544000g"]));
    }
}
