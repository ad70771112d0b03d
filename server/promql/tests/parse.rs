//! What the parser says of mistakes, and how it lays out what it accepts.

use expect_test::{ExpectFile, expect_file};
use skep_promql::{ParseOptions, format_query};

#[track_caller]
fn check(queries: &[&str], expected: &ExpectFile) {
    let lines: Vec<String> = queries
        .iter()
        .map(|query| {
            let options = ParseOptions { experimental: true };
            match format_query(query, options) {
                Ok(pretty) => format!("{query:?}\n  => {}\n", pretty.replace('\n', "\n     ")),
                Err(error) => format!("{query:?}\n  {error}\n"),
            }
        })
        .collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn lexical_mistakes_name_the_character_and_where_it_stands() {
    check(
        &[
            "",
            "  ",
            "a $ b",
            "a b",
            "a{",
            "a{b=1}",
            "a{b='c}",
            "a[5m",
            "a]",
            "a)",
            "(a",
            "`raw",
            "\"\\z\"",
            "\"\\xg0\"",
            "1..2",
            "1e",
            "0x",
            "08",
            "1_",
            "5m5",
            "5m1h",
            "a[5m:5m:5m]",
            "a[x]",
            "a =~ b",
            "a ! b",
            "a\n  + é",
        ],
        &expect_file!["./parse/lexical.txt"],
    );
}

#[test]
fn grammatical_mistakes_say_what_was_expected() {
    check(
        &[
            "a +",
            "+",
            "* a",
            "a b c",
            "sum",
            "sum(",
            "sum()",
            "sum(a",
            "sum(a,)",
            "sum by a (b)",
            "sum by (a,,b) (c)",
            "sum by (a b) (c)",
            "sum by (1) (c)",
            "sum (a) by (b) by (c)",
            "topk(a)",
            "topk(1, a, b)",
            "a{,}",
            "a{b}",
            "a{b=c}",
            "a{b=\"c\" d=\"e\"}",
            "a{\"b\" \"c\"}",
            "a[]",
            "a[5m:1m:]",
            "a[0s]",
            "a[-5m]",
            "a[5m/0]",
            "a[5m] offset",
            "a offset b",
            "a @",
            "a @ b",
            "a @ start",
            "a + on b",
            "a + on(b) group_middle c",
            "a + group_left b",
            "(a)[5m]",
            "a offset 1m[5m]",
            "a @ 1 [5m]",
            "a offset 1m offset 2m",
            "a @ 1 @ 2",
            "1 offset 5m",
            "a anchored smoothed",
            "a[1h:1m] smoothed",
        ],
        &expect_file!["./parse/grammatical.txt"],
    );
}

#[test]
fn types_are_checked_with_prometheus_texts() {
    check(
        &[
            "rate(a)",
            "abs(a[5m])",
            "abs(1)",
            "vector(a)",
            "vector(\"a\")",
            "sum(1)",
            "sum(a[5m])",
            "topk(a, b)",
            "count_values(1, a)",
            "\"a\" + 1",
            "a[5m] + 1",
            "-\"a\"",
            "-a[5m]",
            "1 and 2",
            "a or 1",
            "1 > 2",
            "a + bool b",
            "a and on(b) group_left c",
            "a + on(b) 1",
            "a + on(b) group_left(b) c",
            "a + fill(1) 2",
            "a and fill(1) b",
            "1[5m:]",
            "a[5m][5m:]",
            "{}",
            "{a=\"\"}",
            "{a=~\".*\"}",
            "a{__name__=\"b\"}",
            "abs()",
            "abs(a, b)",
            "round(a, 1, 2)",
            "label_join(a, \"b\")",
            "nosuch(a)",
            "info(a, b)",
            "info(a, {b=\"c\"} + 1)",
            "a{b=~\"(\"}",
        ],
        &expect_file!["./parse/types.txt"],
    );
}

#[test]
fn accepted_queries_are_laid_out_as_prometheus_does() {
    check(
        &[
            "a{ b='c' , d!~`e\\d` }",
            "{\"a.b\",\"c d\"=\"e\"}",
            "{__name__=\"a\",b=\"c\"}",
            "sum(a)by(b,\"c d\")",
            "sum without()(a)",
            "sum by()(a)",
            "topk(5,a)",
            "a+b*-c^2",
            "a  ==bool on(b)group_left c",
            "a-ignoring()b",
            "a + ignoring() group_right() b",
            "a and on() b",
            "a + fill_left(1)b",
            "a + fill(NaN)b",
            "rate(a[90s]offset-1m@1.5)",
            "a[1h:]",
            "a[5m:90s]@end()offset 1w",
            "a[5m*2+step()]",
            "a offset (1m+30)",
            "a offset min_of(step(),1m)",
            "a smoothed offset 5",
            "0x1F",
            "1_000",
            ".5",
            "1e3",
            "+Inf",
            "NaN",
            "1h30m",
            "090",
            "0755",
            "'it\\'s'",
            "start",
            "sum",
            "by",
            "offset",
            "fill + fill",
            "# only a comment\na # and one behind",
            "sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m])) / sum by (job) (rate(http_requests_total[5m])) > 0.01",
            "histogram_quantile(0.99, sum by (le, handler) (rate(http_request_duration_seconds_bucket{job=\"api\"}[5m])))",
            "(very_long_metric_name_number_one{label=\"value\"} + very_long_metric_name_number_two{label=\"value\"})",
            "-avg_over_time((very_long_metric_name_number_one + very_long_metric_name_number_two)[1h:1m] offset 1d)",
        ],
        &expect_file!["./parse/layout.txt"],
    );
}
