//! Whether an answer is what an `eval` expects.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use skep_proto::{Labels, NativeHistogram};

use super::{
    Answer,
    script::{At, Eval, Expect, Text},
    series::{Item, Series},
};
use crate::{
    RawSeries, Row, Value,
    native::{Buckets, Histogram},
    vector::{Cell, Operand as _},
};

/// Relative difference that counts as equal, as in Prometheus' runner.
const TOLERANCE: f64 = 1e-6;

pub(super) fn check(case: &Eval, answer: &Answer) -> Result<(), String> {
    let (value, annotations) = match answer {
        Ok(it) => it,
        Err(error) => return check_failure(case, error),
    };
    if case.must_fail() {
        return Err("succeeded, but must fail".to_owned());
    }
    let warnings: Vec<&str> = annotations.warnings().collect();
    let infos: Vec<&str> = annotations.infos().collect();
    for expect in &case.expects {
        match expect {
            Expect::Warn(text) => check_texts("warning", text, &warnings)?,
            Expect::Info(text) => check_texts("info", text, &infos)?,
            Expect::NoWarn if !warnings.is_empty() => {
                return Err(format!("unexpected warnings: {warnings:?}"));
            }
            Expect::NoInfo if !infos.is_empty() => {
                return Err(format!("unexpected infos: {infos:?}"));
            }
            _ => {}
        }
    }
    check_value(case, value)
}

fn check_failure(case: &Eval, error: &str) -> Result<(), String> {
    let Some(text) = case.expects.iter().find_map(|it| match it {
        Expect::Fail(text) => Some(text),
        _ => None,
    }) else {
        return Err(format!("failed: {error}"));
    };
    if is_like(text, error) {
        return Ok(());
    }
    Err(format!("failed with {error:?}, expected {text:?}"))
}

fn is_like(text: &Text, found: &str) -> bool {
    match text {
        Text::Any => true,
        Text::Contains(it) => found.contains(it.as_str()),
        Text::Matches(it) => regex::Regex::new(it).is_ok_and(|it| it.is_match(found)),
    }
}

fn check_texts(kind: &str, text: &Text, found: &[&str]) -> Result<(), String> {
    if found.iter().any(|it| is_like(text, it)) {
        return Ok(());
    }
    Err(format!("no {kind} like {text:?} in {found:?}"))
}

fn check_value(case: &Eval, value: &Value) -> Result<(), String> {
    match value {
        Value::String(found) => match &case.expected_string {
            Some(expected) if expected == found => Ok(()),
            expected => Err(format!("string {found:?}, expected {expected:?}")),
        },
        Value::Scalar { values, .. } => {
            let expected = case.scalar.clone().or_else(|| match case.series.as_slice() {
                [only] if only.labels.is_empty() => Some(only.values.clone()),
                _ => None,
            });
            let Some(expected) = expected else {
                return Err(format!("scalar {values:?}, expected a vector"));
            };
            let row = Row::floats(Arc::default(), values.clone());
            check_row("scalar", &expected, &row, 0..values.len())
        }
        Value::Vector(matrix) => {
            let rows: Vec<&Row> = matrix.rows.iter().collect();
            check_rows(case, &rows, 0..matrix.grid.n_steps())
        }
        Value::Raw(series) => {
            let Some(at) = case.range_vector else {
                return Err("a range vector, but none is expected".to_owned());
            };
            check_raw(&case.series, at, series)
        }
    }
}

fn check_rows(case: &Eval, found: &[&Row], steps: Range<usize>) -> Result<(), String> {
    if case.series.len() != found.len() {
        return Err(format!("{} series, expected {}: {found:?}", found.len(), case.series.len()));
    }
    if case.is_ordered() {
        for (expected, row) in case.series.iter().zip(found) {
            if expected.labels != *row.labels {
                return Err(format!("{} stands where {} is expected", row.labels, expected.labels));
            }
            check_row(&row.labels.to_string(), &expected.values, row, steps.clone())?;
        }
        return Ok(());
    }
    let by_labels: BTreeMap<&Labels, &Row> =
        found.iter().map(|it| (it.labels.as_ref(), *it)).collect();
    for expected in &case.series {
        let Some(row) = by_labels.get(&expected.labels) else {
            return Err(format!("no {} in {found:?}", expected.labels));
        };
        check_row(&expected.labels.to_string(), &expected.values, row, steps.clone())?;
    }
    Ok(())
}

