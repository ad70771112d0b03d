//! What is known of a template holds for each of its lines: a leaf that is told templates and
//! values gives what one gives that is told whole lines.

use std::sync::Arc;

use proptest::prelude::*;
use skep_logql::{
    RangeCollector, RangeLeaf, RangeLimits,
    ast::{Expr, MetricExpr, RangeAggregation},
    parse,
    pipeline::Shape,
};
use skep_promql::{Grid, Matrix};
use skep_proto::{Labels, TEMPLATE_VALUES, TimestampMs, TimestampNs, join_template};

const QUERIES: &[&str] = &[
    r#"count_over_time({app="t"} | json [1m])"#,
    r#"count_over_time({app="t"} |~ "status.+d=|a\"*5" | json [1m])"#,
    r#"count_over_time({app="t"} |~ "(?i)INFO (d|x)=[0-9]+m" [1m])"#,
    r#"sum(count_over_time({app="t"} |= "1m" or "ms" |= "5" [1m]))"#,
    r#"sum(count_over_time({app="t"} |= "12 " != "a=\"" [1m]))"#,
    r#"count_over_time({app="t"} |= "a" != "zz" | json [1m])"#,
    r#"sum by (app) (count_over_time({app="t"} |= "7" | json | status >= 500 [1m]))"#,
    r#"sum by (status) (count_over_time({app="t"} | json | b="x" or status < 3 [1m]))"#,
    r#"sum by (b) (bytes_over_time({app="t"} | json | a != "1" | drop a [1m]))"#,
    r#"sum(count_over_time({app="t"} | json | __error__="" [1m]))"#,
    r#"sum by (level) (count_over_time({app="t"} | logfmt | level="info" [1m]))"#,
    r#"quantile_over_time(0.5, {app="t"} | logfmt | unwrap duration(d) | __error__="" [1m]) by (b)"#,
    r#"avg_over_time({app="t"} | logfmt --strict --keep-empty | unwrap bytes(a) [1m]) by (level)"#,
    r#"max_over_time({app="t"} | json | unwrap status | status > 2 [1m]) by (a)"#,
    r#"sum by (a, b) (count_over_time({app="t"} | pattern `<a> - <_> [<_>] "<b> <_>" <_>` | a=~"1.*" [1m]))"#,
    r#"sum by (a) (count_over_time({app="t"} | pattern `<_>" <a> <_>` | logfmt | a > 1s [1m]))"#,
    r#"count_over_time({app="t"} | json | logfmt | status > 5 | b = "x" | keep b [1m])"#,
];

/// Words as files keep them apart from their templates.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[1-9][0-9]{0,4}",
        "[0-9]{1,3}(ms|s|m|KB)?",
        "[0-9]{1,3}\\.[0-9]{1,3}",
        "[a-f]{1,4}[0-9a-f-]{7,12}",
        "[0-9][0-9a-zA-Z._:-]{0,9}",
    ]
}

