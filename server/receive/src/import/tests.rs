//! Lines and what they become.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(format: Format, block: &str, expected: &Expect) {
    let decoded = decode(format, block, 1, &Limits::default());
    let mut out = String::new();
    for Series { labels, samples } in &decoded.series {
        let samples: Vec<_> =
            samples.iter().map(|it| format!("{}@{}", it.value, it.ts.0)).collect();
        out.push_str(&format!("{labels:?} {}\n", samples.join(" ")));
    }
    out.push_str(&decoded.refused.to_string());
    expected.assert_eq(&out);
}

#[test]
fn json_lines_are_read_to_the_bit_and_bad_ones_are_named() {
    check(
        Format::JsonLines,
        r#"{"metric":{"__name__":"up","host":"zürich \"1\"\n"},"values":[1,0.1,-0,1e-320,"Infinity","-inf","NaN",null],"timestamps":[1,2,3,4,5,6,7,8]}

{"timestamps":[-5],"extra":{"a":[1,{"b":null}]},"values":[2],"metric":{"empty":"","__name__":"down"}}
{"metric":{"__name__":"up"},"values":[1],"timestamps":[1,2]}
{"metric":{"host":"a"},"values":[1],"timestamps":[1]}
{"metric":{"__name__":"up","__name__":"up"},"values":[1],"timestamps":[1]}
{"metric":{"__name__":"up"},"values":[1],"timestamps":[1.5]}
{"metric":{"__name__":"up"},"values":["x"],"timestamps":[1]}
{"metric":{"__name__":"up"},"values":[1],"timestamps":[1]} x
{"metric":{"__name__":"up"},"values":[1
[]"#,
        &expect![[r#"
            [("__name__", "up"), ("host", "zürich \"1\"\n")] 1@1 0.1@2 -0@3 0.00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001@4 inf@5 -inf@6 NaN@7 NaN@8
            [("__name__", "down")] 2@-5
            line 4: 1 values and 2 timestamps
            line 5: a series without a metric name
            line 6: label __name__ is there twice
            line 7: expected a whole number of milliseconds at byte 55
            line 8: expected a number, Infinity, NaN or null at byte 41
            line 9: expected the end of the line at byte 59
            line 10: expected ] or , at byte 39
            line 11: expected { at byte 0"#]],
    );
}

#[test]
fn text_is_read_as_prometheus_and_openmetrics_write_it() {
    let default_ts = TimestampMs(9);
    check(
        Format::Prometheus { default_ts },
        "# HELP up Whether.\n# TYPE up gauge\nup 1\nup{host=\"a\", le=\"+Inf\",} +Inf 1700000000123\n\
         up{host=\"a\",le=\"+Inf\"} NaN 1700000000124\n{\"my.metric\",\"a b\"=\"\\\"x\\\\y\\n\"} 1e3\n\
         up{host=} 1\nup{host=\"a\" 1\nup one\n{host=\"a\"} 1\nup 1 x\n",
        &expect![[r#"
            [("__name__", "up")] 1@9
            [("__name__", "up"), ("host", "a"), ("le", "+Inf")] inf@1700000000123 NaN@1700000000124
            [("__name__", "my.metric"), ("a b", "\"x\\y\n")] 1000@9
            line 7: expected label value, got "}" while parsing: "up{host=}"
            line 8: expected label name or right brace, got "" while parsing: "up{host=\"a\" 1"
            line 9: expected value after metric, got "one" while parsing: "up one"
            line 10: a series without a metric name
            line 11: expected timestamp or new record, got "x" while parsing: "up 1 x""#]],
    );
    check(
        Format::OpenMetrics { default_ts },
        "# TYPE foo counter\nfoo_total 17.0 1520879607.789 # {trace=\"x\"} 0.5\nfoo_total 18 1520879608\n\
         foo_total 19 -1.5\nfoo_total 1 1.5203e9\n# EOF\n",
        &expect![[r#"
            [("__name__", "foo_total")] 17@1520879607789 18@1520879608000 19@-1500 1@1520300000000
        "#]],
    );
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(block in "[{}\\[\\]\",:a-z0-9.\\\\ \n#-]{0,80}") {
        let default_ts = TimestampMs(0);
        for format in
            [Format::JsonLines, Format::Prometheus { default_ts }, Format::OpenMetrics { default_ts }]
        {
            decode(format, &block, 1, &Limits::default());
        }
    }
}
