//! Patterns of a selector's lines, with how many there were when.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use skep_query::{LinePattern, PatternOptions};

use super::{
    answer,
    params::{HOUR_NS, bounds, check_order, matchers, step_ms},
};
use crate::{
    Api,
    error::LokiError,
    json::{ARRAY, push_list, push_string},
    number::push_int,
    params::Params,
    watch::query_turn,
};

/// Loki counts no finer.
const STEP_MS_MIN: i64 = 10_000;

pub(super) async fn patterns(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    let (start, end) = bounds(&params, api.clock.now(), HOUR_NS)?;
    check_order(start, end)?;
    let matchers = matchers(params.get("query"))?;
    let step_ms = step_ms(&params, start, end)?.max(STEP_MS_MIN);
    let options = PatternOptions { start: start.to_ms(), end: end.to_ms(), step_ms };
    let _turn = query_turn(&api).await?;
    let found = api.engine.log_patterns(&matchers, options).await;
    let found = found.map_err(crate::error::ApiError::from)?;
    let mut data = String::new();
    push_list(&mut data, ARRAY, &found, push_pattern);
    Ok(answer::data(&data))
}

fn push_pattern(out: &mut String, LinePattern { pattern, level, samples }: &LinePattern) {
    out.push_str("{\"pattern\":");
    push_string(out, pattern);
    out.push_str(",\"level\":");
    push_string(out, level);
    out.push_str(",\"samples\":");
    push_list(out, ARRAY, samples, |out, (at, n)| {
        out.push('[');
        push_int(out, at.0.div_euclid(1_000));
        out.push(',');
        push_int(out, i64::try_from(*n).unwrap_or(i64::MAX));
        out.push(']');
    });
    out.push('}');
}
