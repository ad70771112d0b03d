//! How much a selector would read: counted, since there is no index that knows.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use skep_logql::Value;
use skep_promql::is_absent;
use skep_proto::{Matcher, TimeRange, TimestampNs};
use skep_query::LogqlOptions;

use super::{
    answer,
    params::{HOUR_NS, bounds, check_order, matchers},
};
use crate::{
    Api,
    error::{ApiError, LokiError},
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
        check_order(start, end)?;
        let text = params.get("query");
        Ok(Self { selector: text, matchers: matchers(text)?, start, end })
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
