//! `| status >= 500 and size < 1MB or host = "a"`.

use skep_proto::{
    go_units as units,
    names::{LOG_ERROR, LOG_ERROR_DETAILS},
};

use super::{
    Line, RunStage,
    ip::IpMatcher,
    label_regex::LabelTest,
    labels::{LineLabels, PRESERVE_ERROR},
};
use crate::{
    ast::{CompareOp, LabelFilter},
    error::QueryError,
};

/// The `__error__` of a label that is no number, duration or size.
const FILTER_ERROR: &str = "LabelFilterErr";

#[derive(Debug)]
pub(super) struct LabelFilterStage {
    condition: Condition,
}

#[derive(Debug)]
pub(super) enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Text { label: String, test: LabelTest },
    Number { label: String, op: CompareOp, value: f64 },
    Duration { label: String, op: CompareOp, value: i64 },
    Bytes { label: String, op: CompareOp, value: u64 },
    Ip { label: String, negative: bool, matcher: IpMatcher },
}

impl LabelFilterStage {
    pub(super) fn compile(filter: &LabelFilter) -> Result<Self, QueryError> {
        Ok(Self { condition: compile(filter)? })
    }
}

impl RunStage for LabelFilterStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        holds(&self.condition, line.labels)
    }
}

impl Condition {
    /// The label it asks for, if it is only one.
    pub(super) fn label(&self) -> Option<&str> {
        match self {
            Self::And(..) | Self::Or(..) => None,
            Self::Text { label, .. }
            | Self::Number { label, .. }
            | Self::Duration { label, .. }
            | Self::Bytes { label, .. }
            | Self::Ip { label, .. } => Some(label),
        }
    }

    /// Whether it holds for a label of this value; `None` where that is an error, or depends on
    /// more.
    pub(super) fn test(&self, text: &str) -> Option<bool> {
        match self {
            Self::And(..) | Self::Or(..) | Self::Ip { .. } => None,
            Self::Text { test, .. } => Some(test.matches(text)),
            Self::Number { op, value, .. } => {
                units::go_parse_float(text).ok().map(|it| op.holds(&it, value))
            }
            Self::Duration { op, value, .. } => {
                units::go_duration_or_error(text).ok().map(|it| op.holds(&it, value))
            }
            Self::Bytes { op, value, .. } => {
                units::bytes_or_error(text).ok().map(|it| op.holds(&it, value))
            }
        }
    }
}

pub(super) fn compile(filter: &LabelFilter) -> Result<Condition, QueryError> {
    Ok(match filter {
        LabelFilter::And(left, right) => {
            Condition::And(Box::new(compile(left)?), Box::new(compile(right)?))
        }
        LabelFilter::Or(left, right) => {
            Condition::Or(Box::new(compile(left)?), Box::new(compile(right)?))
        }
        LabelFilter::Text(matcher) => {
            Condition::Text { label: matcher.name().to_owned(), test: LabelTest::new(matcher) }
        }
        LabelFilter::Number { label, op, value } => {
            Condition::Number { label: label.clone(), op: *op, value: *value }
        }
        LabelFilter::Duration { label, op, value } => {
            Condition::Duration { label: label.clone(), op: *op, value: *value }
        }
        LabelFilter::Bytes { label, op, value } => {
            // Loki hands a query on as text, in which sizes have two or three digits: `90KiB`
            // becomes `92kB`, which is less.
            let value = units::parse_bytes(&units::humanize_bytes(*value)).unwrap_or(*value);
            Condition::Bytes { label: label.clone(), op: *op, value }
        }
        LabelFilter::Ip { label, negative, pattern } => Condition::Ip {
            label: label.clone(),
            negative: *negative,
            matcher: IpMatcher::parse(pattern)?,
        },
    })
}

fn holds(condition: &Condition, labels: &mut LineLabels) -> bool {
    match condition {
        Condition::And(left, right) => {
            // Both sides run: an error of the second is reported even if the first fails.
            let left = holds(left, labels);
            let right = holds(right, labels);
            left && right
        }
        Condition::Or(left, right) => holds(left, labels) || holds(right, labels),
        Condition::Text { label, test } => test.matches(labels.get(label).unwrap_or_default()),
        Condition::Number { label, op, value } => {
            compare(labels, label, *op, value, units::go_parse_float)
        }
        Condition::Duration { label, op, value } => {
            compare(labels, label, *op, value, units::go_duration_or_error)
        }
        Condition::Bytes { label, op, value } => {
            compare(labels, label, *op, value, units::bytes_or_error)
        }
        Condition::Ip { label, negative, matcher } => {
            if labels.has_error() {
                return true;
            }
            labels.get(label).is_some_and(|it| matcher.is_in(it) != *negative)
        }
    }
}

/// Compares a label's value. A line whose value cannot be read passes and gets an error, if it has
/// none yet: only a filter on `__error__` drops it.
fn compare<T: PartialOrd>(
    labels: &mut LineLabels,
    label: &str,
    op: CompareOp,
    right: &T,
    parse: fn(&str) -> Result<T, String>,
) -> bool {
    let Some(text) = labels.get(label) else { return false };
    match parse(text) {
        Ok(left) => op.holds(&left, right),
        Err(details) => {
            if !labels.has_error() {
                labels.set_error(FILTER_ERROR);
                labels.set_error_details(&details);
            }
            true
        }
    }
}

/// Whether a name is one of those that hold errors, or say what to do about them.
pub(super) fn is_error_label(name: &str) -> bool {
    [LOG_ERROR, LOG_ERROR_DETAILS, PRESERVE_ERROR].contains(&name)
}

#[cfg(test)]
mod tests {
    use crate::pipeline::tests::{check, passes};
    use expect_test::expect;

    #[test]
    fn values_compare_by_their_kind() {
        let line = r#"n=5 d=1m30s b=2KiB t=abc ip=10.0.0.7"#;
        for (filter, yes) in [
            ("n>4", true),
            ("n==5.0", true),
            ("d>=90s", true),
            ("d<1m", false),
            ("b>2KB", true),
            ("b=2kB", false),
            (r#"t="abc" and n=5"#, true),
            (r#"t="x" or n=5"#, true),
            (r#"t="x", n=5"#, false),
            (r#"t=~"a.*""#, true),
            (r#"ip=ip("10.0.0.0/8")"#, true),
            (r#"ip!=ip("10.0.0.0/8")"#, false),
            ("gone>1", false),
            (r#"gone="""#, true),
        ] {
            assert_eq!(passes(&format!("| logfmt | {filter}"), line), yes, "{filter}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_an_error_that_can_be_filtered() {
        check(
            "| logfmt | n>1",
            "n=x",
            expect![[r#"
                n=x
                __error__="LabelFilterErr" __error_details__="strconv.ParseFloat: parsing \"x\": invalid syntax" n="x""#]],
        );
        assert!(!passes(r#"| logfmt | n>1 | __error__="""#, "n=x"));
        assert!(passes(r#"| logfmt | n>1 | __error__="""#, "n=2"));
    }
}
