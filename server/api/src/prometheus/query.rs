//! Instant and range queries, and what they did.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
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
    error::ApiError,
    params::Params,
    query_log::{Asker, Logged, stats_json},
    watch::query_turn,
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
    let mut logged = Logged::instant(&api, asker, query, at);
    let _turn = query_turn(&api).await?;
    let waited = logged.begun();
    let answer = api.engine.promql_instant(query, at, options).await.map_err(ApiError::from);
    logged.ended(|it| &it.stats, &answer);
    let answer = answer?;
    let stats = stats(&params, &answer.stats, waited);
    let shape = Shape::Instant(at);
    Ok(answer::result(answer.value, shape, limit, &answer.annotations, stats.as_deref()))
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
    let mut logged = Logged::range(&api, asker, query, grid);
    let _turn = query_turn(&api).await?;
    let waited = logged.begun();
    let answer = api.engine.promql_range(query, grid, options).await.map_err(ApiError::from);
    logged.ended(|it| &it.stats, &answer);
    let answer = answer?;
    let stats = stats(&params, &answer.stats, waited);
    Ok(answer::result(answer.value, Shape::Range, limit, &answer.annotations, stats.as_deref()))
}

/// The query's tree and each leaf's plan as text; a range query where `step` is given.
pub(super) async fn explain(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let grid = match params.given("step") {
        Some(_) => grid(&params)?,
        None => Grid::instant(time_or(&params, "time", api.now())?),
    };
    let options = options(&params)?;
    let _turn = query_turn(&api).await?;
    let explanation = api.engine.promql_explain(params.get("query"), grid, options).await?;
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((headers, explanation.to_string()).into_response())
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
