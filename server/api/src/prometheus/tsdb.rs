//! Cardinality: which metrics, labels and values have the most series, of all or of those that
//! `match[]` finds (as VictoriaMetrics has it, `focusLabel` included).

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use axum::{extract::State, response::Response};
use serde_json::json;
use skep_proto::{Labels, TimeRange, remote_read::xor};

use super::{
    answer,
    labels::{select, selectors},
};
use crate::{
    Api,
    error::ApiError,
    json::{ARRAY, push_list, push_string},
    number::push_count,
    params::{Params, integer},
};

/// Entries of each ranking without a `limit`.
const N_RANKED: usize = 10;

pub(super) async fn tsdb(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = match params.given("limit") {
        None => N_RANKED,
        Some(text) => integer(text)
            .ok()
            .and_then(|it| usize::try_from(it).ok())
            .filter(|it| *it > 0)
            .ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?,
    };
    let mut selectors = selectors(&params).map_err(|fault| ApiError::invalid("match[]", fault))?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let series = select(&api, &selectors, TimeRange::ALL);
    let counts = Counts::of(series.values());
    let stats = api.store.stats();
    let head = json!({
        "numSeries": series.len(),
        "numLabelPairs": counts.by_pair.len(),
        "chunkCount": stats.n_head_samples.div_ceil(xor::N_SAMPLES_MAX),
        // What is in memory came since the last flush, nearly always.
        "minTime": stats.last_flush_ms.max(api.started.0),
        "maxTime": api.now().0,
    });
    let mut body = format!("{{\"headStats\":{head}");
    let pairs = counts.by_pair.iter();
    let pairs = pairs.map(|((name, value), count)| (format!("{name}={value}"), *count));
    push_ranking(&mut body, "seriesCountByMetricName", owned(&counts.by_metric), limit);
    push_ranking(&mut body, "seriesCountByLabelName", owned(&counts.by_label), limit);
    push_ranking(&mut body, "labelValueCountByLabelName", owned(&counts.values), limit);
    push_ranking(&mut body, "memoryInBytesByLabelName", owned(&counts.bytes), limit);
    push_ranking(&mut body, "seriesCountByLabelValuePair", pairs, limit);
    if let Some(focus) = params.given("focusLabel") {
        let pairs = counts.by_pair.iter().filter(|((name, _), _)| *name == focus);
        let values = pairs.map(|((_, value), count)| ((*value).to_owned(), *count));
        push_ranking(&mut body, "seriesCountByFocusLabelValue", values, limit);
    }
    body.push('}');
    Ok(answer::data(&body))
}

/// Series by what they have.
#[derive(Default)]
struct Counts<'a> {
    by_metric: HashMap<&'a str, usize>,
    by_label: HashMap<&'a str, usize>,
    by_pair: HashMap<(&'a str, &'a str), usize>,
    /// Different values of a label, and the bytes of all.
    values: HashMap<&'a str, usize>,
    bytes: HashMap<&'a str, usize>,
}

impl<'a> Counts<'a> {
    fn of(series: impl Iterator<Item = &'a Arc<Labels>>) -> Self {
        let mut counts = Self::default();
        for labels in series {
            *counts.by_metric.entry(labels.metric_name()).or_default() += 1;
            for pair in labels.iter() {
                *counts.by_pair.entry(pair).or_default() += 1;
            }
        }
        for ((name, value), count) in &counts.by_pair {
            *counts.values.entry(name).or_default() += 1;
            *counts.by_label.entry(name).or_default() += count;
            *counts.bytes.entry(name).or_default() += value.len() * count;
        }
        counts
    }
}

fn owned(counts: &HashMap<&str, usize>) -> impl Iterator<Item = (String, usize)> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count))
}

fn push_ranking(
    out: &mut String,
    name: &str,
    counts: impl Iterator<Item = (String, usize)>,
    limit: usize,
) {
    let mut counts: Vec<(String, usize)> = counts.collect();
    counts.sort_by_cached_key(|(name, count)| (Reverse(*count), name.clone()));
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    push_list(out, ARRAY, counts.iter().take(limit), |out, (name, count)| {
        out.push_str("{\"name\":");
        push_string(out, name);
        out.push_str(",\"value\":");
        push_count(out, *count);
        out.push('}');
    });
}
