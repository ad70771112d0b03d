//! PromQL: text to answer over one snapshot.

use std::time::Duration;

use skep_promql::{
    Annotations, EvalError, EvalOptions, Grid, ParseError, ParseOptions, StorageError, Value, eval,
    parse,
};
use skep_proto::TimestampMs;
use tokio::time::{Instant, timeout_at};

use crate::{Engine, Explanation, metrics::MetricStorage};

/// What a request may ask for beside query and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PromqlOptions {
    /// Shortens [`crate::Limits::timeout`], never lengthens it.
    pub timeout: Option<Duration>,
    /// Prometheus' default is 5 minutes.
    pub lookback_ms: Option<i64>,
}

/// A query's result and what it took.
#[derive(Debug)]
pub struct PromqlAnswer {
    pub value: Value,
    pub annotations: Annotations,
    pub stats: PromqlStats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromqlStats {
    /// Samples read by all leaves.
    pub n_samples: u64,
    pub parse_time: Duration,
    pub eval_time: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum PromqlError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(transparent)]
    Eval(#[from] EvalError),
}

impl Engine {
    /// A query at one point in time.
    ///
    /// # Errors
    /// See [`PromqlError`].
    pub async fn promql_instant(
        &self,
        query: &str,
        at: TimestampMs,
        options: PromqlOptions,
    ) -> Result<PromqlAnswer, PromqlError> {
        let run = Run::new(self, options, true, false);
        run.answer(query, Grid::instant(at)).await
    }

    /// A query at every step of a grid.
    ///
    /// # Errors
    /// See [`PromqlError`].
    pub async fn promql_range(
        &self,
        query: &str,
        grid: Grid,
        options: PromqlOptions,
    ) -> Result<PromqlAnswer, PromqlError> {
        let run = Run::new(self, options, false, false);
        run.answer(query, grid).await
    }

    /// Runs the query and tells what each leaf did; an instant query where the grid has one step.
    ///
    /// # Errors
    /// See [`PromqlError`].
    pub async fn promql_explain(
        &self,
        query: &str,
        grid: Grid,
        options: PromqlOptions,
    ) -> Result<Explanation, PromqlError> {
        let run = Run::new(self, options, grid.n_steps() == 1, true);
        let answer = run.answer(query, grid).await?;
        Ok(Explanation {
            tree: skep_promql::format_query(query, ParseOptions::default())?,
            leaves: run.storage.take_plans().await,
            n_samples: answer.stats.n_samples,
        })
    }
}

/// One running query.
struct Run {
    storage: MetricStorage,
    options: EvalOptions,
    deadline: Instant,
}

impl Run {
    fn new(engine: &Engine, options: PromqlOptions, is_instant: bool, explain: bool) -> Self {
        let session = engine.begin(options.timeout);
        let deadline = session.deadline;
        let defaults = EvalOptions::default();
        let options = EvalOptions {
            lookback_ms: options.lookback_ms.unwrap_or(defaults.lookback_ms),
            n_values_max: usize::try_from(engine.limits().n_samples_max).unwrap_or(usize::MAX),
            deadline: Some(deadline),
            is_instant,
            ..defaults
        };
        Self { storage: MetricStorage::new(engine.snapshot(), session, explain), options, deadline }
    }

    async fn answer(&self, query: &str, grid: Grid) -> Result<PromqlAnswer, PromqlError> {
        let started = Instant::now();
        let expr = parse(query)?;
        let parsed = Instant::now();
        let running = eval(query, &expr, grid, &self.storage, &self.options);
        let (value, annotations) = timeout_at(self.deadline, running)
            .await
            .map_err(|_elapsed| EvalError::Storage(StorageError::Timeout))??;
        let stats = PromqlStats {
            n_samples: self.storage.n_samples(),
            parse_time: parsed - started,
            eval_time: parsed.elapsed(),
        };
        Ok(PromqlAnswer { value, annotations, stats })
    }
}
