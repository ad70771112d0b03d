//! Every stage against what Promtail makes of it.

mod flow;

use std::sync::atomic::{AtomicI64, Ordering};

use expect_test::{Expect, expect};
use skep_proto::Labels;

use super::*;

/// A clock the test sets; it begins at 15 January 2026, 12:00 UTC.
#[derive(Debug)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> TimestampNs {
        TimestampNs(self.0.load(Ordering::Relaxed))
    }
}

const BEGIN_S: i64 = 1_768_478_400;

struct Bench {
    pipeline: Pipeline,
    context: Context,
}

fn bench(yaml: &str) -> Result<Bench, String> {
    let raw: RawStages = {
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options(yaml, options).map_err(|it| it.to_string())?
    };
    let metrics = Arc::default();
    let pipeline = Pipeline::build(&raw, &Builder { metrics: &metrics })
        .map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
    let clock = Arc::new(TestClock(AtomicI64::new(BEGIN_S * 1_000_000_000)));
    Ok(Bench { pipeline, context: Context::new(clock, metrics, 7) })
}

impl Bench {
    /// A line of `{job="test"}`, one second after the one before.
    fn run(&mut self, line: &str) -> Vec<Entry> {
        let labels = Labels::from_pairs([("job", "test")]).unwrap().to_builder();
        let ts = self.context.clock.now();
        let entry = Entry { labels, ts, line: line.to_owned(), ..Entry::default() };
        let mut out = Vec::new();
        self.pipeline.run(entry, &mut self.context, &mut out);
        out
    }

    fn end(&mut self) -> Vec<Entry> {
        let mut out = Vec::new();
        self.pipeline.flush(&mut self.context, Flush::All, &mut out);
        out
    }

    fn metrics(&self) -> String {
        let mut out = crate::exposition::Exposition::default();
        self.context.metrics.collect(self.context.now, &mut out);
        out.to_text()
    }
}

/// Seconds since the test's beginning, labels, metadata and the line.
fn show(entry: Entry) -> String {
    let ns = entry.ts.0 - BEGIN_S * 1_000_000_000;
    let record = entry.into_record();
    let metadata: Vec<String> =
        record.entry.metadata.iter().map(|(name, it)| format!(" {name}={it:?}")).collect();
    let at = if ns == 0 { String::new() } else { format!("{}s ", ns as f64 / 1e9) };
    format!("{at}{}{} {:?}", record.stream, metadata.concat(), record.entry.line)
}

/// Stages in YAML, lines, and what comes out of them.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "`expect!` makes a value")]
fn check(yaml: &str, lines: &[&str], expected: Expect) {
    let found = match bench(yaml) {
        Err(error) => format!("refused: {error}"),
        Ok(mut bench) => {
            let mut out: Vec<Entry> = lines.iter().flat_map(|it| bench.run(it)).collect();
            out.extend(bench.end());
            out.into_iter().map(show).collect::<Vec<_>>().join("\n")
        }
    };
    expected.assert_eq(&found);
}

