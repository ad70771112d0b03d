//! Aggregations, operators and literals.

use super::Parser;
use crate::{
    ast::{
        Binary, BinaryOp, Conversion, Expr, Group, GroupSide, Grouping, LabelReplace,
        LabelReplaceArgs, LogExpr, LogRange, Matching, MetricExpr, RangeAggregation, RangeOp,
        Unwrap, Variants, VectorAggregation, VectorOp,
    },
    check,
    error::ParseError,
    lex::{Func, Sym, Tok},
};

/// A range expression while it is being read: the window may stand before or behind the stages.
struct HalfRange {
    log: LogExpr,
    interval_ns: Option<i64>,
    offset_ns: i64,
    unwrap: Option<Unwrap>,
}

impl Parser {
    pub(super) fn metric_primary(&mut self) -> Result<MetricExpr, ParseError> {
        match self.peek() {
            Tok::Number(_) | Tok::Sym(Sym::Add | Sym::Sub) => {
                self.signed_number().map(MetricExpr::Literal)
            }
            Tok::RangeOp(op) => {
                let op = *op;
                self.range_aggregation(op).map(MetricExpr::Range)
            }
            Tok::VectorOp(op) => {
                let op = *op;
                self.vector_aggregation(op).map(|it| MetricExpr::Vectors(Box::new(it)))
            }
            Tok::Sym(Sym::LabelReplace) => {
                self.label_replace().map(|it| MetricExpr::LabelReplace(Box::new(it)))
            }
            Tok::Func(Func::Vector) => {
                self.bump();
                self.expect(Sym::OpenParen, &["("])?;
                let value = self.number(&["NUMBER"])?;
                self.expect(Sym::CloseParen, &[")"])?;
                Ok(MetricExpr::Vector(value))
            }
            _ => Err(self.unexpected(&[])),
        }
    }

    pub(super) fn signed_number(&mut self) -> Result<f64, ParseError> {
        if self.eat(Sym::Sub) {
            return self.number(&["NUMBER"]).map(|it| -it);
        }
        if self.eat(Sym::Add) {
            return self.number(&["NUMBER"]);
        }
        self.number(&[])
    }

    fn number(&mut self, expecting: &[&str]) -> Result<f64, ParseError> {
        let text = self.number_text(expecting)?;
        parse_number(&text).ok_or_else(|| {
            ParseError::new(format!("unable to parse float: parsing {text:?}: invalid syntax"))
        })
    }

    fn number_text(&mut self, expecting: &[&str]) -> Result<String, ParseError> {
        let Tok::Number(text) = self.peek() else { return Err(self.unexpected(expecting)) };
        let text = text.clone();
        self.bump();
        Ok(text)
    }

    fn range_aggregation(&mut self, op: RangeOp) -> Result<RangeAggregation, ParseError> {
        let start = self.start();
        self.bump();
        self.expect(Sym::OpenParen, &["("])?;
        let param = if matches!(self.peek(), Tok::Number(_)) {
            let text = self.number_text(&[])?;
            self.expect(Sym::Comma, &[","])?;
            Some(text)
        } else {
            None
        };
        if param.is_none() && !self.at(Sym::OpenBrace) && !self.at(Sym::OpenParen) {
            return Err(self.unexpected(&["NUMBER", "{", "("]));
        }
        let range = self.log_range()?;
        let Some(interval_ns) = range.interval_ns else { return Err(self.unexpected(&[])) };
        self.expect(Sym::CloseParen, &[")"])?;
        let grouping = self.grouping()?;
        let quantile = check::quantile(op, param.as_deref())?;
        let aggregation = RangeAggregation {
            op,
            quantile,
            log: range.log,
            unwrap: range.unwrap,
            interval_ns,
            offset_ns: range.offset_ns,
            grouping,
            span: start..self.end(),
        };
        check::range_aggregation(&aggregation)?;
        Ok(aggregation)
    }

