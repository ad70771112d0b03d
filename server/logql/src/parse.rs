//! Tokens to tree: a Pratt parser that accepts what Loki's grammar accepts.

mod log;
mod metric;

use crate::{
    ast::{BinaryOp, Expr, MetricExpr},
    check,
    error::ParseError,
    lex::{Position, Sym, Tok, Token, lex},
};

/// Loki's own bound on the text of a query.
const QUERY_BYTES_MAX: usize = 131_072;
/// Bounds the stack that nested parentheses and aggregations take.
const DEPTH_MAX: usize = 128;

/// Reads a query and checks what can be checked without data.
///
/// # Errors
/// Loki's message for a text that is no query.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(ParseError::new(format!(
            "input size too long ({} > {QUERY_BYTES_MAX})",
            text.len()
        )));
    }
    let (tokens, lex_error) = lex(text);
    let mut parser = Parser { tokens, lex_error, next: 0, depth: 0 };
    let expr = match parser.peek() {
        // Only as a whole query: no operator takes it.
        Tok::Sym(Sym::Variants) => Expr::Metric(parser.variants()?),
        _ => parser.expr(0)?,
    };
    if parser.peek() != &Tok::End || parser.lex_error.is_some() {
        return Err(parser.unexpected(&[]));
    }
    check::expr(&expr)?;
    Ok(expr)
}

struct Parser {
    tokens: Vec<Token>,
    /// What ended the tokens early; reported once the parser gets there.
    lex_error: Option<ParseError>,
    next: usize,
    depth: usize,
}

pub(crate) use metric::fold;

static END: Token = Token { tok: Tok::End, at: Position { line: 0, col: 0 }, span: 0..0 };

impl Parser {
    fn token(&self) -> &Token {
        self.tokens.get(self.next).or_else(|| self.tokens.last()).unwrap_or(&END)
    }

    fn peek(&self) -> &Tok {
        &self.token().tok
    }

    fn peek_second(&self) -> &Tok {
        self.tokens.get(self.next + 1).map_or(&Tok::End, |it| &it.tok)
    }

    fn bump(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len().saturating_sub(1));
    }

    fn at(&self, sym: Sym) -> bool {
        self.peek() == &Tok::Sym(sym)
    }

    /// Takes the symbol if it is next.
    fn eat(&mut self, sym: Sym) -> bool {
        let is_next = self.at(sym);
        if is_next {
            self.bump();
        }
        is_next
    }

    fn expect(&mut self, sym: Sym, expecting: &[&str]) -> Result<(), ParseError> {
        if self.eat(sym) { Ok(()) } else { Err(self.unexpected(expecting)) }
    }

    fn text(&mut self) -> Result<String, ParseError> {
        self.text_or(&["STRING"])
    }

    fn text_or(&mut self, expecting: &[&str]) -> Result<String, ParseError> {
        let Tok::Text(text) = self.peek() else { return Err(self.unexpected(expecting)) };
        let text = text.clone();
        self.bump();
        Ok(text)
    }

    fn ident(&mut self, expecting: &[&str]) -> Result<String, ParseError> {
        let Tok::Ident(name) = self.peek() else { return Err(self.unexpected(expecting)) };
        let name = name.clone();
        self.bump();
        Ok(name)
    }

    /// Where the next token starts.
    fn start(&self) -> usize {
        self.token().span.start
    }

    /// Where the last taken token ended.
    fn end(&self) -> usize {
        let last = self.next.checked_sub(1).and_then(|it| self.tokens.get(it));
        last.map_or(0, |it| it.span.end)
    }

    /// "Syntax error" at the next token. Loki lists what it expects where that is four at most.
    fn unexpected(&self, expecting: &[&str]) -> ParseError {
        let token = self.token();
        if token.tok == Tok::End
            && let Some(error) = &self.lex_error
        {
            return error.clone();
        }
        let mut message = format!("syntax error: unexpected {}", token.tok.name());
        for (i, it) in expecting.iter().enumerate() {
            message.push_str(if i == 0 { ", expecting " } else { " or " });
            message.push_str(it);
        }
        if self.tokens.len() == 1 {
            return ParseError::new(message);
        }
        ParseError::at(token.at, message)
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth >= DEPTH_MAX {
            return Err(ParseError::at(
                self.token().at,
                format!("query is nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// An expression whose operators all bind tighter than `binding`.
    fn expr(&mut self, binding: u8) -> Result<Expr, ParseError> {
        self.nested(|it| it.binary(binding))
    }

    fn binary(&mut self, binding: u8) -> Result<Expr, ParseError> {
        let mut left = self.primary()?;
        loop {
            let Some(op) = binary_op(self.peek()) else { return Ok(left) };
            let (power, right_associative) = power(op);
            if power <= binding {
                return Ok(left);
            }
            self.bump();
            let (return_bool, matching) = self.modifier()?;
            let right = self.expr(if right_associative { power - 1 } else { power })?;
            left = Expr::Metric(metric::binary(op, left, right, return_bool, matching)?);
        }
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        match self.peek() {
            Tok::Sym(Sym::OpenBrace) => self.log_expr().map(Expr::Log),
            Tok::Sym(Sym::OpenParen) => {
                self.bump();
                let inner = self.expr(0)?;
                self.expect(Sym::CloseParen, &[])?;
                Ok(inner)
            }
            _ => self.metric_primary().map(Expr::Metric),
        }
    }

    fn metric_expr(&mut self) -> Result<MetricExpr, ParseError> {
        match self.expr(0)? {
            Expr::Metric(metric) => Ok(metric),
            // A stream selector where a number is needed: Loki's grammar stops behind it.
            Expr::Log(_) => Err(self.unexpected(&[])),
        }
    }
}

fn binary_op(tok: &Tok) -> Option<BinaryOp> {
    let Tok::Sym(sym) = tok else { return None };
    Some(match sym {
        Sym::Or => BinaryOp::Or,
        Sym::And => BinaryOp::And,
        Sym::Unless => BinaryOp::Unless,
        Sym::Add => BinaryOp::Add,
        Sym::Sub => BinaryOp::Sub,
        Sym::Mul => BinaryOp::Mul,
        Sym::Div => BinaryOp::Div,
        Sym::Mod => BinaryOp::Mod,
        Sym::Pow => BinaryOp::Pow,
        Sym::Compare => BinaryOp::Equal,
        Sym::NotEqual => BinaryOp::NotEqual,
        Sym::Greater => BinaryOp::Greater,
        Sym::GreaterOrEqual => BinaryOp::GreaterOrEqual,
        Sym::Less => BinaryOp::Less,
        Sym::LessOrEqual => BinaryOp::LessOrEqual,
        _ => return None,
    })
}

/// How tightly an operator binds, and whether it groups to the right.
fn power(op: BinaryOp) -> (u8, bool) {
    match op {
        BinaryOp::Or => (1, false),
        BinaryOp::And | BinaryOp::Unless => (2, false),
        BinaryOp::Add | BinaryOp::Sub => (4, false),
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => (5, false),
        BinaryOp::Pow => (6, true),
        _ => (3, false),
    }
}
