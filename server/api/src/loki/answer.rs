//! Loki's JSON envelopes and results.

use std::{cmp::Reverse, collections::BTreeMap};

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use skep_logql::{Direction, EntryLabels, LogStream, Value};
use skep_promql::{Matrix, Row, is_absent};
use skep_proto::{TimestampMs, TimestampNs};

use super::{query::Asked, stats};
use crate::{
    json::{ARRAY, push_labels, push_list, push_pairs, push_string},
    number::{push_int, push_positional, push_seconds},
};

pub(super) fn json(body: String) -> Response {
    ([(CONTENT_TYPE, "application/json; charset=UTF-8")], body).into_response()
}

/// `{"status":"success","data":…}` around ready JSON.
pub(super) fn data(data: &str) -> Response {
    json(format!("{{\"status\":\"success\",\"data\":{data}}}"))
}

/// What was asked for: it decides how values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Instant(TimestampMs),
    Range,
}

/// Whether the three kinds of labels are kept apart (`X-Loki-Response-Encoding-Flags`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelsAs {
    Merged,
    Categories,
}

pub(super) fn result(asked: &Asked, shape: Shape, labels_as: LabelsAs) -> Response {
    let Asked { answer, waited, direction, .. } = asked;
    let mut body = String::from("{\"resultType\":\"");
    match (&answer.value, shape) {
        (Value::Streams(streams), _) => {
            body.push_str("streams\"");
            push_streams(&mut body, streams, labels_as, *direction);
        }
        (Value::Matrix(matrix), Shape::Instant(_)) => {
            body.push_str("vector\",\"result\":");
            push_vector(&mut body, matrix);
        }
        (Value::Matrix(matrix), Shape::Range) => {
            body.push_str("matrix\",\"result\":");
            push_matrix(&mut body, matrix);
        }
        // The engine gives a range query of a literal as a matrix.
        (Value::Scalar(value), _) => {
            let at = if let Shape::Instant(at) = shape { at } else { TimestampMs::default() };
            body.push_str("scalar\",\"result\":");
            push_point(&mut body, at, *value);
        }
    }
    body.push_str(",\"stats\":");
    stats::push(&mut body, &answer.stats, *waited, stats::n_entries(&answer.value));
    body.push('}');
    data(&body)
}

fn push_streams(
    out: &mut String,
    streams: &[LogStream],
    labels_as: LabelsAs,
    direction: Direction,
) {
    if labels_as == LabelsAs::Categories {
        // Clients read in order and must know before they see a stream.
        out.push_str(",\"encodingFlags\":[\"categorize-labels\"],\"result\":");
        return push_categorized(out, streams, direction);
    }
    out.push_str(",\"result\":");
    push_list(out, ARRAY, streams, |out, LogStream { labels, entries }| {
        out.push_str("{\"stream\":");
        push_stream_labels(out, labels, LabelsAs::Merged);
        out.push_str(",\"values\":");
        push_list(out, ARRAY, entries, |out, entry| {
            push_entry(out, entry.ts, &entry.line, labels, LabelsAs::Merged);
        });
        out.push('}');
    });
}

/// A line with the labels that are not its stream's.
type Line<'a> = (TimestampNs, &'a str, &'a EntryLabels);

fn push_categorized(out: &mut String, streams: &[LogStream], direction: Direction) {
    let mut by_stream: BTreeMap<&[(String, String)], Vec<Line<'_>>> = BTreeMap::new();
    for LogStream { labels, entries } in streams {
        let lines = entries.iter().map(|it| (it.ts, it.line.as_str(), labels.as_ref()));
        by_stream.entry(&labels.stream).or_default().extend(lines);
    }
    for lines in by_stream.values_mut() {
        match direction {
            Direction::Forward => lines.sort_by_key(|(ts, ..)| *ts),
            Direction::Backward => lines.sort_by_key(|(ts, ..)| Reverse(*ts)),
        }
    }
    push_list(out, ARRAY, by_stream, |out, (stream, lines)| {
        out.push_str("{\"stream\":");
        push_pairs(out, borrowed(stream));
        out.push_str(",\"values\":");
        push_list(out, ARRAY, lines, |out, (ts, line, labels)| {
            push_entry(out, ts, line, labels, LabelsAs::Categories);
        });
        out.push('}');
    });
}

/// The labels a stream is told under.
pub(super) fn push_stream_labels(out: &mut String, labels: &EntryLabels, labels_as: LabelsAs) {
    match labels_as {
        LabelsAs::Merged => push_pairs(out, labels.merged()),
        LabelsAs::Categories => push_pairs(out, borrowed(&labels.stream)),
    }
}

/// `["<ns>","line"]`, or with the labels that are not the stream's as a third element.
pub(super) fn push_entry(
    out: &mut String,
    ts: TimestampNs,
    line: &str,
    labels: &EntryLabels,
    labels_as: LabelsAs,
) {
    push_line(out, ts, line);
    if labels_as == LabelsAs::Categories {
        out.push_str(",{");
        push_category(out, "structuredMetadata", &labels.metadata);
        if !labels.metadata.is_empty() && !labels.parsed.is_empty() {
            out.push(',');
        }
        push_category(out, "parsed", &labels.parsed);
        out.push('}');
    }
    out.push(']');
}

fn push_category(out: &mut String, name: &str, pairs: &[(String, String)]) {
    if !pairs.is_empty() {
        push_string(out, name);
        out.push(':');
        push_pairs(out, borrowed(pairs));
    }
}

fn borrowed(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn push_line(out: &mut String, TimestampNs(ns): TimestampNs, line: &str) {
    out.push_str("[\"");
    push_int(out, ns);
    out.push_str("\",");
    push_string(out, line);
}

fn push_vector(out: &mut String, Matrix { grid, rows }: &Matrix) {
    let present = rows.iter().filter_map(|row| {
        let value = row.values.first().copied().filter(|it| !is_absent(*it))?;
        Some((&row.labels, value))
    });
    push_list(out, ARRAY, present, |out, (labels, value)| {
        out.push_str("{\"metric\":");
        push_labels(out, labels);
        out.push_str(",\"value\":");
        push_point(out, grid.start(), value);
        out.push('}');
    });
}

fn push_matrix(out: &mut String, Matrix { grid, rows }: &Matrix) {
    push_list(out, ARRAY, rows, |out, Row { labels, values, .. }| {
        out.push_str("{\"metric\":");
        push_labels(out, labels);
        out.push_str(",\"values\":");
        let points = grid.steps().zip(values).filter(|(_, value)| !is_absent(**value));
        push_list(out, ARRAY, points, |out, (at, value)| push_point(out, at, *value));
        out.push('}');
    });
}

/// One value at one time, as all of Loki's metric results write it.
pub(super) fn push_point(out: &mut String, at: TimestampMs, value: f64) {
    out.push('[');
    push_seconds(out, at);
    out.push_str(",\"");
    push_positional(out, value);
    out.push_str("\"]");
}
