//! What happens around every request: counting, and waiting for a turn.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, timeout},
};

use crate::{
    Api,
    error::{ApiError, RefusedFor},
};

/// Counts the answer by route and status, and why a write was refused.
pub(crate) async fn count(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    api.telemetry.count_request(route, response.status().as_u16());
    if let Some(RefusedFor(reasons)) = response.extensions().get() {
        api.telemetry.count_refused(reasons);
    }
    response
}

/// A running query: one of a limited number, timed until it is dropped.
pub(crate) struct QueryTurn<'a> {
    api: &'a Api,
    started: Instant,
    waited: Duration,
    _permit: SemaphorePermit<'a>,
}

impl QueryTurn<'_> {
    /// How long it took to get it.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}

impl Drop for QueryTurn<'_> {
    fn drop(&mut self) {
        self.api.telemetry.observe_query(self.started.elapsed());
    }
}

/// Waits for a turn, not longer than a query may take.
///
/// # Errors
/// Too many queries for too long.
pub(crate) async fn query_turn(api: &Api) -> Result<QueryTurn<'_>, ApiError> {
    let started = Instant::now();
    match timeout(api.engine.limits().timeout, api.turns.acquire()).await {
        Ok(Ok(permit)) => {
            Ok(QueryTurn { api, started, waited: started.elapsed(), _permit: permit })
        }
        Ok(Err(_)) | Err(_) => Err(ApiError::timeout("query timed out in query queue")),
    }
}

/// A turn for a write at once, or none: senders have a queue of their own.
///
/// # Errors
/// Too many writes at work.
pub(crate) fn write_turn(api: &Api) -> Result<SemaphorePermit<'_>, ApiError> {
    api.writes.try_acquire().map_err(|_full_or_closed| {
        api.telemetry.writes_deferred.add(1);
        ApiError::busy("too many writes at work; try again")
    })
}
