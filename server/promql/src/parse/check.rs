//! Types and rules that the grammar does not say.

use skep_proto::names::METRIC_NAME;

use super::ParseError;
use crate::{
    ast::{Aggregate, Binary, Call, Cardinality, Expr, Matching, Span, ValueType, VectorSelector},
    lex::quote,
};

/// Checks the tree from the leaves up, in the order Prometheus reports.
pub(super) fn check(query: &str, expr: &mut Expr) -> Result<ValueType, ParseError> {
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(it) => check_selector(query, it)?,
        Expr::Matrix(it) => check_selector(query, &it.selector)?,
        Expr::Paren(it) => drop(check(query, &mut it.expr)?),
        Expr::Unary(it) => {
            let found = check(query, &mut it.expr)?;
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = format!(
                    "unary expression only allowed on expressions of type scalar or instant \
                     vector, got {}",
                    quote(found.documented())
                );
                return Err(ParseError::new(query, it.span, message));
            }
        }
        Expr::Subquery(it) => {
            let found = check(query, &mut it.expr)?;
            if found != ValueType::Vector {
                let message = format!(
                    "subquery is only allowed on instant vector, got {} instead",
                    found.name()
                );
                return Err(ParseError::new(query, it.span, message));
            }
        }
        Expr::Aggregate(it) => check_aggregate(query, it)?,
        Expr::Binary(it) => check_binary(query, it)?,
        Expr::Call(it) => check_call(query, it)?,
    }
    Ok(expr.value_type())
}

fn expect_type(
    query: &str,
    expr: &mut Expr,
    wanted: ValueType,
    context: &str,
) -> Result<(), ParseError> {
    let found = check(query, expr)?;
    if found == wanted {
        return Ok(());
    }
    let message =
        format!("expected type {} in {context}, got {}", wanted.documented(), found.documented());
    Err(ParseError::new(query, expr.span(), message))
}

fn check_selector(query: &str, selector: &VectorSelector) -> Result<(), ParseError> {
    if let Some(name) = &selector.name {
        let others = selector.matchers.len().saturating_sub(1);
        if let Some(other) =
            selector.matchers.iter().take(others).find(|it| it.name() == METRIC_NAME)
        {
            let message = format!(
                "metric name must not be set twice: {} or {}",
                quote(name),
                quote(other.value())
            );
            return Err(ParseError::new(query, selector.span, message));
        }
        return Ok(());
    }
    if !selector.may_match_all && selector.matchers.iter().all(|it| it.matches_empty()) {
        return Err(ParseError::new(
            query,
            selector.span,
            "vector selector must contain at least one non-empty matcher",
        ));
    }
    Ok(())
}

fn check_aggregate(query: &str, it: &mut Aggregate) -> Result<(), ParseError> {
    expect_type(query, &mut it.expr, ValueType::Vector, "aggregation expression")?;
    if let (Some(wanted), Some(param)) = (it.op.param_type(), &mut it.param) {
        expect_type(query, param, wanted, "aggregation parameter")?;
    }
    Ok(())
}

fn check_binary(query: &str, it: &mut Binary) -> Result<(), ParseError> {
    let lhs = check(query, &mut it.lhs)?;
    let rhs = check(query, &mut it.rhs)?;
    let whole = it.lhs.span().to(it.rhs.span());
    let at_op = operator_span(query, it);
    let fail = |span, message: String| Err(ParseError::new(query, span, message));
    let both_scalar = lhs == ValueType::Scalar && rhs == ValueType::Scalar;
    let both_vector = lhs == ValueType::Vector && rhs == ValueType::Vector;
    if it.return_bool && !it.op.is_comparison() {
        return fail(at_op, "bool modifier can only be used on comparison operators".to_owned());
    }
    if it.op.is_comparison() && !it.return_bool && both_scalar {
        return fail(at_op, "comparisons between scalars must use BOOL modifier".to_owned());
    }
    if it.matching.on
        && let Some(label) = it.matching.labels.iter().find(|it2| it.matching.include.contains(it2))
    {
        let message =
            format!("label {} must not occur in ON and GROUP clause at once", quote(label));
        return fail(at_op, message);
    }
    for (found, side) in [(lhs, &it.lhs), (rhs, &it.rhs)] {
        if !matches!(found, ValueType::Scalar | ValueType::Vector) {
            return fail(
                side.span(),
                "binary expression must contain only scalar and instant vector types".to_owned(),
            );
        }
    }
    let has_fill = it.matching.fill != (None, None);
    if !both_vector {
        if !it.matching.labels.is_empty() {
            return fail(whole, "vector matching only allowed between instant vectors".to_owned());
        }
        if has_fill {
            let message = "filling in missing series only allowed between instant vectors";
            return fail(whole, message.to_owned());
        }
        it.matching = Matching::default();
    } else if it.op.is_set() {
        if it.matching.card != Cardinality::OneToOne {
            return fail(
                whole,
                format!("no grouping allowed for {} operation", quote(it.op.name())),
            );
        }
        if has_fill {
            let message = "filling in missing series not allowed for set operators";
            return fail(whole, message.to_owned());
        }
    }
    if it.op.is_set() && !both_vector {
        return fail(
            whole,
            format!("set operator {} not allowed in binary scalar expression", quote(it.op.name())),
        );
    }
    Ok(())
}

/// From the operator to the last thing before the right side.
fn operator_span(query: &str, it: &Binary) -> Span {
    let (start, end) = (it.lhs.span().end, it.rhs.span().start);
    let between = query.get(start..end).unwrap_or_default();
    let trimmed = between.trim_start();
    Span { start: start + between.len() - trimmed.len(), end: start + between.trim_end().len() }
}

fn check_call(query: &str, it: &mut Call) -> Result<(), ParseError> {
    let function = it.function;
    let n_args = it.args.len();
    let name = quote(function.name);
    let fail = |message: String| Err(ParseError::new(query, it.span, message));
    let n_declared = function.args.len();
    match function.variadic {
        0 => {
            if n_args != n_declared {
                return fail(format!(
                    "expected {n_declared} argument(s) in call to {name}, got {n_args}"
                ));
            }
        }
        variadic => {
            let n_min = n_declared.saturating_sub(1);
            if n_args < n_min {
                return fail(format!(
                    "expected at least {n_min} argument(s) in call to {name}, got {n_args}"
                ));
            }
            if let Ok(more) = usize::try_from(variadic)
                && n_args > n_min + more
            {
                return fail(format!(
                    "expected at most {} argument(s) in call to {name}, got {n_args}",
                    n_min + more
                ));
            }
        }
    }
    if function.name == "info" {
        check_info(query, it)?;
    }
    let context = format!("call to function {name}");
    for (i, arg) in it.args.iter_mut().enumerate() {
        let wanted = function.args.get(i).or(function.args.last());
        if let Some(&wanted) = wanted {
            expect_type(query, arg, wanted, &context)?;
        }
    }
    Ok(())
}

/// The second argument of `info()` is braces only, and may match everything.
fn check_info(query: &str, it: &mut Call) -> Result<(), ParseError> {
    let Some(selector) = it.args.get_mut(1) else {
        return Ok(());
    };
    let span = selector.span();
    match selector {
        Expr::Vector(it) if it.name.is_some() => Err(ParseError::new(
            query,
            span,
            "expected label selectors only, got vector selector instead",
        )),
        Expr::Vector(it) => {
            it.may_match_all = true;
            Ok(())
        }
        _ => Err(ParseError::new(query, span, "expected label selectors only")),
    }
}