    /// `variants(metric, …) of (range)`
    pub(super) fn variants(&mut self) -> Result<MetricExpr, ParseError> {
        self.bump();
        self.expect(Sym::OpenParen, &["("])?;
        let mut variants = vec![self.metric_expr()?];
        while self.eat(Sym::Comma) {
            variants.push(self.metric_expr()?);
        }
        self.expect(Sym::CloseParen, &[])?;
        self.expect(Sym::Of, &["of"])?;
        self.expect(Sym::OpenParen, &["("])?;
        let range = self.log_range()?;
        let Some(interval_ns) = range.interval_ns else { return Err(self.unexpected(&[])) };
        self.expect(Sym::CloseParen, &[")"])?;
        let (log, unwrap, offset_ns) = (range.log, range.unwrap, range.offset_ns);
        let of = LogRange { log, unwrap, interval_ns, offset_ns };
        Ok(MetricExpr::Variants(Box::new(Variants { variants, of })))
    }

    fn log_range(&mut self) -> Result<HalfRange, ParseError> {
        self.nested(|it| {
            if it.eat(Sym::OpenParen) {
                let mut range = it.log_range()?;
                it.expect(Sym::CloseParen, &[])?;
                if range.interval_ns.is_none() {
                    it.window(&mut range)?;
                }
                return Ok(range);
            }
            let start = it.start();
            let matchers = it.selector()?;
            let stages = it.stages()?;
            let log = LogExpr { matchers, stages, span: start..it.end() };
            let mut range = HalfRange { log, interval_ns: None, offset_ns: 0, unwrap: None };
            range.unwrap = it.unwrap()?;
            it.window(&mut range)?;
            range.log.span.end = it.end();
            Ok(range)
        })
    }

    /// `[5m] offset 1h`, and the stages that may follow a window where none came before it.
    fn window(&mut self, range: &mut HalfRange) -> Result<(), ParseError> {
        let Tok::Range(interval_ns) = self.peek() else { return Ok(()) };
        range.interval_ns = Some(*interval_ns);
        self.bump();
        if self.eat(Sym::Offset) {
            let Tok::Duration(offset_ns) = self.peek() else {
                return Err(self.unexpected(&["DURATION"]));
            };
            range.offset_ns = *offset_ns;
            self.bump();
        }
        if range.log.stages.is_empty() && range.unwrap.is_none() {
            range.log.stages = self.stages()?;
            range.unwrap = self.unwrap()?;
        }
        Ok(())
    }

    fn unwrap(&mut self) -> Result<Option<Unwrap>, ParseError> {
        if !self.at_unwrap() {
            return Ok(None);
        }
        self.bump();
        self.bump();
        let conversion = match self.peek() {
            Tok::Func(Func::Bytes) => Conversion::Bytes,
            Tok::Func(Func::Duration) => Conversion::Duration,
            Tok::Func(Func::DurationSeconds) => Conversion::DurationSeconds,
            _ => Conversion::Number,
        };
        let label = if conversion == Conversion::Number {
            self.ident(&["IDENTIFIER", "bytes", "duration", "duration_seconds"])?
        } else {
            self.bump();
            self.expect(Sym::OpenParen, &["("])?;
            let label = self.ident(&["IDENTIFIER"])?;
            self.expect(Sym::CloseParen, &[")"])?;
            label
        };
        let mut filters = Vec::new();
        while self.eat(Sym::Pipe) {
            filters.push(self.label_filter(0)?);
        }
        Ok(Some(Unwrap { label, conversion, filters }))
    }

    fn vector_aggregation(&mut self, op: VectorOp) -> Result<VectorAggregation, ParseError> {
        let start = self.start();
        self.bump();
        let before = self.grouping()?;
        self.expect(Sym::OpenParen, &[])?;
        let takes_param =
            matches!(self.peek(), Tok::Number(_)) && self.peek_second() == &Tok::Sym(Sym::Comma);
        let param = if takes_param {
            let text = self.number_text(&[])?;
            self.bump();
            Some(text)
        } else {
            None
        };
        let inner = self.metric_expr()?;
        self.expect(Sym::CloseParen, &[])?;
        let grouping = if before.is_some() { before } else { self.grouping()? };
        let k = check::vector_param(op, param.as_deref(), grouping.as_ref())?;
        Ok(VectorAggregation { op, k, inner, grouping, span: start..self.end() })
    }

