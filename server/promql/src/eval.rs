//! Tree to value: each node is evaluated for all steps at once.

mod aggregate;
mod binary;
mod call;
mod counted;
mod duration;
mod histogram;
mod info;
mod label;
mod mixed;
mod select;
mod sort;
mod subquery;

use std::sync::Mutex;

use futures::future::{BoxFuture, FutureExt as _};
use skep_proto::TimestampMs;

use crate::{
    Annotations, Expr, Grid, Matrix, RawSeries, Storage, StorageError,
    ast::{Span, ValueType},
    vector::{VectorError, without_names},
};

/// What a query gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One value a step.
    Scalar {
        grid: Grid,
        values: Vec<f64>,
    },
    /// Rows in the order to show them.
    Vector(Matrix),
    String(String),
    /// A range vector at the top of an instant query.
    Raw(Vec<RawSeries>),
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum EvalError {
    /// The query makes no sense for this kind of request.
    #[error("{0}")]
    BadQuery(String),
    #[error(transparent)]
    Vector(#[from] VectorError),
    /// The query went wrong on the data it found.
    #[error("{0}")]
    Execution(String),
    #[error(
        "query processing would load too many samples into memory in query execution: {n} values, \
         at most {max}"
    )]
    Samples { n: usize, max: usize },
    #[error("query timed out")]
    Timeout,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl EvalError {
    /// Whether the query is to blame, whatever the data; otherwise its execution went wrong.
    pub fn is_bad_query(&self) -> bool {
        matches!(self, Self::BadQuery(_))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct EvalOptions {
    /// How old a sample an instant selector may take.
    pub lookback_ms: i64,
    /// The step of subqueries that give none.
    pub default_step_ms: i64,
    /// Values (rows times steps) that may be held at once by one node.
    pub n_values_max: usize,
    pub deadline: Option<tokio::time::Instant>,
    /// Whether this is an instant query: range vectors may be at its top, and `sort` orders.
    pub is_instant: bool,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            default_step_ms: 60_000,
            n_values_max: 50_000_000,
            deadline: None,
            is_instant: false,
        }
    }
}

/// Evaluates a parsed query over a grid. `query` is the text it was parsed from, for positions.
/// Dropping the future cancels the query and what it asked of storage.
///
/// # Errors
/// See [`EvalError`].
pub async fn eval(
    query: &str,
    expr: &Expr,
    grid: Grid,
    storage: &dyn Storage,
    options: &EvalOptions,
) -> Result<(Value, Annotations), EvalError> {
    let eval = Eval {
        query,
        storage,
        options,
        outer: grid,
        counted: counted::selectors(expr),
        annotations: Mutex::new(Annotations::default()),
    };
    let value = match (expr.value_type(), options.is_instant) {
        (ValueType::Matrix | ValueType::String, false) => {
            return Err(EvalError::BadQuery(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                expr.value_type().documented()
            )));
        }
        (ValueType::Matrix, true) => Value::Raw(eval.raw(expr, grid).await?),
        _ => match eval.node(expr, grid).await? {
            Node::Scalar(values) => Value::Scalar { grid, values },
            Node::String(it) => Value::String(it),
            Node::Vector(matrix) => Value::Vector(eval.finish(matrix)?),
        },
    };
    let annotations = eval.annotations.into_inner().unwrap_or_default();
    Ok((value, annotations))
}

/// What a node evaluates to.
#[derive(Debug)]
pub(crate) enum Node {
    Scalar(Vec<f64>),
    Vector(Matrix),
    String(String),
}

impl Node {
    fn into_vector(self, grid: Grid) -> Matrix {
        match self {
            Self::Vector(it) => it,
            Self::Scalar(_) | Self::String(_) => Matrix::empty(grid),
        }
    }

    fn into_scalar(self) -> Vec<f64> {
        match self {
            Self::Scalar(it) => it,
            Self::Vector(_) | Self::String(_) => Vec::new(),
        }
    }

