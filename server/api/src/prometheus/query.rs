//! Instant and range queries, and what they did.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use futures::TryFutureExt as _;
use http::header::CONTENT_TYPE;
use skep_promql::{Grid, GridError};
use skep_proto::TimestampMs;
use skep_query::{PromqlOptions, PromqlStats};

use super::{
    answer::{self, Shape},
    params::{limit, lookback_ms, parse_duration_ms, parse_time, time_or, timeout},
};
use crate::{
    Api,
    asker::Asker,
    error::ApiError,
    params::Params,
    queries::{Language, Span, Ticket},
    query_log::{Logged, stats_json},
};

pub(super) async fn instant(
    State(api): State<Arc<Api>>,
    asker: Asker,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = limit(&params)?;
    let at = time_or(&params, "time", api.now())?;
    let options = options(&params)?;
    let query = params.get("query");
    let mut ticket = begin(&api, &asker, query, Grid::instant(at));
    let mut logged = Logged::instant(&api, asker, query, at);
    let _turn = ticket.turn(&api).await?;
    let waited = logged.begun();
    let asked = api.engine.promql_instant(query, at, options).map_err(ApiError::from);
    let answer = ticket.run(asked).await;
    logged.ended(|it| &it.stats, &answer);
    let answer = answer?;
    ticket.meter().read(answer.stats.n_samples, 0);
    let stats = stats(&params, &answer.stats, waited);
    let shape = Shape::Instant(at);
    let annotations = &answer.annotations;
    let response = answer::result(answer.value, shape, limit, annotations, stats.as_deref());
    Ok(ticket.answered(response))
}

pub(super) async fn range(
    State(api): State<Arc<Api>>,
    asker: Asker,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = limit(&params)?;
    let grid = grid(&params)?;
    let options = options(&params)?;
    let query = params.get("query");
    let mut ticket = begin(&api, &asker, query, grid);
    let mut logged = Logged::range(&api, asker, query, grid);
    let _turn = ticket.turn(&api).await?;
    let waited = logged.begun();
    let asked = api.engine.promql_range(query, grid, options).map_err(ApiError::from);
    let answer = ticket.run(asked).await;
    logged.ended(|it| &it.stats, &answer);
    let answer = answer?;
    ticket.meter().read(answer.stats.n_samples, 0);
    let stats = stats(&params, &answer.stats, waited);
    let (shape, annotations) = (Shape::Range, &answer.annotations);
    let response = answer::result(answer.value, shape, limit, annotations, stats.as_deref());
    Ok(ticket.answered(response))
}

/// The query's tree and each leaf's plan as text; a range query where `step` is given.
pub(super) async fn explain(
    State(api): State<Arc<Api>>,
    asker: Asker,
    params: Params,
) -> Result<Response, ApiError> {
    let grid = match params.given("step") {
        Some(_) => grid(&params)?,
        None => Grid::instant(time_or(&params, "time", api.now())?),
    };
    let options = options(&params)?;
    let query = params.get("query");
    let mut ticket = begin(&api, &asker, query, grid);
    let _turn = ticket.turn(&api).await?;
    let asked = api.engine.promql_explain(query, grid, options).map_err(ApiError::from);
    let explanation = ticket.run(asked).await?;
    ticket.meter().read(explanation.n_read.0, 0);
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok(ticket.answered((headers, explanation.to_string()).into_response()))
}

fn begin(api: &Api, asker: &Asker, query: &str, grid: Grid) -> Ticket {
    api.queries.begin(api.now(), asker, (Language::Promql, query), Some(Span::of(grid)))
}

fn options(params: &Params) -> Result<PromqlOptions, ApiError> {
    // `nocache` as VictoriaMetrics has it.
    let is_fresh = params.given("stats").is_some() || params.given("nocache").is_some();
    Ok(PromqlOptions { timeout: timeout(params)?, lookback_ms: lookback_ms(params)?, is_fresh })
}

fn grid(params: &Params) -> Result<Grid, ApiError> {
    let time = |name| -> Result<TimestampMs, ApiError> {
        parse_time(params.get(name)).map_err(|fault| ApiError::invalid(name, fault))
    };
    let (start, end) = (time("start")?, time("end")?);
    if end < start {
        return Err(ApiError::invalid("end", "end timestamp must not be before start time"));
    }
    let step_ms =
        parse_duration_ms(params.get("step")).map_err(|fault| ApiError::invalid("step", fault))?;
    Grid::range(start, end, step_ms).map_err(|error| match error {
        GridError::Step => ApiError::invalid("step", error),
        GridError::Order => ApiError::invalid("end", error),
        GridError::Points { .. } => ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the \
             query resolution (?step=XX)",
        ),
    })
}

/// `stats` of any value asks for statistics.
fn stats(params: &Params, stats: &PromqlStats, waited: Duration) -> Option<String> {
    params.given("stats")?;
    Some(stats_json(stats, waited).to_string())
}