    /// `by (…)` or `without (…)`, if it is next.
    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        let by = match self.peek() {
            Tok::Sym(Sym::By) => true,
            Tok::Sym(Sym::Without) => false,
            _ => return Ok(None),
        };
        self.bump();
        let labels = self.labels()?;
        Ok(Some(if by { Grouping::By(labels) } else { Grouping::Without(labels) }))
    }

    /// `(a, b)`, may be empty.
    fn labels(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect(Sym::OpenParen, &["("])?;
        let mut labels = Vec::new();
        if self.eat(Sym::CloseParen) {
            return Ok(labels);
        }
        loop {
            let expecting: &[&str] =
                if labels.is_empty() { &["IDENTIFIER", ")"] } else { &["IDENTIFIER"] };
            labels.push(self.ident(expecting)?);
            if self.eat(Sym::CloseParen) {
                return Ok(labels);
            }
            self.expect(Sym::Comma, &[",", ")"])?;
        }
    }

    /// `bool`, `on (…) group_left (…)`.
    pub(super) fn modifier(&mut self) -> Result<(bool, Option<Matching>), ParseError> {
        let return_bool = self.eat(Sym::Bool);
        let on = match self.peek() {
            Tok::Sym(Sym::On) => true,
            Tok::Sym(Sym::Ignoring) => false,
            _ => return Ok((return_bool, None)),
        };
        self.bump();
        let labels = self.labels()?;
        let side = match self.peek() {
            Tok::Sym(Sym::GroupLeft) => Some(GroupSide::Left),
            Tok::Sym(Sym::GroupRight) => Some(GroupSide::Right),
            _ => None,
        };
        let group = match side {
            None => None,
            Some(side) => {
                self.bump();
                // `group_left (a)` and `group_left (1 + 2)` differ at the second token.
                let is_list = self.at(Sym::OpenParen)
                    && matches!(self.peek_second(), Tok::Ident(_) | Tok::Sym(Sym::CloseParen));
                let include = if is_list { self.labels()? } else { Vec::new() };
                Some(Group { side, include })
            }
        };
        Ok((return_bool, Some(Matching { on, labels, group })))
    }

    fn label_replace(&mut self) -> Result<LabelReplace, ParseError> {
        self.bump();
        self.expect(Sym::OpenParen, &["("])?;
        let inner = self.metric_expr()?;
        let mut args = LabelReplaceArgs::default();
        for arg in [&mut args.dst, &mut args.replacement, &mut args.src, &mut args.regex] {
            self.expect(Sym::Comma, &[","])?;
            *arg = self.text()?;
        }
        self.expect(Sym::CloseParen, &[")"])?;
        check::label_replace(&args)?;
        Ok(LabelReplace { inner, args })
    }
}

fn parse_number(text: &str) -> Option<f64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        #[expect(clippy::cast_precision_loss, reason = "as Go reads it")]
        return u64::from_str_radix(&hex.replace('_', ""), 16).ok().map(|it| it as f64);
    }
    text.parse().ok()
}

/// Joins two operands, or computes the value where both are literals.
pub(super) fn binary(
    op: BinaryOp,
    left: Expr,
    right: Expr,
    return_bool: bool,
    matching: Option<Matching>,
) -> Result<MetricExpr, ParseError> {
    let left = check::operand(op, "left", left)?;
    let right = check::operand(op, "right", right)?;
    if let (MetricExpr::Literal(left), MetricExpr::Literal(right)) = (&left, &right) {
        return Ok(MetricExpr::Literal(fold(op, *left, *right)));
    }
    Ok(MetricExpr::Binary(Box::new(Binary { op, left, right, return_bool, matching })))
}

/// Loki's arithmetic: a division by zero is NaN, a comparison of literals is 1 or 0.
pub(crate) fn fold(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |it: bool| f64::from(u8::from(it));
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div if right == 0.0 => f64::NAN,
        BinaryOp::Div => left / right,
        BinaryOp::Mod if right == 0.0 => f64::NAN,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterOrEqual => truth(left >= right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessOrEqual => truth(left <= right),
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => f64::NAN,
    }
}
