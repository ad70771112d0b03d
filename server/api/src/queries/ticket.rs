//! A query on its way: listed as long as it lasts, and noted however it ends.

use std::{future::poll_fn, pin::pin, sync::Arc};

use axum::{body::HttpBody as _, response::Response};
use tokio_util::sync::CancellationToken;

use super::{End, Meter, Queries};
use crate::{
    Api,
    error::ApiError,
    watch::{QueryTurn, query_turn},
};

/// Dropped without an end, its client is gone.
#[derive(Debug)]
pub(crate) struct Ticket {
    queries: Arc<Queries>,
    id: u64,
    meter: Arc<Meter>,
    cancel: CancellationToken,
    end: End,
}

impl Ticket {
    pub(super) fn new(
        queries: Arc<Queries>,
        id: u64,
        meter: Arc<Meter>,
        cancel: CancellationToken,
    ) -> Self {
        Self { queries, id, meter, cancel, end: End::Canceled }
    }

    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// Too many queries for too long, or it was ended.
    pub(crate) async fn turn<'a>(&mut self, api: &'a Api) -> Result<QueryTurn<'a>, ApiError> {
        let turn = self.run(query_turn(api)).await?;
        self.end = End::Canceled;
        self.meter.begun(turn.waited());
        Ok(turn)
    }

    /// Runs it, or a part of it, unless somebody ends it.
    ///
    /// # Errors
    /// Those of the query, or that it was ended.
    pub(crate) async fn run<T>(
        &mut self,
        query: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let mut query = pin!(query);
        let metered = poll_fn(|context| self.meter.step(|| query.as_mut().poll(context)));
        let result = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(ApiError::ended()),
            result = metered => result,
        };
        self.end = match &result {
            Ok(_) => End::Done,
            Err(_) if self.cancel.is_cancelled() => End::Canceled,
            Err(error) => End::Failed(error.to_string()),
        };
        result
    }

    /// Notes the size of an answer that is whole.
    pub(crate) fn answered(&self, response: Response) -> Response {
        self.meter.answered(response.body().size_hint().lower());
        response
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let end = std::mem::replace(&mut self.end, End::Canceled);
        self.queries.end(self.id, end);
    }
}
