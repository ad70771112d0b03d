//! Stages that hold lines back, let some through, or count them.

use std::time::Duration;

use expect_test::expect;

use super::{Bench, bench, check, show};
use crate::pipeline::{Entry, Flush, docker};

#[test]
fn multiline_joins_to_the_first_line() {
    let trace = ["before", "2026 a", " at b", " at c", "2026 d", " at e", " at f", " at g"];
    check(
        "- multiline: {firstline: '^\\d{4}', max_lines: 3, max_wait_time: 1s}\n- static_labels: {m: x}",
        &trace,
        expect![[r#"
            {job="test", m="x"} "before"
            {job="test", m="x"} "2026 a\n at b\n at c"
            {job="test", m="x"} "2026 d\n at e\n at f"
            {job="test", m="x"} " at g""#]],
    );
    check(
        "- multiline: {}",
        &[],
        expect![
            "refused: pipeline_stages[0].multiline: multiline stage config must define `firstline` regular expression"
        ],
    );
    check(
        "- multiline: {firstline: a, max_wait_time: soon}",
        &[],
        expect![[
            r#"refused: pipeline_stages[0].multiline: max_wait_time "soon" is no duration; write it as in "10s" or "1h30m""#
        ]],
    );
}

#[test]
fn held_lines_say_from_where_and_go_once_they_have_waited() {
    let mut bench = bench("- multiline: {firstline: '^x', max_wait_time: 2s}").unwrap();
    let entry =
        |line: &str, begins_at| Entry { line: line.to_owned(), begins_at, ..Entry::default() };
    let mut out = Vec::new();
    bench.pipeline.run(entry("x1", 10), &mut bench.context, &mut out);
    bench.pipeline.run(entry("y", 13), &mut bench.context, &mut out);
    assert_eq!((out.len(), bench.pipeline.held_from()), (0, Some(10)));
    bench.pipeline.flush(&mut bench.context, Flush::Due, &mut out);
    assert_eq!(out.len(), 0);
    assert_eq!(bench.pipeline.due_at(), Some(bench.context.now + Duration::from_secs(2)));
    bench.context.now += Duration::from_secs(2);
    bench.pipeline.flush(&mut bench.context, Flush::Due, &mut out);
    assert_eq!(out.pop().map(|it| it.line), Some("x1\ny".to_owned()));
    assert_eq!(bench.pipeline.held_from(), None);
}

#[test]
fn docker_is_four_stages_and_a_whole_log_is_joined() {
    let lines = [
        r#"{"log":"one\n","stream":"stdout","time":"2026-01-15T12:00:01.5Z"}"#,
        r#"{"log":"tw","stream":"stderr","time":"2026-01-15T12:00:02Z","attrs":{"tag":"t"}}"#,
        r#"{"log":"other\n","stream":"stdout","time":"2026-01-15T12:00:03Z"}"#,
        r#"{"log":"o\r\n","stream":"stderr","time":"2026-01-15T12:00:04Z"}"#,
        "not docker's",
    ];
    check(
        "- docker: ",
        &lines,
        expect![[r#"
        1.5s {job="test", stream="stdout"} "one\n"
        2s {job="test", stream="stderr"} "tw"
        3s {job="test", stream="stdout"} "other\n"
        4s {job="test", stream="stderr"} "o\r\n"
        {job="test"} "not docker's""#]],
    );
    let mut bench = bench("[]").unwrap();
    bench.pipeline.push_front(Box::new(docker::DockerLog::default()));
    let out: Vec<String> = lines.iter().flat_map(|it| bench.run(it)).map(show).collect();
    expect![[r#"
        1.5s {job="test", stream="stdout"} "one"
        3s {job="test", stream="stdout"} "other"
        2s {job="test", stream="stderr"} tag="t" "two"
        {job="test"} "not docker's""#]]
    .assert_eq(&out.join("\n"));
}

#[test]
fn cri_lines_are_joined_by_stream() {
    let lines = [
        "2026-01-15T12:00:01Z stdout P one ",
        "2026-01-15T12:00:02Z stderr F err",
        "2026-01-15T12:00:03Z stdout F two",
        "2026-01-15T12:00:04Z stdout P open",
        "plain",
    ];
    check(
        "- cri: {}",
        &lines,
        expect![[r#"
        2s {job="test", stream="stderr"} "err"
        3s {job="test", stream="stdout"} "one two"
        {job="test"} "plain"
        4s {job="test", stream="stdout"} "open""#]],
    );
    check(
        "- cri: {max_partial_line_size: 4, max_partial_line_size_truncate: true}",
        &lines[..3],
        expect![[r#"
            2s {job="test", stream="stderr"} "err"
            3s {job="test", stream="stdout"} "one ""#]],
    );
}

#[test]
fn limit_lets_a_burst_through_and_then_a_rate() {
    let mut bench = bench("- limit: {rate: 2, burst: 3, drop: true}").unwrap();
    let passed = |bench: &mut Bench| (0..10).filter(|_| !bench.run("x").is_empty()).count();
    assert_eq!(passed(&mut bench), 3);
    bench.context.now += Duration::from_secs(1);
    assert_eq!(passed(&mut bench), 2);

    let mut bench = super::bench("- limit: {rate: 2, burst: 1}").unwrap();
    assert_eq!((bench.run("a").len(), bench.context.take_delay()), (1, Duration::ZERO));
    assert_eq!((bench.run("b").len(), bench.context.take_delay()), (1, Duration::from_millis(500)));
    assert_eq!((bench.run("c").len(), bench.context.take_delay()), (1, Duration::from_secs(1)));

    let mut bench = super::bench(
        "- regex: {expression: '(?P<app>.*)'}\n- labels: {app: }\n- limit: {rate: 1, burst: 1, drop: true, by_label_name: app}",
    )
    .unwrap();
    let passed: Vec<usize> = ["a", "b", "a", "b"].map(|it| bench.run(it).len()).to_vec();
    assert_eq!(passed, [1, 1, 0, 0]);
    expect![[r##"
        # HELP logentry_dropped_lines_by_label_total A count of all log lines dropped as a result of a pipeline stage
        # TYPE logentry_dropped_lines_by_label_total counter
        logentry_dropped_lines_by_label_total{label_name="app",label_value="a"} 1
        logentry_dropped_lines_by_label_total{label_name="app",label_value="b"} 1
        # HELP logentry_dropped_lines_total A count of all log lines dropped as a result of a pipeline stage
        # TYPE logentry_dropped_lines_total counter
        logentry_dropped_lines_total{reason="ratelimit_drop_stage"} 2
    "##]].assert_eq(&bench.metrics());
    check(
        "- limit: {rate: 0, burst: 1}",
        &[],
        expect!["refused: pipeline_stages[0].limit: limit stage failed to parse rate or burst"],
    );
    check(
        "- limit: {rate: 1, burst: 1, by_label_name: a}",
        &[],
        expect!["refused: pipeline_stages[0].limit: When ratelimiting by label, drop must be true"],
    );
}

#[test]
fn copies_of_a_pipeline_share_a_limit_but_hold_lines_each_on_its_own() {
    let mut bench = bench("- limit: {rate: 1, burst: 3, drop: true}").unwrap();
    let mut copy = bench.pipeline.clone();
    let mut out = Vec::new();
    for _ in 0..5 {
        bench.pipeline.run(Entry::default(), &mut bench.context, &mut out);
        copy.run(Entry::default(), &mut bench.context, &mut out);
    }
    assert_eq!(out.len(), 3);
}

#[test]
fn sampling_keeps_its_share() {
    let mut bench = bench("- sampling: {rate: 0.25}").unwrap();
    let n_kept = (0..4_000).filter(|_| !bench.run("x").is_empty()).count();
    assert!((900..1_100).contains(&n_kept), "{n_kept} of 4000");
    assert_eq!(super::bench("- sampling: {rate: 1}").unwrap().run("x").len(), 1);
    check(
        "- sampling: {rate: 2}",
        &[],
        expect![
            "refused: pipeline_stages[0].sampling: sampling stage failed to parse rate,Sampling Rate must be between 0.0 and 1.0"
        ],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a golden and a table")]
fn metrics_are_counted_by_stream() {
    let mut bench = bench(
        r#"
        - regex: {expression: "took=(?P<took>\\S+) n=(?P<n>\\S+)"}
        - metrics:
            lines_total: {type: Counter, description: all lines, config: {match_all: true, action: inc}}
            bytes_total: {type: Counter, prefix: my_, config: {match_all: true, count_entry_bytes: true, action: add}}
            fives_total: {type: Counter, source: n, config: {value: 5, action: inc}}
            n_sum_total: {type: Counter, source: n, config: {action: add}}
            n: {type: Gauge, description: the last n, config: {action: set}}
            took_seconds: {type: Histogram, source: took, config: {buckets: [0.1, 1]}}
        "#,
    )
    .unwrap();
    for line in ["took=50ms n=5", "took=2s n=-3", "took=0.5 n=x", "else"] {
        bench.run(line);
    }
    expect![[r##"
        # TYPE my_bytes_total counter
        my_bytes_total{job="test"} 41
        # TYPE promtail_custom_fives_total counter
        promtail_custom_fives_total{job="test"} 1
        # HELP promtail_custom_lines_total all lines
        # TYPE promtail_custom_lines_total counter
        promtail_custom_lines_total{job="test"} 4
        # HELP promtail_custom_n the last n
        # TYPE promtail_custom_n gauge
        promtail_custom_n{job="test"} -3
        # TYPE promtail_custom_n_sum_total counter
        promtail_custom_n_sum_total{job="test"} 5
        # TYPE promtail_custom_took_seconds histogram
        promtail_custom_took_seconds_bucket{job="test",le="0.1"} 1
        promtail_custom_took_seconds_bucket{job="test",le="1"} 2
        promtail_custom_took_seconds_bucket{job="test",le="+Inf"} 3
        promtail_custom_took_seconds_sum{job="test"} 2.55
        promtail_custom_took_seconds_count{job="test"} 3
    "##]]
    .assert_eq(&bench.metrics());
    bench.context.now += Duration::from_secs(300);
    bench.metrics();
    assert_eq!(bench.metrics(), "", "idle series go after they were shown once more");
    for (metric, expected) in [
        (
            "{type: Summary}",
            expect![[
                r#"refused: pipeline_stages[0].metrics: metric "m": invalid metric type, metric type must be one of 'counter', 'gauge', or 'histogram'"#
            ]],
        ),
        (
            "{type: Counter}",
            expect![[
                r#"refused: pipeline_stages[0].metrics: metric "m": counter action must be defined as either `inc` or `add`"#
            ]],
        ),
        (
            "{type: Counter, config: {action: inc, match_all: true, value: x}}",
            expect![[
                r#"refused: pipeline_stages[0].metrics: metric "m": `match_all: true` cannot be combined with `value`, please remove `match_all` or `value`"#
            ]],
        ),
        (
            "{type: Gauge, max_idle_duration: 10ms, config: {action: set}}",
            expect![[
                r#"refused: pipeline_stages[0].metrics: metric "m": max_idle_duration less than 1s not allowed"#
            ]],
        ),
        (
            "{type: Histogram, config: {buckets: [2, 1]}}",
            expect![[
                r#"refused: pipeline_stages[0].metrics: metric "m": histogram buckets must be in increasing order, and at most 200"#
            ]],
        ),
    ] {
        check(&format!("- metrics: {{m: {metric}}}"), &[], expected);
    }
    check(
        "- metrics: {m: {type: Gauge, config: {action: set}}}\n- metrics: {m: {type: Counter, config: {action: inc}}}",
        &[],
        expect![[
            r#"refused: pipeline_stages[1].metrics: metric "promtail_custom_m": there is one of another type under this name"#
        ]],
    );
}
