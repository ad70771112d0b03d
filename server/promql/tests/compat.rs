//! Writes docs/compat/promql.md: what of the language there is, and which cases test it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use skep_promql::{
    Expr, ParseOptions,
    ast::{AggregateOp, At, BinaryOp, Cardinality, Extended, Length, Modifiers, ValueType},
    functions::{FUNCTIONS, Function},
    parse_with, promqltest,
};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cases/promql");
const PAGE: &str = "../../../docs/compat/promql.md";

const HEAD: &str = "\
# PromQL

What of Prometheus' language there is, and what tests it: the files below \
[tests/cases/promql](../../tests/cases/promql) with cases whose query has it. This page is written by \
`server/promql/tests/compat.rs` (`UPDATE_EXPECT=1 cargo test -p skep-promql --test compat`).

Everything that Prometheus 3 parses is parsed, with its error texts and positions. What \
Prometheus has behind `--enable-feature` is on; `query.experimental = false` switches it off.

## Run Prometheus' own tests

`cargo xtask conformance promql DIR` runs every `.test` file of a folder, such as \
`promql/promqltest/testdata` of Prometheus' repository, against the evaluator itself, prints what \
failed, and counts cases by the part of the language they need.

";

/// What queries are made of, by group; in which files.
#[derive(Default)]
struct Found(BTreeMap<(&'static str, String), BTreeSet<String>>);

#[tokio::test]
async fn the_page_names_every_function_and_what_tests_it() {
    let mut found = Found::default();
    for entry in fs::read_dir(Path::new(CASES)).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        for outcome in promqltest::run(&text).await.unwrap() {
            let parsed = parse_with(&outcome.query, ParseOptions { experimental: true });
            let (Ok(expr), None) = (parsed, outcome.failure) else { continue };
            let mut parts = BTreeSet::new();
            parts_of(&expr, &mut parts);
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
    let mut files = |group: &'static str, name: &str| {
        if let Some(files) = found.0.get(&(group, name.to_owned())) {
            return files.iter().cloned().collect::<Vec<_>>().join(", ");
        }
        missing.push(format!("the {group} {name}"));
        String::new()
    };
    let mut page = HEAD.to_owned();
    page.push_str(
        "## Functions\n\n| function | what it gives | tested by |\n| :-- | :-- | :-- |\n",
    );
    for function in FUNCTIONS {
        let experimental = if function.experimental { " (experimental)" } else { "" };
        let files = files("function", function.name);
        let signature = signature(function);
        page += &format!("| `{signature}` | {}{experimental} | {files} |\n", function.doc);
    }
    for (group, title, all) in [
        ("aggregation", "Aggregations", aggregations()),
        ("operator", "Operators", operators()),
        ("syntax", "Selectors, modifiers and matching", SYNTAX.map(str::to_owned).to_vec()),
    ] {
        page += &format!("\n## {title}\n\n| what | tested by |\n| :-- | :-- |\n");
        for name in all {
            page += &format!("| `{name}` | {} |\n", files(group, &name));
        }
    }
    page
}

fn signature(function: &Function) -> String {
    let type_name = |it: &ValueType| match it {
        ValueType::Scalar => "scalar",
        ValueType::Vector => "vector",
        ValueType::Matrix => "range",
        ValueType::String => "string",
    };
    let mut args: Vec<String> = function.args.iter().map(|it| type_name(it).to_owned()).collect();
    if let Some(last) = args.last_mut() {
        match function.variadic {
            0 => {}
            1 => last.push('?'),
            _ => last.push_str(" …"),
        }
    }
    format!("{}({})", function.name, args.join(", "))
}

fn aggregations() -> Vec<String> {
    AggregateOp::ALL.iter().map(|it| it.name().to_owned()).collect()
}

fn operators() -> Vec<String> {
    BinaryOp::ALL.iter().map(|it| it.name().to_owned()).collect()
}

const SYNTAX: [&str; 18] = [
    "[range]",
    "[range:step]",
    "offset",
    "offset -",
    "@ time",
    "@ start()",
    "@ end()",
    "anchored",
    "smoothed",
    "[duration expression]",
    "by",
    "without",
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "fill",
];

type Parts = BTreeSet<(&'static str, String)>;

fn parts_of(expr: &Expr, parts: &mut Parts) {
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(it) => modifiers_of(&it.modifiers, parts),
        Expr::Matrix(it) => {
            length_of("[range]", &it.range, parts);
            modifiers_of(&it.selector.modifiers, parts);
        }
        Expr::Subquery(it) => {
            length_of("[range:step]", &it.range, parts);
            modifiers_of(&it.modifiers, parts);
            parts_of(&it.expr, parts);
        }
        Expr::Call(it) => {
            parts.insert(("function", it.function.name.to_owned()));
            it.args.iter().for_each(|it| parts_of(it, parts));
        }
        Expr::Aggregate(it) => {
            parts.insert(("aggregation", it.op.name().to_owned()));
            match &it.grouping {
                skep_promql::Grouping::Without(_) => syntax("without", parts),
                skep_promql::Grouping::By(names) if !names.is_empty() => syntax("by", parts),
                skep_promql::Grouping::By(_) => {}
            }
            it.param.iter().for_each(|it| parts_of(it, parts));
            parts_of(&it.expr, parts);
        }
        Expr::Binary(it) => {
            parts.insert(("operator", it.op.name().to_owned()));
            let matching = &it.matching;
            for (has, name) in [
                (it.return_bool, "bool"),
                (matching.on, "on"),
                (!matching.on && !matching.labels.is_empty(), "ignoring"),
                (matching.card == Cardinality::ManyToOne, "group_left"),
                (matching.card == Cardinality::OneToMany, "group_right"),
                (matching.fill != (None, None), "fill"),
            ] {
                if has {
                    syntax(name, parts);
                }
            }
            parts_of(&it.lhs, parts);
            parts_of(&it.rhs, parts);
        }
        Expr::Unary(it) => parts_of(&it.expr, parts),
        Expr::Paren(it) => parts_of(&it.expr, parts),
    }
}

fn syntax(name: &str, parts: &mut Parts) {
    parts.insert(("syntax", name.to_owned()));
}

fn length_of(name: &str, length: &Length, parts: &mut Parts) {
    syntax(name, parts);
    if matches!(length, Length::Expr(_)) {
        syntax("[duration expression]", parts);
    }
}

fn modifiers_of(modifiers: &Modifiers, parts: &mut Parts) {
    match &modifiers.offset {
        Length::Millis(0) => {}
        Length::Millis(it) => syntax(if *it < 0 { "offset -" } else { "offset" }, parts),
        Length::Expr(_) => syntax("[duration expression]", parts),
    }
    match modifiers.at {
        Some(At::Time(_)) => syntax("@ time", parts),
        Some(At::Start) => syntax("@ start()", parts),
        Some(At::End) => syntax("@ end()", parts),
        None => {}
    }
    match modifiers.extended {
        Some(Extended::Anchored) => syntax("anchored", parts),
        Some(Extended::Smoothed) => syntax("smoothed", parts),
        None => {}
    }
}
