//! The selectors of `match`: LogQL's stream selector and line filters, and no more, as in Promtail.
//!
//! ```text
//! {app="web", env=~"a|b"} |= "text" != "text" |~ "regex" !~ `regex`
//! ```

use ::regex::Regex;
use skep_proto::{LabelsBuilder, MatchOp, Matcher, unquote};

use super::{StageError, units::pattern};

#[derive(Debug, Clone)]
pub(super) struct Selector {
    matchers: Vec<Matcher>,
    filters: Vec<LineFilter>,
}

#[derive(Debug, Clone)]
struct LineFilter {
    test: Test,
    is_negative: bool,
}

#[derive(Debug, Clone)]
enum Test {
    Text(String),
    Regex(Regex),
}

impl Selector {
    pub(super) fn parse(text: &str) -> Result<Self, StageError> {
        let mut reader = Reader { rest: text.trim_start() };
        let matchers = reader.matchers()?;
        let mut filters = Vec::new();
        while !reader.rest.is_empty() {
            filters.push(reader.filter()?);
        }
        Ok(Self { matchers, filters })
    }

    pub(super) fn matches(&self, labels: &LabelsBuilder, line: &str) -> bool {
        self.matchers.iter().all(|it| it.matches(labels.get(it.name())))
            && self.filters.iter().all(|it| it.passes(line))
    }
}

impl LineFilter {
    fn passes(&self, line: &str) -> bool {
        let is_found = match &self.test {
            Test::Text(text) => line.contains(text),
            Test::Regex(regex) => regex.is_match(line),
        };
        is_found != self.is_negative
    }
}

/// What of the text is still to be read, without blanks at its start.
struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn matchers(&mut self) -> Result<Vec<Matcher>, StageError> {
        let mut matchers = Vec::new();
        if !self.eat("{") {
            return Err(self.fault("expected {"));
        }
        while !self.eat("}") {
            if !matchers.is_empty() && !self.eat(",") {
                return Err(self.fault("expected , or }"));
            }
            let n_name = self
                .rest
                .bytes()
                .take_while(|it| it.is_ascii_alphanumeric() || *it == b'_')
                .count();
            let name = self.rest.get(..n_name).unwrap_or_default().to_owned();
            if name.is_empty() {
                return Err(self.fault("expected the name of a label"));
            }
            self.skip(n_name);
            let op = self.op(&[
                ("=~", MatchOp::Regex),
                ("!~", MatchOp::NotRegex),
                ("!=", MatchOp::NotEqual),
                ("=", MatchOp::Equal),
            ])?;
            let value = self.text()?;
            matchers.push(Matcher::new(name, op, value)?);
        }
        Ok(matchers)
    }

    fn filter(&mut self) -> Result<LineFilter, StageError> {
        let (is_regex, is_negative) = self.op(&[
            ("|=", (false, false)),
            ("!=", (false, true)),
            ("|~", (true, false)),
            ("!~", (true, true)),
        ])?;
        let text = self.text()?;
        let test = if is_regex { Test::Regex(pattern(&text)?) } else { Test::Text(text) };
        Ok(LineFilter { test, is_negative })
    }

    fn op<T: Copy>(&mut self, ops: &[(&'static str, T)]) -> Result<T, StageError> {
        let found = ops.iter().find(|(text, _)| self.eat(text));
        found.map(|(_, op)| *op).ok_or_else(|| self.fault("expected an operator"))
    }

    /// `"quoted"` or `` `raw` ``.
    fn text(&mut self) -> Result<String, StageError> {
        let fault = self.fault("expected a text in quotes");
        if let Some(rest) = self.rest.strip_prefix('`') {
            let Some(n_bytes) = rest.find('`') else { return Err(fault) };
            let text = rest.get(..n_bytes).unwrap_or_default().to_owned();
            self.skip(n_bytes + 2);
            return Ok(text);
        }
        let Some(rest) = self.rest.strip_prefix('"') else { return Err(fault) };
        let mut is_escaped = false;
        let end = rest.bytes().position(|it| {
            let is_end = it == b'"' && !is_escaped;
            is_escaped = it == b'\\' && !is_escaped;
            is_end
        });
        let inner = end.and_then(|it| rest.get(..it)).and_then(unquote);
        let (Some(n_bytes), Some(text)) = (end, inner) else { return Err(fault) };
        self.skip(n_bytes + 2);
        Ok(text)
    }

    fn eat(&mut self, token: &str) -> bool {
        let is_there = self.rest.starts_with(token);
        if is_there {
            self.skip(token.len());
        }
        is_there
    }

    fn skip(&mut self, n_bytes: usize) {
        self.rest = self.rest.get(n_bytes..).unwrap_or_default().trim_start();
    }

    fn fault(&self, what: &'static str) -> StageError {
        StageError::Selector { what, rest: self.rest.to_owned() }
    }
}
