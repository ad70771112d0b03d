//! What a pipeline makes of all lines of one template, found out once instead of line by line.
//!
//! A stored line is a template and the values in its places. A parser that reads
//! `{"status":{},"path":"/x"}` finds `status` in the first value and `path` in the template,
//! whatever the value is, as long as it is one word. So parsers run over probes: the template with
//! marks for values. Where marks of different kinds come out at the same places, values do, too.
//! What is taken for granted is that a parser treats all words alike that begin alike, which is
//! true of `json`, `logfmt` and most of `pattern`; the others are run line by line.

use memchr::memmem::Finder;
use skep_proto::{
    TEMPLATE_VALUES,
    names::{LOG_ERROR, LOG_ERROR_DETAILS},
};

use super::{
    Category, Line, LineLabels, Pipeline, Unwrapped,
    label_filter::{self, Condition},
};
use crate::ast::{LabelFilter, LineFilter, LineOp, Stage};

/// In every mark, before the number of its value.
const CORE: &str = "81726354";
/// Between the quotes and braces of a rest that tries to add labels.
const OTHER_NAME: &str = "zz_other";

/// What is known of the lines of one template.
#[derive(Debug)]
pub enum Shape {
    /// None of them passes.
    Never,
    /// They have to be read one by one.
    Unknown,
    Known(Known),
}

/// Labels and filters of a template's lines.
#[derive(Debug)]
pub struct Known {
    /// What parsers found.
    labels: Vec<(String, Text)>,
    /// `__error__` and its details.
    error: Option<(String, String)>,
    /// Line filters that a line passes if one of its values does, by their stages.
    needles: Vec<usize>,
    n_values: usize,
    /// What label filters ask of values, in their order.
    tests: Vec<ValueTest>,
    /// The stages behind the parsers.
    stages: Vec<usize>,
    /// Whether tests and template answer all of these.
    are_answered: bool,
    /// The unwrapped label's value, where the filters behind it hold for all lines.
    unwrap: UnwrapFrom,
    /// Bits of the values that are looked at.
    values: u8,
    /// Bits of those that have to begin with a digit.
    digits: u8,
    /// The last value may be the rest of the line, and then all bets are off.
    ends_in_word: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnwrapFrom {
    /// Nothing is unwrapped.
    Nothing,
    /// This value.
    Value(usize),
    /// The labels tell.
    Labels,
}

/// A label's value, in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(usize),
}

/// What a filter asks of a value.
#[derive(Debug)]
struct ValueTest {
    value: usize,
    condition: Condition,
}

/// What tests say of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Drop,
    Keep,
    /// The stages tell.
    Unsure,
}

impl Known {
    /// Bits of the values that are looked at.
    pub fn values(&self) -> u8 {
        self.values
    }

    /// Whether what is known holds for a line with these values.
    pub fn fits<'v>(&self, value: impl Fn(usize) -> &'v str) -> bool {
        let mut digits = self.digits;
        while digits != 0 {
            let at = digits.trailing_zeros() as usize;
            digits &= digits - 1;
            if !value(at).as_bytes().first().is_some_and(u8::is_ascii_digit) {
                return false;
            }
        }
        !self.ends_in_word || is_word(value(TEMPLATE_VALUES - 1))
    }

    /// Whether no line of some passes, whose values are all in columns of which the bits are set
    /// where [`Pipeline::columns_with_needles`] found something.
    pub fn is_ruled_out(&self, found: &[u8]) -> bool {
        let own = u8::MAX >> (TEMPLATE_VALUES - self.n_values.clamp(1, TEMPLATE_VALUES));
        self.needles.iter().any(|it| found.get(*it).is_some_and(|it| it & own == 0))
    }

    /// Whether it asks for [`Pipeline::columns_with_needles`].
    pub fn has_needles(&self) -> bool {
        !self.needles.is_empty()
    }

    /// What the label filters behind the parsers say of such a line.
    pub fn test<'v>(&self, value: impl Fn(usize) -> &'v str) -> Verdict {
        for it in &self.tests {
            match it.condition.test(value(it.value)) {
                Some(true) => {}
                Some(false) => return Verdict::Drop,
                // The line has an error from here on, and passes what follows.
                None => return Verdict::Unsure,
            }
        }
        if self.are_answered { Verdict::Keep } else { Verdict::Unsure }
    }

    /// Whether a line's labels of these names are those of all lines.
    pub(crate) fn is_same_for_all(&self, mut names: impl Iterator<Item = impl AsRef<str>>) -> bool {
        names.all(|name| {
            let label = self.labels.iter().find(|(it, _)| it == name.as_ref());
            label.is_none_or(|(_, text)| text.as_static().is_some())
        })
    }

    pub(crate) fn is_same_for_all_but(&self, names: &[String]) -> bool {
        self.labels.iter().all(|(name, text)| names.contains(name) || text.as_static().is_some())
    }

    pub(crate) fn has_error(&self) -> bool {
        self.error.is_some()
    }

    /// Gives a line the labels that parsers would find in it.
    pub(crate) fn set_labels<'v>(
        &self,
        labels: &mut LineLabels,
        value: impl Fn(usize) -> &'v str,
        scratch: &mut String,
    ) {
        for (name, text) in &self.labels {
            match text.0.as_slice() {
                [] => labels.set(Category::Parsed, name, ""),
                [Piece::Text(text)] => labels.set(Category::Parsed, name, text),
                [Piece::Value(at)] => labels.set(Category::Parsed, name, value(*at)),
                pieces => {
                    scratch.clear();
                    for piece in pieces {
                        scratch.push_str(match piece {
                            Piece::Text(text) => text,
                            Piece::Value(at) => value(*at),
                        });
                    }
                    labels.set(Category::Parsed, name, scratch);
                }
            }
        }
        if let Some((kind, details)) = &self.error {
            labels.set_error(kind);
            labels.set_error_details(details);
        }
    }
}

