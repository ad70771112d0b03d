//! Finding out what a pipeline makes of a template: parsers over probes, then filters over what they
//! found.

use std::sync::LazyLock;

use regex_syntax::hir::literal::Extractor;
use skep_proto::{
    TEMPLATE_VALUES,
    names::{LOG_ERROR, LOG_ERROR_DETAILS},
};

use super::{
    Condition, Known, Piece, Shape, Text, UnwrapFrom, ValueTest, Verdict, contain::may_contain,
    is_joint,
};
use crate::{
    ast::{LabelFilter, LineFilter, LineOp, Stage},
    pipeline::{Category, Line, LineLabels, Pipeline, label_filter, pattern::Pattern},
};

/// In every mark, before the number of its value.
pub(super) const CORE: &str = "81726354";
/// Between the quotes and braces of a rest that tries to add labels.
const OTHER_NAME: &str = "zz_other";

/// What stands for a value. All begin like words do, and hold what words may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Digits,
    Mixed,
    Letter,
}

impl Mark {
    fn text(self, value: usize) -> &'static str {
        let [digits, mixed, letter] = &*MARKS;
        let of_kind = match self {
            Self::Digits => digits,
            Self::Mixed => mixed,
            Self::Letter => letter,
        };
        of_kind.get(value).map_or("", String::as_str)
    }
}

static MARKS: LazyLock<[[String; TEMPLATE_VALUES]; 3]> = LazyLock::new(|| {
    [
        std::array::from_fn(|value| format!("90{CORE}{value}")),
        std::array::from_fn(|value| format!("9.0-8:1_x{CORE}{value}Z")),
        std::array::from_fn(|value| format!("a9.0-8:1_{CORE}{value}F")),
    ]
});

/// What parsers found in a probe.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    labels: Vec<(String, Text)>,
    error: Option<(String, String)>,
}

pub(super) struct Prober<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) pieces: Vec<Piece>,
}

