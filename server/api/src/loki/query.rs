//! Instant and range queries.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use futures::TryFutureExt as _;
use http::{HeaderMap, header::CONTENT_TYPE};
use skep_logql::{Direction, LogStream, Value};
use skep_proto::TimestampNs;
use skep_query::{LogqlAnswer, LogqlOptions, LogqlStats};

use super::{
    answer::{self, Shape},
    params::{
        HOUR_NS, bounds, check_order, direction, interval_ns, labels_as, limit, parse_time, step_ms,
    },
};
use crate::{
    Api,
    asker::Asker,
    error::{ApiError, LokiError},
    params::Params,
    queries::{Language, Span, Ticket},
};

pub(super) async fn instant(
    State(api): State<Arc<Api>>,
    asker: Asker,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, LokiError> {
    let at = match params.given("time") {
        Some(text) => parse_time(text).map_err(ApiError::bad_data)?,
        None => api.clock.now(),
    };
    let (direction, limit) = (direction(&params)?, limit(&params)?);
    let options = LogqlOptions { timeout: None, direction, limit };
    let query = params.get("query");
    let mut ticket = begin(&api, &asker, query, Span::at(at.to_ms()));
    let turn = ticket.turn(&api).await?;
    let waited = turn.waited();
    let asked = api.engine.logql_instant_answer(query, at, options).map_err(ApiError::from);
    let answer = ticket.run(asked).await?;
    note_read(&ticket, &answer.stats);
    let shape = Shape::Instant(at.to_ms());
    let asked = Asked { answer, waited, direction, ticket };
    Ok(asked.ticket.answered(answer::result(&asked, shape, labels_as(&headers))))
}

pub(super) async fn range(
    State(api): State<Arc<Api>>,
    asker: Asker,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, LokiError> {
    let asked = ask_range(&api, &asker, &params).await?;
    Ok(asked.ticket.answered(answer::result(&asked, Shape::Range, labels_as(&headers))))
}

/// The query's tree and what each of its leaves did as text; `query_range`'s parameters.
pub(super) async fn explain(
    State(api): State<Arc<Api>>,
    asker: Asker,
    params: Params,
) -> Result<Response, LokiError> {
    let (start, end) = bounds(&params, api.clock.now(), HOUR_NS)?;
    check_order(start, end)?;
    let (limit, direction) = (limit(&params)?, direction(&params)?);
    let step_ms = step_ms(&params, start, end)?;
    let options = LogqlOptions { timeout: None, direction, limit };
    let query = params.get("query");
    let mut ticket = begin(&api, &asker, query, Span::between(start, end, step_ms));
    let _turn = ticket.turn(&api).await?;
    let asked = api.engine.logql_explain(query, start, end, step_ms, options);
    let explanation = ticket.run(asked.map_err(ApiError::from)).await?;
    ticket.meter().read(explanation.n_read.0, 0);
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok(ticket.answered((headers, explanation.to_string()).into_response()))
}

fn begin(api: &Api, asker: &Asker, query: &str, span: Span) -> Ticket {
    api.queries.begin(api.now(), asker, (Language::Logql, query), Some(span))
}

fn note_read(ticket: &Ticket, stats: &LogqlStats) {
    ticket.meter().read(stats.n_lines, stats.line_bytes + stats.metadata_bytes);
}

/// An answer with what the answer tells beside it.
pub(super) struct Asked {
    pub(super) answer: LogqlAnswer,
    /// For its turn.
    pub(super) waited: Duration,
    pub(super) direction: Direction,
    /// Listed until the answer is written.
    pub(super) ticket: Ticket,
}

pub(super) async fn ask_range(
    api: &Api,
    asker: &Asker,
    params: &Params,
) -> Result<Asked, ApiError> {
    let (start, end) = bounds(params, api.clock.now(), HOUR_NS)?;
    check_order(start, end)?;
    let limit = limit(params)?;
    let direction = direction(params)?;
    let step_ms = step_ms(params, start, end)?;
    let interval_ns = interval_ns(params)?;
    // Lines that an interval leaves out do not count against the limit.
    let n_wanted = if interval_ns > 0 { api.engine.limits().n_lines_max.max(limit) } else { limit };
    let options = LogqlOptions { timeout: None, direction, limit: n_wanted };
    let query = params.get("query");
    let mut ticket = begin(api, asker, query, Span::between(start, end, step_ms));
    let turn = ticket.turn(api).await?;
    let waited = turn.waited();
    let asked = api.engine.logql_range_answer(query, start, end, step_ms, options);
    let mut answer = ticket.run(asked.map_err(ApiError::from)).await?;
    note_read(&ticket, &answer.stats);
    if let Value::Streams(streams) = &mut answer.value
        && interval_ns > 0
    {
        space_out(streams, interval_ns, direction, limit);
    }
    Ok(Asked { answer, waited, direction, ticket })
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
