//! Aggregations: fused into the leaf where they stand right above one.

use skep_proto::names::METRIC_NAME;

use super::{
    Eval, EvalError,
    select::{Look, fixed_name},
};
use crate::{
    Expr, Fused, FusedOp, Grid, Grouping, Matrix, Row, Window,
    annotations::Notes,
    ast::{Aggregate, AggregateOp, Span, StringLiteral},
    functions::Run,
    print::write_bytes,
    vector::{self, Aggregation, Ranking, VectorError},
};

impl Eval<'_> {
    pub(super) async fn aggregate(&self, it: &Aggregate, grid: Grid) -> Result<Matrix, EvalError> {
        if let Some(op) = fused_op(it.op)
            && let Some(matrix) = self.fused(it, op, grid).await?
        {
            return Ok(matrix);
        }
        let aggregation = match it.op {
            AggregateOp::CountValues => return self.count_values(it, grid).await,
            AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio => return self.rank(it, grid).await,
            AggregateOp::Quantile => Aggregation::Quantile(self.quantiles(it, grid).await?),
            AggregateOp::Stddev => Aggregation::Stddev,
            AggregateOp::Stdvar => Aggregation::Stdvar,
            AggregateOp::Sum => Aggregation::Sum,
            AggregateOp::Avg => Aggregation::Avg,
            AggregateOp::Min => Aggregation::Min,
            AggregateOp::Max => Aggregation::Max,
            AggregateOp::Count => Aggregation::Count,
            AggregateOp::Group => Aggregation::Group,
        };
        let input = self.vector(&it.expr, grid).await?;
        let mut notes = Notes::new();
        let matrix = vector::aggregate_mixed(&input, &aggregation, &it.grouping, &mut notes);
        self.note(&notes, it.expr.span());
        Ok(matrix)
    }

    /// The aggregation done by the leaf below, if there is one right below.
    async fn fused(
        &self,
        it: &Aggregate,
        op: FusedOp,
        grid: Grid,
    ) -> Result<Option<Matrix>, EvalError> {
        let fused = Some(Fused { op, grouping: it.grouping.clone() });
        match it.expr.unwrapped() {
            Expr::Vector(selector) if selector.modifiers.extended.is_some() => Ok(None),
            Expr::Vector(selector) => {
                let look = Look::new(selector, Window::Last, selector.span);
                let look = Look { fused, aggregated: it.expr.span(), ..look };
                self.instant_leaf(look, grid).await.map(Some)
            }
            Expr::Call(call) => {
                let Run::Window(make) = call.function.run else {
                    return Ok(None);
                };
                let Some(Expr::Matrix(matrix)) =
                    call.args.iter().map(Expr::unwrapped).find(|it| matches!(it, Expr::Matrix(_)))
                else {
                    return Ok(None);
                };
                // Only a fixed name tells that no two rows become one when names are dropped, and
                // only it is there for annotations once rows are groups.
                let Some(name) = fixed_name(&matrix.selector) else {
                    return Ok(None);
                };
                if call.args.len() != 1 || matrix.selector.modifiers.extended.is_some() {
                    return Ok(None);
                }
                let window = make(Vec::new());
                let keeps_name = matches!(window, Window::LastOverTime | Window::FirstOverTime);
                if groups_by_name(&it.grouping) && !keeps_name {
                    return Ok(None);
                }
                let look = Look::new(&matrix.selector, window.clone(), matrix.span);
                let look = Look { fused, aggregated: it.expr.span(), ..look };
                let found = self.range_leaf(look, &matrix.range, grid).await?;
                if found.rows.iter().any(has_floats) {
                    self.annotate_counter(&window, name, matrix.span);
                }
                Ok(Some(found))
            }
            _ => Ok(None),
        }
    }

    /// A name that no counter has, under a function for counters.
    pub(super) fn annotate_counter(&self, window: &Window, name: &str, span: Span) {
        let is_for_counters = matches!(window, Window::Rate | Window::Increase);
        let is_counter =
            ["_total", "_sum", "_count", "_bucket"].iter().any(|it| name.ends_with(it));
        if is_for_counters && !is_counter && !name.is_empty() {
            self.annotate(|it, query| it.possible_non_counter(query, span, name));
        }
    }

    async fn param(&self, it: &Aggregate, grid: Grid) -> Result<(Vec<f64>, Span), EvalError> {
        match &it.param {
            Some(param) => Ok((self.scalar(param, grid).await?, param.unwrapped().span())),
            None => Ok((Vec::new(), it.span)),
        }
    }

    async fn quantiles(&self, it: &Aggregate, grid: Grid) -> Result<Vec<f64>, EvalError> {
        let (quantiles, span) = self.param(it, grid).await?;
        self.check_quantiles(&quantiles, span);
        Ok(quantiles)
    }

    pub(super) fn check_quantiles(&self, quantiles: &[f64], span: Span) {
        let (low, high) = bounds(quantiles);
        let nan = quantiles.iter().copied().find(|it| it.is_nan());
        for q in nan
            .into_iter()
            .chain([low].into_iter().filter(|it| *it < 0.0))
            .chain([high].into_iter().filter(|it| *it > 1.0))
        {
            self.annotate(|it, query| it.invalid_quantile(query, span, q));
        }
    }

    async fn count_values(&self, it: &Aggregate, grid: Grid) -> Result<Matrix, EvalError> {
        let label = match &it.param {
            Some(param) => {
                if let Expr::String(StringLiteral { bytes: Some(bytes), .. }) = param.unwrapped() {
                    let mut name = String::new();
                    return Err(match write_bytes(&mut name, bytes) {
                        Ok(()) | Err(_) => VectorError::LabelName(name).into(),
                    });
                }
                self.string(param, grid).await?
            }
            None => String::new(),
        };
        let input = self.vector(&it.expr, grid).await?;
        Ok(vector::count_values(&input, &label, &it.grouping)?)
    }

    async fn rank(&self, it: &Aggregate, grid: Grid) -> Result<Matrix, EvalError> {
        let (param, span) = self.param(it, grid).await?;
        let (low, high) = bounds(&param);
        let has_nan = param.iter().any(|it| it.is_nan());
        let ranking = if it.op == AggregateOp::LimitRatio {
            if has_nan {
                return Err(VectorError::RatioNan.into());
            }
            if high > 1.0 {
                self.annotate(|it, query| it.invalid_ratio(query, span, high, 1.0));
            }
            if low < -1.0 {
                self.annotate(|it, query| it.invalid_ratio(query, span, low, -1.0));
            }
            Ranking::Ratio(param.iter().map(|it| it.clamp(-1.0, 1.0)).collect())
        } else {
            if high < 1.0 && !has_nan {
                return Ok(Matrix::empty(grid));
            }
            let counts = counts(&param, low, high, has_nan)?;
            match it.op {
                AggregateOp::Topk => Ranking::Top(counts),
                AggregateOp::Bottomk => Ranking::Bottom(counts),
                _ => Ranking::Limit(counts),
            }
        };
        let input = self.vector(&it.expr, grid).await?;
        let mut notes = Notes::new();
        let matrix = vector::rank(input, &ranking, &it.grouping, &mut notes);
        self.note(&notes, it.span);
        Ok(matrix)
    }
}