#[test]
fn json_takes_values_by_their_paths() {
    check(
        r#"
        - json: {expressions: {level: , who: user.name, n: user.n, ok: ok, all: user, first: "tags[0]", deep: "a.\"b.c\""}}
        - structured_metadata: {level: , who: , n: , ok: , all: , first: , deep: , gone: }
        "#,
        &[
            r#"{"level":"warn","user":{"name":"ann <a>","n":1.50},"ok":true,"tags":["x","y"],"a":{"b.c":3}}"#,
            "no json",
        ],
        expect![[r#"
            {job="test"} all="{\"n\":1.5,\"name\":\"ann \\u003ca\\u003e\"}" deep="3" first="x" level="warn" n="1.5" ok="true" who="ann <a>" "{\"level\":\"warn\",\"user\":{\"name\":\"ann <a>\",\"n\":1.50},\"ok\":true,\"tags\":[\"x\",\"y\"],\"a\":{\"b.c\":3}}"
            {job="test"} "no json""#]],
    );
    check(
        "- json: {expressions: {a: }, drop_malformed: true}",
        &["[1]", "{", r#"{"a":1}"#],
        expect![[r#"{job="test"} "{\"a\":1}""#]],
    );
    check(
        "- json: {expressions: {}}",
        &[],
        expect!["refused: pipeline_stages[0].json: JMES expression is required"],
    );
    check(
        "- json: {expressions: {a: 'b['}}",
        &[],
        expect![[
            r#"refused: pipeline_stages[0].json: could not compile JMES expression "b[": Parse error: Expected number, ':', or '*' -- found Eof"#
        ]],
    );
    check(
        "- json: {expressions: {a: }, sauce: x}",
        &[],
        expect![
            "refused: pipeline_stages[0].json: unknown field `sauce`, expected one of `expressions`, `source`, `drop_malformed`"
        ],
    );
}

#[test]
fn logfmt_and_regex_take_values_and_labels_sets_them() {
    check(
        r#"
        - logfmt: {mapping: {level: , took: duration}}
        - regex: {expression: "user=(?P<user>\\w+)(?P<none>x)?"}
        - labels: {level: , user_name: user, none: , gone: }
        - structured_metadata: {took: }
        "#,
        &[r#"level=warn user=ann duration="1 s""#, "level=info bad\" duration=2s", "nothing"],
        expect![[r#"
            {job="test", level="warn", user_name="ann"} took="1 s" "level=warn user=ann duration=\"1 s\""
            {job="test", level="info"} "level=info bad\" duration=2s"
            {job="test"} "nothing""#]],
    );
    check(
        "- regex: {expression: '('}",
        &[],
        expect![
            "refused: pipeline_stages[0].regex: could not compile regular expression: error parsing regexp: missing closing ): `(`"
        ],
    );
    check(
        "- regex: {expression: a, source: ''}",
        &[],
        expect!["refused: pipeline_stages[0].regex: empty source"],
    );
    check(
        "- labels: {a-b: }",
        &[],
        expect!["refused: pipeline_stages[0].labels: invalid label name: a-b"],
    );
}

#[test]
fn labels_are_set_dropped_and_kept() {
    check(
        "
        - static_labels: {a: x, b: y, c: z, empty: ''}
        - labeldrop: [a]
        - labelallow: [b, job]
        ",
        &["line"],
        expect![[r#"{b="y", job="test"} "line""#]],
    );
    check(
        "- labeldrop: ",
        &[],
        expect!["refused: pipeline_stages[0].labeldrop: labeldrop stage config cannot be empty"],
    );
}

#[test]
fn replace_puts_templates_in_place_of_groups() {
    check(
        r#"
        - replace: {expression: "password=(\\S+)", replace: "****"}
        "#,
        &["user=a password=s3cret x password=t", "none"],
        expect![[r#"
            {job="test"} "user=a password=**** x password=****"
            {job="test"} "none""#]],
    );
    check(
        r#"
        - regex: {expression: "(?P<ip>\\d+\\.\\d+)"}
        - replace: {expression: "(?P<host>\\d+)\\.(\\d+)", source: ip, replace: "{{ .Value | ToUpper }}-{{ .job }}"}
        - structured_metadata: {ip: , host: }
        "#,
        &["at 10.22 now"],
        expect![[r#"{job="test"} host="10-test" ip="10-test.22-test" "at 10.22 now""#]],
    );
    check(
        r#"- replace: {expression: "(a)", replace: "{{ .Value"}"#,
        &[],
        expect![
            "refused: pipeline_stages[0].replace: template: pipeline_template:1: unclosed action"
        ],
    );
}

#[test]
fn template_makes_values_of_values() {
    check(
        r#"
        - regex: {expression: "^(?P<app>\\S+) (?P<level>\\S*)"}
        - template: {source: level, template: '{{ if eq .Value "W" }}warn{{ else }}{{ ToLower .Value }}{{ end }}'}
        - template: {source: new, template: '{{ .app }}: {{ .Entry | trunc 3 }} {{ .missing }}'}
        - template: {source: app, template: ''}
        - labels: {level: , app: }
        - output: {source: new}
        "#,
        &["web W x", "api ERROR y"],
        expect![[r#"
            {job="test", level="warn"} "web: web <no value>"
            {job="test", level="error"} "api: api <no value>""#]],
    );
    check(
        "- template: {source: a, template: '{{ nope }}'}",
        &[],
        expect![[
            r#"refused: pipeline_stages[0].template: template: pipeline_template:1: function "nope" not defined"#
        ]],
    );
}

#[test]
fn drop_needs_all_its_conditions() {
    check(
        "- drop: {expression: 'debug|trace'}\n- drop: {longer_than: 1kb}",
        &["a debug line", "an info line", &"x".repeat(1_025), &"y".repeat(10)],
        expect![[r#"
            {job="test"} "an info line"
            {job="test"} "yyyyyyyyyy""#]],
    );
    check(
        r#"
        - json: {expressions: {level: , app: , t: }}
        - timestamp: {source: t, format: RFC3339}
        - drop: {source: level, value: debug}
        - drop: {source: [level, app], separator: "-", expression: "^info-noisy$"}
        - drop: {older_than: 1h, drop_counter_reason: old}
        - drop: {source: app, longer_than: 100}
        "#,
        &[
            r#"{"level":"debug"}"#,
            r#"{"level":"info","app":"noisy"}"#,
            r#"{"level":"info","app":"quiet","t":"2026-01-15T11:30:00Z"}"#,
            r#"{"level":"info","app":"late","t":"2026-01-15T10:30:00Z"}"#,
        ],
        expect![[
            r#"-1800s {job="test"} "{\"level\":\"info\",\"app\":\"quiet\",\"t\":\"2026-01-15T11:30:00Z\"}""#
        ]],
    );
    check(
        "- drop: {}",
        &[],
        expect![
            "refused: pipeline_stages[0].drop: drop stage config must contain at least one of `source`, `expression`, `older_than` or `longer_than`"
        ],
    );
    check(
        "- drop: {source: a, value: b, expression: c}",
        &[],
        expect![
            "refused: pipeline_stages[0].drop: drop stage config error, `value` and `expression` cannot both be defined at the same time."
        ],
    );
    check(
        "- drop: {older_than: 1 day}",
        &[],
        expect![[
            r#"refused: pipeline_stages[0].drop: older_than "1 day" is no duration; write it as in "10s" or "1h30m""#
        ]],
    );
    check(
        "- drop: {longer_than: long}",
        &[],
        expect![[
            r#"refused: pipeline_stages[0].drop: longer_than "long" is no size; write it as in "8kb""#
        ]],
    );
}

#[test]
fn dropped_lines_are_counted_by_reason() {
    let mut bench = bench(
        "
        - drop: {expression: a}
        - drop: {expression: b, drop_counter_reason: bees}
        - match: {selector: '{job=\"test\"} |= \"c\"', action: drop}
        - sampling: {rate: 0}
        ",
    )
    .unwrap();
    for line in ["a", "b", "b", "c", "d"] {
        assert!(bench.run(line).is_empty());
    }
    expect![[r##"
        # HELP logentry_dropped_lines_total A count of all log lines dropped as a result of a pipeline stage
        # TYPE logentry_dropped_lines_total counter
        logentry_dropped_lines_total{reason="bees"} 2
        logentry_dropped_lines_total{reason="drop_stage"} 1
        logentry_dropped_lines_total{reason="match_stage"} 1
        logentry_dropped_lines_total{reason="sampling_stage"} 1
    "##]].assert_eq(&bench.metrics());
}

#[test]
fn match_runs_stages_for_what_it_selects() {
    check(
        r#"
        - match:
            selector: '{job=~"te.*", none=""} |= "GET" != `/health` |~ "[0-9]{3}"'
            stages:
            - regex: {expression: "(?P<status>[0-9]{3})"}
            - labels: {status: }
        - match: {selector: '{status="500"}', action: drop}
        - match: {pipeline_name: rest, selector: '{status=""}', stages: [{static_labels: {kind: other}}]}
        "#,
        &["GET / 200", "GET /health 200", "POST / 200", "GET /x 500", "GET /"],
        expect![[r#"
            {job="test", status="200"} "GET / 200"
            {job="test", kind="other"} "GET /health 200"
            {job="test", kind="other"} "POST / 200"
            {job="test", kind="other"} "GET /""#]],
    );
    check(
        "- match: {selector: '{a=\"b\"'}",
        &[],
        expect![
            "refused: pipeline_stages[0].match: match stage requires at least one additional stage to be defined in '- stages'"
        ],
    );
    check(
        "- match: {selector: '{a=\"b\"', action: drop}",
        &[],
        expect![[
            r#"refused: pipeline_stages[0].match: invalid selector syntax for match stage: expected , or } at """#
        ]],
    );
    check(
        "- match: {selector: '{a=\"b\"} | json', action: drop}",
        &[],
        expect![[
            r#"refused: pipeline_stages[0].match: invalid selector syntax for match stage: expected an operator at "| json""#
        ]],
    );
    check(
        "- match: {selector: '{a=\"b\"}', stages: [{json: {expressions: {a: }}}, {regex: {}}]}",
        &[],
        expect![
            "refused: pipeline_stages[0].match: pipeline_stages[1].regex: expression is required"
        ],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn timestamps_are_read_by_layouts_and_names() {
    let stages = |format: &str, more: &str| {
        format!(
            "- regex: {{expression: '^(?P<t>.*)$'}}\n- timestamp: {{source: t, format: '{format}'{more}}}"
        )
    };
    for (format, more, line, expected) in [
        (
            "RFC3339",
            "",
            "2026-01-15T12:00:05Z",
            expect![[r#"5s {job="test"} "2026-01-15T12:00:05Z""#]],
        ),
        (
            "RFC3339Nano",
            "",
            "2026-01-15T13:00:05.25+01:00",
            expect![[r#"5.25s {job="test"} "2026-01-15T13:00:05.25+01:00""#]],
        ),
        ("Unix", "", "1768478401", expect![[r#"1s {job="test"} "1768478401""#]]),
        ("Unix", "", "1768478401.250", expect![[r#"1.25s {job="test"} "1768478401.250""#]]),
        ("UnixMs", "", "1768478401500", expect![[r#"1.5s {job="test"} "1768478401500""#]]),
        ("UnixUs", "", "1768478401500000", expect![[r#"1.5s {job="test"} "1768478401500000""#]]),
        (
            "UnixNs",
            "",
            "1768478401500000001",
            expect![[r#"1.500000001s {job="test"} "1768478401500000001""#]],
        ),
        (
            "02/Jan/2006:15:04:05 -0700",
            "",
            "15/Jan/2026:12:00:07 +0000",
            expect![[r#"7s {job="test"} "15/Jan/2026:12:00:07 +0000""#]],
        ),
        (
            "2006-01-02 15:04:05",
            ", location: Europe/Berlin",
            "2026-01-15 13:00:08",
            expect![[r#"8s {job="test"} "2026-01-15 13:00:08""#]],
        ),
        (
            "Jan _2 15:04:05",
            "",
            "Jan 15 12:00:09",
            expect![[r#"9s {job="test"} "Jan 15 12:00:09""#]],
        ),
        (
            "Jan _2 15:04:05",
            "",
            "Dec 31 23:59:59",
            expect![[r#"-1252801s {job="test"} "Dec 31 23:59:59""#]],
        ),
        (
            "RFC1123",
            ", fallback_formats: [Unix]",
            "1768478402",
            expect![[r#"2s {job="test"} "1768478402""#]],
        ),
        ("RFC3339", "", "yesterday", expect![[r#"{job="test"} "yesterday""#]]),
    ] {
        check(&stages(format, more), &[line], expected);
    }
    check(
        &stages("Unix", ", location: Atlantis/City"),
        &[],
        expect!["refused: pipeline_stages[1].timestamp: invalid location specified: Atlantis/City"],
    );
    check(
        &stages("Unix", ", action_on_failure: cry"),
        &[],
        expect![
            "refused: pipeline_stages[1].timestamp: invalid action on failure (supported values are [skip fudge])"
        ],
    );
}

#[test]
fn a_time_that_cannot_be_read_follows_the_last_one() {
    let lines = ["1768478401 a", "b", "c", "1768478402 d"];
    let stages = |action: &str| {
        format!(
            "- regex: {{expression: '^(?P<t>[0-9]+) '}}\n- timestamp: {{source: t, format: Unix, action_on_failure: {action}}}"
        )
    };
    check(
        &stages("fudge"),
        &lines,
        expect![[r#"
        1s {job="test"} "1768478401 a"
        1.000000001s {job="test"} "b"
        1.000000002s {job="test"} "c"
        2s {job="test"} "1768478402 d""#]],
    );
    check(
        &stages("skip"),
        &lines,
        expect![[r#"
        1s {job="test"} "1768478401 a"
        {job="test"} "b"
        {job="test"} "c"
        2s {job="test"} "1768478402 d""#]],
    );
}

#[test]
fn pack_puts_labels_into_the_line() {
    check(
        "- static_labels: {pod: p}\n- pack: {labels: [job, pod, gone], ingest_timestamp: false}",
        &["a \"line\""],
        expect![[r#"{pod="p"} "{\"job\":\"test\",\"_entry\":\"a \\\"line\\\"\"}""#]],
    );
}

#[test]
fn colours_go_and_what_has_no_effect_is_taken() {
    check(
        "- decolorize:\n- tenant: {value: me}\n- non_indexed_labels: {who: job}",
        &["\u{1b}[31mred\u{1b}[0m"],
        expect![[r#"{job="test"} who="test" "red""#]],
    );
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    check("- jason: {}", &[], expect!["refused: pipeline_stages[0].jason: unknown stage type"]);
    check(
        "- {json: {}, regex: {}}",
        &[],
        expect!["refused: pipeline_stages[0].: pipeline stage must contain only one key"],
    );
    check(
        "- geoip: {db: x}",
        &[],
        expect![
            "refused: pipeline_stages[0].geoip: this agent reads no GeoIP database; take the stage out and look addresses up when you query"
        ],
    );
    check(
        "- eventlogmessage: {}",
        &[],
        expect![
            "refused: pipeline_stages[0].eventlogmessage: this stage is for the event log of Windows, which this agent does not read"
        ],
    );
    check(
        "- tenant: {}",
        &[],
        expect!["refused: pipeline_stages[0].tenant: label, source or value config are required"],
    );
    check(
        "- output: {}",
        &[],
        expect![
            "refused: pipeline_stages[0].output: output source value is required if output is specified"
        ],
    );
}

#[test]
fn stages_are_sorted_and_each_once() {
    assert!(STAGES.is_sorted_by(|a, b| a.name < b.name));
}
