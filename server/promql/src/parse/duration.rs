//! Lengths of time with arithmetic: `[5m * 2]`, `offset (step() / 2)`.

use super::{ParseError, Parser};
use crate::{
    ast::{BinaryOp, DurationExpr, Length, NumberLiteral},
    lex::{Kind, Preprocessor},
};

impl Parser<'_> {
    pub(super) fn starts_duration(&self) -> bool {
        self.is_number()
            || self.is_choice()
            || matches!(
                self.token.kind,
                Kind::LeftParen
                    | Kind::Operator(BinaryOp::Add | BinaryOp::Sub)
                    | Kind::Preprocessor(Preprocessor::Step | Preprocessor::Range)
            )
    }

    /// A range or a step: more than zero.
    pub(super) fn positive_length(&mut self) -> Result<Length, ParseError> {
        let expr = self.duration_expr(0)?;
        if let DurationExpr::Literal(it) = &expr
            && it.value <= 0.0
        {
            return Err(self.error_at(it.span, "duration must be greater than 0"));
        }
        self.length(expr)
    }

    /// Without parentheses an offset ends after its first term.
    pub(super) fn offset_length(&mut self) -> Result<Length, ParseError> {
        let expr = self.signed_term()?;
        self.length(expr)
    }

    fn length(&self, expr: DurationExpr) -> Result<Length, ParseError> {
        /// What 63 bits of nanoseconds hold, in seconds.
        const SECONDS_MAX: f64 = 9_223_372_036.0;
        match expr {
            DurationExpr::Literal(it) => {
                if !it.value.is_finite() || it.value.abs() > SECONDS_MAX {
                    return Err(self.error_at(it.span, "duration out of range"));
                }
                #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
                let millis = (it.value * 1000.0).round() as i64;
                Ok(Length::Millis(millis))
            }
            expr => Ok(Length::Expr(expr)),
        }
    }

    fn duration_expr(&mut self, min: u8) -> Result<DurationExpr, ParseError> {
        self.depth += 1;
        self.check_depth(self.depth)?;
        let mut lhs = self.signed()?;
        let mut n_operators = 0;
        while let Kind::Operator(op) = self.token.kind {
            let is_arithmetic = op.precedence() > 3 && op != BinaryOp::Atan2;
            if !is_arithmetic || op.precedence() <= min {
                break;
            }
            let sign = self.advance()?;
            let min = if op == BinaryOp::Pow { op.precedence() - 1 } else { op.precedence() };
            let rhs = self.duration_expr(min)?;
            let by_zero = matches!(&rhs, DurationExpr::Literal(it) if it.value == 0.0);
            match op {
                BinaryOp::Div if by_zero => {
                    return Err(self.error_at(sign.span, "division by zero"));
                }
                BinaryOp::Mod if by_zero => {
                    return Err(self.error_at(sign.span, "modulo by zero"));
                }
                _ => {}
            }
            n_operators += 1;
            self.check_depth(self.depth + n_operators)?;
            lhs = DurationExpr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) };
        }
        self.depth -= 1;
        Ok(lhs)
    }

    /// A sign takes what binds tighter than `*`.
    fn signed(&mut self) -> Result<DurationExpr, ParseError> {
        let Kind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.token.kind else {
            return self.term();
        };
        let start = self.advance()?.span;
        let expr = self.duration_expr(BinaryOp::Mul.precedence())?;
        Ok(with_sign(op, expr, start))
    }

    fn signed_term(&mut self) -> Result<DurationExpr, ParseError> {
        let Kind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.token.kind else {
            return self.term();
        };
        let start = self.advance()?.span;
        let expr = self.term()?;
        Ok(with_sign(op, expr, start))
    }

    fn term(&mut self) -> Result<DurationExpr, ParseError> {
        if self.is_number() {
            return Ok(DurationExpr::Literal(self.number()?));
        }
        if self.is_choice() {
            return self.choice();
        }
        match self.token.kind {
            Kind::Preprocessor(it @ (Preprocessor::Step | Preprocessor::Range)) => {
                let start = self.advance()?.span;
                self.expect(Kind::LeftParen)?;
                let span = start.to(self.expect(Kind::RightParen)?.span);
                Ok(match it {
                    Preprocessor::Step => DurationExpr::Step(span),
                    _ => DurationExpr::Range(span),
                })
            }
            Kind::LeftParen => {
                let start = self.advance()?.span;
                let expr = self.duration_expr(0)?;
                let span = start.to(self.expect(Kind::RightParen)?.span);
                Ok(match expr {
                    // Parentheses around parentheses say nothing more.
                    DurationExpr::Paren(inner, _) => DurationExpr::Paren(inner, span),
                    expr => DurationExpr::Paren(Box::new(expr), span),
                })
            }
            _ => Err(self.unexpected("", "")),
        }
    }

    fn is_choice(&self) -> bool {
        self.token.kind == Kind::Identifier
            && matches!(self.token.text.to_ascii_lowercase().as_str(), "min_of" | "max_of")
    }

    /// `min_of(a, b)`, `max_of(a, b)`.
    fn choice(&mut self) -> Result<DurationExpr, ParseError> {
        let name = self.advance()?;
        self.expect(Kind::LeftParen)?;
        let lhs = Box::new(self.duration_expr(0)?);
        self.expect(Kind::Comma)?;
        let rhs = Box::new(self.duration_expr(0)?);
        let span = name.span.to(self.expect(Kind::RightParen)?.span);
        Ok(if name.text.eq_ignore_ascii_case("min_of") {
            DurationExpr::MinOf(lhs, rhs, span)
        } else {
            DurationExpr::MaxOf(lhs, rhs, span)
        })
    }
}

fn with_sign(op: BinaryOp, expr: DurationExpr, start: crate::ast::Span) -> DurationExpr {
    match (op, expr) {
        (BinaryOp::Sub, DurationExpr::Literal(it)) => {
            DurationExpr::Literal(NumberLiteral { value: -it.value, span: start.to(it.span), ..it })
        }
        (BinaryOp::Sub, expr) => {
            let span = start.to(expr.span());
            DurationExpr::Negative(Box::new(expr), span)
        }
        (_, expr) => expr,
    }
}