    fn into_string(self) -> String {
        match self {
            Self::String(it) => it,
            Self::Vector(_) | Self::Scalar(_) => String::new(),
        }
    }
}

/// One running query.
struct Eval<'a> {
    query: &'a str,
    storage: &'a dyn Storage,
    options: &'a EvalOptions,
    /// The grid of the whole query, which `start()`, `end()` and `step()` speak of.
    outer: Grid,
    /// The selectors of whose histograms only count and sum are asked for.
    counted: Vec<Span>,
    /// Guarded because sides of an operator are evaluated together; never held across an await.
    annotations: Mutex<Annotations>,
}

impl<'a> Eval<'a> {
    /// Any node but a range vector, at every step of `grid`.
    fn node<'s>(&'s self, expr: &'s Expr, grid: Grid) -> BoxFuture<'s, Result<Node, EvalError>>
    where
        'a: 's,
    {
        async move {
            self.check_deadline()?;
            // Each kind is boxed on its own: the stack frame of a level is then as large as what it
            // evaluates, not as the largest of all.
            let node = match expr.unwrapped() {
                Expr::Number(it) => Node::Scalar(vec![it.value; grid.n_steps()]),
                Expr::String(it) => Node::String(it.value.clone()),
                Expr::Unary(it) => self.unary(it, grid).boxed().await?,
                Expr::Binary(it) => self.binary(it, grid).boxed().await?,
                Expr::Aggregate(it) => Node::Vector(self.aggregate(it, grid).boxed().await?),
                Expr::Call(it) => self.call(it, grid).boxed().await?,
                Expr::Vector(it) => Node::Vector(self.instant(it, grid).boxed().await?),
                Expr::Matrix(_) | Expr::Subquery(_) | Expr::Paren(_) => {
                    return Err(EvalError::BadQuery(
                        "a range vector must be the argument of a function".to_owned(),
                    ));
                }
            };
            if let Node::Vector(it) = &node {
                self.check_size(it.rows.len(), grid.n_steps())?;
            }
            Ok(node)
        }
        .boxed()
    }

    async fn vector(&self, expr: &Expr, grid: Grid) -> Result<Matrix, EvalError> {
        Ok(self.node(expr, grid).await?.into_vector(grid))
    }

    async fn scalar(&self, expr: &Expr, grid: Grid) -> Result<Vec<f64>, EvalError> {
        Ok(self.node(expr, grid).await?.into_scalar())
    }

    async fn string(&self, expr: &Expr, grid: Grid) -> Result<String, EvalError> {
        Ok(self.node(expr, grid).await?.into_string())
    }

    fn annotate(&self, change: impl FnOnce(&mut Annotations, &str)) {
        if let Ok(mut annotations) = self.annotations.lock() {
            change(&mut annotations, self.query);
        }
    }

    fn check_deadline(&self) -> Result<(), EvalError> {
        match self.options.deadline {
            Some(deadline) if tokio::time::Instant::now() >= deadline => Err(EvalError::Timeout),
            _ => Ok(()),
        }
    }

    fn check_size(&self, n_rows: usize, n_steps: usize) -> Result<(), EvalError> {
        let (n, max) = (n_rows.saturating_mul(n_steps), self.options.n_values_max);
        if n > max { Err(EvalError::Samples { n, max }) } else { Ok(()) }
    }

    /// Labels that no longer hold go away. Range results are sorted by labels; an instant one keeps
    /// its order. No two rows are equal.
    fn finish(&self, mut matrix: Matrix) -> Result<Matrix, EvalError> {
        matrix.rows = without_names(matrix.rows)?;
        if !self.options.is_instant {
            matrix.rows.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        }
        Ok(matrix)
    }
}

/// Seconds of a point in time.
#[expect(clippy::cast_precision_loss, reason = "time stamps stay far below 2^53 ms")]
fn seconds(at: TimestampMs) -> f64 {
    at.0 as f64 / 1000.0
}
