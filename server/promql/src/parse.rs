//! Query text to tree: a Pratt parser with Prometheus' grammar, error texts and positions.

mod check;
mod duration;
mod error;
mod matcher;
mod modifier;
mod number;

pub use error::ParseError;

pub(crate) use error::position;
pub(crate) use number::{format_duration, parse_duration, parse_number};

use crate::{
    ast::{
        Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, Matching, NumberLiteral,
        Paren, Span, StringLiteral, Unary,
    },
    functions,
    leaf::Grouping,
    lex::{Keyword, Kind, Lexer, Preprocessor, Token, quote},
};

/// A tree higher than this is refused instead of exhausting the stack. A chain of operators counts
/// as one level: it is evaluated in a loop.
const HEIGHT_MAX: usize = 80;

/// Bounds what chains of operators add to the depth of the tree, for the walks that do recurse.
const N_OPERATORS_MAX: usize = 200;

/// Bounds what one text may cost to parse.
const QUERY_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParseOptions {
    /// Accept experimental functions, aggregations and modifiers.
    pub experimental: bool,
}

/// Parses and type-checks a query, experimental features refused.
///
/// # Errors
/// The first mistake of the text, with its position.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, ParseOptions::default())
}

/// Parses and type-checks a query.
///
/// # Errors
/// The first mistake of the text, with its position.
pub fn parse_with(query: &str, options: ParseOptions) -> Result<Expr, ParseError> {
    let (mut parser, mut expr) = (Parser::new(query, options)?, None);
    if parser.token.kind != Kind::Eof {
        let parsed = parser.expr(0)?;
        parser.expect_end()?;
        expr = Some(parsed);
    }
    let Some(mut expr) = expr else {
        return Err(parser.error_at(Span::default(), "no expression found in input"));
    };
    check::check(query, &mut expr)?;
    Ok(expr)
}

/// Parses `name{matchers}` alone, as `match[]` and series listings take it.
///
/// # Errors
/// The first mistake of the text, with its position; anything but a bare selector.
pub fn parse_selector(query: &str) -> Result<Vec<skep_proto::Matcher>, ParseError> {
    let mut parser = Parser::new(query, ParseOptions::default())?;
    let selector = parser.selector()?;
    parser.expect_end()?;
    let mut expr = Expr::Vector(selector);
    check::check(query, &mut expr)?;
    match expr {
        Expr::Vector(it) => Ok(it.matchers),
        other => Err(ParseError::new(query, other.span(), "expected a vector selector")),
    }
}

struct Parser<'a> {
    query: &'a str,
    lexer: Lexer<'a>,
    options: ParseOptions,
    /// The token not yet taken.
    token: Token<'a>,
    /// Where the last token taken ends.
    last_end: usize,
    /// How deep the parser itself stands.
    depth: usize,
    /// Of the expression read last.
    height: usize,
    n_operators: usize,
}

