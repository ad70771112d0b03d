//! LogQL: text to answer over one snapshot.

use std::{sync::Arc, time::Duration};

use skep_logql::{
    Direction, EvalOptions, LogStream, QueryError, Value,
    ast::{Expr, LogExpr},
    eval, parse,
};
use skep_promql::{Grid, GridError, Matrix, Row, StorageError};
use skep_proto::{TimestampMs, TimestampNs};
use tokio::time::{Instant, timeout_at};

use crate::{Engine, Explanation, LogqlStats, Snapshot, logs::LogStorage};

/// What a request may ask for beside query and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogqlOptions {
    /// Shortens [`crate::Limits::timeout`], never lengthens it.
    pub timeout: Option<Duration>,
    pub direction: Direction,
    /// Lines at most; bounded by [`crate::Limits::n_lines_max`].
    pub limit: usize,
}

/// What a query is, and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct LogqlAnswer {
    pub value: Value,
    pub stats: LogqlStats,
}

impl Engine {
    /// As [`Self::logql_instant_answer`], without what it cost.
    ///
    /// # Errors
    /// As there.
    pub async fn logql_instant(
        &self,
        query: &str,
        at: TimestampNs,
        options: LogqlOptions,
    ) -> Result<Value, QueryError> {
        Ok(self.logql_instant_answer(query, at, options).await?.value)
    }

    /// As [`Self::logql_range_answer`], without what it cost.
    ///
    /// # Errors
    /// As there.
    pub async fn logql_range(
        &self,
        query: &str,
        start: TimestampNs,
        end: TimestampNs,
        step_ms: i64,
        options: LogqlOptions,
    ) -> Result<Value, QueryError> {
        Ok(self.logql_range_answer(query, start, end, step_ms, options).await?.value)
    }

    /// A metric query at one point in time.
    ///
    /// # Errors
    /// See [`QueryError`]; a log query is refused, as in Loki.
    pub async fn logql_instant_answer(
        &self,
        query: &str,
        at: TimestampNs,
        options: LogqlOptions,
    ) -> Result<LogqlAnswer, QueryError> {
        let expr = parse(query)?;
        if matches!(expr, Expr::Log(_)) {
            return Err(QueryError::BadRequest(
                "log queries are not supported as an instant query type, please change your \
                 query to a range query type"
                    .to_owned(),
            ));
        }
        self.logql(self.snapshot(), &expr, (at, at), Grid::instant(at.to_ms()), options).await
    }

    /// The lines of a log query from `start` to `end` (not included), or a metric query at every
    /// step of a grid over the same time.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn logql_range_answer(
        &self,
        query: &str,
        start: TimestampNs,
        end: TimestampNs,
        step_ms: i64,
        options: LogqlOptions,
    ) -> Result<LogqlAnswer, QueryError> {
        let (expr, grid) = self.range_of(query, (start, end), step_ms, options)?;
        let mut answer = self.logql(self.snapshot(), &expr, (start, end), grid, options).await?;
        if let Value::Scalar(value) = answer.value {
            answer.value = Value::Matrix(Matrix {
                grid,
                rows: vec![Row::floats(Arc::default(), vec![value; grid.n_steps()])],
            });
        }
        Ok(answer)
    }

    /// Runs a query over a range of time and tells what each leaf did.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn logql_explain(
        &self,
        query: &str,
        start: TimestampNs,
        end: TimestampNs,
        step_ms: i64,
        options: LogqlOptions,
    ) -> Result<Explanation, QueryError> {
        let (expr, grid) = self.range_of(query, (start, end), step_ms, options)?;
        let session = self.begin(options.timeout);
        let tally = Arc::clone(&session.tally);
        let storage = LogStorage::new(self.snapshot(), session.clone()).explained();
        self.run(&storage, session.deadline, &expr, (start, end), grid, options).await?;
        Ok(Explanation {
            tree: skep_logql::pretty(&expr),
            leaves: storage.take_plans(),
            n_read: (tally.told(Duration::ZERO).n_lines, "lines"),
        })
    }

    /// A query's tree and the steps it is evaluated at.
    fn range_of(
        &self,
        query: &str,
        (start, end): (TimestampNs, TimestampNs),
        step_ms: i64,
        options: LogqlOptions,
    ) -> Result<(Expr, Grid), QueryError> {
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
        Ok((expr, grid))
    }

    /// The lines of a log query over a snapshot taken before, from `start` to `end` (not
    /// included).
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn logql_lines(
        &self,
        snapshot: Snapshot,
        log: &LogExpr,
        (start, end): (TimestampNs, TimestampNs),
        options: LogqlOptions,
    ) -> Result<Vec<LogStream>, QueryError> {
        let expr = Expr::Log(log.clone());
        let grid = Grid::instant(end.to_ms());
        match self.logql(snapshot, &expr, (start, end), grid, options).await?.value {
            Value::Streams(streams) => Ok(streams),
            Value::Matrix(_) | Value::Scalar(_) => Ok(Vec::new()),
        }
    }

    async fn logql(
        &self,
        snapshot: Snapshot,
        expr: &Expr,
        (start, end): (TimestampNs, TimestampNs),
        grid: Grid,
        options: LogqlOptions,
    ) -> Result<LogqlAnswer, QueryError> {
        let began = Instant::now();
        let session = self.begin(options.timeout);
        let (deadline, tally) = (session.deadline, Arc::clone(&session.tally));
        let storage = LogStorage::new(snapshot, session);
        let value = self.run(&storage, deadline, expr, (start, end), grid, options).await?;
        Ok(LogqlAnswer { value, stats: tally.told(began.elapsed()) })
    }

    async fn run(
        &self,
        storage: &LogStorage,
        deadline: Instant,
        expr: &Expr,
        (start, end): (TimestampNs, TimestampNs),
        grid: Grid,
        options: LogqlOptions,
    ) -> Result<Value, QueryError> {
        let LogqlOptions { direction, limit, .. } = options;
        let n_series_max = self.limits().n_log_series_max;
        let options = EvalOptions { start, end, direction, limit, grid, n_series_max };
        timeout_at(deadline, eval(expr, &options, storage))
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
