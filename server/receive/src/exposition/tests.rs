//! Expositions and what is read from them.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(syntax: Syntax, body: &str, expected: &Expect) {
    let mut out = String::new();
    for line in Lines::new(body, syntax) {
        match line {
            Ok(Line::Nothing) => {}
            Ok(Line::Sample(it)) => writeln!(out, "{}", sample(&it)).unwrap(),
            Ok(line) => writeln!(out, "{line:?}").unwrap(),
            Err(fault) => writeln!(out, "error: {fault}").unwrap(),
        }
    }
    expected.assert_eq(&out);
}

fn sample(line: &SampleLine<'_>) -> String {
    let mut labels = LabelVec::new();
    let labels = match read_series(line.series, Names::Checked, &mut labels) {
        Ok(()) => labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect(),
        Err(fault) => vec![format!("error: {fault}")],
    };
    let mut out = format!("{} = {}", labels.join(" "), line.value);
    if let Some(ts) = line.ts {
        write!(out, " @{}", ts.0).unwrap();
    }
    match line.exemplar.map(read_exemplar) {
        None => {}
        Some(Ok(it)) => write!(out, " # {:?} {} {:?}", it.labels, it.value, it.ts).unwrap(),
        Some(Err(fault)) => write!(out, " # error: {fault}").unwrap(),
    }
    out
}

#[test]
fn the_text_format_is_read_as_its_documentation_shows_it() {
    check(
        Syntax::Text,
        r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# HELP rpc_duration_seconds A summary\\of \"the\" \nduration.
# TYPE rpc_duration_seconds summary
rpc_duration_seconds { quantile = "0.01" , } 3102
rpc_duration_seconds{quantile="NaN",empty=""} NaN
# TYPE "my.metric" untyped
{"my.metric","a b"="}\"{"} 0x1p-2
"#,
        &expect![[r#"
            Help { metric: "http_requests_total", help: "The total number of HTTP requests." }
            Type { metric: "http_requests_total", kind: Counter }
            __name__="http_requests_total" method="post" code="200" = 1027 @1395066363000
            __name__="http_requests_total" method="post" code="400" = 3 @1395066363000
            __name__="msdos_file_access_time_seconds" path="C:\\DIR\\FILE.TXT" error="Cannot find file:\n\"FILE.TXT\"" = 1458255915
            __name__="metric_without_timestamp_and_labels" = 12.47
            __name__="something_weird" problem="division by zero" = inf @-3982045
            Help { metric: "rpc_duration_seconds", help: "A summary\\of \\\"the\\\" \nduration." }
            Type { metric: "rpc_duration_seconds", kind: Summary }
            __name__="rpc_duration_seconds" quantile="0.01" = 3102
            __name__="rpc_duration_seconds" quantile="NaN" empty="" = NaN
            Type { metric: "my.metric", kind: Unknown }
            error: expected value after metric, got "0x1p-2" while parsing: "{\"my.metric\",\"a b\"=\"}\\\"{\"} 0x1p-2"
        "#]],
    );
}

#[test]
fn openmetrics_has_units_exemplars_seconds_and_an_end() {
    check(
        Syntax::OpenMetrics,
        r#"# TYPE acme_http_router_request_seconds histogram
# UNIT acme_http_router_request_seconds seconds
# HELP acme_http_router_request_seconds Latency \"though\" all.
acme_http_router_request_seconds_bucket{le="+Inf"} 807283.0 1605301325.5 # {trace_id="a b"} 0.67 1.5e9
acme_http_router_request_seconds_created 1605281325.0
# TYPE go info
go_info{version="1"} 1 # {} 3
# EOF
"#,
        &expect![[r#"
            Type { metric: "acme_http_router_request_seconds", kind: Histogram }
            Unit { metric: "acme_http_router_request_seconds", unit: "seconds" }
            Help { metric: "acme_http_router_request_seconds", help: "Latency \"though\" all." }
            __name__="acme_http_router_request_seconds_bucket" le="+Inf" = 807283 @1605301325500 # [("trace_id", "a b")] 0.67 Some(TimestampMs(1500000000000))
            __name__="acme_http_router_request_seconds_created" = 1605281325
            Type { metric: "go", kind: Info }
            __name__="go_info" version="1" = 1 # [] 3 None
            End
        "#]],
    );
}

#[test]
fn what_is_wrong_is_said_once_and_ends_the_body() {
    for (syntax, body, expected) in [
        (Syntax::OpenMetrics, "up 1\n", expect!["error: data does not end with # EOF"]),
        (Syntax::OpenMetrics, "# EOF\nup 1\n", expect!["error: unexpected data after # EOF"]),
        (Syntax::OpenMetrics, "up 1 x\n# EOF", expect![[r#"error: invalid timestamp "x""#]]),
        (
            Syntax::OpenMetrics,
            "# UNIT a_b c\n# EOF",
            expect![[r#"error: unit "c" not a suffix of metric "a_b""#]],
        ),
        (Syntax::Text, "# TYPE up info\nup 1", expect![[r#"error: invalid metric type "info""#]]),
        (
            Syntax::Text,
            "up{a=\"b\"",
            expect![[
                r#"error: expected label name or right brace, got "" while parsing: "up{a=\"b\"""#
            ]],
        ),
        (
            Syntax::Text,
            "up 1 2 3",
            expect![[
                r#"error: expected next entry after timestamp, got "3" while parsing: "up 1 2 3""#
            ]],
        ),
        (
            Syntax::Text,
            "# TYPE",
            expect![[r##"error: expected metric name, got "" while parsing: "# TYPE""##]],
        ),
    ] {
        let last = Lines::new(body, syntax).filter_map(Result::err);
        let text: Vec<_> = last.map(|it| format!("error: {it}")).collect();
        expected.assert_eq(&text.join("\n"));
    }
}

#[test]
fn names_without_quotes_are_checked_where_asked_for() {
    for (series, expected) in [
        ("a-b", expect![[r#"expected a metric name, got "a-b" while parsing: "a-b""#]]),
        (
            "a{b.c=\"1\"}",
            expect![[r#"expected label name, got "b.c" while parsing: "a{b.c=\"1\"}""#]],
        ),
    ] {
        let mut labels = LabelVec::new();
        let fault = read_series(series, Names::Checked, &mut labels).unwrap_err();
        expected.assert_eq(&fault.to_string());
        assert_eq!(read_series(series, Names::Any, &mut labels), Ok(()));
    }
    for series in
        ["{}", "{\"a\",\"b\"}", "a{\"b\"}", "a{b}", "a{=\"1\"}", "a{,}", "a{b=1}", "a{} b"]
    {
        let mut labels = LabelVec::new();
        let found = read_series(series, Names::Checked, &mut labels);
        assert_eq!(found.is_ok(), series == "{}", "{series}: {labels:?}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(body in "[{}\",=a-z0-9.\\\\ \n#-]{0,80}") {
        for syntax in [Syntax::Text, Syntax::OpenMetrics] {
            for line in Lines::new(&body, syntax).flatten() {
                if let Line::Sample(it) = line {
                    sample(&it);
                }
            }
        }
    }
}