impl Text {
    fn as_static(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// A run of letters, digits and `.-:_` that begins with a letter or digit, as all values are but
/// one that takes the rest of a line.
fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|it| it.is_ascii_alphanumeric() || is_joint(*it))
}

fn is_joint(byte: u8) -> bool {
    matches!(byte, b'.' | b'-' | b':' | b'_')
}

impl Pipeline {
    /// For each line filter, in which columns of values one of its texts is: a bit for each. `text`
    /// is all of a column's values, one behind the other.
    pub fn columns_with_needles<'v>(&self, text: impl Fn(usize) -> &'v str) -> Vec<u8> {
        let columns = |stage: &Stage| {
            let Stage::LineFilter(filter) = stage else { return 0 };
            let finders: Vec<_> =
                filter.alternatives.iter().map(|it| Finder::new(it.text.as_bytes())).collect();
            (0..TEMPLATE_VALUES).fold(0, |bits, at| {
                let text = text(at).as_bytes();
                bits | u8::from(finders.iter().any(|it| it.find(text).is_some())) << at
            })
        };
        self.ast.iter().map(columns).collect()
    }

    /// Whether a known line passes the line filters that its values answer.
    pub fn has_needles_in<'v>(
        &self,
        known: &Known,
        value: impl Fn(usize) -> &'v str + Copy,
    ) -> bool {
        known.needles.iter().all(|at| match self.ast.get(*at) {
            Some(Stage::LineFilter(filter)) => (0..known.n_values)
                .any(|at| filter.alternatives.iter().any(|it| value(at).contains(&it.text))),
            _ => true,
        })
    }

    /// What it makes of lines of this template. `labels` are those of the stream: names that it
    /// has make a difference, their values do not.
    pub fn shape(&self, template: &str, labels: &mut LineLabels) -> Shape {
        labels.reset();
        let Some(pieces) = pieces_of(template) else { return Shape::Unknown };
        Prober { pipeline: self, pieces }.shape(labels)
    }

    /// The stages that a known line has to go through, in order.
    pub(crate) fn process_known(&self, known: &Known, line: &mut Line<'_>) -> bool {
        known.stages.iter().filter_map(|at| self.stages.get(*at)).all(|it| it.run(line))
    }

    /// The value that a known line counts, without its labels; `None` where those have to be asked.
    pub(crate) fn unwrap_known<'v>(
        &self,
        known: &Known,
        value: impl Fn(usize) -> &'v str,
    ) -> Option<Unwrapped> {
        match (known.unwrap, &self.unwrap) {
            (UnwrapFrom::Nothing, None) => Some(Unwrapped::NoStage),
            (UnwrapFrom::Value(at), Some(unwrap)) => match value(at) {
                "" => Some(Unwrapped::Skip),
                text => unwrap.convert(text).map(Unwrapped::Value),
            },
            _ => None,
        }
    }
}

