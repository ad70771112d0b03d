//! A tree and a storage to streams, a matrix or a scalar.

mod binary;

use std::sync::Arc;

use skep_promql::{
    Grid, Grouping, Matrix, Row, absent,
    annotations::Notes,
    vector::{Aggregation, Ranking, VectorError, aggregate, merge_same_labels, rank},
};
use skep_proto::{Labels, TimestampNs};

use crate::{
    ast::{
        Expr, LabelReplaceArgs, LogExpr, MetricExpr, RangeAggregation, RangeOp, Variants,
        VectorAggregation, VectorOp,
    },
    check,
    error::QueryError,
    leaf::{Direction, LogScan, LogStream, RangeLeaf, Storage},
};

/// Says of which variant a series is, counted from 0.
const VARIANT: &str = "__variant__";

/// What to evaluate a query over. Log queries look at `start..end`, metric queries at the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvalOptions {
    pub start: TimestampNs,
    pub end: TimestampNs,
    pub direction: Direction,
    /// Lines at most.
    pub limit: usize,
    pub grid: Grid,
    /// Series a metric query may answer with; the setting is `query.log_series_max` (Loki's
    /// `max_query_series`).
    pub n_series_max: usize,
}

/// What a query is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Streams(Vec<LogStream>),
    /// A vector over the grid; an instant query has one step.
    Matrix(Matrix),
    /// A literal: the same at every step.
    Scalar(f64),
}

/// # Errors
/// What storage reports, operands that do not match, a pipeline error in a metric query, more
/// series than allowed.
pub async fn eval(
    expr: &Expr,
    options: &EvalOptions,
    storage: &dyn Storage,
) -> Result<Value, QueryError> {
    check::can_be_read_again(expr)?;
    match expr {
        Expr::Log(log) => storage.entries(&scan(log, options)).await.map(Value::Streams),
        Expr::Metric(metric) => {
            let value = Eval { storage, grid: options.grid }.metric(metric).await?;
            let Value::Matrix(matrix) = &value else { return Ok(value) };
            if matrix.rows.len() > options.n_series_max {
                return Err(QueryError::Series(options.n_series_max));
            }
            Ok(value)
        }
    }
}

fn scan(log: &LogExpr, options: &EvalOptions) -> LogScan {
    LogScan {
        matchers: log.matchers.clone(),
        stages: log.stages.clone(),
        start: options.start,
        end: options.end,
        direction: options.direction,
        limit: options.limit,
    }
}

struct Eval<'a> {
    storage: &'a dyn Storage,
    grid: Grid,
}

