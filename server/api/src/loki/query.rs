//! Instant and range queries.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, header::CONTENT_TYPE};
use skep_logql::{Direction, LogStream, Value};
use skep_proto::TimestampNs;
use skep_query::{LogqlAnswer, LogqlOptions};

use super::{
    answer::{self, Shape},
    params::{
        HOUR_NS, bounds, check_order, direction, interval_ns, labels_as, limit, parse_time, step_ms,
    },
};
use crate::{
    Api,
    error::{ApiError, LokiError},
    params::Params,
    watch::query_turn,
};

pub(super) async fn instant(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, LokiError> {
    let at = match params.given("time") {
        Some(text) => parse_time(text).map_err(ApiError::bad_data)?,
        None => api.clock.now(),
    };
    let (direction, limit) = (direction(&params)?, limit(&params)?);
    let options = LogqlOptions { timeout: None, direction, limit };
    let turn = query_turn(&api).await?;
    let waited = turn.waited();
    let query = params.get("query");
    let asked = api.engine.logql_instant_answer(query, at, options).await;
    let answer = asked.map_err(ApiError::from)?;
    let shape = Shape::Instant(at.to_ms());
    let asked = Asked { answer, waited, direction };
    Ok(answer::result(&asked, shape, labels_as(&headers)))
}

pub(super) async fn range(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, LokiError> {
    let asked = ask_range(&api, &params).await?;
    Ok(answer::result(&asked, Shape::Range, labels_as(&headers)))
}

/// The query's tree and what each of its leaves did as text; `query_range`'s parameters.
pub(super) async fn explain(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    let (start, end) = bounds(&params, api.clock.now(), HOUR_NS)?;
    check_order(start, end)?;
    let (limit, direction) = (limit(&params)?, direction(&params)?);
    let step_ms = step_ms(&params, start, end)?;
    let options = LogqlOptions { timeout: None, direction, limit };
    let _turn = query_turn(&api).await?;
    let query = params.get("query");
    let asked = api.engine.logql_explain(query, start, end, step_ms, options).await;
    let explanation = asked.map_err(ApiError::from)?;
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((headers, explanation.to_string()).into_response())
}

/// An answer with what the answer tells beside it.
pub(super) struct Asked {
    pub(super) answer: LogqlAnswer,
    /// For its turn.
    pub(super) waited: Duration,
    pub(super) direction: Direction,
}

pub(super) async fn ask_range(api: &Api, params: &Params) -> Result<Asked, ApiError> {
    let (start, end) = bounds(params, api.clock.now(), HOUR_NS)?;
    check_order(start, end)?;
    let limit = limit(params)?;
    let direction = direction(params)?;
    let step_ms = step_ms(params, start, end)?;
    let interval_ns = interval_ns(params)?;
    // Lines that an interval leaves out do not count against the limit.
    let n_wanted = if interval_ns > 0 { api.engine.limits().n_lines_max.max(limit) } else { limit };
    let options = LogqlOptions { timeout: None, direction, limit: n_wanted };
    let turn = query_turn(api).await?;
    let waited = turn.waited();
    let query = params.get("query");
    let mut answer = api.engine.logql_range_answer(query, start, end, step_ms, options).await?;
    if let Value::Streams(streams) = &mut answer.value
        && interval_ns > 0
    {
        space_out(streams, interval_ns, direction, limit);
    }
    Ok(Asked { answer, waited, direction })
}

/// Keeps a line only if it is `interval_ns` away from the one kept before it, over all streams.
fn space_out(streams: &mut Vec<LogStream>, interval_ns: i64, direction: Direction, limit: usize) {
    let mut times: Vec<TimestampNs> =
        streams.iter().flat_map(|it| &it.entries).map(|it| it.ts).collect();
    match direction {
        Direction::Forward => times.sort_unstable(),
        Direction::Backward => times.sort_unstable_by_key(|it| Reverse(*it)),
    }
    let mut kept: Vec<TimestampNs> = Vec::new();
    for at in times {
        let is_far = |last: &TimestampNs| last.0.abs_diff(at.0) >= interval_ns.unsigned_abs();
        if kept.len() < limit && kept.last().is_none_or(is_far) {
            kept.push(at);
        }
    }
    kept.sort_unstable();
    for stream in &mut *streams {
        // Of lines with one time stamp the first is kept.
        stream.entries.retain(|entry| match kept.binary_search(&entry.ts) {
            Ok(at) => {
                kept.remove(at);
                true
            }
            Err(_) => false,
        });
    }
    streams.retain(|it| !it.entries.is_empty());
}

#[cfg(test)]
mod tests {
    use skep_logql::{Entry, EntryLabels};

    use super::*;

    fn spaced(times: &[&[i64]], interval_ns: i64, direction: Direction) -> Vec<Vec<i64>> {
        let entry = |ts: &i64| Entry { ts: TimestampNs(*ts), line: String::new() };
        let mut streams: Vec<LogStream> = times
            .iter()
            .map(|times| LogStream {
                labels: Arc::new(EntryLabels::default()),
                entries: times.iter().map(entry).collect(),
            })
            .collect();
        space_out(&mut streams, interval_ns, direction, 3);
        streams.iter().map(|it| it.entries.iter().map(|it| it.ts.0).collect()).collect()
    }

    #[test]
    fn lines_are_at_least_an_interval_apart_over_all_streams() {
        let times: [&[i64]; 2] = [&[0, 4, 20], &[5, 10, 30]];
        assert_eq!(spaced(&times, 5, Direction::Forward), [vec![0], vec![5, 10]]);
        assert_eq!(spaced(&times, 10, Direction::Backward), [vec![20], vec![10, 30]]);
    }
}
