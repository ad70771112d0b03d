//! Whether an answer is what an `eval` expects.

use std::collections::BTreeMap;

use skep_proto::{Labels, Sample};

use super::{
    Answer,
    script::{At, Eval, Expect, Series, Text},
};
use crate::{Value, is_absent};

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
            check_values("scalar", &expected, values)
        }
        Value::Vector(matrix) => {
            let found: Vec<(&Labels, &[f64])> =
                matrix.rows.iter().map(|it| (it.labels.as_ref(), it.values.as_slice())).collect();
            check_rows(case, &found)
        }
        Value::Raw(series) => {
            let Some(at) = case.range_vector else {
                return Err("a range vector, but none is expected".to_owned());
            };
            let found: Vec<(&Labels, Vec<Sample>)> =
                series.iter().map(|it| (it.labels.as_ref(), it.samples.clone())).collect();
            check_raw(&case.series, at, &found)
        }
    }
}

fn check_rows(case: &Eval, found: &[(&Labels, &[f64])]) -> Result<(), String> {
    if case.series.len() != found.len() {
        return Err(format!("{} series, expected {}: {found:?}", found.len(), case.series.len()));
    }
    if case.is_ordered() {
        for (expected, (labels, values)) in case.series.iter().zip(found) {
            if expected.labels != **labels {
                return Err(format!("{labels} stands where {} is expected", expected.labels));
            }
            check_values(&labels.to_string(), &expected.values, values)?;
        }
        return Ok(());
    }
    let by_labels: BTreeMap<&Labels, &[f64]> = found.iter().copied().collect();
    for expected in &case.series {
        if expected.has_histograms {
            return Err("native histograms are expected".to_owned());
        }
        let Some(values) = by_labels.get(&expected.labels) else {
            return Err(format!("no {} in {found:?}", expected.labels));
        };
        check_values(&expected.labels.to_string(), &expected.values, values)?;
    }
    Ok(())
}

fn check_values(name: &str, expected: &[Option<f64>], found: &[f64]) -> Result<(), String> {
    for (i, value) in found.iter().enumerate() {
        let expected = expected.get(i).copied().flatten();
        let is_same = match expected {
            None => is_absent(*value),
            Some(expected) => !is_absent(*value) && is_close(expected, *value),
        };
        if !is_same {
            return Err(format!("{name}: {value} at step {i}, expected {expected:?}"));
        }
    }
    if expected.len() > found.len() {
        return Err(format!("{name}: {} values, expected {}", found.len(), expected.len()));
    }
    Ok(())
}

fn check_raw(expected: &[Series], at: At, found: &[(&Labels, Vec<Sample>)]) -> Result<(), String> {
    let At::Range { start, step_ms, .. } = at else {
        return Err("a range vector needs from, to and step".to_owned());
    };
    if expected.len() != found.len() {
        return Err(format!("{} series, expected {}", found.len(), expected.len()));
    }
    for series in expected {
        let Some((_, samples)) = found.iter().find(|(labels, _)| **labels == series.labels) else {
            return Err(format!("no {}", series.labels));
        };
        let wanted = series.values.iter().enumerate().filter_map(|(i, value)| {
            let ts = start + step_ms * i64::try_from(i).ok()?;
            Some((ts, (*value)?))
        });
        let wanted: Vec<(i64, f64)> = wanted.collect();
        let is_same = wanted.len() == samples.len()
            && wanted
                .iter()
                .zip(samples)
                .all(|((ts, value), it)| *ts == it.ts.0 && is_close(*value, it.value));
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
            let middle = values.get(1).map(std::slice::from_ref).unwrap_or_default();
            let expected = case.scalar.as_deref().unwrap_or_default();
            check_values("scalar", expected, middle)
        }
        Value::Vector(matrix) => {
            let found: Vec<(&Labels, &[f64])> = matrix
                .rows
                .iter()
                .filter_map(|it| {
                    let middle = std::slice::from_ref(it.values.get(1)?);
                    (!middle.iter().any(|it| is_absent(*it)))
                        .then_some((it.labels.as_ref(), middle))
                })
                .collect();
            check_rows(case, &found)
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
