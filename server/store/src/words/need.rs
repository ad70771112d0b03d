//! What a filter needs a line to have, as far as the index can tell.

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator, expr::Like},
};
use skep_proto::{LineNeed, names::column};

use super::{
    regex,
    text::{Text, WORD_LEN_MIN, hash_pair},
};

/// A long text is found by a part of it.
const NEEDS_PER_TEXT_MAX: usize = 64;

/// A necessary condition: a line without it is not wanted. `And` of nothing holds for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    And(Vec<Need>),
    /// One of these.
    Or(Vec<Need>),
    /// A word of the page's lines, as [`super::head::Words::find`] takes it.
    Word(Vec<u8>),
    /// A whole number, or a pair of metadata.
    Number(u64),
    /// A part of a long run.
    Gram(u64),
}

impl Need {
    pub(crate) const ANYTHING: Self = Self::And(Vec::new());

    pub(crate) fn is_anything(&self) -> bool {
        matches!(self, Self::And(all) if all.is_empty())
    }

    /// What expressions over the logs table need that all hold. Understood are, joined by AND and
    /// OR: `contains(line, 'text')`, `line LIKE '%text%'`, `line = 'text'`,
    /// `regexp_like(line, 'regex')` and `line ~ 'regex'` (also `~*`), and
    /// `get_field(metadata, 'name') = 'value'`, which is `metadata['name'] = 'value'`.
    pub(crate) fn of_all(exprs: &[Expr]) -> Self {
        Self::all(exprs.iter().map(Self::of))
    }

    /// The same of what a query of lines asks for.
    pub(crate) fn of_lines(need: &LineNeed) -> Self {
        match need {
            LineNeed::All(all) => Self::all(all.iter().map(Self::of_lines)),
            LineNeed::Any(any) => Self::any(any.iter().map(Self::of_lines)),
            LineNeed::Contains(text) => Self::contains(text),
            LineNeed::Regex(pattern) => regex::need(pattern, false),
            LineNeed::Pair { name, value } => Self::Number(hash_pair(name, value)),
        }
    }

    fn of(expr: &Expr) -> Self {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => Self::all([Self::of(left), Self::of(right)]),
                Operator::Or => Self::any([Self::of(left), Self::of(right)]),
                Operator::Eq => Self::equal(left, right),
                Operator::RegexMatch => of_line(left, right, |it| regex::need(it, false)),
                Operator::RegexIMatch => of_line(left, right, |it| regex::need(it, true)),
                _ => Self::ANYTHING,
            },
            Expr::Like(Like { negated: false, expr, pattern, escape_char, .. }) => {
                of_line(expr, pattern, |it| like(it, escape_char.unwrap_or('\\')))
            }
            Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
                ("contains", [line, text]) => of_line(line, text, Self::contains),
                ("regexp_like", [line, pattern]) => {
                    of_line(line, pattern, |it| regex::need(it, false))
                }
                _ => Self::ANYTHING,
            },
            _ => Self::ANYTHING,
        }
    }

    fn equal(left: &Expr, right: &Expr) -> Self {
        let (of, value) = match (literal(left), literal(right)) {
            (None, Some(value)) => (left, value),
            (Some(value), None) => (right, value),
            _ => return Self::ANYTHING,
        };
        if is_line(of) {
            return Self::contains(value);
        }
        let Expr::ScalarFunction(call) = of else { return Self::ANYTHING };
        match (call.name(), call.args.as_slice()) {
            // A pair that is absent may read as an empty one.
            ("get_field", [Expr::Column(map), name])
                if map.name == column::METADATA && !value.is_empty() =>
            {
                literal(name).map_or(Self::ANYTHING, |it| Self::Number(hash_pair(it, value)))
            }
            _ => Self::ANYTHING,
        }
    }

    /// What a line needs that holds the text somewhere, in any mixture of upper and lower case.
    pub(super) fn contains(text: &str) -> Self {
        let text = Text::new(text);
        let len = text.len();
        let mut needs = Vec::new();
        text.words(|start, end| {
            let (is_first, is_last) = (start == 0, end == len);
            // At an end of the text, the line's word may go on, and become a part of a number.
            let may_go_on = (is_first || is_last) && text.is_hex(start, end);
            let is_in_number = !(is_first || is_last)
                && text.is_hex(start, end)
                && text.has_digit_beside(start, end);
            if end - start >= WORD_LEN_MIN && !may_go_on && !is_in_number {
                let bound = |is_open: bool| if is_open { None } else { Some(0) };
                let letters = text.slice(start, end).iter().copied();
                needs.push(Self::Word(
                    bound(is_first).into_iter().chain(letters).chain(bound(is_last)).collect(),
                ));
            }
        });
        text.numbers(|start, end| {
            if start > 0 && end < len {
                needs.extend(text.number(start, end).map(Self::Number));
            }
        });
        text.long_runs(|start, end| text.grams(start, end, |hash| needs.push(Self::Gram(hash))));
        needs.truncate(NEEDS_PER_TEXT_MAX);
        Self::And(needs)
    }

    pub(super) fn all(needs: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for need in needs {
            match need {
                Self::And(inner) => all.extend(inner),
                other => all.push(other),
            }
        }
        match (all.pop(), all.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                all.extend(last);
                Self::And(all)
            }
        }
    }

    pub(super) fn any(needs: impl IntoIterator<Item = Self>) -> Self {
        let needs: Vec<_> = needs.into_iter().collect();
        if needs.is_empty() || needs.iter().any(Self::is_anything) {
            return Self::ANYTHING;
        }
        Self::Or(needs)
    }
}

fn is_line(expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => column.name == column::LINE,
        Expr::Cast(cast) => is_line(&cast.expr),
        _ => false,
    }
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text),
            _,
        ) => text.as_deref(),
        _ => None,
    }
}

fn of_line(line: &Expr, text: &Expr, need: impl FnOnce(&str) -> Need) -> Need {
    match literal(text) {
        Some(text) if is_line(line) => need(text),
        _ => Need::ANYTHING,
    }
}

fn like(pattern: &str, escape: char) -> Need {
    let mut texts = vec![String::new()];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' | '_' => texts.push(String::new()),
            _ => {
                let c = if c == escape { chars.next() } else { Some(c) };
                if let Some(text) = texts.last_mut() {
                    text.extend(c);
                }
            }
        }
    }
    Need::all(texts.iter().map(|it| Need::contains(it)))
}
