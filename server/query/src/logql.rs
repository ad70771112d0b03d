//! LogQL: text to answer over one snapshot.

use std::time::Duration;

use skep_logql::{
    Direction, EvalOptions, N_SERIES_MAX_DEFAULT, QueryError, Value, ast::Expr, eval, parse,
};
use skep_promql::{Grid, StorageError};
use skep_proto::TimestampNs;
use tokio::time::timeout_at;

use crate::{Engine, logs::LogStorage};

/// What a request may ask for beside query and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogqlOptions {
    /// Shortens [`crate::Limits::timeout`], never lengthens it.
    pub timeout: Option<Duration>,
    pub direction: Direction,
    /// Lines at most; bounded by [`crate::Limits::n_lines_max`].
    pub limit: usize,
}

impl Engine {
    /// A metric query at one point in time.
    ///
    /// # Errors
    /// See [`QueryError`]; a log query is refused, as in Loki.
    pub async fn logql_instant(
        &self,
        query: &str,
        at: TimestampNs,
        options: LogqlOptions,
    ) -> Result<Value, QueryError> {
        let expr = parse(query)?;
        if matches!(expr, Expr::Log(_)) {
            return Err(QueryError::BadRequest(
                "log queries are not supported as an instant query type, please change your \
                 query to a range query type"
                    .to_owned(),
            ));
        }
        self.logql(&expr, (at, at), Grid::instant(at.to_ms()), options).await
    }

    /// The lines of a log query from `start` to `end` (not included), or a metric query at every
    /// step of a grid over the same time.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn logql_range(
        &self,
        query: &str,
        start: TimestampNs,
        end: TimestampNs,
        step_ms: i64,
        options: LogqlOptions,
    ) -> Result<Value, QueryError> {
        let expr = parse(query)?;
        let grid = match &expr {
            Expr::Log(_) => {
                let max = self.limits().n_lines_max;
                if options.limit > max {
                    return Err(QueryError::BadRequest(format!(
                        "max entries limit per query exceeded, limit > \
                         max_entries_limit_per_query ({} > {max})",
                        options.limit
                    )));
                }
                Grid::instant(end.to_ms())
            }
            Expr::Metric(_) => Grid::range(start.to_ms(), end.to_ms(), step_ms)
                .map_err(|error| QueryError::BadRequest(error.to_string()))?,
        };
        self.logql(&expr, (start, end), grid, options).await
    }

    async fn logql(
        &self,
        expr: &Expr,
        (start, end): (TimestampNs, TimestampNs),
        grid: Grid,
        options: LogqlOptions,
    ) -> Result<Value, QueryError> {
        let session = self.begin(options.timeout);
        let deadline = session.deadline;
        let storage = LogStorage::new(self.snapshot(), session);
        let LogqlOptions { direction, limit, .. } = options;
        let n_series_max = N_SERIES_MAX_DEFAULT;
        let options = EvalOptions { start, end, direction, limit, grid, n_series_max };
        timeout_at(deadline, eval(expr, &options, &storage))
            .await
            .map_err(|_elapsed| QueryError::from(StorageError::Timeout))?
    }
}
