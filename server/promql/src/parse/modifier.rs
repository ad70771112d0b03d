//! What follows an expression: `[range]`, `[range:step]`, `offset`, `@`, `anchored`, `smoothed`.

use skep_proto::TimestampMs;

use super::{ParseError, Parser};
use crate::{
    ast::{At, BinaryOp, Expr, Extended, Length, MatrixSelector, Modifiers, Span, Subquery},
    lex::{Keyword, Kind, Preprocessor},
};

const LENGTH_EXPECTED: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    pub(super) fn postfix(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        loop {
            expr = match self.token.kind {
                Kind::LeftBracket => self.brackets(expr)?,
                Kind::Keyword(Keyword::Offset) => self.offset(expr)?,
                Kind::At => self.at(expr)?,
                Kind::Keyword(Keyword::Anchored) => self.extended(expr, Extended::Anchored)?,
                Kind::Keyword(Keyword::Smoothed) => self.extended(expr, Extended::Smoothed)?,
                _ => return Ok(expr),
            };
        }
    }

    fn brackets(&mut self, expr: Expr) -> Result<Expr, ParseError> {
        let open = self.advance()?.span;
        if !self.starts_duration() {
            return Err(self.unexpected("subquery or range selector", LENGTH_EXPECTED));
        }
        let range = self.positive_length()?;
        let start = expr.span();
        match self.token.kind {
            Kind::RightBracket => {
                let close = self.advance()?.span;
                self.matrix(expr, range, open.to(close))
            }
            Kind::Colon => {
                self.advance()?;
                let mut step = None;
                if self.token.kind != Kind::RightBracket {
                    if !self.starts_duration() {
                        return Err(self.unexpected(
                            "subquery selector",
                            "number, duration, step(), range(), or \"]\"",
                        ));
                    }
                    step = Some(self.positive_length()?);
                    if self.token.kind != Kind::RightBracket {
                        return Err(self.unexpected("subquery selector", "\"]\""));
                    }
                }
                let close = self.advance()?.span;
                self.height += 1;
                self.check_depth(self.height)?;
                Ok(Expr::Subquery(Subquery {
                    expr: Box::new(expr),
                    range,
                    step,
                    modifiers: Modifiers::default(),
                    span: start.to(close),
                }))
            }
            _ => Err(self.unexpected("subquery or range", "\":\" or \"]\"")),
        }
    }

    fn matrix(&self, expr: Expr, range: Length, brackets: Span) -> Result<Expr, ParseError> {
        let Expr::Vector(selector) = expr else {
            return Err(self.error_at(brackets, "ranges only allowed for vector selectors"));
        };
        if selector.modifiers.offset != Length::default() {
            return Err(self.error_at(brackets, "no offset modifiers allowed before range"));
        }
        if selector.modifiers.at.is_some() {
            return Err(self.error_at(brackets, "no @ modifiers allowed before range"));
        }
        if selector.modifiers.extended.is_some() {
            return Err(
                self.error_at(brackets, "no anchored or smoothed modifiers allowed before range")
            );
        }
        let span = selector.span.to(brackets);
        Ok(Expr::Matrix(MatrixSelector { selector, range, span }))
    }

    fn offset(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        self.advance()?;
        let is_sign = matches!(self.token.kind, Kind::Operator(BinaryOp::Add | BinaryOp::Sub));
        if !is_sign && !self.starts_duration() {
            return Err(self.unexpected("offset", LENGTH_EXPECTED));
        }
        let offset = self.offset_length()?;
        let (span, end) = (expr.span(), self.last_end);
        let Some((modifiers, whole)) = modifiers_of(&mut expr) else {
            return Err(self.error_at(
                span,
                "offset modifier must be preceded by an instant vector selector or range vector \
                 selector or a subquery",
            ));
        };
        if modifiers.offset != Length::default() {
            return Err(self.error_at(span, "offset may not be set multiple times"));
        }
        modifiers.offset = offset;
        whole.end = end;
        Ok(expr)
    }

    fn at(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        self.advance()?;
        let is_number = self.is_number()
            || matches!(self.token.kind, Kind::Operator(BinaryOp::Add | BinaryOp::Sub));
        let at = match self.token.kind {
            Kind::Preprocessor(it @ (Preprocessor::Start | Preprocessor::End)) => {
                self.advance()?;
                if self.token.kind != Kind::LeftParen {
                    return Err(self.unexpected("@", "timestamp"));
                }
                self.advance()?;
                if self.token.kind != Kind::RightParen {
                    return Err(self.unexpected("@", "timestamp"));
                }
                self.advance()?;
                if it == Preprocessor::Start { At::Start } else { At::End }
            }
            _ if is_number => {
                let seconds = self.signed_number()?;
                At::Time(self.at_time(seconds, expr.span())?)
            }
            _ => return Err(self.unexpected("@", "timestamp")),
        };
        let (span, end) = (expr.span(), self.last_end);
        let Some((modifiers, whole)) = modifiers_of(&mut expr) else {
            return Err(self.error_at(
                span,
                "@ modifier must be preceded by an instant vector selector or range vector \
                 selector or a subquery",
            ));
        };
        if modifiers.at.is_some() {
            return Err(self.error_at(span, "@ <timestamp> may not be set multiple times"));
        }
        modifiers.at = Some(at);
        whole.end = end;
        Ok(expr)
    }

    fn at_time(&self, seconds: f64, span: Span) -> Result<TimestampMs, ParseError> {
        // 2^63: beyond it, a float has no 64-bit integer.
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        if !seconds.is_finite() || seconds.abs() >= LIMIT {
            let shown = if seconds.is_nan() {
                "NaN".to_owned()
            } else if seconds.is_infinite() {
                (if seconds > 0.0 { "+Inf" } else { "-Inf" }).to_owned()
            } else {
                format!("{seconds:.6}")
            };
            return Err(
                self.error_at(span, format!("timestamp out of bounds for @ modifier: {shown}"))
            );
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounded; saturates at the far ends")]
        let millis = (seconds * 1000.0).round() as i64;
        Ok(TimestampMs(millis))
    }

    fn extended(&mut self, mut expr: Expr, extended: Extended) -> Result<Expr, ParseError> {
        self.advance()?;
        let name = match extended {
            Extended::Anchored => "anchored",
            Extended::Smoothed => "smoothed",
        };
        let span = expr.span();
        if !self.options.experimental {
            return Err(
                self.error_at(span, format!("{name} modifier is experimental and not enabled"))
            );
        }
        if matches!(expr, Expr::Subquery(_)) {
            return Err(
                self.error_at(span, format!("{name} modifier is not supported for subqueries"))
            );
        }
        let Some((modifiers, _)) = modifiers_of(&mut expr) else {
            return Err(self.error_at(span, format!("{name} modifier not implemented")));
        };
        if modifiers.extended.is_some_and(|it| it != extended) {
            return Err(
                self.error_at(span, "anchored and smoothed modifiers cannot be used together")
            );
        }
        modifiers.extended = Some(extended);
        Ok(expr)
    }
}

/// The modifiers of what can have some, with the span they lengthen.
fn modifiers_of(expr: &mut Expr) -> Option<(&mut Modifiers, &mut Span)> {
    match expr {
        Expr::Vector(it) => Some((&mut it.modifiers, &mut it.span)),
        Expr::Matrix(it) => Some((&mut it.selector.modifiers, &mut it.span)),
        Expr::Subquery(it) => Some((&mut it.modifiers, &mut it.span)),
        _ => None,
    }
}
