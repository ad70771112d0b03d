//! `| level =~ "err.*"`: patterns over labels, as Loki takes them apart.
//!
//! Loki makes plain comparisons of patterns where it can, and those are not anchored: `err.*` asks
//! for values that contain `err`, and `warn|warning` (which Go reads as `warn(?:|ing)`) for values
//! that contain `warn`. Dashboards are written against that, so it is done the same way here. What
//! cannot be taken apart is a regular expression over the whole value.

use memchr::memmem::Finder;
use regex::Regex;
use regex_syntax::ast::{self, Ast, FlagsItemKind, GroupKind, RepetitionKind, parse::Parser};
use skep_proto::{MatchOp, Matcher, go_regex};

/// Bounds the stack that a nested pattern takes.
const DEPTH_MAX: u32 = 64;

/// A condition on a label's value.
#[derive(Debug)]
pub(super) struct LabelTest {
    test: Test,
    negative: bool,
}

#[derive(Debug)]
enum Test {
    Always,
    /// Any value but none.
    Exists,
    Equal(String),
    EqualFold(String),
    Contains(Box<Finder<'static>>),
    /// In lower case.
    ContainsFold(String),
    Either(Vec<Test>),
    Regex(Regex),
}

impl LabelTest {
    pub(super) fn new(matcher: &Matcher) -> Self {
        let negative = matches!(matcher.op(), MatchOp::NotEqual | MatchOp::NotRegex);
        let test = match matcher.op() {
            MatchOp::Equal | MatchOp::NotEqual => Test::Equal(matcher.value().to_owned()),
            MatchOp::Regex | MatchOp::NotRegex => pattern_test(matcher.value()),
        };
        Self { test, negative }
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        self.test.holds(value) != self.negative
    }
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Always => true,
            Self::Exists => !value.is_empty(),
            Self::Equal(text) => value == text,
            Self::EqualFold(text) => value.len() == text.len() && value.to_lowercase() == *text,
            Self::Contains(finder) => finder.find(value.as_bytes()).is_some(),
            Self::ContainsFold(text) => value.to_lowercase().contains(text),
            Self::Either(tests) => tests.iter().any(|it| it.holds(value)),
            Self::Regex(regex) => regex.is_match(value),
        }
    }

    /// Loki drops a side that always holds, rather than the other one.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Always, other) => other,
            (test, Self::Always) => test,
            (Self::Either(mut tests), other) => {
                tests.push(other);
                Self::Either(tests)
            }
            (test, other) => Self::Either(vec![test, other]),
        }
    }

    fn contains(text: &str, folds: bool) -> Self {
        match (text.is_empty(), folds) {
            (true, _) => Self::Always,
            (false, true) => Self::ContainsFold(text.to_lowercase()),
            (false, false) => Self::Contains(Box::new(Finder::new(text.as_bytes()).into_owned())),
        }
    }
}

fn pattern_test(pattern: &str) -> Test {
    let translated = go_regex::translate(pattern).unwrap_or_default();
    let parsed = Parser::new().parse(&translated).ok();
    let piece = parsed.map(|it| piece(&it, &mut Flags::default(), 0));
    if let Some(test) = piece.as_ref().and_then(simplified) {
        return test;
    }
    let regex = go_regex::build(&format!("^(?:{translated})$"));
    // The matcher was checked, so that its pattern compiles.
    regex.map_or(Test::Equal(pattern.to_owned()), Test::Regex)
}

/// What Go's parser makes of a pattern, as far as it can be taken apart.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Empty,
    Literal {
        text: String,
        folds: bool,
    },
    /// `.*`
    AnyStar,
    /// `.+`
    AnyPlus,
    Concat(Vec<Piece>),
    Either(Vec<Piece>),
    Group(Box<Piece>),
    /// One character of several.
    Class,
    Other,
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    folds: bool,
    dot_takes_newline: bool,
}

impl Flags {
    fn apply(&mut self, flags: &ast::Flags) {
        let mut value = true;
        for item in &flags.items {
            match item.kind {
                FlagsItemKind::Negation => value = false,
                FlagsItemKind::Flag(ast::Flag::CaseInsensitive) => self.folds = value,
                FlagsItemKind::Flag(ast::Flag::DotMatchesNewLine) => self.dot_takes_newline = value,
                FlagsItemKind::Flag(_) => {}
            }
        }
    }
}