impl<'a> Parser<'a> {
    fn new(query: &'a str, options: ParseOptions) -> Result<Self, ParseError> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(ParseError::new(
                query,
                Span::default(),
                format!("query of {} bytes is longer than {QUERY_BYTES_MAX}", query.len()),
            ));
        }
        let start = Token { kind: Kind::Eof, span: Span::default(), text: "" };
        let lexer = Lexer::new(query);
        let mut parser = Self {
            query,
            lexer,
            options,
            token: start,
            last_end: 0,
            depth: 0,
            height: 0,
            n_operators: 0,
        };
        parser.advance()?;
        Ok(parser)
    }

    /// Takes the current token and reads the next.
    fn advance(&mut self) -> Result<Token<'a>, ParseError> {
        let taken = self.token;
        self.last_end = taken.span.end;
        self.token = self.lexer.next_token().map_err(|error| {
            let span = Span { start: error.at, end: self.query.len() };
            ParseError::new(self.query, span, error.message)
        })?;
        Ok(taken)
    }

    fn take(&mut self, kind: Kind) -> Result<bool, ParseError> {
        let found = self.token.kind == kind;
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, kind: Kind) -> Result<Token<'a>, ParseError> {
        if self.token.kind == kind { self.advance() } else { Err(self.unexpected("", "")) }
    }

    fn expect_end(&self) -> Result<(), ParseError> {
        if self.token.kind == Kind::Eof { Ok(()) } else { Err(self.unexpected("", "")) }
    }

    fn error_at(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.query, span, message)
    }

    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let mut message = format!("unexpected {}", self.token.describe());
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.error_at(self.token.span, message)
    }

    fn check_depth(&self, depth: usize) -> Result<(), ParseError> {
        if depth <= HEIGHT_MAX {
            return Ok(());
        }
        let message = format!("expression is nested deeper than {HEIGHT_MAX} levels");
        Err(self.error_at(self.token.span, message))
    }

    fn check_size(&self) -> Result<(), ParseError> {
        if self.n_operators > N_OPERATORS_MAX {
            let message = format!("expression has more than {N_OPERATORS_MAX} operators");
            return Err(self.error_at(self.token.span, message));
        }
        self.check_depth(self.height)
    }

    /// Everything that binds tighter than `min`.
    fn expr(&mut self, min: u8) -> Result<Expr, ParseError> {
        self.depth += 1;
        self.check_depth(self.depth)?;
        let mut lhs = self.prefix()?;
        let mut operand_height = self.height;
        while let Kind::Operator(op) = self.token.kind {
            if op.precedence() <= min {
                break;
            }
            self.advance()?;
            lhs = self.binary(lhs, op)?;
            operand_height = operand_height.max(self.height);
            self.height = operand_height + 1;
            self.n_operators += 1;
            if let Err(too_much) = self.check_size() {
                // A mistake in what was read tells more than the limit.
                check::check(self.query, &mut lhs)?;
                return Err(too_much);
            }
        }
        self.depth -= 1;
        Ok(lhs)
    }

    fn binary(&mut self, lhs: Expr, op: BinaryOp) -> Result<Expr, ParseError> {
        let return_bool = self.take(Kind::Keyword(Keyword::Bool))?;
        let matching = self.matching()?;
        // Only `^` groups to the right.
        let min = if op == BinaryOp::Pow { op.precedence() - 1 } else { op.precedence() };
        let rhs = self.expr(min)?;
        let span = lhs.span().to(rhs.span());
        if matching.fill != (None, None) && !self.options.experimental {
            return Err(
                self.error_at(span, "binop fill modifiers are experimental and not enabled")
            );
        }
        Ok(Expr::Binary(Binary {
            op,
            lhs: Box::new(lhs),
            rhs: Box::new(rhs),
            return_bool,
            matching,
        }))
    }

    fn matching(&mut self) -> Result<Matching, ParseError> {
        let mut matching = Matching::default();
        let on = match self.token.kind {
            Kind::Keyword(Keyword::On) => Some(true),
            Kind::Keyword(Keyword::Ignoring) => Some(false),
            _ => None,
        };
        if let Some(on) = on {
            self.advance()?;
            matching.on = on;
            matching.labels = self.grouping_labels()?;
            matching.card = match self.token.kind {
                Kind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
                Kind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
                _ => Cardinality::OneToOne,
            };
            if matching.card != Cardinality::OneToOne {
                self.advance()?;
                if self.token.kind == Kind::LeftParen {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        while let Kind::Keyword(
            keyword @ (Keyword::Fill | Keyword::FillLeft | Keyword::FillRight),
        ) = self.token.kind
        {
            self.advance()?;
            self.expect(Kind::LeftParen)?;
            let value = self.signed_number()?;
            self.expect(Kind::RightParen)?;
            if keyword != Keyword::FillRight {
                matching.fill.0 = Some(value);
            }
            if keyword != Keyword::FillLeft {
                matching.fill.1 = Some(value);
            }
        }
        Ok(matching)
    }

    fn grouping_labels(&mut self) -> Result<Vec<String>, ParseError> {
        if self.token.kind != Kind::LeftParen {
            return Err(self.unexpected("grouping opts", "\"(\""));
        }
        self.advance()?;
        let mut labels = Vec::new();
        while self.token.kind != Kind::RightParen {
            labels.push(self.grouping_label()?);
            match self.token.kind {
                Kind::Comma => drop(self.advance()?),
                Kind::RightParen => {}
                _ => return Err(self.unexpected("grouping opts", "\",\" or \")\"")),
            }
        }
        self.advance()?;
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Result<String, ParseError> {
        let is_word = match self.token.kind {
            Kind::Identifier | Kind::Keyword(_) | Kind::Aggregator(_) | Kind::Preprocessor(_) => {
                true
            }
            Kind::Operator(op) => op.is_set() || op == BinaryOp::Atan2,
            Kind::String => {
                let token = self.advance()?;
                let label = self.unquote(token)?;
                if label.is_empty() {
                    return Err(self.error_at(
                        token.span,
                        format!("invalid label name for grouping: {}", quote(&label)),
                    ));
                }
                return Ok(label);
            }
            _ => false,
        };
        if !is_word {
            return Err(self.unexpected("grouping opts", "label"));
        }
        Ok(self.advance()?.text.to_owned())
    }

    fn prefix(&mut self) -> Result<Expr, ParseError> {
        let Kind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.token.kind else {
            let primary = self.primary()?;
            return self.postfix(primary);
        };
        let start = self.advance()?.span;
        // A sign binds as tight as `*`: only `^` and what follows a selector bind tighter.
        let expr = self.expr(BinaryOp::Mul.precedence())?;
        self.height += 1;
        let span = start.to(expr.span());
        let is_negative = op == BinaryOp::Sub;
        Ok(match expr {
            Expr::Number(it) => Expr::Number(NumberLiteral {
                value: if is_negative { -it.value } else { it.value },
                span,
                ..it
            }),
            expr => Expr::Unary(Unary { is_negative, expr: Box::new(expr), span }),
        })
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        self.height = 0;
        match self.token.kind {
            Kind::Number | Kind::Duration => Ok(Expr::Number(self.number()?)),
            Kind::String => {
                let token = self.advance()?;
                let (value, bytes) = match String::from_utf8(self.unquote_bytes(token)?) {
                    Ok(value) => (value, None),
                    Err(error) => {
                        let bytes = error.into_bytes();
                        (String::from_utf8_lossy(&bytes).into_owned(), Some(bytes))
                    }
                };
                Ok(Expr::String(StringLiteral { value, bytes, span: token.span }))
            }
            Kind::LeftParen => {
                let start = self.advance()?.span;
                let expr = Box::new(self.expr(0)?);
                self.height += 1;
                let end = self.expect(Kind::RightParen)?.span;
                Ok(Expr::Paren(Paren { expr, span: start.to(end) }))
            }
            Kind::LeftBrace => Ok(Expr::Vector(self.selector()?)),
            Kind::Aggregator(op) => self.aggregate_or_selector(op),
            Kind::Identifier | Kind::Preprocessor(_) => self.call_or_selector(),
            _ if self.is_metric_name() => Ok(Expr::Vector(self.selector()?)),
            _ => Err(self.unexpected("", "")),
        }
    }

    /// Keywords that may also name a metric.
    fn is_metric_name(&self) -> bool {
        match self.token.kind {
            Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregator(_) => true,
            Kind::Preprocessor(_) => true,
            Kind::Keyword(it) => matches!(
                it,
                Keyword::By
                    | Keyword::Offset
                    | Keyword::Without
                    | Keyword::Anchored
                    | Keyword::Smoothed
                    | Keyword::Fill
                    | Keyword::FillLeft
                    | Keyword::FillRight
            ),
            Kind::Operator(op) => op.is_set(),
            _ => false,
        }
    }

    fn call_or_selector(&mut self) -> Result<Expr, ParseError> {
        // Whether a parenthesis follows is known only after the name is taken.
        let name = self.token;
        let mut ahead = self.lexer.clone();
        let is_call = ahead.next_token().is_ok_and(|it| it.kind == Kind::LeftParen);
        if !is_call {
            return Ok(Expr::Vector(self.selector()?));
        }
        self.advance()?;
        let args = self.arguments()?;
        let span = Span { start: name.span.start, end: self.last_end };
        let lookup = match name.kind {
            Kind::Preprocessor(it) => preprocessor_name(it),
            _ => name.text,
        };
        let Some(function) = functions::find(lookup) else {
            return Err(self
                .error_at(name.span, format!("unknown function with name {}", quote(name.text))));
        };
        if function.experimental && !self.options.experimental {
            return Err(
                self.error_at(name.span, format!("function {} is not enabled", quote(name.text)))
            );
        }
        Ok(Expr::Call(Call { function, args, span }))
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, ParseError> {
        self.expect(Kind::LeftParen)?;
        let mut args = Vec::new();
        if self.take(Kind::RightParen)? {
            return Ok(args);
        }
        let mut height = 0;
        loop {
            args.push(self.expr(0)?);
            height = height.max(self.height + 1);
            if self.token.kind != Kind::Comma {
                break;
            }
            let comma = self.advance()?;
            if self.token.kind == Kind::RightParen {
                return Err(
                    self.error_at(comma.span, "trailing commas not allowed in function call args")
                );
            }
        }
        self.expect(Kind::RightParen)?;
        self.height = height;
        Ok(args)
    }

    fn aggregate_or_selector(&mut self, op: AggregateOp) -> Result<Expr, ParseError> {
        let mut ahead = self.lexer.clone();
        let next = ahead.next_token().map(|it| it.kind);
        let is_aggregate =
            matches!(next, Ok(Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without)));
        if !is_aggregate {
            return Ok(Expr::Vector(self.selector()?));
        }
        let start = self.advance()?.span;
        let before = self.grouping()?;
        if self.token.kind != Kind::LeftParen {
            return Err(self.unexpected("aggregation", ""));
        }
        let args = self.arguments()?;
        let mut span = Span { start: start.start, end: self.last_end };
        let grouping = match before {
            Some(grouping) => grouping,
            None => {
                let after = self.grouping()?;
                span.end = self.last_end;
                after.unwrap_or(Grouping::By(Vec::new()))
            }
        };
        self.aggregate(op, grouping, args, span)
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        if self.take(Kind::Keyword(Keyword::By))? {
            return Ok(Some(Grouping::By(self.grouping_labels()?)));
        }
        if self.take(Kind::Keyword(Keyword::Without))? {
            return Ok(Some(Grouping::Without(self.grouping_labels()?)));
        }
        Ok(None)
    }

    fn aggregate(
        &self,
        op: AggregateOp,
        grouping: Grouping,
        args: Vec<Expr>,
        span: Span,
    ) -> Result<Expr, ParseError> {
        let n_args = args.len();
        if n_args == 0 {
            return Err(self.error_at(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.experimental {
            return Err(self.error_at(
                span,
                format!(
                    "{}() is experimental and must be enabled with \
                     --enable-feature=promql-experimental-functions",
                    op.name()
                ),
            ));
        }
        let n_wanted = 1 + usize::from(op.param_type().is_some());
        let mut args = args.into_iter();
        let param = op.param_type().and_then(|_| args.next());
        let (Some(expr), true) = (args.next(), n_args == n_wanted) else {
            return Err(self.error_at(
                span,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected \
                     {n_wanted}, got {n_args}"
                ),
            ));
        };
        Ok(Expr::Aggregate(Aggregate {
            op,
            param: param.map(Box::new),
            expr: Box::new(expr),
            grouping,
            span,
        }))
    }
}

fn preprocessor_name(it: Preprocessor) -> &'static str {
    match it {
        Preprocessor::Start => "start",
        Preprocessor::End => "end",
        Preprocessor::Step => "step",
        Preprocessor::Range => "range",
    }
}
