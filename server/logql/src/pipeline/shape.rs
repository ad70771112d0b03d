//! What a pipeline makes of all lines of one template, found out once instead of line by line.
//!
//! A stored line is a template and the values in its places. A parser that reads
//! `{"status":{},"path":"/x"}` finds `status` in the first value and `path` in the template,
//! whatever the value is, as long as it is one word. So parsers run over probes: the template with
//! marks for values. Where marks of different kinds come out at the same places, values do, too.
//! What is taken for granted is that a parser treats all words alike that begin alike, which is
//! true of `json`, `logfmt` and most of `pattern`; the others are run line by line.

mod contain;
mod probe;

use memchr::memmem::Finder;
use skep_proto::TEMPLATE_VALUES;

use self::probe::{CORE, Prober};
use super::{Category, Line, LineLabels, Pipeline, Unwrapped, label_filter::Condition};
use crate::ast::Stage;

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