/// What stands between words; it neither begins nor ends with what a word may hold.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#"","status":"#.to_owned()),
        Just(r#","a":""#.to_owned()),
        Just(r#"","b":"x","level":"info","d":"#.to_owned()),
        Just(r#"" "#.to_owned()),
        Just(" level=info d=".to_owned()),
        Just(r#" msg="a b" a="#.to_owned()),
        Just(r#" - - ["#.to_owned()),
        Just(r#"] ""#.to_owned()),
        Just(r#"":"#.to_owned()),
        Just(r#",""#.to_owned()),
        "[ =\",:{}\\[\\]/\\\\]{1,3}",
    ]
    .prop_filter("a word would go on", |it| {
        let is_joint = |it: char| it.is_ascii_alphanumeric() || "._:-".contains(it);
        !it.starts_with(is_joint) && !it.ends_with(is_joint)
    })
}

/// A template, and the values of some lines.
fn lines() -> impl Strategy<Value = (String, Vec<Vec<String>>)> {
    let start = prop_oneof![
        Just(r#"{"status":"#),
        Just(r#"{"a":""#),
        Just("level="),
        Just("d="),
        Just(""),
        Just("{\"n\":{\"b\":"),
    ];
    let end = prop_oneof![Just("}"), Just("\"}"), Just(""), Just("\" ")];
    let n_values = 1..=TEMPLATE_VALUES;
    let rest = prop_oneof![
        word(),
        Just(String::new()),
        Just("7\"} x".to_owned()),
        Just("5 status=700 a=3s".to_owned()),
        Just("5\",\"status\":700,\"a\":1}".to_owned()),
        Just("9\" 3s - 1 [x] \"y z\" q".to_owned()),
    ];
    (start, end, n_values).prop_flat_map(move |(start, end, n_values)| {
        let texts = prop::collection::vec(text(), n_values - 1);
        let is_full = n_values == TEMPLATE_VALUES;
        let last = if is_full { rest.clone().boxed() } else { word().boxed() };
        let values =
            (prop::collection::vec(word(), n_values - 1), last).prop_map(|(mut all, it)| {
                all.push(it);
                all
            });
        (texts, prop::collection::vec(values, 1..5)).prop_map(move |(texts, values)| {
            let escaped = |it: &str| it.replace('{', "{{").replace('}', "}}");
            let mut template = escaped(start);
            for text in texts {
                template.push_str("{}");
                template.push_str(&escaped(&text));
            }
            template.push_str("{}");
            if !is_full {
                template.push_str(&escaped(end));
            }
            (template, values)
        })
    })
}

fn leaf(query: &str) -> RangeLeaf {
    let Ok(Expr::Metric(metric)) = parse(query) else { panic!("{query}") };
    let of = |range: RangeAggregation, grouping| RangeLeaf {
        matchers: range.log.matchers,
        stages: range.log.stages,
        unwrap: range.unwrap,
        op: range.op,
        quantile: range.quantile,
        interval_ns: range.interval_ns,
        offset_ns: range.offset_ns,
        grid: Grid::instant(TimestampMs(60_000)),
        grouping,
    };
    match metric {
        MetricExpr::Range(range) => {
            let grouping = range.grouping.clone();
            of(range, grouping)
        }
        MetricExpr::Vectors(vectors) => match vectors.inner {
            MetricExpr::Range(range) => {
                of(range, vectors.grouping.or_else(|| Some(skep_promql::Grouping::By(Vec::new()))))
            }
            other => panic!("{query}: {other:?}"),
        },
        other => panic!("{query}: {other:?}"),
    }
}

fn collector(leaf: &RangeLeaf) -> RangeCollector {
    let limits = RangeLimits { n_series_max: 1000, n_samples_max: 1000 };
    let (Ok(pipeline), Ok(labels)) =
        (leaf.compile(), Labels::from_pairs([("app", "t"), ("level", "x")]))
    else {
        panic!("{leaf:?} does not compile")
    };
    let mut collector = RangeCollector::new(leaf, Arc::new(pipeline), limits);
    collector.set_stream(&labels);
    collector
}

fn shown(matrix: Result<Matrix, skep_logql::QueryError>) -> Vec<String> {
    match matrix {
        Ok(matrix) => {
            let mut rows: Vec<_> =
                matrix.rows.iter().map(|it| format!("{} {:?}", it.labels, it.values)).collect();
            rows.sort();
            rows
        }
        Err(error) => vec![error.to_string()],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn templates_tell_what_lines_tell(query in prop::sample::select(QUERIES), (template, lines) in lines()) {
        let leaf = leaf(query);
        let (mut whole, mut known) = (collector(&leaf), collector(&leaf));
        let shape = known.shape(&template);
        let mut series = None;
        for (at, values) in lines.iter().enumerate() {
            let ts = TimestampNs(1_000_000_000 + i64::try_from(at).unwrap());
            let value = |at: usize| values.get(at).map_or("", String::as_str);
            let mut line = String::new();
            join_template(&template, value, &mut line).unwrap();
            whole.push(ts, &line, []).unwrap();
            match &shape {
                Shape::Never => {}
                Shape::Known(it) if it.fits(value) => {
                    let n_bytes = || line.len() as u64;
                    known.push_known(ts, it, value, n_bytes, None::<[_; 0]>, &mut series).unwrap();
                }
                _ => known.push(ts, &line, []).unwrap(),
            }
        }
        prop_assert_eq!(shown(whole.finish()), shown(known.finish()), "{:?}", shape);
    }
}

/// So that the test above tests something.
#[test]
fn common_lines_are_known() {
    let known = |query: &str, template: &str| {
        let shape = collector(&leaf(query)).shape(template);
        match shape {
            Shape::Never => "never".to_owned(),
            Shape::Unknown => "unknown".to_owned(),
            Shape::Known(known) => format!("values {:08b}", known.values()),
        }
    };
    let json = r#"{{"ts":{},"level":"info","path":"/a/{}","status":{},"d":{},"b":{},"u":{},"remote":"{}","id":"{}"#;
    let status = r#"sum by (app) (count_over_time({app="t"} | json | status >= 500 [1m]))"#;
    assert_eq!(known(status, json), "values 10111101");
    let path = r#"sum by (app) (count_over_time({app="t"} | json | path = "/b" [1m]))"#;
    assert_eq!(known(path, r#"{{"path":"/a","status":{}}}"#), "never");
    let logfmt = r#"quantile_over_time(0.95, {app="t"} | logfmt | unwrap duration(d) | __error__="" [1m]) by (b)"#;
    assert_eq!(known(logfmt, "level=info b=x n={} d={} id={}"), "values 00000010");
    let nginx = r#"sum by (p) (count_over_time({app="t"} | pattern `<_> - <_> [<_>] "<_> <p> <_>" <s> <_>` | s >= 500 [1m]))"#;
    let line = r#"{} - - [{}/Nov/{} +{}] "GET /a/{} HTTP/1.1" {} {} "-" "Mozilla Gecko/{}"#;
    assert_eq!(known(nginx, line), "values 00110000");
    let text = r#"sum(count_over_time({app="t"} |= "refused" [1m]))"#;
    assert_eq!(known(text, "connection from {} refused"), "values 00000000");
    assert_eq!(known(text, "connection from {} accepted"), "values 00000001");
    let text = r#"sum(count_over_time({app="t"} |= "is {" [1m]))"#;
    assert_eq!(known(text, "{} is {}"), "never");
    assert_eq!(known(text, "{} is{}"), "never");
    let text = r#"sum(count_over_time({app="t"} |= "is 1" [1m]))"#;
    assert_eq!(known(text, "{} is {}"), "unknown");
}

proptest! {
    #[test]
    fn lines_that_are_counted_together_count_as_one_by_one(
        ts in prop::collection::btree_set(-200..400_i64, 0..60),
        (start, step, n_steps) in (-50..50_i64, 1..90_i64, 1..6_usize),
        (interval, offset) in (1..200_i64, -50..50_i64),
    ) {
        let mut leaf = leaf(r#"sum by (app) (bytes_over_time({app="t"}[1m]))"#);
        leaf.grid = Grid::with_steps(TimestampMs(start), step, n_steps);
        (leaf.interval_ns, leaf.offset_ns) = (interval * 700_000, offset * 300_000);
        let ts: Vec<i64> = ts.into_iter().map(|it| it * 500_000).collect();
        let (mut one_by_one, mut together) = (collector(&leaf), collector(&leaf));
        for it in &ts {
            one_by_one.push(TimestampNs(*it), "four", []).unwrap();
        }
        together.push_all(&ts, [], |rows| rows.len() as u64 * 4).unwrap();
        prop_assert_eq!(shown(one_by_one.finish()), shown(together.finish()));
    }
}
