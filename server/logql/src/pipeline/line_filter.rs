//! `|= "text"`, `!~ "regex"`, `|> "<_>pattern"` and `ip()`.

use memchr::memmem::Finder;
use regex::Regex;

use super::{Line, RunStage, ip::IpMatcher, pattern::Pattern};
use crate::{
    ast::{LineFilter, LineOp, Stage},
    check,
    error::{ParseError, QueryError},
};

/// Texts of which a line must contain one (or none).
#[derive(Debug, Clone)]
pub struct Needle {
    pub any_of: Vec<Finder<'static>>,
    pub negative: bool,
}

impl Needle {
    /// Whether a line can pass.
    pub fn admits(&self, line: &[u8]) -> bool {
        self.any_of.iter().any(|it| it.find(line).is_some()) != self.negative
    }
}

/// The line filters before the first stage that changes a line, as far as they are plain texts.
pub(super) fn needles(stages: &[Stage]) -> Vec<Needle> {
    let unchanged = stages
        .iter()
        .take_while(|it| !matches!(it, Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize));
    let filters = unchanged.filter_map(|stage| match stage {
        Stage::LineFilter(filter) => Some(filter),
        _ => None,
    });
    filters.filter_map(needle).collect()
}

fn needle(filter: &LineFilter) -> Option<Needle> {
    let is_text = matches!(filter.op, LineOp::Contains | LineOp::NotContains)
        && filter.alternatives.iter().all(|it| !it.is_ip);
    is_text.then(|| Needle {
        any_of: filter
            .alternatives
            .iter()
            .map(|it| Finder::new(it.text.as_bytes()).into_owned())
            .collect(),
        negative: filter.op.is_negative(),
    })
}

#[derive(Debug)]
pub(super) struct LineFilterStage {
    alternatives: Vec<Test>,
    negative: bool,
}

#[derive(Debug)]
enum Test {
    Text(Box<Finder<'static>>),
    Regex(Regex),
    Pattern(Pattern),
    Ip(IpMatcher),
}

impl LineFilterStage {
    pub(super) fn compile(filter: &LineFilter) -> Result<Self, QueryError> {
        let alternatives = filter
            .alternatives
            .iter()
            .map(|it| {
                if it.is_ip {
                    return Ok(Test::Ip(IpMatcher::parse(&it.text)?));
                }
                Ok(match filter.op {
                    LineOp::Contains | LineOp::NotContains => {
                        Test::Text(Box::new(Finder::new(it.text.as_bytes()).into_owned()))
                    }
                    LineOp::Regex | LineOp::NotRegex => Test::Regex(check::line_regex(&it.text)?),
                    LineOp::Pattern | LineOp::NotPattern => Test::Pattern(
                        Pattern::parse_filter(&it.text)
                            .map_err(|error| ParseError::new(error.to_string()))?,
                    ),
                })
            })
            .collect::<Result<_, QueryError>>()?;
        Ok(Self { alternatives, negative: filter.op.is_negative() })
    }
}

impl RunStage for LineFilterStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        let text = line.text.as_ref();
        let found = self.alternatives.iter().any(|test| match test {
            Test::Text(finder) => finder.find(text.as_bytes()).is_some(),
            Test::Regex(regex) => regex.is_match(text),
            Test::Pattern(pattern) => pattern.matches(text),
            Test::Ip(ip) => ip.is_in(text),
        });
        found != self.negative
    }
}