impl Eval<'_> {
    async fn metric(&self, expr: &MetricExpr) -> Result<Value, QueryError> {
        Ok(match expr {
            MetricExpr::Literal(value) => Value::Scalar(*value),
            MetricExpr::Vector(value) => Value::Matrix(Matrix {
                grid: self.grid,
                rows: vec![Row::floats(Arc::default(), vec![*value; self.grid.n_steps()])],
            }),
            MetricExpr::Range(range) => {
                Value::Matrix(self.range(range, range.grouping.as_ref()).await?)
            }
            MetricExpr::Vectors(vectors) => Value::Matrix(Box::pin(self.vectors(vectors)).await?),
            MetricExpr::Binary(binary) => {
                let left = Box::pin(self.metric(&binary.left)).await?;
                let right = Box::pin(self.metric(&binary.right)).await?;
                binary::apply(binary, left, right)?
            }
            MetricExpr::LabelReplace(replace) => {
                let inner = Box::pin(self.metric(&replace.inner)).await?;
                match inner {
                    Value::Matrix(matrix) => Value::Matrix(label_replace(matrix, &replace.args)?),
                    scalar => scalar,
                }
            }
            MetricExpr::Variants(variants) => Value::Matrix(self.variants(variants).await?),
        })
    }

    /// All variants' series, each told which variant it is of.
    async fn variants(&self, variants: &Variants) -> Result<Matrix, QueryError> {
        let mut all = Matrix::empty(self.grid);
        for (i, variant) in variants.variants.iter().enumerate() {
            let matrix = Box::pin(self.vector(variant)).await?;
            for mut row in matrix.rows {
                let mut labels = Labels::clone(&row.labels).to_builder();
                labels.set(VARIANT, &i.to_string());
                row.labels = Arc::new(labels.build());
                all.rows.push(row);
            }
        }
        Ok(all)
    }

    async fn range(
        &self,
        range: &RangeAggregation,
        grouping: Option<&Grouping>,
    ) -> Result<Matrix, QueryError> {
        let leaf = RangeLeaf {
            matchers: range.log.matchers.clone(),
            stages: range.log.stages.clone(),
            unwrap: range.unwrap.clone(),
            op: range.op,
            quantile: range.quantile,
            interval_ns: range.interval_ns,
            offset_ns: range.offset_ns,
            grid: self.grid,
            grouping: grouping.cloned(),
        };
        self.storage.range(&leaf).await
    }

    async fn vectors(&self, vectors: &VectorAggregation) -> Result<Matrix, QueryError> {
        let no_clause = Grouping::By(Vec::new());
        let grouping = vectors.grouping.as_ref().unwrap_or(&no_clause);
        let inner = match &vectors.inner {
            // Lines can be grouped as the sum needs them: a sum of sums is the same sum.
            MetricExpr::Range(range) if is_additive(vectors.op, range) => {
                self.range(range, Some(grouping)).await?
            }
            other => self.vector(other).await?,
        };
        let k = || vec![i64::try_from(vectors.k.unwrap_or(1)).unwrap_or(i64::MAX)];
        Ok(match vectors.op {
            VectorOp::Sum => aggregate(&inner, &Aggregation::Sum, grouping),
            VectorOp::Avg => aggregate(&inner, &Aggregation::Avg, grouping),
            VectorOp::Max => aggregate(&inner, &Aggregation::Max, grouping),
            VectorOp::Min => aggregate(&inner, &Aggregation::Min, grouping),
            VectorOp::Stddev => aggregate(&inner, &Aggregation::Stddev, grouping),
            VectorOp::Stdvar => aggregate(&inner, &Aggregation::Stdvar, grouping),
            VectorOp::Count => aggregate(&inner, &Aggregation::Count, grouping),
            // An exact answer is a good approximation.
            VectorOp::Topk | VectorOp::ApproxTopk => {
                rank(inner, &Ranking::Top(k()), grouping, &mut Notes::new())
            }
            VectorOp::Bottomk => rank(inner, &Ranking::Bottom(k()), grouping, &mut Notes::new()),
            VectorOp::Sort => sorted(inner, false),
            VectorOp::SortDesc => sorted(inner, true),
        })
    }

    async fn vector(&self, expr: &MetricExpr) -> Result<Matrix, QueryError> {
        match Box::pin(self.metric(expr)).await? {
            Value::Matrix(matrix) => Ok(matrix),
            Value::Scalar(value) => Ok(Matrix {
                grid: self.grid,
                rows: vec![Row::floats(Arc::default(), vec![value; self.grid.n_steps()])],
            }),
            Value::Streams(_) => Ok(Matrix::empty(self.grid)),
        }
    }
}

fn is_additive(op: VectorOp, range: &RangeAggregation) -> bool {
    op == VectorOp::Sum
        && range.grouping.is_none()
        && matches!(
            range.op,
            RangeOp::CountOverTime
                | RangeOp::Rate
                | RangeOp::BytesOverTime
                | RangeOp::BytesRate
                | RangeOp::SumOverTime
        )
}

/// By the value of the last step, which is the only one of an instant query.
fn sorted(mut matrix: Matrix, descending: bool) -> Matrix {
    let key = |row: &Row| row.values.last().copied().unwrap_or_else(absent);
    matrix.rows.sort_by(|left, right| {
        let order = key(left).total_cmp(&key(right));
        if descending { order.reverse() } else { order }
    });
    matrix
}

fn label_replace(mut matrix: Matrix, args: &LabelReplaceArgs) -> Result<Matrix, QueryError> {
    let regex = skep_proto::go_regex::compile(&format!("^(?:{})$", args.regex))
        .map_err(|error| QueryError::BadRequest(error.to_string()))?;
    for row in &mut matrix.rows {
        let Some(captures) = regex.captures(row.labels.get(&args.src)) else { continue };
        let mut value = String::new();
        captures.expand(&args.replacement, &mut value);
        let mut labels = Labels::clone(&row.labels).to_builder();
        labels.set(&args.dst, &value);
        row.labels = Arc::new(labels.build());
    }
    matrix.rows = merge_same_labels(matrix.rows).map_err(matching_error)?;
    Ok(matrix)
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
pub(crate) fn matching_error(error: VectorError) -> QueryError {
    QueryError::Matching(error.to_string())
}
