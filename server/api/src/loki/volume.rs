//! Bytes by labels: over the whole time, or by steps.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, response::Response};
use skep_proto::{Labels, MatchOp, Matcher, TimestampMs};
use skep_query::{StreamVolume, VolumeBucket};

use super::{
    answer::{self, push_point},
    params::{HOUR_NS, bounds, check_order, limit, matchers, step_ms},
};
use crate::{
    Api,
    error::{ApiError, LokiError},
    json::{ARRAY, push_list, push_pairs},
    params::Params,
    watch::query_turn,
};

/// Loki asks its index for lines older than this (`query_ingesters_within`), and that counts whole
/// KiB of a stream: so do we, or the same panel would show other numbers.
const EXACT_MS: i64 = 3 * 3_600_000;
const KIB: f64 = 1_024.0;

/// Names and values of labels; the name alone where bytes are told by each.
type Group = Vec<(String, String)>;
/// Bytes of a group, a value for each bucket.
type Row = (Group, Vec<f64>);

pub(super) async fn total(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    let question = Question::new(&api, &params)?;
    let Question { start, end, .. } = question;
    let rows = question.rows(&api, &[VolumeBucket { start, end }]).await?;
    let mut body = String::from("{\"resultType\":\"vector\",\"result\":");
    push_list(&mut body, ARRAY, rows, |out, (labels, bytes)| {
        out.push_str("{\"metric\":");
        push_pairs(out, labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        out.push_str(",\"value\":");
        push_point(out, end, bytes.first().copied().unwrap_or_default());
        out.push('}');
    });
    body.push('}');
    Ok(answer::data(&body))
}

pub(super) async fn by_step(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    let question = Question::new(&api, &params)?;
    let Question { start, end, .. } = question;
    let step_ms = step_ms(&params, start.to_ns(), end.to_ns())?;
    let buckets = buckets(start, end, step_ms);
    let rows = question.rows(&api, &buckets).await?;
    let mut body = String::from("{\"resultType\":\"matrix\",\"result\":");
    push_list(&mut body, ARRAY, rows, |out, (labels, bytes)| {
        out.push_str("{\"metric\":");
        push_pairs(out, labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        out.push_str(",\"values\":");
        let points = buckets.iter().zip(bytes).filter(|(_, bytes)| *bytes > 0.0);
        push_list(out, ARRAY, points, |out, (bucket, bytes)| {
            // A bucket is told at its last millisecond, the last one at the end of all.
            let at = if bucket.end == end { end } else { TimestampMs(bucket.end.0 - 1) };
            push_point(out, at, bytes);
        });
        out.push('}');
    });
    body.push('}');
    Ok(answer::data(&body))
}

/// Spans that end at multiples of their width, the last one at the end.
fn buckets(start: TimestampMs, end: TimestampMs, step_ms: i64) -> Vec<VolumeBucket> {
    let mut buckets = Vec::new();
    let mut from = start;
    while from < end {
        let aligned = from.0.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
        let to = TimestampMs(aligned.min(end.0));
        buckets.push(VolumeBucket { start: from, end: to });
        from = to;
    }
    buckets
}

/// What the bytes are added up by.
enum By {
    /// The labels of these names.
    Names(Vec<String>),
    /// Each label by itself; of these names, if there are any.
    EachOf(Option<Vec<String>>),
}

struct Question {
    matchers: Vec<Matcher>,
    by: By,
    start: TimestampMs,
    end: TimestampMs,
    limit: usize,
}

impl Question {
    fn new(api: &Api, params: &Params) -> Result<Self, ApiError> {
        let (start, end) = bounds(params, api.clock.now(), HOUR_NS)?;
        check_order(start, end)?;
        let mut matchers = matchers(params.get("query"))?;
        let targets: Option<Vec<String>> = params.given("targetLabels").map(|it| {
            it.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
        });
        let by = match (params.get("aggregateBy"), targets) {
            ("" | "series", Some(targets)) => {
                require(&mut matchers, &targets)?;
                By::Names(targets)
            }
            ("" | "series", None) => {
                By::Names(matchers.iter().map(|it| it.name().to_owned()).collect())
            }
            ("labels", targets) => By::EachOf(targets),
            _ => return Err(ApiError::bad_data("invalid aggregation option")),
        };
        let (start, end) = (start.to_ms(), end.to_ms());
        Ok(Self { matchers, by, start, end, limit: limit(params)? })
    }

    /// The largest first.
    async fn rows(&self, api: &Api, buckets: &[VolumeBucket]) -> Result<Vec<Row>, ApiError> {
        let _turn = query_turn(api).await?;
        let mut volumes = api.engine.log_volume(&self.matchers, buckets).await?;
        volumes.retain(|it| total_of(&it.bytes) > 0.0);
        if self.end.0 < api.now().0.saturating_sub(EXACT_MS) {
            volumes.iter_mut().for_each(|it| in_kib(&mut it.bytes));
        }
        let mut sums: BTreeMap<Group, Vec<f64>> = BTreeMap::new();
        for StreamVolume { labels, bytes } in &volumes {
            for group in self.groups(labels) {
                let held = sums.entry(group).or_insert_with(|| vec![0.0; buckets.len()]);
                held.iter_mut().zip(bytes).for_each(|(held, bytes)| *held += bytes);
            }
        }
        let mut rows: Vec<Row> = sums.into_iter().collect();
        // Equal ones stay in order of their labels.
        rows.sort_by(|(_, left), (_, right)| total_of(right).total_cmp(&total_of(left)));
        rows.truncate(self.limit);
        Ok(rows)
    }

    fn groups(&self, labels: &Labels) -> Vec<Group> {
        let pairs = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        match &self.by {
            By::Names(names) => vec![pairs.filter(|(name, _)| names.contains(name)).collect()],
            By::EachOf(targets) => pairs
                .filter(|(name, _)| targets.as_ref().is_none_or(|it| it.contains(name)))
                .map(|(name, _)| vec![(name, String::new())])
                .collect(),
        }
    }
}

/// As an index knows them that counts whole KiB.
fn in_kib(bytes: &mut [f64]) {
    let total = total_of(bytes);
    let factor = (total / KIB).round() * KIB / total;
    bytes.iter_mut().for_each(|it| *it = (*it * factor).round());
}

fn total_of(bytes: &[f64]) -> f64 {
    bytes.iter().sum()
}

/// Streams without a label that is asked for do not count.
fn require(matchers: &mut Vec<Matcher>, targets: &[String]) -> Result<(), ApiError> {
    for target in targets {
        if !matchers.iter().any(|it| it.name() == target) {
            let present = Matcher::new(target, MatchOp::Regex, ".+");
            matchers.push(present.map_err(|it| ApiError::bad_data(it.to_string()))?);
        }
    }
    Ok(())
}
