//! Writes docs/compat/logql.md: what of the language there is, which cases test it, and where
//! answers differ from Loki's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use skep_logql::{
    ast::{
        BinaryOp, Conversion, Expr, GroupSide, Grouping, LabelFilter, LabelFormatValue, LabelPick,
        LogExpr, Matching, MetricExpr, RangeAggregation, RangeOp, Stage, Unwrap, VectorOp,
    },
    logqltest, parse, template_functions,
};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cases/logql");
const PAGE: &str = "../../../docs/compat/logql.md";

const HEAD: &str = "\
# LogQL

What of Loki's language there is, and what tests it: the files below \
[tests/cases/logql](../../tests/cases/logql) with cases whose query has it. This page is written by \
`server/logql/tests/compat.rs` (`UPDATE_EXPECT=1 cargo test -p skep-logql --test compat`).

Everything that Loki 3.7 parses is parsed, with its error texts and positions, and prints as its \
`format_query` prints it.

## Run tests against a server

`cargo xtask conformance logql DIR` runs the LogQL tools of a folder, `parse_check.py` and \
`logql_diff.py`, which compare a server with recorded answers of Loki, against a fresh server of \
this build and prints their figures. \
`cargo xtask conformance logql FILE.test` runs a file of cases, or a folder of them, against the \
evaluator itself.

## Where answers differ from Loki's

| query | Loki | here | why |
| :-- | :-- | :-- | :-- |
| `1 + 1` as an instant query | the clock's milliseconds as the time stamp's seconds | the time asked for | \
Loki's time stamp lies in the year 59,877 or so and is another one with each request |
| `avg_over_time(… \\| unwrap v [5m]) by (…)` | the sum of the values by the number of all lines, \
also of those without a value | the mean of the values | Loki splits the mean into two queries and \
loses the `unwrap` of one |
| `approx_topk` | an estimate | exact, as `topk` | nothing has to be merged from shards |
| `variants(…) of (…)` | refused unless a limit allows it | answered | it costs no more than its \
parts |
| `\\|~ \"(?i)foo\"` on `ffoo` | no match | a match | Loki's search does not look back |
| `\\|~ \"foo\\|.*\"`, `\\|~ \"foo\\|\"` | lines with `foo` | every line | Loki drops the side that \
always matches; on label filters it is done as Loki does, for the sake of dashboards |
| `\\|= ip(\"a\") or ip(\"b\") or \"c\"` through `format_query` | the second `ip()` is gone | it stays \
| a query that is laid out should still ask the same |
| `now` in a template | the time of the line's turn | the time the query began | one answer, one \
time |
| a template that makes more than 1 MiB of a line or takes 100,000 steps | goes on | \
`TemplateFormatErr` | a query must end |
| bytes that are no UTF-8, after `trunc` or `substr` cut a character | the bytes | U+FFFD | lines \
are UTF-8 here |

";