impl Prober<'_> {
    pub(super) fn shape(&self, labels: &mut LineLabels) -> Shape {
        let stages = &self.pipeline.ast;
        let mut n_parsers = 0;
        let mut needles = Vec::new();
        let mut first_filter = stages.len();
        for (at, stage) in stages.iter().enumerate() {
            match stage {
                Stage::LineFilter(filter) => match self.line_filter(filter) {
                    Verdict::Drop => return Shape::Never,
                    Verdict::Keep => {}
                    Verdict::Unsure if is_of_words(filter) => needles.push(at),
                    Verdict::Unsure => return Shape::Unknown,
                },
                Stage::Json | Stage::Logfmt { .. } | Stage::Pattern(_)
                    if first_filter == stages.len() && self.treats_words_alike(stage) =>
                {
                    n_parsers = at + 1;
                }
                Stage::LabelFilter(_) | Stage::Drop(_) | Stage::Keep(_) => {
                    first_filter = first_filter.min(at);
                }
                _ => return Shape::Unknown,
            }
        }
        match self.known(n_parsers, labels) {
            Some(mut known) => {
                if !needles.is_empty() {
                    known.values |= u8::MAX >> (TEMPLATE_VALUES - known.n_values.max(1));
                }
                self.with_filters(Known { needles, ..known }, n_parsers, labels)
            }
            None => Shape::Unknown,
        }
    }

    /// Whether all words are the same to a parser: none of them can be taken for a part of what it
    /// looks for.
    fn treats_words_alike(&self, stage: &Stage) -> bool {
        let Stage::Pattern(text) = stage else {
            // Expressions look for labels that metadata may have, too.
            return !matches!(stage, Stage::Logfmt { exprs, .. } if !exprs.is_empty());
        };
        let is_apart = |literal: &str| {
            let bytes = literal.as_bytes();
            let is_outside =
                |it: Option<&u8>| it.is_none_or(|it| !it.is_ascii_alphanumeric() && !is_joint(*it));
            is_outside(bytes.first())
                && is_outside(bytes.last())
                && !bytes.iter().any(u8::is_ascii_alphanumeric)
        };
        Pattern::parse(text).is_ok_and(|it| it.literals().all(is_apart))
    }

    /// What parsers find in lines of the template.
    fn known(&self, n_parsers: usize, labels: &mut LineLabels) -> Option<Known> {
        let n_values = self.pieces.iter().filter(|it| matches!(it, Piece::Value(_))).count();
        let mut known = Known {
            labels: Vec::new(),
            error: None,
            needles: Vec::new(),
            n_values,
            tests: Vec::new(),
            stages: Vec::new(),
            are_answered: true,
            unwrap: UnwrapFrom::Labels,
            values: 0,
            digits: 0,
            ends_in_word: false,
        };
        if n_parsers == 0 {
            return Some(known);
        }
        let all = |mark: Mark| move |_: usize| mark;
        let found = self.found(n_parsers, labels, all(Mark::Digits), None)?;
        if found != self.found(n_parsers, labels, all(Mark::Mixed), None)?
            || self.has_names_of_values(n_parsers, labels)
        {
            return None;
        }
        let is_any_free =
            self.found(n_parsers, labels, all(Mark::Letter), None).as_ref() == Some(&found);
        for value in (0..n_values).filter(|_| !is_any_free) {
            let marks = |it: usize| if it == value { Mark::Letter } else { Mark::Digits };
            let with_letter = self.found(n_parsers, labels, marks, None);
            if with_letter.as_ref() != Some(&found) {
                known.digits |= 1 << value;
            }
        }
        if n_values == TEMPLATE_VALUES {
            let digits = |_: usize| Mark::Digits;
            // Who met the end of a line says so with an error, or takes labels that follow.
            let closers = ["}]}", "\"}]}"].map(str::to_owned);
            let mut rests =
                [String::new(), self.rest_with_labels(labels)].into_iter().chain(closers);
            let is_free = found.error.is_none()
                && rests.all(|rest| {
                    self.found(n_parsers, labels, digits, Some(&rest)).as_ref() == Some(&found)
                });
            known.ends_in_word = !is_free;
            if is_free {
                known.digits &= !(1 << (TEMPLATE_VALUES - 1));
            }
        }
        known.labels = found.labels;
        known.error = found.error;
        let used = known.labels.iter().flat_map(|(_, text)| &text.0);
        known.values = used.fold(known.digits, |bits, piece| match piece {
            Piece::Value(at) => bits | 1 << at,
            Piece::Text(_) => bits,
        });
        if known.ends_in_word {
            known.values |= 1 << (TEMPLATE_VALUES - 1);
        }
        Some(known)
    }

    /// Whether a value can become a label's name.
    fn has_names_of_values(&self, n_parsers: usize, labels: &LineLabels) -> bool {
        let mut all = labels.without_hints();
        let text = self.text(|_| Mark::Digits, None);
        self.parse(n_parsers, &text, &mut all);
        all.iter().any(|(_, name, _)| name.contains(CORE))
    }

    /// The rest of a line that gives every label a query may ask for, however it is read.
    fn rest_with_labels(&self, labels: &LineLabels) -> String {
        let mut rest = String::from("1");
        let wanted = labels.hints().required().unwrap_or_default();
        for name in wanted.iter().map(String::as_str).chain([OTHER_NAME]) {
            rest.push_str(&format!(" {name}=1 \" {name}=1 \",\"{name}\":\"1\",\"{name}\":1,"));
        }
        for stage in &self.pipeline.ast {
            if let Stage::Pattern(text) = stage
                && let Ok(pattern) = Pattern::parse(text)
            {
                pattern.literals().for_each(|it| rest.push_str(&format!("{it}1")));
            }
        }
        rest
    }

    /// `None` where a mark comes out in part.
    fn found(
        &self,
        n_parsers: usize,
        labels: &mut LineLabels,
        mark: impl Fn(usize) -> Mark + Copy,
        rest: Option<&str>,
    ) -> Option<Found> {
        let text = self.text(mark, rest);
        self.parse(n_parsers, &text, labels);
        let error = labels.get(LOG_ERROR).map(|kind| {
            let details = labels.get(LOG_ERROR_DETAILS).unwrap_or_default();
            (kind.to_owned(), details.to_owned())
        });
        if error.as_ref().is_some_and(|it| it.1.contains(CORE)) {
            return None;
        }
        let parsed = labels.iter().filter(|it| it.0 == Category::Parsed && !is_error(it.1));
        let labels = parsed
            .map(|(_, name, value)| Some((name.to_owned(), unmark(value, mark)?)))
            .collect::<Option<_>>()?;
        Some(Found { labels, error })
    }

    /// The template with marks for values; `rest` stands for the last one.
    fn text(&self, mark: impl Fn(usize) -> Mark, rest: Option<&str>) -> String {
        let mut line = String::new();
        for piece in &self.pieces {
            match (piece, rest) {
                (Piece::Text(text), _) => line.push_str(text),
                (Piece::Value(at), Some(rest)) if at + 1 == TEMPLATE_VALUES => line.push_str(rest),
                (Piece::Value(at), _) => line.push_str(mark(*at).text(*at)),
            }
        }
        line
    }

    fn parse(&self, n_parsers: usize, text: &str, labels: &mut LineLabels) {
        labels.reset();
        let mut line = Line { ts_ns: 0, text: text.into(), labels };
        let stages = self.pipeline.stages.iter().zip(&self.pipeline.ast).take(n_parsers);
        for (stage, _) in stages.filter(|(_, ast)| !matches!(ast, Stage::LineFilter(_))) {
            stage.run(&mut line);
        }
    }

    /// Sorts the filters behind the parsers into those that the template answers, those that
    /// values answer, and others.
    fn with_filters(&self, mut known: Known, from: usize, labels: &mut LineLabels) -> Shape {
        let stages = self.pipeline.stages.iter().zip(&self.pipeline.ast).enumerate().skip(from);
        known.are_answered = known.error.is_none();
        labels.reset();
        known.set_labels(labels, |_| "", &mut String::new());
        for (at, (stage, ast)) in stages {
            let is_answered = match ast {
                Stage::LineFilter(_) => continue,
                Stage::LabelFilter(filter) if known.are_answered => {
                    if self.is_static(filter, &known) {
                        let mut line = Line { ts_ns: 0, text: "".into(), labels };
                        if !stage.run(&mut line) {
                            return Shape::Never;
                        }
                        // It may have found that a label is none of its kind.
                        !line.labels.has_error()
                    } else {
                        label_filter::compile(filter)
                            .is_ok_and(|it| tests_of(it, &known.labels, &mut known.tests))
                    }
                }
                _ => false,
            };
            known.stages.push(at);
            known.are_answered &= is_answered;
        }
        let mut filters = self.pipeline.unwrap_filters.iter();
        known.unwrap = match &self.pipeline.unwrap_label {
            None => UnwrapFrom::Nothing,
            Some(label) if known.are_answered => {
                labels.reset();
                known.set_labels(labels, |_| "", &mut String::new());
                let mut line = Line { ts_ns: 0, text: "".into(), labels };
                let holds = filters.all(|it| self.is_static(it, &known))
                    && self.pipeline.unwrap.as_ref().is_some_and(|it| it.passes(&mut line))
                    && !line.labels.has_error();
                match known.labels.iter().find(|(name, _)| name == label) {
                    Some((_, Text(pieces))) if holds => match pieces.as_slice() {
                        [Piece::Value(at)] => UnwrapFrom::Value(*at),
                        _ => UnwrapFrom::Labels,
                    },
                    _ => UnwrapFrom::Labels,
                }
            }
            Some(_) => UnwrapFrom::Labels,
        };
        Shape::Known(known)
    }

    /// Whether the answer of a filter is that of all lines, for it asks for labels that the
    /// template has, or for the error that there is none.
    fn is_static(&self, filter: &LabelFilter, known: &Known) -> bool {
        match filter {
            LabelFilter::And(left, right) | LabelFilter::Or(left, right) => {
                self.is_static(left, known) && self.is_static(right, known)
            }
            LabelFilter::Text(matcher) if is_error(matcher.name()) => true,
            LabelFilter::Text(matcher) => is_static_label(matcher.name(), known),
            LabelFilter::Number { label, .. }
            | LabelFilter::Duration { label, .. }
            | LabelFilter::Bytes { label, .. }
            | LabelFilter::Ip { label, .. } => is_static_label(label, known),
        }
    }

    /// Whether a line of the template may hold one of the texts that every match begins with.
    fn may_match(&self, pattern: &str) -> bool {
        let hir = skep_proto::go_regex::translate(pattern)
            .ok()
            .and_then(|it| regex_syntax::parse(&it).ok());
        let Some(hir) = hir else { return true };
        let prefixes = Extractor::new().extract(&hir);
        let Some(literals) = prefixes.literals() else { return true };
        literals.iter().any(|it| match str::from_utf8(it.as_bytes()) {
            Ok(text) => may_contain(&self.pieces, text),
            Err(_) => true,
        })
    }

    /// What a line filter says of lines of the template.
    fn line_filter(&self, filter: &LineFilter) -> Verdict {
        let is_text = matches!(filter.op, LineOp::Contains | LineOp::NotContains)
            && filter.alternatives.iter().all(|it| !it.is_ip);
        if filter.op == LineOp::Regex {
            let may_match = filter.alternatives.iter().any(|it| self.may_match(&it.text));
            return if may_match { Verdict::Unsure } else { Verdict::Drop };
        }
        if !is_text {
            return Verdict::Unsure;
        }
        let in_text = |needle: &str| {
            needle.is_empty()
                || self
                    .pieces
                    .iter()
                    .any(|it| matches!(it, Piece::Text(text) if text.contains(needle)))
        };
        let any_sure = filter.alternatives.iter().any(|it| in_text(&it.text));
        let any_possible =
            any_sure || filter.alternatives.iter().any(|it| may_contain(&self.pieces, &it.text));
        match (any_sure, any_possible, filter.op == LineOp::Contains) {
            (true, _, true) | (_, false, false) => Verdict::Keep,
            (true, _, false) | (_, false, true) => Verdict::Drop,
            _ => Verdict::Unsure,
        }
    }
}

