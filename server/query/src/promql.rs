//! PromQL: text to answer over one snapshot.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use skep_promql::{
    Annotations, EvalError, EvalOptions, Expr, Grid, ParseError, ParseOptions, StorageError, Value,
    eval, parse_with, reach,
};
use skep_proto::TimestampMs;
use tokio::time::{Instant, timeout_at};

use crate::{
    Changes, Engine, Explanation,
    metrics::MetricStorage,
    results::{Key, Results},
};

/// What a request may ask for beside query and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PromqlOptions {
    /// Shortens [`crate::Limits::timeout`], never lengthens it.
    pub timeout: Option<Duration>,
    /// [`crate::Limits::lookback`], if left out.
    pub lookback_ms: Option<i64>,
    /// Takes nothing from answers that are kept or at work, so that its statistics are of all it
    /// needs.
    pub is_fresh: bool,
}

/// A question as far as its answer depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    query: String,
    grid: Grid,
    options: PromqlOptions,
    is_instant: bool,
    /// Of the changes when it was asked: what is acknowledged by then is in the answer.
    version: Option<u64>,
}

/// An answer that several may wait for.
pub(crate) type Told = Result<Arc<PromqlAnswer>, PromqlError>;

/// A query's result and what it took.
#[derive(Debug, Clone)]
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

#[derive(Debug, Clone, thiserror::Error)]
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
        self.promql(query, Grid::instant(at), options, true).await
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
        self.promql(query, grid, options, false).await
    }

    async fn promql(
        &self,
        query: &str,
        grid: Grid,
        options: PromqlOptions,
        is_instant: bool,
    ) -> Result<PromqlAnswer, PromqlError> {
        let version = self.changes().filter(|_| !options.is_fresh).map(Changes::version);
        let asked = Asked { query: query.to_owned(), grid, options, is_instant, version };
        if version.is_none() {
            return self.answer(&asked).await;
        }
        let flight = self.metrics.flights.join(asked.clone(), || {
            let engine = self.clone();
            async move { engine.answer(&asked).await.map(Arc::new) }.boxed()
        });
        flight.await.map(Arc::unwrap_or_clone)
    }

    async fn answer(&self, asked: &Asked) -> Result<PromqlAnswer, PromqlError> {
        let Asked { query, grid, options, is_instant, version } = asked;
        let run = Run::new(self, *options, *is_instant, false);
        match (*version, self.changes()) {
            (Some(version), Some(changes)) if !is_instant => {
                let cache = Cached { results: &self.metrics.results, changes, version };
                run.answer_from(&cache, query, *grid).await
            }
            _ => run.answer(query, *grid).await,
        }
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
            tree: skep_promql::format_query(query, self.limits().parse_options())?,
            leaves: run.storage.take_plans().await,
            n_read: (answer.stats.n_samples, "samples"),
        })
    }
}

/// One running query.
struct Run {
    storage: MetricStorage,
    options: EvalOptions,
    parse_options: ParseOptions,
    deadline: Instant,
}

impl Run {
    fn new(engine: &Engine, options: PromqlOptions, is_instant: bool, explain: bool) -> Self {
        let session = engine.begin(options.timeout);
        let deadline = session.deadline;
        let limits = engine.limits();
        let options = EvalOptions {
            lookback_ms: options.lookback_ms.unwrap_or(millis(limits.lookback)),
            default_step_ms: millis(limits.evaluation_interval),
            n_values_max: usize::try_from(limits.n_samples_max).unwrap_or(usize::MAX),
            deadline: Some(deadline),
            is_instant,
        };
        let storage = MetricStorage::new(engine.snapshot(), session, explain);
        Self { storage, options, parse_options: limits.parse_options(), deadline }
    }

    async fn answer(&self, query: &str, grid: Grid) -> Result<PromqlAnswer, PromqlError> {
        let started = Instant::now();
        let expr = parse_with(query, self.parse_options)?;
        let parsed = Instant::now();
        let evaluated = self.eval(query, &expr, grid).await?;
        Ok(self.told(evaluated, started, parsed))
    }

    /// As [`Self::answer`], at steps that are not known yet.
    async fn answer_from(
        &self,
        cache: &Cached<'_>,
        query: &str,
        grid: Grid,
    ) -> Result<PromqlAnswer, PromqlError> {
        let started = Instant::now();
        let expr = parse_with(query, self.parse_options)?;
        let parsed = Instant::now();
        let lookback_ms = self.options.lookback_ms;
        let Some(reach) = reach(&expr, lookback_ms) else {
            return Ok(self.told(self.eval(query, &expr, grid).await?, started, parsed));
        };
        let key = Key::new(query, lookback_ms, &grid);
        let Some(known) = cache.results.known(&key, &grid, reach, cache.changes) else {
            let evaluated = self.eval(query, &expr, grid).await?;
            cache.keep(key, &evaluated);
            return Ok(self.told(evaluated, started, parsed));
        };
        let (mut others, mut annotations) = (Vec::new(), known.annotations());
        for steps in known.unknown(&grid) {
            let start = steps.start;
            let (value, told) = self.eval(query, &expr, grid.part(steps)).await?;
            annotations.append(told);
            if let Value::Vector(matrix) = value {
                others.push((start, matrix));
            }
        }
        let is_new = !others.is_empty();
        let evaluated = (Value::Vector(known.joined(grid, others)), annotations);
        if is_new {
            cache.keep(key, &evaluated);
        }
        Ok(self.told(evaluated, started, parsed))
    }

    async fn eval(
        &self,
        query: &str,
        expr: &Expr,
        grid: Grid,
    ) -> Result<(Value, Annotations), EvalError> {
        let running = eval(query, expr, grid, &self.storage, &self.options);
        timeout_at(self.deadline, running)
            .await
            .map_err(|_elapsed| EvalError::Storage(StorageError::Timeout))?
    }

    fn told(
        &self,
        (value, annotations): (Value, Annotations),
        started: Instant,
        parsed: Instant,
    ) -> PromqlAnswer {
        let stats = PromqlStats {
            n_samples: self.storage.n_samples(),
            parse_time: parsed - started,
            eval_time: parsed.elapsed(),
        };
        PromqlAnswer { value, annotations, stats }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Answers from before, and how to tell whether they hold.
struct Cached<'a> {
    results: &'a Results,
    changes: &'a dyn Changes,
    /// From before the snapshot.
    version: u64,
}

impl Cached<'_> {
    fn keep(&self, key: Key, (value, annotations): &(Value, Annotations)) {
        if let Value::Vector(matrix) = value {
            self.results.keep(key, self.version, matrix, annotations);
        }
    }
}