fn piece(ast: &Ast, flags: &mut Flags, depth: u32) -> Piece {
    if depth > DEPTH_MAX {
        return Piece::Other;
    }
    match ast {
        Ast::Empty(_) => Piece::Empty,
        Ast::Flags(set) => {
            flags.apply(&set.flags);
            Piece::Empty
        }
        Ast::Literal(literal) => Piece::Literal { text: literal.c.to_string(), folds: flags.folds },
        Ast::Repetition(repetition) => {
            let is_any = matches!(*repetition.ast, Ast::Dot(_)) && !flags.dot_takes_newline;
            match repetition.op.kind {
                RepetitionKind::ZeroOrMore if is_any => Piece::AnyStar,
                RepetitionKind::OneOrMore if is_any => Piece::AnyPlus,
                _ => Piece::Other,
            }
        }
        Ast::Group(group) => {
            let mut inner = *flags;
            if let GroupKind::NonCapturing(set) = &group.kind {
                inner.apply(set);
                return piece(&group.ast, &mut inner, depth + 1);
            }
            Piece::Group(Box::new(piece(&group.ast, &mut inner, depth + 1)))
        }
        Ast::Alternation(alternation) => {
            either(alternation.asts.iter().map(|it| piece(it, flags, depth + 1)).collect())
        }
        Ast::Concat(concat) => {
            joined(concat.asts.iter().map(|it| piece(it, flags, depth + 1)).collect())
        }
        Ast::ClassBracketed(_) | Ast::ClassPerl(_) | Ast::ClassUnicode(_) | Ast::Dot(_) => {
            Piece::Class
        }
        Ast::Assertion(_) => Piece::Other,
    }
}

/// Pieces in a row; neighbouring literals are one.
fn joined(pieces: Vec<Piece>) -> Piece {
    let mut out: Vec<Piece> = Vec::new();
    for piece in pieces {
        let inner = match piece {
            Piece::Concat(inner) => inner,
            Piece::Empty => continue,
            piece => vec![piece],
        };
        for piece in inner {
            match (out.last_mut(), piece) {
                (
                    Some(Piece::Literal { text, folds }),
                    Piece::Literal { text: more, folds: folds_too },
                ) if *folds == folds_too => text.push_str(&more),
                (_, piece) => out.push(piece),
            }
        }
    }
    single(out, Piece::Concat)
}

fn single(mut pieces: Vec<Piece>, join: fn(Vec<Piece>) -> Piece) -> Piece {
    match pieces.len() {
        0 => Piece::Empty,
        1 => pieces.pop().unwrap_or(Piece::Empty),
        _ => join(pieces),
    }
}

/// Alternatives, their common beginnings factored out as Go does: `warn|warning` becomes
/// `warn(?:|ing)`, `a|b` a class.
fn either(pieces: Vec<Piece>) -> Piece {
    let mut flat = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Either(inner) => flat.extend(inner),
            piece => flat.push(piece),
        }
    }
    let factored = with_classes(with_prefixes(flat));
    let mut out: Vec<Piece> = Vec::new();
    for piece in factored {
        if piece != Piece::Empty || out.last() != Some(&Piece::Empty) {
            out.push(piece);
        }
    }
    single(out, Piece::Either)
}

fn leading(piece: &Piece) -> (&str, bool) {
    match piece {
        Piece::Literal { text, folds } => (text, *folds),
        Piece::Concat(inner) => match inner.first() {
            Some(Piece::Literal { text, folds }) => (text, *folds),
            _ => ("", false),
        },
        _ => ("", false),
    }
}

fn common_len(left: &str, right: &str) -> usize {
    let same = left.chars().zip(right.chars()).take_while(|(left, right)| left == right);
    same.map(|(c, _)| c.len_utf8()).sum()
}

fn without_prefix(piece: Piece, n_bytes: usize) -> Piece {
    match piece {
        Piece::Literal { text, folds } => match text.get(n_bytes..) {
            None | Some("") => Piece::Empty,
            Some(rest) => Piece::Literal { text: rest.to_owned(), folds },
        },
        Piece::Concat(mut inner) => {
            if let Some(first) = inner.first_mut() {
                *first = without_prefix(std::mem::replace(first, Piece::Empty), n_bytes);
            }
            joined(inner)
        }
        piece => piece,
    }
}

fn with_prefixes(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut run: Vec<Piece> = Vec::new();
    let mut prefix = (String::new(), false);
    for piece in pieces {
        let (text, folds) = leading(&piece);
        let n_same = if folds == prefix.1 { common_len(&prefix.0, text) } else { 0 };
        if n_same > 0 {
            prefix.0.truncate(n_same);
        } else {
            let next = (text.to_owned(), folds);
            end_run(std::mem::take(&mut run), std::mem::replace(&mut prefix, next), &mut out);
        }
        run.push(piece);
    }
    end_run(run, prefix, &mut out);
    out
}

fn end_run(run: Vec<Piece>, (text, folds): (String, bool), out: &mut Vec<Piece>) {
    if run.len() < 2 {
        out.extend(run);
        return;
    }
    let n_bytes = text.len();
    let rests = run.into_iter().map(|it| without_prefix(it, n_bytes)).collect();
    out.push(Piece::Concat(vec![Piece::Literal { text, folds }, either(rests)]));
}