/// What queries are made of, by group; in which files.
#[derive(Default)]
struct Found(BTreeMap<(&'static str, String), BTreeSet<String>>);

#[tokio::test]
async fn the_page_names_every_construct_and_what_tests_it() {
    let mut found = Found::default();
    for entry in fs::read_dir(Path::new(CASES)).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        for outcome in logqltest::run(&text).await.unwrap() {
            let (Ok(expr), None) = (parse(&outcome.query), outcome.failure) else { continue };
            let mut parts = BTreeSet::new();
            match &expr {
                Expr::Log(log) => log_parts(log, &mut parts),
                Expr::Metric(metric) => metric_parts(metric, &mut parts),
            }
            for part in parts {
                found.0.entry(part).or_default().insert(file.clone());
            }
        }
    }
    let mut missing = Vec::new();
    let page = page(&found, &mut missing);
    assert!(missing.is_empty(), "no case has {}", missing.join(", "));
    expect_test::expect_file![PAGE].assert_eq(&page);
}

fn page(found: &Found, missing: &mut Vec<String>) -> String {
    let mut page = HEAD.to_owned();
    let names = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let range_ops = RangeOp::ALL.iter().map(|it| it.as_str().to_owned()).collect();
    let vector_ops = VectorOp::ALL.iter().map(|it| it.as_str().to_owned()).collect();
    let binary_ops = BinaryOp::ALL.iter().map(|it| it.as_str().to_owned()).collect();
    let functions = template_functions().map(str::to_owned).collect();
    let groups: [(&str, &str, Vec<String>); 8] = [
        ("filter", "Filters", names(&FILTERS)),
        ("stage", "Parsers and stages", names(&STAGES)),
        ("range", "Range aggregations", range_ops),
        ("vector", "Vector aggregations", vector_ops),
        ("operator", "Operators", binary_ops),
        ("syntax", "Windows, grouping and matching", names(&SYNTAX)),
        ("function", "Template functions", functions),
        ("action", "Template actions", names(&ACTIONS)),
    ];
    for (i, (group, title, all)) in groups.into_iter().enumerate() {
        let gap = if i > 0 { "\n" } else { "" };
        page += &format!("{gap}## {title}\n\n| what | tested by |\n| :-- | :-- |\n");
        for name in all {
            let files = found.0.get(&(group, name.clone()));
            if files.is_none() {
                missing.push(format!("the {group} {name}"));
            }
            let files: Vec<&str> = files.into_iter().flatten().map(String::as_str).collect();
            let shown = name.replace('|', "\\|");
            page += &format!("| `{shown}` | {} |\n", files.join(", "));
        }
    }
    page
}

const FILTERS: [&str; 13] = [
    "|=",
    "!=",
    "|~",
    "!~",
    "|>",
    "!>",
    "or between texts",
    "ip() in a line",
    "label = text",
    "label > number",
    "label > duration",
    "label > bytes",
    "label = ip()",
];

const STAGES: [&str; 21] = [
    "json",
    "json a=\"b.c\"",
    "logfmt",
    "logfmt a=\"b\"",
    "logfmt --strict",
    "logfmt --keep-empty",
    "pattern",
    "regexp",
    "unpack",
    "decolorize",
    "line_format",
    "label_format a=b",
    "label_format a=\"template\"",
    "drop a",
    "drop a=\"b\"",
    "keep a",
    "keep a=\"b\"",
    "unwrap",
    "unwrap duration()",
    "unwrap duration_seconds()",
    "unwrap bytes()",
];

const SYNTAX: [&str; 14] = [
    "[5m]",
    "offset",
    "by",
    "without",
    "filters behind unwrap",
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "vector()",
    "label_replace()",
    "variants() of ()",
    "__error__",
];

const ACTIONS: [&str; 11] =
    ["if", "else", "end", "with", "range", "break", "continue", "define", "template", ":=", "/*"];

type Parts = BTreeSet<(&'static str, String)>;

fn add(group: &'static str, name: &str, parts: &mut Parts) {
    parts.insert((group, name.to_owned()));
}

fn log_parts(log: &LogExpr, parts: &mut Parts) {
    for stage in &log.stages {
        stage_parts(stage, parts);
    }
}

fn stage_parts(stage: &Stage, parts: &mut Parts) {
    let name = match stage {
        Stage::LineFilter(filter) => {
            add("filter", filter.op.as_str(), parts);
            if filter.alternatives.len() > 1 {
                add("filter", "or between texts", parts);
            }
            if filter.alternatives.iter().any(|it| it.is_ip) {
                add("filter", "ip() in a line", parts);
            }
            return;
        }
        Stage::LabelFilter(filter) => return filter_parts(filter, parts),
        Stage::JsonExprs(_) => "json a=\"b.c\"",
        Stage::Logfmt { flags, exprs } => {
            for (has, name) in [
                (flags.strict, "logfmt --strict"),
                (flags.keep_empty, "logfmt --keep-empty"),
                (!exprs.is_empty(), "logfmt a=\"b\""),
            ] {
                if has {
                    add("stage", name, parts);
                }
            }
            "logfmt"
        }
        Stage::LineFormat(text) => {
            template_parts(text, parts);
            "line_format"
        }
        Stage::LabelFormat(formats) => {
            for format in formats {
                match &format.value {
                    LabelFormatValue::Rename(_) => add("stage", "label_format a=b", parts),
                    LabelFormatValue::Template(text) => {
                        template_parts(text, parts);
                        add("stage", "label_format a=\"template\"", parts);
                    }
                }
            }
            return;
        }
        Stage::Drop(picks) => return pick_parts(picks, ["drop a", "drop a=\"b\""], parts),
        Stage::Keep(picks) => return pick_parts(picks, ["keep a", "keep a=\"b\""], parts),
        stage => stage.name(),
    };
    add("stage", name, parts);
}

fn pick_parts(picks: &[LabelPick], [plain, matching]: [&str; 2], parts: &mut Parts) {
    for pick in picks {
        match pick {
            LabelPick::Name(_) => add("stage", plain, parts),
            LabelPick::Matching(_) => add("stage", matching, parts),
        }
    }
}

fn filter_parts(filter: &LabelFilter, parts: &mut Parts) {
    let name = match filter {
        LabelFilter::And(left, right) | LabelFilter::Or(left, right) => {
            filter_parts(left, parts);
            return filter_parts(right, parts);
        }
        LabelFilter::Text(matcher) => {
            if matcher.name() == "__error__" {
                add("syntax", "__error__", parts);
            }
            "label = text"
        }
        LabelFilter::Number { .. } => "label > number",
        LabelFilter::Duration { .. } => "label > duration",
        LabelFilter::Bytes { .. } => "label > bytes",
        LabelFilter::Ip { .. } => "label = ip()",
    };
    add("filter", name, parts);
}

/// The functions and actions a template names.
fn template_parts(text: &str, parts: &mut Parts) {
    let known: BTreeSet<&str> = template_functions().collect();
    for word in text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()) {
        if known.contains(word) {
            add("function", word, parts);
        }
        if ACTIONS.contains(&word) {
            add("action", word, parts);
        }
    }
    for mark in [":=", "/*"] {
        if text.contains(mark) {
            add("action", mark, parts);
        }
    }
}

fn metric_parts(expr: &MetricExpr, parts: &mut Parts) {
    match expr {
        MetricExpr::Literal(_) => {}
        MetricExpr::Vector(_) => add("syntax", "vector()", parts),
        MetricExpr::Range(range) => range_parts(range, parts),
        MetricExpr::Vectors(vectors) => {
            add("vector", vectors.op.as_str(), parts);
            grouping_parts(vectors.grouping.as_ref(), parts);
            metric_parts(&vectors.inner, parts);
        }
        MetricExpr::Binary(binary) => {
            add("operator", binary.op.as_str(), parts);
            if binary.return_bool {
                add("syntax", "bool", parts);
            }
            binary.matching.iter().for_each(|it| matching_parts(it, parts));
            metric_parts(&binary.left, parts);
            metric_parts(&binary.right, parts);
        }
        MetricExpr::LabelReplace(replace) => {
            add("syntax", "label_replace()", parts);
            metric_parts(&replace.inner, parts);
        }
        MetricExpr::Variants(variants) => {
            add("syntax", "variants() of ()", parts);
            variants.variants.iter().for_each(|it| metric_parts(it, parts));
        }
    }
}

fn range_parts(range: &RangeAggregation, parts: &mut Parts) {
    add("range", range.op.as_str(), parts);
    add("syntax", "[5m]", parts);
    if range.offset_ns != 0 {
        add("syntax", "offset", parts);
    }
    grouping_parts(range.grouping.as_ref(), parts);
    log_parts(&range.log, parts);
    range.unwrap.iter().for_each(|it| unwrap_parts(it, parts));
}

fn unwrap_parts(unwrap: &Unwrap, parts: &mut Parts) {
    let name = match unwrap.conversion {
        Conversion::Number => "unwrap",
        Conversion::Duration => "unwrap duration()",
        Conversion::DurationSeconds => "unwrap duration_seconds()",
        Conversion::Bytes => "unwrap bytes()",
    };
    add("stage", name, parts);
    if !unwrap.filters.is_empty() {
        add("syntax", "filters behind unwrap", parts);
    }
    unwrap.filters.iter().for_each(|it| filter_parts(it, parts));
}

fn grouping_parts(grouping: Option<&Grouping>, parts: &mut Parts) {
    match grouping {
        Some(Grouping::By(_)) => add("syntax", "by", parts),
        Some(Grouping::Without(_)) => add("syntax", "without", parts),
        None => {}
    }
}

fn matching_parts(matching: &Matching, parts: &mut Parts) {
    add("syntax", if matching.on { "on" } else { "ignoring" }, parts);
    match matching.group.as_ref().map(|it| it.side) {
        Some(GroupSide::Left) => add("syntax", "group_left", parts),
        Some(GroupSide::Right) => add("syntax", "group_right", parts),
        None => {}
    }
}
