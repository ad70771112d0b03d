//! Tree back to text: on one line, and in the layout of Prometheus' formatter.

use std::fmt::{self, Write as _};

use skep_proto::{MatchOp, Matcher, TimestampMs, is_label_name, names::METRIC_NAME};

use crate::{
    ParseError, ParseOptions,
    ast::{
        Aggregate, At, Binary, Cardinality, DurationExpr, Expr, Extended, Length, MatrixSelector,
        Modifiers, NumberLiteral, Subquery, VectorSelector,
    },
    leaf::Grouping,
    lex::quote,
    number::{format_float, format_go},
    parse::format_duration,
};

/// An expression longer than this is broken over lines.
const LINE_BYTES_MAX: usize = 100;

/// The query in standard layout.
///
/// # Errors
/// What [`crate::parse_with`] refuses.
pub fn format_query(query: &str, options: ParseOptions) -> Result<String, ParseError> {
    crate::parse_with(query, options).map(|it| pretty(&it, 0))
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

fn pretty(expr: &Expr, level: usize) -> String {
    let line = expr.to_string();
    let pad = indent(level);
    if let Expr::Unary(it) = expr {
        let sign = if it.is_negative { '-' } else { '+' };
        return format!("{pad}{sign}{}", pretty(&it.expr, level).trim());
    }
    if line.len() <= LINE_BYTES_MAX {
        // Prometheus leaves a short subquery unindented.
        return if matches!(expr, Expr::Subquery(_)) { line } else { format!("{pad}{line}") };
    }
    let inner = level + 1;
    match expr {
        Expr::Aggregate(it) => {
            let mut out = format!("{pad}{}(\n", AggregateHead(it));
            if let Some(param) = &it.param {
                out.push_str(&format!("{},\n", pretty(param, inner)));
            }
            out.push_str(&format!("{}\n{pad})", pretty(&it.expr, inner)));
            out
        }
        Expr::Binary(it) => format!(
            "{}\n{pad}{}\n{}",
            pretty(&it.lhs, inner),
            BinaryHead(it),
            pretty(&it.rhs, inner)
        ),
        Expr::Call(it) => {
            let args: Vec<String> = it.args.iter().map(|it| pretty(it, inner)).collect();
            format!("{pad}{}(\n{}\n{pad})", it.function.name, args.join(",\n"))
        }
        Expr::Paren(it) => format!("{pad}(\n{}\n{pad})", pretty(&it.expr, inner)),
        Expr::Subquery(it) => format!("{}{}", pretty(&it.expr, level), SubqueryTail(it)),
        _ => format!("{pad}{line}"),
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(it) => it.fmt(out),
            Self::String(it) => match &it.bytes {
                None => out.write_str(&quote(&it.value)),
                Some(bytes) => write_bytes(out, bytes),
            },
            Self::Vector(it) => {
                it.fmt(out)?;
                write_at(out, it.modifiers.at)?;
                write_extended(out, it.modifiers.extended)?;
                write_offset(out, &it.modifiers.offset)
            }
            Self::Matrix(it) => it.fmt(out),
            Self::Subquery(it) => write!(out, "{}{}", it.expr, SubqueryTail(it)),
            Self::Call(it) => {
                write!(out, "{}(", it.function.name)?;
                for (i, arg) in it.args.iter().enumerate() {
                    write!(out, "{}{arg}", if i > 0 { ", " } else { "" })?;
                }
                out.write_char(')')
            }
            Self::Aggregate(it) => {
                write!(out, "{}(", AggregateHead(it))?;
                if let Some(param) = &it.param {
                    write!(out, "{param}, ")?;
                }
                write!(out, "{})", it.expr)
            }
            Self::Binary(it) => write!(out, "{} {} {}", it.lhs, BinaryHead(it), it.rhs),
            Self::Unary(it) => {
                write!(out, "{}{}", if it.is_negative { '-' } else { '+' }, it.expr)
            }
            Self::Paren(it) => write!(out, "({})", it.expr),
        }
    }
}

impl fmt::Display for NumberLiteral {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_duration {
            #[expect(clippy::cast_possible_truncation, reason = "durations fit by construction")]
            return out.write_str(&format_duration((self.value * 1000.0).round() as i64));
        }
        out.write_str(&format_float(self.value))
    }
}

/// Bytes that are no UTF-8 are shown as escapes.
pub(crate) fn write_bytes(out: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    out.write_char('"')?;
    for chunk in bytes.utf8_chunks() {
        let quoted = quote(chunk.valid());
        let inner = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        out.write_str(inner.unwrap_or_default())?;
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    out.write_char('"')
}

/// Name and matchers alone.
impl fmt::Display for VectorSelector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or_default();
        let mut matchers: Vec<String> = self
            .matchers
            .iter()
            .filter(|it| {
                let is_name = it.name() == METRIC_NAME
                    && it.op() == MatchOp::Equal
                    && it.value() == name
                    && !name.is_empty();
                !is_name
            })
            .map(matcher)
            .collect();
        matchers.sort_unstable();
        out.write_str(name)?;
        if matchers.is_empty() && !name.is_empty() {
            return Ok(());
        }
        if matchers.is_empty() { Ok(()) } else { write!(out, "{{{}}}", matchers.join(",")) }
    }
}

