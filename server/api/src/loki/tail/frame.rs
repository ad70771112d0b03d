//! Frames of a tail as JSON.

use skep_proto::{Labels, TimestampNs};

use super::pending::{Ready, ReadyLine};
use crate::{
    json::{ARRAY, push_labels, push_list, push_string},
    loki::{
        answer::{LabelsAs, push_entry, push_stream_labels},
        legacy::{label_text, rfc3339},
    },
    number::push_int,
};

/// Which of Loki's APIs a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Labels(LabelsAs),
    Legacy,
}

pub(super) fn text(ready: &Ready, shape: Shape) -> String {
    let mut out = String::from("{\"streams\":");
    let lines: Vec<&ReadyLine> = ready.lines.iter().collect();
    // Neighbours of one label set share a stream.
    let runs = lines.chunk_by(|left, right| left.labels == right.labels);
    push_list(&mut out, ARRAY, runs, |out, run| match shape {
        Shape::Labels(labels_as) => push_run(out, run, labels_as),
        Shape::Legacy => push_legacy_run(out, run),
    });
    out.push_str(",\"dropped_entries\":");
    if ready.missed.named.is_empty() {
        out.push_str("null");
    } else {
        push_list(&mut out, ARRAY, &ready.missed.named, |out, (ts, labels)| match shape {
            Shape::Labels(_) => push_dropped(out, *ts, labels),
            Shape::Legacy => push_legacy_dropped(out, *ts, labels),
        });
    }
    if shape == Shape::Labels(LabelsAs::Categories) {
        out.push_str(",\"encodingFlags\":[\"categorize-labels\"]");
    }
    out.push('}');
    out
}

fn push_run(out: &mut String, run: &[&ReadyLine], labels_as: LabelsAs) {
    let Some(first) = run.first() else { return };
    out.push_str("{\"stream\":");
    push_stream_labels(out, &first.labels, labels_as);
    out.push_str(",\"values\":");
    push_list(out, ARRAY, run, |out, it| push_entry(out, it.ts, &it.line, &it.labels, labels_as));
    out.push('}');
}

fn push_dropped(out: &mut String, ts: TimestampNs, labels: &Labels) {
    out.push_str("{\"timestamp\":\"");
    push_int(out, ts.0);
    out.push_str("\",\"labels\":");
    push_labels(out, labels);
    out.push('}');
}

fn push_legacy_run(out: &mut String, run: &[&ReadyLine]) {
    let Some(first) = run.first() else { return };
    out.push_str("{\"labels\":");
    push_string(out, &label_text(first.labels.merged()));
    out.push_str(",\"entries\":");
    push_list(out, ARRAY, run, |out, it| {
        out.push_str("{\"ts\":");
        push_string(out, &rfc3339(it.ts));
        out.push_str(",\"line\":");
        push_string(out, &it.line);
        out.push('}');
    });
    out.push('}');
}

fn push_legacy_dropped(out: &mut String, ts: TimestampNs, labels: &Labels) {
    out.push_str("{\"timestamp\":");
    push_string(out, &rfc3339(ts));
    out.push_str(",\"labels\":");
    push_string(out, &label_text(labels.iter()));
    out.push('}');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expect_test::{Expect, expect};
    use skep_logql::EntryLabels;
    use skep_store::Missed;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "calls read better")]
    fn check(shape: Shape, expect: Expect) {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let labels = |level: &str| {
            Arc::new(EntryLabels {
                stream: vec![pair("app", "web")],
                metadata: vec![pair("pid", "7")],
                parsed: vec![pair("level", level)],
            })
        };
        let line = |ts, level, line: &str| ReadyLine {
            ts: TimestampNs(ts),
            labels: labels(level),
            line: line.to_owned(),
        };
        let mut missed = Missed::default();
        missed.add(TimestampNs(5), &Arc::new(Labels::from_pairs([("app", "w\"")]).unwrap()));
        let lines = [line(1, "info", "a"), line(2, "info", "b"), line(3, "warn", "c")];
        let ready = Ready { lines: lines.into(), missed };
        expect.assert_eq(&text(&ready, shape));
    }

    #[test]
    fn a_frame_has_the_shape_of_the_clients_api() {
        check(
            Shape::Labels(LabelsAs::Merged),
            expect![[
                r#"{"streams":[{"stream":{"app":"web","level":"info","pid":"7"},"values":[["1","a"],["2","b"]]},{"stream":{"app":"web","level":"warn","pid":"7"},"values":[["3","c"]]}],"dropped_entries":[{"timestamp":"5","labels":{"app":"w\""}}]}"#
            ]],
        );
        check(
            Shape::Labels(LabelsAs::Categories),
            expect![[
                r#"{"streams":[{"stream":{"app":"web"},"values":[["1","a",{"structuredMetadata":{"pid":"7"},"parsed":{"level":"info"}}],["2","b",{"structuredMetadata":{"pid":"7"},"parsed":{"level":"info"}}]]},{"stream":{"app":"web"},"values":[["3","c",{"structuredMetadata":{"pid":"7"},"parsed":{"level":"warn"}}]]}],"dropped_entries":[{"timestamp":"5","labels":{"app":"w\""}}],"encodingFlags":["categorize-labels"]}"#
            ]],
        );
        check(
            Shape::Legacy,
            expect![[
                r#"{"streams":[{"labels":"{app=\"web\", level=\"info\", pid=\"7\"}","entries":[{"ts":"1970-01-01T00:00:00.000000001Z","line":"a"},{"ts":"1970-01-01T00:00:00.000000002Z","line":"b"}]},{"labels":"{app=\"web\", level=\"warn\", pid=\"7\"}","entries":[{"ts":"1970-01-01T00:00:00.000000003Z","line":"c"}]}],"dropped_entries":[{"timestamp":"1970-01-01T00:00:00.000000005Z","labels":"{app=\"w\\\"\"}"}]}"#
            ]],
        );
    }

    #[test]
    fn without_missed_lines_it_says_null() {
        let text = text(&Ready::default(), Shape::Labels(LabelsAs::Merged));
        assert_eq!(text, r#"{"streams":[],"dropped_entries":null}"#);
    }
}
