//! What the parser says of mistakes, and how it lays out what it accepts.

use expect_test::{Expect, expect};
use skep_promql::{ParseOptions, format_query};

#[track_caller]
fn check(queries: &[&str], expected: &Expect) {
    let lines: Vec<String> = queries
        .iter()
        .map(|query| {
            let options = ParseOptions { experimental: true };
            match format_query(query, options) {
                Ok(pretty) => format!("{query}\n  => {}\n", pretty.replace('\n', "\n     ")),
                Err(error) => format!("{query}\n  {error}\n"),
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
        &expect![[r#"

              unknown position: parse error: no expression found in input
  
              1:1: parse error: no expression found in input
            a $ b
              1:3: parse error: unexpected character: '$'
            a b
              1:3: parse error: unexpected identifier "b"
            a{
              1:3: parse error: unexpected end of input inside braces
            a{b=1}
              1:5: parse error: unexpected character inside braces: '1'
            a{b='c}
              1:5: parse error: unterminated quoted string
            a[5m
              1:5: parse error: unclosed left bracket
            a]
              1:2: parse error: unexpected right bracket ']'
            a)
              1:2: parse error: unexpected right parenthesis ')'
            (a
              1:3: parse error: unclosed left parenthesis
            `raw
              1:1: parse error: unterminated raw string
            "\z"
              1:1: parse error: unknown escape sequence U+007A 'z'
            "\xg0"
              1:1: parse error: illegal character U+0067 'g' in escape sequence
            1..2
              1:1: parse error: bad number or duration syntax: "1.."
            1e
              1:1: parse error: bad number or duration syntax: "1e"
            0x
              1:1: parse error: error parsing number: strconv.ParseFloat: parsing "0x": invalid syntax
            08
              => 8
            1_
              1:1: parse error: bad number or duration syntax: "1_"
            5m5
              1:1: parse error: bad number or duration syntax: "5m5"
            5m1h
              1:1: parse error: not a valid duration string: "5m1h"
            a[5m:5m:5m]
              1:8: parse error: unexpected colon ':'
            a[x]
              1:3: parse error: unexpected character in duration expression: 'x'
            a =~ b
              1:3: parse error: unexpected character after '=': '~'
            a ! b
              1:3: parse error: unexpected character after '!': ' '
            a
              + é
              2:5: parse error: unexpected character: 'é'
        "#]],
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
        &expect![[r#"
            a +
              1:4: parse error: unexpected end of input
            +
              1:2: parse error: unexpected end of input
            * a
              1:1: parse error: unexpected <op:*>
            a b c
              1:3: parse error: unexpected identifier "b"
            sum
              => sum
            sum(
              1:5: parse error: unclosed left parenthesis
            sum()
              1:1: parse error: no arguments for aggregate expression provided
            sum(a
              1:6: parse error: unclosed left parenthesis
            sum(a,)
              1:6: parse error: trailing commas not allowed in function call args
            sum by a (b)
              1:8: parse error: unexpected identifier "a" in grouping opts, expected "("
            sum by (a,,b) (c)
              1:11: parse error: unexpected "," in grouping opts, expected label
            sum by (a b) (c)
              1:11: parse error: unexpected identifier "b" in grouping opts, expected "," or ")"
            sum by (1) (c)
              1:9: parse error: unexpected number "1" in grouping opts, expected label
            sum (a) by (b) by (c)
              1:16: parse error: unexpected <by>
            topk(a)
              1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1
            topk(1, a, b)
              1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 3
            a{,}
              1:3: parse error: unexpected "," in label matching, expected identifier or "}"
            a{b}
              1:4: parse error: unexpected "}" in label matching, expected label matching operator
            a{b=c}
              1:5: parse error: unexpected identifier "c" in label matching, expected string
            a{b="c" d="e"}
              1:9: parse error: unexpected identifier "d" in label matching, expected "," or "}"
            a{"b" "c"}
              1:7: parse error: unexpected string "\"c\"" in label matching, expected "," or "}"
            a[]
              1:3: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()
            a[5m:1m:]
              1:8: parse error: unexpected colon ':'
            a[0s]
              1:3: parse error: duration must be greater than 0
            a[-5m]
              1:3: parse error: duration must be greater than 0
            a[5m/0]
              1:5: parse error: division by zero
            a[5m] offset
              1:13: parse error: unexpected end of input in offset, expected number, duration, step(), or range()
            a offset b
              1:10: parse error: unexpected identifier "b" in offset, expected number, duration, step(), or range()
            a @
              1:4: parse error: unexpected end of input in @, expected timestamp
            a @ b
              1:5: parse error: unexpected identifier "b" in @, expected timestamp
            a @ start
              1:10: parse error: unexpected end of input in @, expected timestamp
            a + on b
              1:8: parse error: unexpected identifier "b" in grouping opts, expected "("
            a + on(b) group_middle c
              1:24: parse error: unexpected identifier "c"
            a + group_left b
              1:5: parse error: unexpected <group_left>
            (a)[5m]
              1:4: parse error: ranges only allowed for vector selectors
            a offset 1m[5m]
              1:12: parse error: no offset modifiers allowed before range
            a @ 1 [5m]
              1:7: parse error: no @ modifiers allowed before range
            a offset 1m offset 2m
              1:1: parse error: offset may not be set multiple times
            a @ 1 @ 2
              1:1: parse error: @ <timestamp> may not be set multiple times
            1 offset 5m
              1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery
            a anchored smoothed
              1:1: parse error: anchored and smoothed modifiers cannot be used together
            a[1h:1m] smoothed
              1:1: parse error: smoothed modifier is not supported for subqueries
        "#]],
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
        &expect![[r#"
            rate(a)
              1:6: parse error: expected type range vector in call to function "rate", got instant vector
            abs(a[5m])
              1:5: parse error: expected type instant vector in call to function "abs", got range vector
            abs(1)
              1:5: parse error: expected type instant vector in call to function "abs", got scalar
            vector(a)
              1:8: parse error: expected type scalar in call to function "vector", got instant vector
            vector("a")
              1:8: parse error: expected type scalar in call to function "vector", got string
            sum(1)
              1:5: parse error: expected type instant vector in aggregation expression, got scalar
            sum(a[5m])
              1:5: parse error: expected type instant vector in aggregation expression, got range vector
            topk(a, b)
              1:6: parse error: expected type scalar in aggregation parameter, got instant vector
            count_values(1, a)
              1:14: parse error: expected type string in aggregation parameter, got scalar
            "a" + 1
              1:1: parse error: binary expression must contain only scalar and instant vector types
            a[5m] + 1
              1:1: parse error: binary expression must contain only scalar and instant vector types
            -"a"
              1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "string"
            -a[5m]
              1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "range vector"
            1 and 2
              1:1: parse error: set operator "and" not allowed in binary scalar expression
            a or 1
              1:1: parse error: set operator "or" not allowed in binary scalar expression
            1 > 2
              1:3: parse error: comparisons between scalars must use BOOL modifier
            a + bool b
              1:3: parse error: bool modifier can only be used on comparison operators
            a and on(b) group_left c
              1:1: parse error: no grouping allowed for "and" operation
            a + on(b) 1
              1:1: parse error: vector matching only allowed between instant vectors
            a + on(b) group_left(b) c
              1:3: parse error: label "b" must not occur in ON and GROUP clause at once
            a + fill(1) 2
              1:1: parse error: filling in missing series only allowed between instant vectors
            a and fill(1) b
              1:1: parse error: filling in missing series not allowed for set operators
            1[5m:]
              1:1: parse error: subquery is only allowed on instant vector, got scalar instead
            a[5m][5m:]
              1:1: parse error: subquery is only allowed on instant vector, got matrix instead
            {}
              1:1: parse error: vector selector must contain at least one non-empty matcher
            {a=""}
              1:1: parse error: vector selector must contain at least one non-empty matcher
            {a=~".*"}
              1:1: parse error: vector selector must contain at least one non-empty matcher
            a{__name__="b"}
              1:1: parse error: metric name must not be set twice: "a" or "b"
            abs()
              1:1: parse error: expected 1 argument(s) in call to "abs", got 0
            abs(a, b)
              1:1: parse error: expected 1 argument(s) in call to "abs", got 2
            round(a, 1, 2)
              1:1: parse error: expected at most 2 argument(s) in call to "round", got 3
            label_join(a, "b")
              1:1: parse error: expected at least 3 argument(s) in call to "label_join", got 2
            nosuch(a)
              1:1: parse error: unknown function with name "nosuch"
            info(a, b)
              1:9: parse error: expected label selectors only, got vector selector instead
            info(a, {b="c"} + 1)
              1:9: parse error: expected label selectors only
            a{b=~"("}
              1:3: parse error: error parsing regexp: missing closing ): `(`
        "#]],
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
        &expect![[r#"
            a{ b='c' , d!~`e\d` }
              => a{b="c",d!~"e\\d"}
            {"a.b","c d"="e"}
              => {"c d"="e",__name__="a.b"}
            {__name__="a",b="c"}
              => {__name__="a",b="c"}
            sum(a)by(b,"c d")
              => sum by (b, "c d") (a)
            sum without()(a)
              => sum without () (a)
            sum by()(a)
              => sum(a)
            topk(5,a)
              => topk(5, a)
            a+b*-c^2
              => a + b * -c ^ 2
            a  ==bool on(b)group_left c
              => a == bool on (b) group_left () c
            a-ignoring()b
              => a - b
            a + ignoring() group_right() b
              => a + ignoring () group_right () b
            a and on() b
              => a and on () b
            a + fill_left(1)b
              => a + fill_left (1) b
            a + fill(NaN)b
              => a + fill_left (NaN) fill_right (NaN) b
            rate(a[90s]offset-1m@1.5)
              => rate(a[1m30s] @ 1.500 offset -1m)
            a[1h:]
              => a[1h:]
            a[5m:90s]@end()offset 1w
              => a[5m:1m30s] @ end() offset 1w
            a[5m*2+step()]
              => a[5m * 2 + step()]
            a offset (1m+30)
              => a offset (1m + 30)
            a offset min_of(step(),1m)
              => a offset min_of(step(), 1m)
            a smoothed offset 5
              => a smoothed offset 5s
            0x1F
              => 31
            1_000
              => 1000
            .5
              => 0.5
            1e3
              => 1000
            +Inf
              => +Inf
            NaN
              => NaN
            1h30m
              => 1h30m
            090
              => 90
            0755
              => 493
            'it\'s'
              => "it's"
            start
              => start
            sum
              => sum
            by
              => by
            offset
              => offset
            fill + fill
              => fill + fill
            # only a comment
            a # and one behind
              => a
            sum by (job) (rate(http_requests_total{code=~"5.."}[5m])) / sum by (job) (rate(http_requests_total[5m])) > 0.01
              =>     sum by (job) (rate(http_requests_total{code=~"5.."}[5m]))
                   /
                     sum by (job) (rate(http_requests_total[5m]))
                 >
                   0.01
            histogram_quantile(0.99, sum by (le, handler) (rate(http_request_duration_seconds_bucket{job="api"}[5m])))
              => histogram_quantile(
                   0.99,
                   sum by (le, handler) (rate(http_request_duration_seconds_bucket{job="api"}[5m]))
                 )
            (very_long_metric_name_number_one{label="value"} + very_long_metric_name_number_two{label="value"})
              => (very_long_metric_name_number_one{label="value"} + very_long_metric_name_number_two{label="value"})
            -avg_over_time((very_long_metric_name_number_one + very_long_metric_name_number_two)[1h:1m] offset 1d)
              => -avg_over_time(
                 (very_long_metric_name_number_one + very_long_metric_name_number_two)[1h:1m] offset 1d
                 )
        "#]],
    );
}