fn matcher(it: &Matcher) -> String {
    format!("{}{}{}", label_name(it.name()), it.op(), quote(it.value()))
}

fn label_name(name: &str) -> String {
    if is_label_name(name) { name.to_owned() } else { quote(name) }
}

fn label_names(names: &[String]) -> String {
    names.iter().map(|it| label_name(it)).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for MatrixSelector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}[{}]", self.selector, self.range)?;
        write_extended(out, self.selector.modifiers.extended)?;
        write_time(out, &self.selector.modifiers)
    }
}

struct SubqueryTail<'a>(&'a Subquery);

impl fmt::Display for SubqueryTail<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "[{}:", self.0.range)?;
        if let Some(step) = &self.0.step {
            write!(out, "{step}")?;
        }
        out.write_char(']')?;
        write_time(out, &self.0.modifiers)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Millis(it) => out.write_str(&format_duration(*it)),
            Self::Expr(it) => it.fmt(out),
        }
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(it) => it.fmt(out),
            Self::Negative(it, _) => write!(out, "-{it}"),
            Self::Binary { op, lhs, rhs } => write!(out, "{lhs} {} {rhs}", op.name()),
            Self::Step(_) => out.write_str("step()"),
            Self::Range(_) => out.write_str("range()"),
            Self::MinOf(a, b, _) => write!(out, "min_of({a}, {b})"),
            Self::MaxOf(a, b, _) => write!(out, "max_of({a}, {b})"),
            Self::Paren(it, _) => write!(out, "({it})"),
        }
    }
}

fn write_time(out: &mut fmt::Formatter<'_>, modifiers: &Modifiers) -> fmt::Result {
    write_at(out, modifiers.at)?;
    write_offset(out, &modifiers.offset)
}

fn write_at(out: &mut fmt::Formatter<'_>, at: Option<At>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::Time(at)) => write!(out, " @ {}", millis_as_seconds(at)),
        Some(At::Start) => out.write_str(" @ start()"),
        Some(At::End) => out.write_str(" @ end()"),
    }
}

fn millis_as_seconds(at: TimestampMs) -> String {
    let sign = if at.0 < 0 { "-" } else { "" };
    let millis = at.0.unsigned_abs();
    format!("{sign}{}.{:03}", millis / 1000, millis % 1000)
}

fn write_extended(out: &mut fmt::Formatter<'_>, extended: Option<Extended>) -> fmt::Result {
    match extended {
        None => Ok(()),
        Some(Extended::Anchored) => out.write_str(" anchored"),
        Some(Extended::Smoothed) => out.write_str(" smoothed"),
    }
}

fn write_offset(out: &mut fmt::Formatter<'_>, offset: &Length) -> fmt::Result {
    if *offset == Length::default() {
        return Ok(());
    }
    write!(out, " offset {offset}")
}

/// `sum by (a) `, up to the parenthesis.
struct AggregateHead<'a>(&'a Aggregate);

impl fmt::Display for AggregateHead<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.op.name())?;
        match &self.0.grouping {
            Grouping::By(names) if names.is_empty() => Ok(()),
            Grouping::By(names) => write!(out, " by ({}) ", label_names(names)),
            Grouping::Without(names) => write!(out, " without ({}) ", label_names(names)),
        }
    }
}

/// `+ on (a) group_left (b)`: the operator and what follows it.
struct BinaryHead<'a>(&'a Binary);

impl fmt::Display for BinaryHead<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Binary { op, return_bool, matching, .. } = self.0;
        write!(out, "{}{}", op.name(), if *return_bool { " bool" } else { "" })?;
        if !matching.labels.is_empty() || matching.on || matching.card != Cardinality::OneToOne {
            let tag = if matching.on { "on" } else { "ignoring" };
            write!(out, " {tag} ({})", label_names(&matching.labels))?;
        }
        match matching.card {
            Cardinality::OneToOne => {}
            Cardinality::ManyToOne => {
                write!(out, " group_left ({})", label_names(&matching.include))?;
            }
            Cardinality::OneToMany => {
                write!(out, " group_right ({})", label_names(&matching.include))?;
            }
        }
        match matching.fill {
            #[expect(clippy::float_cmp, reason = "the same literal on both sides")]
            (Some(left), Some(right)) if left == right => {
                write!(out, " fill ({})", format_go(left))
            }
            (left, right) => {
                if let Some(left) = left {
                    write!(out, " fill_left ({})", format_go(left))?;
                }
                if let Some(right) = right {
                    write!(out, " fill_right ({})", format_go(right))?;
                }
                Ok(())
            }
        }
    }
}
