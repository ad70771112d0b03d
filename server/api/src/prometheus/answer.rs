//! Prometheus' JSON envelopes and results.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use skep_promql::{Annotations, Grid, Matrix, RawSeries, Row, Value, is_absent};
use skep_proto::{Labels, TimestampMs};

use crate::{
    json::{ARRAY, push_labels, push_list, push_string, push_strings},
    number::{push_seconds, push_value},
};

/// What Prometheus says where a `limit` cut a result.
pub(super) const TRUNCATED: &str = "results truncated due to limit";

/// A success with ready JSON.
pub(super) fn data(data: &str) -> Response {
    with_notes(data, [], [])
}

/// A success that may carry warnings and infos.
pub(super) fn with_notes<'a>(
    data: &str,
    warnings: impl IntoIterator<Item = &'a str>,
    infos: impl IntoIterator<Item = &'a str>,
) -> Response {
    let mut body = String::with_capacity(data.len() + 64);
    body.push_str("{\"status\":\"success\",\"data\":");
    body.push_str(data);
    push_notes(&mut body, "warnings", warnings);
    push_notes(&mut body, "infos", infos);
    body.push('}');
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn push_notes<'a>(body: &mut String, name: &str, notes: impl IntoIterator<Item = &'a str>) {
    let mut notes = notes.into_iter().peekable();
    if notes.peek().is_some() {
        body.push_str(",\"");
        body.push_str(name);
        body.push_str("\":");
        push_strings(body, notes);
    }
}

/// A query's result: `{"resultType":…,"result":…}` and, if asked for, its statistics.
pub(super) fn result(
    mut value: Value,
    shape: Shape,
    limit: Option<usize>,
    annotations: &Annotations,
    stats: Option<&str>,
) -> Response {
    let is_cut = limit.is_some_and(|limit| truncate(&mut value, limit));
    let mut body = String::new();
    push_result(&mut body, &value, shape);
    if let Some(stats) = stats {
        body.push_str(",\"stats\":");
        body.push_str(stats);
    }
    body.push('}');
    let cut = is_cut.then_some(TRUNCATED);
    with_notes(&body, annotations.warnings().chain(cut), annotations.infos())
}

/// What kind of query was asked: it decides how a vector is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Instant(TimestampMs),
    Range,
}

fn truncate(value: &mut Value, limit: usize) -> bool {
    let n_rows = match value {
        Value::Vector(matrix) => matrix.rows.len(),
        Value::Raw(series) => series.len(),
        Value::Scalar { .. } | Value::String(_) => 0,
    };
    match value {
        Value::Vector(matrix) => matrix.rows.truncate(limit),
        Value::Raw(series) => series.truncate(limit),
        Value::Scalar { .. } | Value::String(_) => {}
    }
    n_rows > limit
}

fn push_result(out: &mut String, value: &Value, shape: Shape) {
    let kind = match (value, shape) {
        (Value::Raw(_), _) | (Value::Scalar { .. } | Value::Vector(_), Shape::Range) => "matrix",
        (Value::Scalar { .. }, Shape::Instant(_)) => "scalar",
        (Value::Vector(_), Shape::Instant(_)) => "vector",
        (Value::String(_), _) => "string",
    };
    out.push_str("{\"resultType\":\"");
    out.push_str(kind);
    out.push_str("\",\"result\":");
    match (value, shape) {
        (Value::Scalar { values, .. }, Shape::Instant(at)) => {
            push_point(out, at, values.first().copied().unwrap_or(f64::NAN));
        }
        (Value::Scalar { grid, values }, Shape::Range) => {
            push_list(out, ARRAY, [values], |out, values| {
                push_series(out, &Labels::default(), points(grid, values));
            });
        }
        (Value::Vector(matrix), Shape::Instant(_)) => push_vector(out, matrix),
        (Value::Vector(Matrix { grid, rows }), Shape::Range) => {
            push_list(out, ARRAY, rows, |out, Row { labels, values, .. }| {
                push_series(out, labels, points(grid, values));
            });
        }
        (Value::Raw(series), _) => push_list(out, ARRAY, series, |out, series| {
            let RawSeries { labels, samples, .. } = series;
            push_series(out, labels, samples.iter().map(|it| (it.ts, it.value)));
        }),
        (Value::String(text), Shape::Instant(at)) => {
            out.push('[');
            push_seconds(out, at);
            out.push(',');
            push_string(out, text);
            out.push(']');
        }
        (Value::String(text), Shape::Range) => push_string(out, text),
    }
}

fn points<'a>(grid: &'a Grid, values: &'a [f64]) -> impl Iterator<Item = (TimestampMs, f64)> + 'a {
    grid.steps().zip(values.iter().copied()).filter(|(_, value)| !is_absent(*value))
}

fn push_vector(out: &mut String, Matrix { grid, rows }: &Matrix) {
    let present =
        rows.iter().filter_map(|row| Some((&row.labels, points(grid, &row.values).next()?)));
    push_list(out, ARRAY, present, |out, (labels, (at, value))| {
        out.push_str("{\"metric\":");
        push_labels(out, labels);
        out.push_str(",\"value\":");
        push_point(out, at, value);
        out.push('}');
    });
}

fn push_series(
    out: &mut String,
    labels: &Labels,
    points: impl Iterator<Item = (TimestampMs, f64)>,
) {
    out.push_str("{\"metric\":");
    push_labels(out, labels);
    out.push_str(",\"values\":");
    push_list(out, ARRAY, points, |out, (at, value)| push_point(out, at, value));
    out.push('}');
}

fn push_point(out: &mut String, at: TimestampMs, value: f64) {
    out.push('[');
    push_seconds(out, at);
    out.push_str(",\"");
    push_value(out, value);
    out.push_str("\"]");
}