pub(super) fn has_floats(row: &Row) -> bool {
    row.values.iter().any(|it| !crate::is_absent(*it))
}

fn fused_op(op: AggregateOp) -> Option<FusedOp> {
    Some(match op {
        AggregateOp::Sum => FusedOp::Sum,
        AggregateOp::Avg => FusedOp::Avg,
        AggregateOp::Min => FusedOp::Min,
        AggregateOp::Max => FusedOp::Max,
        AggregateOp::Count => FusedOp::Count,
        AggregateOp::Group => FusedOp::Group,
        _ => return None,
    })
}

/// The function takes the name away before the aggregation can group by it.
fn groups_by_name(grouping: &Grouping) -> bool {
    matches!(grouping, Grouping::By(names) if names.iter().any(|it| it == METRIC_NAME))
}

/// Smallest and largest, NaN aside.
fn bounds(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .filter(|it| !it.is_nan())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| (low.min(*it), high.max(*it)))
}

fn counts(param: &[f64], low: f64, high: f64, has_nan: bool) -> Result<Vec<i64>, VectorError> {
    /// 2^63.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if has_nan {
        return Err(VectorError::ParamNan);
    }
    if low <= -LIMIT {
        return Err(VectorError::ParamUnderflow(crate::number::format_go(low)));
    }
    if high >= LIMIT {
        return Err(VectorError::ParamOverflow(crate::number::format_go(high)));
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above; fractions are cut off")]
    let counts = param.iter().map(|it| *it as i64).collect();
    Ok(counts)
}
