//! `<ip> - <_> [<time>]`: literals and captures, as the `pattern` stage and the `|>` filter
//! write them.

use memchr::memmem::Finder;

use super::{Line, RunStage};
use crate::error::{ParseError, QueryError};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("found consecutive capture '<{0}><{1}>': invalid expression")]
    Consecutive(String, String),
    #[error("duplicate capture name ({0}): invalid expression")]
    Duplicate(String),
    #[error("named captures are not allowed")]
    Named,
}

#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    nodes: Vec<Node>,
}

/// `| pattern "…"`: captures become labels.
#[derive(Debug)]
pub(super) struct PatternStage {
    pattern: Pattern,
}

impl PatternStage {
    pub(super) fn compile(text: &str) -> Result<Self, QueryError> {
        let pattern = Pattern::parse(text).map_err(|error| ParseError::new(error.to_string()))?;
        Ok(Self { pattern })
    }
}

impl RunStage for PatternStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        let labels = &mut *line.labels;
        // A line that does not match is no error, so that nobody misses what nobody asked for.
        if self.pattern.names().any(|it| labels.hints().wants(it)) {
            self.pattern.captures(&line.text, |name, value| {
                labels.extract(name, value);
            });
        }
        true
    }
}

#[derive(Debug, Clone)]
enum Node {
    Literal(Box<Finder<'static>>),
    /// `<_>` has no name.
    Capture(Option<String>),
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let mut nodes = Vec::new();
        let mut literal = String::new();
        let mut names: Vec<&str> = Vec::new();
        let mut before: Option<&str> = None;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let Some(name) = capture_name(rest) else {
                literal.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
                continue;
            };
            if literal.is_empty() {
                if let Some(before) = before {
                    return Err(PatternError::Consecutive(before.to_owned(), name.to_owned()));
                }
            } else {
                nodes.push(literal_node(&literal));
                literal.clear();
            }
            if name != "_" {
                if names.contains(&name) {
                    return Err(PatternError::Duplicate(name.to_owned()));
                }
                names.push(name);
            }
            nodes.push(Node::Capture((name != "_").then(|| name.to_owned())));
            before = Some(name);
            rest = rest.get(name.len() + 2..).unwrap_or_default();
        }
        if !literal.is_empty() {
            nodes.push(literal_node(&literal));
        }
        Ok(Self { nodes })
    }

    /// A pattern for `|>`, which captures nothing.
    pub(crate) fn parse_filter(text: &str) -> Result<Self, PatternError> {
        // Two captures side by side are one where nothing is kept of them.
        let mut joined = text.to_owned();
        while joined.contains("<_><_>") {
            joined = joined.replace("<_><_>", "<_>");
        }
        let pattern = Self::parse(&joined)?;
        if pattern.names().next().is_some() { Err(PatternError::Named) } else { Ok(pattern) }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Capture(Some(name)) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The texts between captures.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Literal(finder) => str::from_utf8(finder.needle()).ok(),
            Node::Capture(_) => None,
        })
    }

    /// Gives each named capture and what it stands for. A capture whose end is not found takes
    /// the rest of the line, and those behind it nothing.
    pub(crate) fn captures<'p, 'l>(
        &'p self,
        line: &'l str,
        mut take: impl FnMut(&'p str, &'l str),
    ) {
        let mut rest = line;
        let mut nodes = self.nodes.as_slice();
        if line.is_empty() {
            return;
        }
        if let [Node::Literal(finder), after @ ..] = nodes {
            let Some(behind) = rest.as_bytes().strip_prefix(finder.needle()) else { return };
            rest = line.get(line.len() - behind.len()..).unwrap_or_default();
            nodes = after;
        }
        while let [Node::Capture(name), after @ ..] = nodes {
            let found = match after.first() {
                Some(Node::Literal(finder)) => {
                    finder.find(rest.as_bytes()).map(|at| (at, at + finder.needle().len()))
                }
                _ => None,
            };
            let (end, next) = found.unwrap_or((rest.len(), rest.len()));
            if let Some(name) = name {
                take(name, rest.get(..end).unwrap_or_default());
            }
            if found.is_none() {
                return;
            }
            rest = rest.get(next..).unwrap_or_default();
            nodes = after.get(1..).unwrap_or_default();
        }
    }

    /// Whether the whole line has this shape; a capture stands for one byte at least.
    pub(crate) fn matches(&self, line: &str) -> bool {
        let Some(last) = self.nodes.last() else { return line.is_empty() };
        let mut rest = line.as_bytes();
        for (i, node) in self.nodes.iter().enumerate() {
            let Node::Literal(finder) = node else { continue };
            let Some(at) = finder.find(rest) else { return false };
            if (i == 0) != (at == 0) {
                return false;
            }
            rest = rest.get(at + finder.needle().len()..).unwrap_or_default();
        }
        matches!(last, Node::Capture(_)) != rest.is_empty()
    }
}

fn literal_node(text: &str) -> Node {
    Node::Literal(Box::new(Finder::new(text.as_bytes()).into_owned()))
}

/// The name in `<name>` at the start of `text`.
fn capture_name(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('<')?;
    let name = inner.get(..inner.find('>')?)?;
    skep_proto::is_label_name(name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(pattern: &str, line: &str) -> Vec<(String, String)> {
        let pattern = Pattern::parse(pattern).unwrap();
        let mut out = Vec::new();
        pattern.captures(line, |name, value| out.push((name.to_owned(), value.to_owned())));
        out
    }

    #[test]
    fn captures_lie_between_literals() {
        let pairs = captured("<ip> - <_> [<time>] <rest>", "1.2.3.4 - bob [now] GET /");
        assert_eq!(
            pairs,
            [("ip", "1.2.3.4"), ("time", "now"), ("rest", "GET /")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_capture_without_its_end_takes_the_rest_of_the_line() {
        let pairs = captured("<a>, <b>, <c>", "1, 2");
        assert_eq!(pairs, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        assert_eq!(captured("x<a>", "y1"), []);
    }

    #[test]
    fn errors_name_the_captures() {
        assert_eq!(
            Pattern::parse("<a><b>").unwrap_err().to_string(),
            "found consecutive capture '<a><b>': invalid expression"
        );
        assert_eq!(
            Pattern::parse("<a> <a>").unwrap_err().to_string(),
            "duplicate capture name (a): invalid expression"
        );
        assert!(Pattern::parse_filter("<a>").is_err());
    }

    #[test]
    fn a_filter_spans_the_whole_line() {
        let pattern = Pattern::parse_filter("<_>level=error<_>").unwrap();
        assert!(pattern.matches("x level=error y"));
        assert!(!pattern.matches("level=error y"));
        assert!(!pattern.matches("x level=error"));
    }
}