/// Neighbouring single characters become a class.
fn with_classes(pieces: Vec<Piece>) -> Vec<Piece> {
    let is_one = |it: &Piece| match it {
        Piece::Class => true,
        Piece::Literal { text, .. } => text.chars().count() == 1,
        _ => false,
    };
    let mut out: Vec<Piece> = Vec::new();
    let mut before_is_one = false;
    for piece in pieces {
        let is_one = is_one(&piece);
        match out.last_mut() {
            Some(last) if is_one && before_is_one => *last = Piece::Class,
            _ => out.push(piece),
        }
        before_is_one = is_one;
    }
    out
}

fn ungrouped(piece: &Piece) -> &Piece {
    if let Piece::Group(inner) = piece { inner } else { piece }
}

/// The comparison a pattern comes down to, if it does.
fn simplified(piece: &Piece) -> Option<Test> {
    match piece {
        Piece::Empty | Piece::AnyStar => Some(Test::Always),
        Piece::AnyPlus => Some(Test::Exists),
        Piece::Literal { text, folds: false } => Some(Test::Equal(text.clone())),
        Piece::Literal { text, folds: true } => Some(Test::EqualFold(text.to_lowercase())),
        Piece::Group(inner) => simplified(inner),
        Piece::Concat(pieces) => concat(pieces, None),
        Piece::Either(pieces) => {
            let mut tests = pieces.iter().map(|it| simplified(ungrouped(it)));
            let first = tests.next()??;
            tests.try_fold(first, |all, it| Some(all.or(it?)))
        }
        Piece::Class | Piece::Other => None,
    }
}

/// At most three pieces: a literal, `.*`, and alternatives behind a literal.
fn concat(pieces: &[Piece], base: Option<&str>) -> Option<Test> {
    if pieces.len() > 3 {
        return None;
    }
    let mut literal = base.map(str::to_owned);
    let (mut n_literals, mut folds) = (0, false);
    let mut test: Option<Test> = None;
    for piece in pieces.iter().map(ungrouped) {
        match (piece, &literal) {
            (Piece::Literal { text, folds: it_folds }, _) => {
                n_literals += 1;
                if n_literals > 1 {
                    return None;
                }
                literal.get_or_insert_default().push_str(text);
                folds = *it_folds;
            }
            (Piece::Either(pieces), Some(literal)) => {
                for piece in pieces {
                    let next = behind_literal(piece, literal, folds)?;
                    test = Some(match test {
                        None => next,
                        Some(test) => test.or(next),
                    });
                }
            }
            (Piece::AnyStar, _) => {}
            _ => return None,
        }
    }
    test.or_else(|| literal.map(|it| Test::contains(&it, folds)))
}

fn behind_literal(piece: &Piece, literal: &str, folds: bool) -> Option<Test> {
    match piece {
        Piece::Empty | Piece::AnyStar => Some(Test::contains(literal, folds)),
        Piece::Literal { folds: true, .. } if !folds => None,
        Piece::Literal { text, .. } => Some(Test::contains(&format!("{literal}{text}"), folds)),
        Piece::Concat(pieces) => concat(pieces, Some(literal)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let test = LabelTest::new(&Matcher::new("a", MatchOp::Regex, pattern).unwrap());
        for it in yes {
            assert!(test.matches(it), "{pattern} should take {it:?}: {test:?}");
        }
        for it in no {
            assert!(!test.matches(it), "{pattern} should refuse {it:?}: {test:?}");
        }
    }

    #[test]
    fn whole_values_are_compared() {
        check("error", &["error"], &["errors", ""]);
        check("error|info", &["error", "info"], &["infos"]);
        check("(?i)error", &["ERROR", "error"], &["errors"]);
        check("[ew].+", &["error"], &["xerror"]);
        check("1|2", &["1"], &["12"]);
        check("a.*b.*c", &["a-b-c"], &["xa-b-c"]);
        check(".*", &["", "x"], &[]);
        check(".+", &["x"], &[""]);
    }

    #[test]
    fn what_loki_takes_apart_is_not_anchored() {
        check("w.*|e.*", &["warn", "debug"], &["info"]);
        check("0.*", &["0", "a0b"], &["1"]);
        check(".*err", &["errors"], &["x"]);
        check("warn|warning", &["warn", "my-warnings"], &["war"]);
        check("(err|wrn).*", &["err"], &["x"]);
        check("(?i)err.*", &["XERR"], &["x"]);
        check("foo|.*", &["foo"], &["bar"]);
        check("foo|", &["foo"], &[""]);
    }

    #[test]
    fn a_negative_test_is_the_other_way_round() {
        let test = LabelTest::new(&Matcher::new("a", MatchOp::NotRegex, "e.*").unwrap());
        assert!(test.matches("info"));
        assert!(!test.matches("debug"));
    }
}
