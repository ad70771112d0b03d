//! Which selectors' histograms are asked for count and sum only.
//!
//! Prometheus then reads no buckets, and tells resets as it reads: notes on them differ.

use crate::{Expr, ast::Span};

/// The spans of those selectors.
pub(super) fn selectors(expr: &Expr) -> Vec<Span> {
    let mut found = Vec::new();
    visit(expr, Asked::Whole, &mut found);
    found
}

/// What is asked of a histogram further up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// All of it, or nothing special.
    Whole,
    Counted,
    /// Buckets, whatever stands below.
    Buckets,
}

fn visit(expr: &Expr, asked: Asked, found: &mut Vec<Span>) {
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(it) => found.extend((asked == Asked::Counted).then_some(it.span)),
        Expr::Matrix(it) => found.extend((asked == Asked::Counted).then_some(it.selector.span)),
        Expr::Subquery(it) => visit(&it.expr, Asked::Buckets, found),
        Expr::Call(it) => {
            let asked = match (asked, it.function.name) {
                (Asked::Buckets, _)
                | (_, "histogram_quantile" | "histogram_quantiles" | "histogram_fraction") => {
                    Asked::Buckets
                }
                (_, "histogram_count" | "histogram_sum" | "histogram_avg") => Asked::Counted,
                _ => asked,
            };
            it.args.iter().for_each(|it| visit(it, asked, found));
        }
        Expr::Aggregate(it) => {
            it.param.iter().for_each(|it| visit(it, asked, found));
            visit(&it.expr, asked, found);
        }
        Expr::Binary(it) => {
            let asked = if it.op.is_trim() { Asked::Buckets } else { asked };
            visit(&it.lhs, asked, found);
            visit(&it.rhs, asked, found);
        }
        Expr::Unary(it) => visit(&it.expr, asked, found),
        Expr::Paren(it) => visit(&it.expr, asked, found),
    }
}
