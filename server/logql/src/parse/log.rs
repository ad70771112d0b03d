//! Stream selectors, pipelines and label filters.

use skep_proto::{MatchOp, Matcher};

use super::Parser;
use crate::{
    ast::{
        CompareOp, Extraction, LabelFilter, LabelFormat, LabelFormatValue, LabelPick, LineFilter,
        LineNeedle, LineOp, LogExpr, LogfmtFlags, Stage,
    },
    check,
    error::ParseError,
    lex::{Func, Sym, Tok},
};

const MATCH_OPS: &[&str] = &["=", "=~", "!~", "!="];
const TEXT_OR_IP: &[&str] = &["STRING", "ip"];

impl Parser {
    /// `{…} | stage …`
    pub(super) fn log_expr(&mut self) -> Result<LogExpr, ParseError> {
        let start = self.start();
        let matchers = self.selector()?;
        let stages = self.stages()?;
        if self.at_unwrap() {
            self.bump();
            return Err(self.unexpected_behind_pipe());
        }
        Ok(LogExpr { matchers, stages, span: start..self.end() })
    }

    pub(super) fn selector(&mut self) -> Result<Vec<Matcher>, ParseError> {
        self.expect(Sym::OpenBrace, &[])?;
        let mut matchers = Vec::new();
        if self.eat(Sym::CloseBrace) {
            return Ok(matchers);
        }
        loop {
            let first = matchers.is_empty();
            let expecting: &[&str] = if first { &["IDENTIFIER", "}"] } else { &["IDENTIFIER"] };
            let name = self.ident(expecting)?;
            matchers.push(self.matcher(name)?);
            if self.eat(Sym::CloseBrace) {
                return Ok(matchers);
            }
            self.expect(Sym::Comma, &["}", ","])?;
        }
    }

    /// `= "value"`, behind a label's name.
    fn matcher(&mut self, name: String) -> Result<Matcher, ParseError> {
        let op = match self.peek() {
            Tok::Sym(Sym::Equal) => MatchOp::Equal,
            Tok::Sym(Sym::NotEqual) => MatchOp::NotEqual,
            Tok::Sym(Sym::Regex) => MatchOp::Regex,
            Tok::Sym(Sym::NotRegex) => MatchOp::NotRegex,
            _ => return Err(self.unexpected(MATCH_OPS)),
        };
        self.bump();
        let value = self.text()?;
        check::matcher(name, op, &value)
    }

    pub(super) fn at_unwrap(&self) -> bool {
        self.at(Sym::Pipe) && self.peek_second() == &Tok::Sym(Sym::Unwrap)
    }

    fn unexpected_behind_pipe(&self) -> ParseError {
        self.unexpected(&[])
    }

    /// Stages up to the first token that starts none; an `| unwrap` is left to the caller.
    pub(super) fn stages(&mut self) -> Result<Vec<Stage>, ParseError> {
        let mut stages = Vec::new();
        loop {
            if let Some(op) = line_op(self.peek()) {
                self.bump();
                stages.push(Stage::LineFilter(self.line_filter(op)?));
            } else if self.at(Sym::Pipe) && !self.at_unwrap() {
                self.bump();
                stages.push(self.stage()?);
            } else {
                return Ok(stages);
            }
        }
    }

    fn line_filter(&mut self, op: LineOp) -> Result<LineFilter, ParseError> {
        let mut alternatives = vec![self.needle()?];
        while self.eat(Sym::Or) {
            alternatives.push(self.needle()?);
        }
        let filter = LineFilter { op, alternatives };
        check::line_filter(&filter)?;
        Ok(filter)
    }

    fn needle(&mut self) -> Result<LineNeedle, ParseError> {
        if self.peek() == &Tok::Func(Func::Ip) {
            return Ok(LineNeedle { text: self.ip()?, is_ip: true });
        }
        Ok(LineNeedle { text: self.text_or(TEXT_OR_IP)?, is_ip: false })
    }

    /// `ip("…")`, with `ip` as the next token.
    fn ip(&mut self) -> Result<String, ParseError> {
        self.bump();
        self.expect(Sym::OpenParen, &["("])?;
        let pattern = self.text()?;
        self.expect(Sym::CloseParen, &[")"])?;
        Ok(pattern)
    }

    fn stage(&mut self) -> Result<Stage, ParseError> {
        let Tok::Sym(sym) = self.peek() else {
            return self.label_filter(0).map(Stage::LabelFilter);
        };
        let stage = *sym;
        if stage == Sym::OpenParen {
            return self.label_filter(0).map(Stage::LabelFilter);
        }
        self.bump();
        match stage {
            Sym::Json if matches!(self.peek(), Tok::Ident(_)) => {
                Ok(Stage::JsonExprs(self.extractions()?))
            }
            Sym::Json => Ok(Stage::Json),
            Sym::Logfmt => self.logfmt(),
            Sym::Unpack => Ok(Stage::Unpack),
            Sym::Decolorize => Ok(Stage::Decolorize),
            Sym::Regexp => check::regexp(self.text()?),
            Sym::Pattern => check::pattern(self.text()?),
            Sym::LineFormat => self.text().map(Stage::LineFormat),
            Sym::LabelFormat => self.label_format(),
            Sym::Drop => self.picks().map(Stage::Drop),
            Sym::Keep => self.picks().map(Stage::Keep),
            _ => {
                self.next = self.next.saturating_sub(1);
                Err(self.unexpected(&[]))
            }
        }
    }