/// Whether it asks for texts that lie in one value if they do not lie in the template: made of what
/// words are made of, while something else is around every value.
fn is_of_words(filter: &LineFilter) -> bool {
    let is_word = |it: &u8| it.is_ascii_alphanumeric() || is_joint(*it);
    filter.op == LineOp::Contains
        && filter.alternatives.iter().all(|it| !it.is_ip && it.text.as_bytes().iter().all(is_word))
}

fn is_error(name: &str) -> bool {
    name == LOG_ERROR || name == LOG_ERROR_DETAILS
}

fn is_static_label(name: &str, known: &Known) -> bool {
    let label = known.labels.iter().find(|(it, _)| it == name);
    label.is_some_and(|(_, text)| text.as_static().is_some())
}

/// Adds what a filter asks of values; whether that is all it asks.
fn tests_of(filter: Condition, labels: &[(String, Text)], tests: &mut Vec<ValueTest>) -> bool {
    let condition = match filter {
        Condition::And(left, right) => {
            return tests_of(*left, labels, tests) && tests_of(*right, labels, tests);
        }
        Condition::Ip { .. } => return false,
        other => other,
    };
    let Some(label) = condition.label() else { return false };
    match labels.iter().find(|(name, _)| name == label).map(|(_, text)| text.0.as_slice()) {
        Some([Piece::Value(value)]) => {
            tests.push(ValueTest { value: *value, condition });
            true
        }
        _ => false,
    }
}

/// A label's value with its marks as values; `None` where one is there in part.
fn unmark(text: &str, mark: impl Fn(usize) -> Mark) -> Option<Text> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(core) = rest.find(CORE) {
        let digit = *rest.as_bytes().get(core + CORE.len())?;
        let value = usize::from(digit.checked_sub(b'0')?);
        if value >= TEMPLATE_VALUES {
            return None;
        }
        let whole = mark(value).text(value);
        let start = core.checked_sub(whole.find(CORE)?)?;
        let behind = rest.get(start..)?.strip_prefix(whole)?;
        if start > 0 {
            pieces.push(Piece::Text(rest.get(..start)?.to_owned()));
        }
        pieces.push(Piece::Value(value));
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Some(Text(pieces))
}
