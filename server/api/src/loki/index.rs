//! How much a selector would read: counted, since there is no index that knows.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use skep_logql::Value;
use skep_promql::is_absent;
use skep_proto::{Matcher, TimeRange, TimestampNs};
use skep_query::LogqlOptions;

use super::{
    answer::{self, push_point},
    params::{HOUR_NS, bounds, limit, selector},
};
use crate::{
    Api,
    error::{ApiError, LokiError},
    json::{ARRAY, push_labels, push_list},
    params::Params,
    watch::query_turn,
};

/// Streams, entries and bytes of a selector; no chunks, since parts are not per stream.
pub(super) async fn stats(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    let question = Question::new(&api, &params)?;
    let Question { start, end, .. } = question;
    let range = TimeRange { start: start.to_ms(), end: end.to_ms() };
    let n_streams = api.engine.snapshot().streams.select(&question.matchers, range).len();
    let _turn = query_turn(&api).await?;
    let entries = question.total(&api, "count_over_time").await?;
    let bytes = question.total(&api, "bytes_over_time").await?;
    Ok(answer::json(format!(
        "{{\"streams\":{n_streams},\"chunks\":0,\"bytes\":{bytes},\"entries\":{entries}}}"
    )))
}

/// Bytes by the labels of the selector, or by `targetLabels`, the largest first.
pub(super) async fn volume(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    let question = Question::new(&api, &params)?;
    let limit = limit(&params)?;
    if params.get("aggregateBy") == "labels" {
        let fault = "index/volume: aggregateBy=labels is not supported yet";
        return Err(ApiError::not_implemented(fault).into());
    }
    let names: Vec<&str> = match params.given("targetLabels") {
        Some(names) => names.split(',').map(str::trim).collect(),
        None => question.matchers.iter().map(Matcher::name).collect(),
    };
    let _turn = query_turn(&api).await?;
    let query = format!("sum by ({}) ({})", names.join(","), question.over_time("bytes_over_time"));
    let mut rows: Vec<_> = match question.ask(&api, &query).await? {
        Value::Matrix(matrix) => matrix
            .rows
            .into_iter()
            .filter_map(|row| Some((row.labels, row.values.first().copied()?)))
            .filter(|(_, bytes)| !is_absent(*bytes))
            .collect(),
        Value::Streams(_) | Value::Scalar(_) => Vec::new(),
    };
    rows.sort_by(|(left_labels, left), (right_labels, right)| {
        right.total_cmp(left).then_with(|| left_labels.cmp(right_labels))
    });
    rows.truncate(limit);
    let mut body = String::from("{\"resultType\":\"vector\",\"result\":");
    push_list(&mut body, ARRAY, rows, |out, (labels, bytes)| {
        out.push_str("{\"metric\":");
        push_labels(out, &labels);
        out.push_str(",\"value\":");
        push_point(out, question.end.to_ms(), bytes);
        out.push('}');
    });
    body.push('}');
    Ok(answer::data(&body))
}

/// A selector and a time range.
struct Question<'a> {
    selector: &'a str,
    matchers: Vec<Matcher>,
    start: TimestampNs,
    end: TimestampNs,
}

impl<'a> Question<'a> {
    fn new(api: &Api, params: &'a Params) -> Result<Self, ApiError> {
        let (start, end) = bounds(params, api.clock.now(), HOUR_NS)?;
        if end < start {
            let fault = "end timestamp must not be before or equal to start time";
            return Err(ApiError::bad_data(fault));
        }
        let text = params.get("query");
        // Unlike in listings, nothing is no selector here.
        skep_logql::parse(text)?;
        Ok(Self { selector: text, matchers: selector(text)?, start, end })
    }

    fn over_time(&self, function: &str) -> String {
        let span_ms = self.end.0.saturating_sub(self.start.0).div_euclid(1_000_000).max(1);
        format!("{function}({}[{span_ms}ms])", self.selector)
    }

    async fn ask(&self, api: &Api, query: &str) -> Result<Value, ApiError> {
        let options = LogqlOptions::default();
        Ok(api.engine.logql_instant(query, self.end, options).await?)
    }

    async fn total(&self, api: &Api, function: &str) -> Result<f64, ApiError> {
        let query = format!("sum({})", self.over_time(function));
        let Value::Matrix(matrix) = self.ask(api, &query).await? else { return Ok(0.0) };
        let total = matrix.rows.first().and_then(|it| it.values.first()).copied();
        Ok(total.filter(|it| !is_absent(*it)).unwrap_or(0.0))
    }
}
