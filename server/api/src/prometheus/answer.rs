//! Prometheus' JSON envelopes and results.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use skep_promql::{
    Annotations, Grid, Matrix, RawSeries, Row, Value, is_absent,
    native::{Bucket, buckets},
};
use skep_proto::{Labels, NativeHistogram, TimestampMs};

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
                let none = std::iter::empty::<At<'_>>();
                push_series(out, &Labels::default(), points(grid, values), none);
            });
        }
        (Value::Vector(matrix), Shape::Instant(_)) => push_vector(out, matrix),
        (Value::Vector(Matrix { grid, rows }), Shape::Range) => {
            push_list(out, ARRAY, rows, |out, row| {
                let Row { labels, values, .. } = row;
                push_series(out, labels, points(grid, values), histograms(grid, row));
            });
        }
        (Value::Raw(series), _) => push_list(out, ARRAY, series, |out, series| {
            let RawSeries { labels, samples, histograms } = series;
            let samples = samples.iter().map(|it| (it.ts, it.value));
            let histograms = histograms.iter().map(|it| (it.ts, it.histogram.as_ref()));
            push_series(out, labels, samples, histograms);
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

/// A histogram and its time.
type At<'a> = (TimestampMs, &'a NativeHistogram);

fn histograms<'a>(grid: &'a Grid, row: &'a Row) -> impl Iterator<Item = At<'a>> + 'a {
    let entries = row.histograms.iter().flatten();
    grid.steps().zip(entries).filter_map(|(at, it)| Some((at, it.as_deref()?)))
}

fn push_vector(out: &mut String, Matrix { grid, rows }: &Matrix) {
    let present = rows.iter().filter(|row| row.is_present(0));
    push_list(out, ARRAY, present, |out, row| {
        out.push_str("{\"metric\":");
        push_labels(out, &row.labels);
        match histograms(grid, row).next() {
            Some(histogram) => {
                out.push_str(",\"histogram\":");
                push_histogram(out, histogram);
            }
            None => {
                let value = row.values.first().copied().unwrap_or(f64::NAN);
                out.push_str(",\"value\":");
                push_point(out, grid.start(), value);
            }
        }
        out.push('}');
    });
}

/// Either list is left out where it is empty.
fn push_series<'a>(
    out: &mut String,
    labels: &Labels,
    points: impl Iterator<Item = (TimestampMs, f64)>,
    histograms: impl Iterator<Item = At<'a>>,
) {
    out.push_str("{\"metric\":");
    push_labels(out, labels);
    let mut points = points.peekable();
    if points.peek().is_some() {
        out.push_str(",\"values\":");
        push_list(out, ARRAY, points, |out, (at, value)| push_point(out, at, value));
    }
    let mut histograms = histograms.peekable();
    if histograms.peek().is_some() {
        out.push_str(",\"histograms\":");
        push_list(out, ARRAY, histograms, push_histogram);
    }
    out.push('}');
}

fn push_point(out: &mut String, at: TimestampMs, value: f64) {
    out.push('[');
    push_seconds(out, at);
    out.push(',');
    push_quoted(out, value);
    out.push(']');
}

/// `[time,{"count":…,"sum":…,"buckets":[[boundaries,lower,upper,count],…]}]`, without the buckets
/// that are empty.
fn push_histogram(out: &mut String, (at, histogram): At<'_>) {
    out.push('[');
    push_seconds(out, at);
    out.push_str(",{\"count\":");
    push_quoted(out, histogram.count);
    out.push_str(",\"sum\":");
    push_quoted(out, histogram.sum);
    let mut full = buckets(histogram).into_iter().filter(|it| it.count != 0.0).peekable();
    if full.peek().is_some() {
        out.push_str(",\"buckets\":");
        push_list(out, ARRAY, full, |out, bucket| {
            out.push('[');
            out.push(boundaries(&bucket));
            for value in [bucket.lower, bucket.upper, bucket.count] {
                out.push(',');
                push_quoted(out, value);
            }
            out.push(']');
        });
    }
    out.push_str("}]");
}

/// Which ends belong to the bucket, as Prometheus numbers it.
fn boundaries(bucket: &Bucket) -> char {
    match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => '0',
        (true, false) => '1',
        (false, false) => '2',
        (true, true) => '3',
    }
}

fn push_quoted(out: &mut String, value: f64) {
    out.push('"');
    push_value(out, value);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expect_test::expect;
    use skep_promql::absent;
    use skep_proto::{CUSTOM_BUCKETS_SCHEMA, Span};

    use super::*;

    fn histogram() -> NativeHistogram {
        NativeHistogram {
            schema: 1,
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 12.5,
            sum: -3.25,
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
            negative_spans: vec![Span { offset: 1, length: 1 }],
            positive: vec![1.0, 0.0, 4.5],
            negative: vec![5.0],
            ..NativeHistogram::default()
        }
    }

    #[test]
    fn buckets_say_which_ends_are_theirs() {
        let mut out = String::new();
        push_histogram(&mut out, (TimestampMs(1_500), &histogram()));
        expect![[r#"[1.500,{"count":"12.5","sum":"-3.25","buckets":[[1,"-1.414213562373095","-1","5"],[3,"-0.001","0.001","2"],[0,"0.7071067811865475","1","1"],[0,"2","2.82842712474619","4.5"]]}]"#]].assert_eq(&out);
        let custom = NativeHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 3.0,
            sum: 1e21,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive: vec![1.0, 1.0, 1.0],
            custom_values: vec![0.5, 2.0],
            ..NativeHistogram::default()
        };
        let mut out = String::new();
        push_histogram(&mut out, (TimestampMs(0), &custom));
        expect![[r#"[0,{"count":"3","sum":"1e+21","buckets":[[3,"-Inf","0.5","1"],[0,"0.5","2","1"],[0,"2","+Inf","1"]]}]"#]].assert_eq(&out);
        let mut out = String::new();
        push_histogram(&mut out, (TimestampMs(0), &NativeHistogram::default()));
        expect![[r#"[0,{"count":"0","sum":"0"}]"#]].assert_eq(&out);
    }

    #[test]
    fn a_row_has_floats_and_histograms_at_other_times() {
        let grid = Grid::range(TimestampMs(0), TimestampMs(2_000), 1_000).unwrap();
        let some = Some(Arc::new(NativeHistogram { count: 1.0, ..NativeHistogram::default() }));
        let row =
            |values: [f64; 3], histograms| Row::mixed(Arc::default(), values.into(), histograms);
        let rows = vec![
            row([1.0, absent(), absent()], vec![None, some.clone(), None]),
            row([absent(), absent(), absent()], vec![some, None, None]),
        ];
        let matrix = Value::Vector(Matrix { grid, rows });
        let mut out = String::new();
        push_result(&mut out, &matrix, Shape::Range);
        out.push('\n');
        push_result(&mut out, &matrix, Shape::Instant(TimestampMs(0)));
        expect![[r#"
            {"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"]],"histograms":[[1,{"count":"1","sum":"0"}]]},{"metric":{},"histograms":[[0,{"count":"1","sum":"0"}]]}]
            {"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1","sum":"0"}]},{"metric":{},"histogram":[0,{"count":"1","sum":"0"}]}]"#]].assert_eq(&out);
    }
}