/// A template's text and values in turn; `None` where it is none, or where a value is not a word
/// of its own to every parser.
fn pieces_of(template: &str) -> Option<Vec<Piece>> {
    if template.contains(CORE) {
        return None;
    }
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut n_values = 0;
    let mut rest = template;
    while let Some(at) = memchr::memchr2(b'{', b'}', rest.as_bytes()) {
        text.push_str(rest.get(..at)?);
        match rest.get(at..at + 2)? {
            "{{" => text.push('{'),
            "}}" => text.push('}'),
            "{}" => {
                // Behind a backslash it would be part of an escape.
                if text.ends_with('\\') || (text.is_empty() && n_values > 0) {
                    return None;
                }
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(Piece::Value(n_values));
                n_values += 1;
            }
            _ => return None,
        }
        rest = rest.get(at + 2..)?;
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    (n_values <= TEMPLATE_VALUES).then_some(pieces)
}

/// What stands for a value. All begin like words do, and hold what words may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Digits,
    Mixed,
    Letter,
}

impl Mark {
    fn text(self, value: usize) -> String {
        match self {
            Self::Digits => format!("90{CORE}{value}"),
            Self::Mixed => format!("9.0-8:1_x{CORE}{value}Z"),
            Self::Letter => format!("a9.0-8:1_{CORE}{value}F"),
        }
    }
}

/// What parsers found in a probe.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    labels: Vec<(String, Text)>,
    error: Option<(String, String)>,
}

struct Prober<'a> {
    pipeline: &'a Pipeline,
    pieces: Vec<Piece>,
}

impl Prober<'_> {
    fn shape(&self, labels: &mut LineLabels) -> Shape {
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
        super::pattern::Pattern::parse(text).is_ok_and(|it| it.literals().all(is_apart))
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
        for value in 0..n_values {
            let marks = |it: usize| if it == value { Mark::Letter } else { Mark::Digits };
            let with_letter = self.found(n_parsers, labels, marks, None);
            if with_letter.as_ref() != Some(&found) {
                known.digits |= 1 << value;
            }
        }
        if n_values == TEMPLATE_VALUES {
            let digits = |_: usize| Mark::Digits;
            let rests = [String::new(), self.rest_with_labels(labels)];
            let is_free = rests.iter().all(|rest| {
                self.found(n_parsers, labels, digits, Some(rest)).as_ref() == Some(&found)
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
                && let Ok(pattern) = super::pattern::Pattern::parse(text)
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
                (Piece::Value(at), _) => line.push_str(&mark(*at).text(*at)),
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

    /// What a line filter says of lines of the template.
    fn line_filter(&self, filter: &LineFilter) -> Verdict {
        let is_text = matches!(filter.op, LineOp::Contains | LineOp::NotContains)
            && filter.alternatives.iter().all(|it| !it.is_ip);
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
        let behind = rest.get(start..)?.strip_prefix(whole.as_str())?;
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

/// Whether a line of the template may contain the text, whatever its values are: any words, and
/// for the last of all places anything.
fn may_contain(pieces: &[Piece], needle: &str) -> bool {
    let needle = needle.as_bytes();
    let can_be_word = |it: &u8| it.is_ascii_alphanumeric() || is_joint(*it);
    // Whether the rest of the needle may lie at the start of the pieces from here on.
    fn continues(pieces: &[Piece], needle: &[u8], can_be_word: &impl Fn(&u8) -> bool) -> bool {
        let Some((first, rest)) = pieces.split_first() else { return needle.is_empty() };
        match first {
            _ if needle.is_empty() => true,
            Piece::Text(text) => {
                let n = text.len().min(needle.len());
                text.as_bytes().get(..n) == needle.get(..n)
                    && continues(rest, needle.get(n..).unwrap_or_default(), can_be_word)
            }
            Piece::Value(at) if at + 1 == TEMPLATE_VALUES => true,
            // A word ends where something comes that cannot be in one.
            Piece::Value(_) => {
                let n = needle.iter().take_while(|it| can_be_word(it)).count();
                (0..=n).any(|n| continues(rest, needle.get(n..).unwrap_or_default(), can_be_word))
            }
        }
    }
    pieces.iter().enumerate().any(|(at, piece)| {
        let rest = pieces.get(at + 1..).unwrap_or_default();
        match piece {
            Piece::Text(text) => (0..text.len()).any(|start| {
                let text = text.as_bytes().get(start..).unwrap_or_default();
                let n = text.len().min(needle.len());
                text.get(..n) == needle.get(..n)
                    && continues(rest, needle.get(n..).unwrap_or_default(), &can_be_word)
            }),
            Piece::Value(at) if at + 1 == TEMPLATE_VALUES => true,
            Piece::Value(_) => {
                let n = needle.iter().take_while(|it| can_be_word(it)).count();
                (0..=n).any(|n| continues(rest, needle.get(n..).unwrap_or_default(), &can_be_word))
            }
        }
    })
}