/// Some steps of a row, the first of which is what the first expected value speaks of.
fn check_row(
    name: &str,
    expected: &[Option<Item>],
    row: &Row,
    steps: Range<usize>,
) -> Result<(), String> {
    if expected.len() > steps.len() {
        return Err(format!("{name}: {} values, expected {}", steps.len(), expected.len()));
    }
    for (i, step_idx) in steps.enumerate() {
        let expected = expected.get(i).and_then(Option::as_ref);
        let found = Cell::at(row, step_idx);
        if !is_same(expected, found.as_ref()) {
            return Err(format!("{name}: {found:?} at step {i}, expected {expected:?}"));
        }
    }
    Ok(())
}

fn is_same(expected: Option<&Item>, found: Option<&Cell>) -> bool {
    match (expected, found) {
        (None, None) => true,
        (Some(Item::Float(expected)), Some(Cell::Float(found))) => is_close(*expected, *found),
        (Some(Item::Histogram { histogram, has_hint }), Some(Cell::Histogram(found))) => {
            is_alike(histogram, found, *has_hint)
        }
        _ => false,
    }
}

fn is_alike(expected: &NativeHistogram, found: &NativeHistogram, has_hint: bool) -> bool {
    let compact = |it: &NativeHistogram| {
        let mut histogram = Histogram::from(it);
        histogram.compact();
        histogram
    };
    let (a, b) = (compact(expected), compact(found));
    let close = |a: &Buckets<f64>, b: &Buckets<f64>| {
        a.len() == b.len() && a.iter().zip(b).all(|((i, a), (j, b))| i == j && is_close(*a, *b))
    };
    let same_bounds = a.custom_values.len() == b.custom_values.len()
        && a.custom_values.iter().zip(&b.custom_values).all(|(a, b)| is_close(*a, *b));
    (!has_hint || a.hint == b.hint)
        && a.schema == b.schema
        && is_close(a.count, b.count)
        && is_close(a.sum, b.sum)
        && is_close(a.zero_threshold, b.zero_threshold)
        && is_close(a.zero_count, b.zero_count)
        && same_bounds
        && close(&a.positive, &b.positive)
        && close(&a.negative, &b.negative)
}

fn check_raw(expected: &[Series], at: At, found: &[RawSeries]) -> Result<(), String> {
    let At::Range { start, step_ms, .. } = at else {
        return Err("a range vector needs from, to and step".to_owned());
    };
    if expected.len() != found.len() {
        return Err(format!("{} series, expected {}", found.len(), expected.len()));
    }
    for series in expected {
        let Some(it) = found.iter().find(|it| *it.labels == series.labels) else {
            return Err(format!("no {}", series.labels));
        };
        let mut samples: BTreeMap<i64, Cell> =
            it.samples.iter().map(|it| (it.ts.0, Cell::Float(it.value))).collect();
        samples.extend(
            it.histograms.iter().map(|it| (it.ts.0, Cell::Histogram(Arc::clone(&it.histogram)))),
        );
        let wanted = series.values.iter().enumerate().filter_map(|(i, item)| {
            let ts = start + step_ms * i64::try_from(i).ok()?;
            Some((ts, item.as_ref()?))
        });
        let wanted: Vec<(i64, &Item)> = wanted.collect();
        let is_same = wanted.len() == samples.len()
            && wanted.iter().all(|(ts, item)| is_same(Some(item), samples.get(ts)));
        if !is_same {
            return Err(format!("{}: {samples:?}, expected {wanted:?}", series.labels));
        }
    }
    Ok(())
}

/// The middle of three steps must be what the instant query gave.
pub(super) fn check_middle(case: &Eval, answer: &Answer) -> Result<(), String> {
    let (value, _) = answer.as_ref().map_err(|it| format!("failed: {it}"))?;
    match value {
        Value::Scalar { values, .. } => {
            let row = Row::floats(Arc::default(), values.clone());
            check_row("scalar", case.scalar.as_deref().unwrap_or_default(), &row, 1..2)
        }
        Value::Vector(matrix) => {
            let rows: Vec<&Row> = matrix.rows.iter().filter(|it| it.is_present(1)).collect();
            check_rows(case, &rows, 1..2)
        }
        Value::String(_) | Value::Raw(_) => Ok(()),
    }
}

#[expect(clippy::float_cmp, reason = "infinities and zeros are equal exactly")]
fn is_close(expected: f64, found: f64) -> bool {
    if expected.is_nan() || found.is_nan() {
        return expected.is_nan() && found.is_nan();
    }
    if expected == found {
        return true;
    }
    let difference = (expected - found).abs();
    let sum = expected.abs() + found.abs();
    if expected == 0.0 || found == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}
