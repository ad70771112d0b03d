//! Whatever is typed or logged, nothing panics.

use std::borrow::Cow;

use proptest::prelude::*;
use skep_logql::{
    Pipeline,
    ast::Expr,
    parse,
    pipeline::{Line, LineLabels},
    pretty,
};
use skep_proto::Labels;

/// Pieces of queries in any order: most are refused, some are not.
fn query() -> impl Strategy<Value = String> {
    let pieces = [
        "{a=\"b\"}",
        "{",
        "}",
        "a",
        "=~",
        "\"x.*\"",
        "`",
        "|=",
        "!~",
        "|>",
        "\"<_>x\"",
        "| json",
        "| logfmt --strict",
        "| pattern \"<a> <b>\"",
        "| regexp \"(?P<x>.)\"",
        "| unwrap a",
        "rate(",
        "sum by (a) (",
        "topk(1,",
        ")",
        "(",
        "[5m]",
        "[",
        "offset 1h",
        "-5m",
        "1KiB",
        "1e9",
        "/",
        "^",
        "== bool",
        "on (a) group_left ()",
        "or",
        "and",
        ",",
        "| a > 5",
        "ip(\"1.2.3.4\")",
        "| line_format \"{{.a | upper}}\"",
        "| label_format b=\"{{ printf \\\"%5s\\\" .a }}\"",
        "| drop a",
        "| keep b=\"c\"",
        "\"\\xff\"",
        "日",
        "#",
        "label_replace(",
        "vector(1)",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..12).prop_map(|it| it.join(" "))
}

fn hostile_line() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r#"[{}\[\]":,\\a-c0-9 nu]{0,60}"#,
        r#"([a-c]{0,3}="?[^ ]{0,5}"? ?){0,8}"#,
        "(\u{1b}|\\[|;|[0-9]|m|::1|10\\.|é){0,40}",
    ]
}

proptest! {
    #[test]
    fn a_query_is_refused_or_prints_as_a_query(text in prop_oneof![query(), any::<String>()]) {
        if let Ok(expr) = parse(&text) {
            let printed = pretty(&expr);
            let again = parse(&printed);
            prop_assert!(again.is_ok(), "{text:?} printed as {printed:?}: {again:?}");
        }
    }

    #[test]
    fn every_stage_takes_every_line(line in hostile_line()) {
        for stages in [
            "| json", "| json a=\"b[0].c\", d=\"e\"", "| logfmt", "| logfmt --strict --keep-empty a, b=\"c\"",
            "| pattern \"<a> <b>x<c>\"", "| regexp \"(?P<x>.+) (?P<y>.*)\"", "| unpack", "| decolorize",
            "|= ip(\"::1/64\") or ip(\"10.0.0.0/8\")", "|> \"<_>a<_>\"",
            "| logfmt | a > 5 or b < 1s and c = ip(\"10.0.0.1\")",
            "| json | line_format \"{{ __line__ | trunc 3 }}{{ substr 1 3 .a }}{{ alignLeft 4 .b }}\"",
            "| logfmt | label_format x=a, y=\"{{ .b | title | repeat 3 }}\" | drop a | keep x",
        ] {
            let Ok(Expr::Log(log)) = parse(&format!("{{app=\"t\"}} {stages}")) else {
                panic!("{stages} is no pipeline");
            };
            let pipeline = Pipeline::compile(&log.stages).expect(stages);
            let mut labels = LineLabels::new(pipeline.hints().clone());
            labels.set_stream(&Labels::from_pairs([("app", "t")]).expect("names are unique"));
            let mut line = Line { ts_ns: 0, text: Cow::Borrowed(&line), labels: &mut labels };
            pipeline.process(&mut line);
            prop_assert!(line.text.len() < 1 << 21);
        }
    }
}
