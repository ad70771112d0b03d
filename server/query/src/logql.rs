//! LogQL: text to answer over one snapshot.

use std::{sync::Arc, time::Duration};

use skep_logql::{Direction, EvalOptions, QueryError, Value, ast::Expr, eval, parse};
use skep_promql::{Grid, GridError, Matrix, Row, StorageError};
use skep_proto::{TimestampMs, TimestampNs};
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
            Expr::Metric(_) => aligned(start.to_ms(), end.to_ms(), step_ms)
                .map_err(|error| QueryError::BadRequest(error.to_string()))?,
        };
        Ok(match self.logql(&expr, (start, end), grid, options).await? {
            Value::Scalar(value) => Value::Matrix(Matrix {
                grid,
                rows: vec![Row::floats(Arc::default(), vec![value; grid.n_steps()])],
            }),
            value => value,
        })
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
        let n_series_max = self.limits().n_log_series_max;
        let options = EvalOptions { start, end, direction, limit, grid, n_series_max };
        timeout_at(deadline, eval(expr, &options, &storage))
            .await
            .map_err(|_elapsed| QueryError::from(StorageError::Timeout))?
    }
}

/// Steps are multiples of their width, and the first and the last one enclose what was asked for,
/// as in Loki: so a panel's points do not move as time goes on.
fn aligned(start: TimestampMs, end: TimestampMs, step_ms: i64) -> Result<Grid, GridError> {
    if step_ms <= 0 {
        return Err(GridError::Step);
    }
    let start = TimestampMs(start.0 - start.0.rem_euclid(step_ms));
    let until_step = (step_ms - end.0.rem_euclid(step_ms)).rem_euclid(step_ms);
    Grid::range(start, TimestampMs(end.0.saturating_add(until_step)), step_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_multiples_of_their_width_and_enclose_the_range() {
        let steps = |start, end, step_ms| {
            let grid = aligned(TimestampMs(start), TimestampMs(end), step_ms).unwrap();
            grid.steps().map(|it| it.0).collect::<Vec<_>>()
        };
        assert_eq!(steps(5, 41, 20), [0, 20, 40, 60]);
        assert_eq!(steps(20, 40, 20), [20, 40]);
        assert_eq!(steps(40, 40, 20), [40]);
        assert_eq!(steps(-5, -1, 20), [-20, 0]);
        assert!(aligned(TimestampMs(0), TimestampMs(1), 0).is_err());
    }
}