    fn logfmt(&mut self) -> Result<Stage, ParseError> {
        let mut flags = LogfmtFlags::default();
        while let Tok::Flag(flag) = self.peek() {
            match flag.as_str() {
                "--strict" => flags.strict = true,
                _ => flags.keep_empty = true,
            }
            self.bump();
        }
        let exprs =
            if matches!(self.peek(), Tok::Ident(_)) { self.extractions()? } else { Vec::new() };
        Ok(Stage::Logfmt { flags, exprs })
    }

    /// `a="b.c", d`
    fn extractions(&mut self) -> Result<Vec<Extraction>, ParseError> {
        let mut extractions = Vec::new();
        loop {
            let label = self.ident(&["IDENTIFIER"])?;
            let path = if self.eat(Sym::Equal) { self.text()? } else { label.clone() };
            extractions.push(Extraction { label, path });
            if !self.eat(Sym::Comma) {
                return Ok(extractions);
            }
        }
    }

    fn label_format(&mut self) -> Result<Stage, ParseError> {
        let mut formats: Vec<LabelFormat> = Vec::new();
        loop {
            let label = self.ident(&["IDENTIFIER"])?;
            self.expect(Sym::Equal, &["="])?;
            let value = match self.peek() {
                Tok::Text(text) => LabelFormatValue::Template(text.clone()),
                Tok::Ident(name) => LabelFormatValue::Rename(name.clone()),
                _ => return Err(self.unexpected(&["IDENTIFIER", "STRING"])),
            };
            self.bump();
            formats.push(LabelFormat { label, value });
            if !self.eat(Sym::Comma) {
                check::label_formats(&formats)?;
                return Ok(Stage::LabelFormat(formats));
            }
        }
    }

    fn picks(&mut self) -> Result<Vec<LabelPick>, ParseError> {
        let mut picks = Vec::new();
        loop {
            let name = self.ident(&["IDENTIFIER"])?;
            let has_value = matches!(
                self.peek(),
                Tok::Sym(Sym::Equal | Sym::NotEqual | Sym::Regex | Sym::NotRegex)
            ) && matches!(self.peek_second(), Tok::Text(_));
            picks.push(if has_value {
                LabelPick::Matching(self.matcher(name)?)
            } else {
                LabelPick::Name(name)
            });
            if !self.eat(Sym::Comma) {
                return Ok(picks);
            }
        }
    }

    /// Label filters whose operators bind tighter than `binding`. A comma or nothing between two
    /// filters means "and"; both bind to everything on their right, as in Loki's grammar.
    pub(super) fn label_filter(&mut self, binding: u8) -> Result<LabelFilter, ParseError> {
        self.nested(|it| it.label_filters(binding))
    }

    fn label_filters(&mut self, binding: u8) -> Result<LabelFilter, ParseError> {
        let mut left = self.label_condition()?;
        loop {
            let (is_or, power) = match self.peek() {
                Tok::Sym(Sym::Or) => (true, 1),
                Tok::Sym(Sym::And) => (false, 2),
                Tok::Sym(Sym::Comma) => (false, 0),
                Tok::Ident(_) | Tok::Sym(Sym::OpenParen) => {
                    let right = self.label_filter(0)?;
                    left = LabelFilter::And(Box::new(left), Box::new(right));
                    continue;
                }
                _ => return Ok(left),
            };
            if power > 0 && power <= binding {
                return Ok(left);
            }
            self.bump();
            let right = Box::new(self.label_filter(power)?);
            left = if is_or {
                LabelFilter::Or(Box::new(left), right)
            } else {
                LabelFilter::And(Box::new(left), right)
            };
        }
    }

    fn label_condition(&mut self) -> Result<LabelFilter, ParseError> {
        if self.eat(Sym::OpenParen) {
            let inner = self.label_filter(0)?;
            self.expect(Sym::CloseParen, &[])?;
            return Ok(inner);
        }
        let label = self.ident(&[])?;
        let Tok::Sym(op) = self.peek() else { return Err(self.unexpected(&[])) };
        let op = *op;
        let compare = match op {
            Sym::Regex | Sym::NotRegex => return self.matcher(label).map(LabelFilter::Text),
            Sym::Equal | Sym::Compare => CompareOp::Equal,
            Sym::NotEqual => CompareOp::NotEqual,
            Sym::Less => CompareOp::Less,
            Sym::LessOrEqual => CompareOp::LessOrEqual,
            Sym::Greater => CompareOp::Greater,
            Sym::GreaterOrEqual => CompareOp::GreaterOrEqual,
            _ => return Err(self.unexpected(&[])),
        };
        let takes_text = matches!(op, Sym::Equal | Sym::NotEqual);
        if takes_text && matches!(self.peek_second(), Tok::Text(_)) {
            return self.matcher(label).map(LabelFilter::Text);
        }
        self.bump();
        match self.peek() {
            Tok::Func(Func::Ip) if takes_text => {
                let negative = op == Sym::NotEqual;
                Ok(LabelFilter::Ip { label, negative, pattern: self.ip()? })
            }
            Tok::Duration(value) => {
                let value = *value;
                self.bump();
                Ok(LabelFilter::Duration { label, op: compare, value })
            }
            Tok::Bytes(value) => {
                let value = *value;
                self.bump();
                Ok(LabelFilter::Bytes { label, op: compare, value })
            }
            _ => Ok(LabelFilter::Number { label, op: compare, value: self.signed_number()? }),
        }
    }
}

fn line_op(tok: &Tok) -> Option<LineOp> {
    let Tok::Sym(sym) = tok else { return None };
    Some(match sym {
        Sym::PipeExact => LineOp::Contains,
        Sym::NotEqual => LineOp::NotContains,
        Sym::PipeMatch => LineOp::Regex,
        Sym::NotRegex => LineOp::NotRegex,
        Sym::PipePattern => LineOp::Pattern,
        Sym::NotPattern => LineOp::NotPattern,
        _ => return None,
    })
}
