//! Whole outputs of the text file collector, and the errors of its parser.

use std::fs::{File, FileTimes};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{collect, parse::parse};
use crate::sources::tests::Host;

/// Files in one folder, all written at one time.
fn host(files: &[(&str, &str)]) -> Host {
    let mut host = Host::default();
    host.settings().textfile.directories = vec![host.path("text")];
    for (name, text) in files {
        let path = format!("text/{name}");
        host.file(&path, text);
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_900);
        let file = File::options().write(true).open(host.path(&path)).unwrap();
        file.set_times(FileTimes::new().set_modified(at)).unwrap();
    }
    host
}

#[track_caller]
fn check(files: &[(&str, &str)], expected: &Expect) {
    host(files).check(collect, expected);
}

#[test]
fn values_of_every_type_are_read() {
    check(
        &[(
            "a.prom",
            "# HELP jobs_total Jobs\\nand \\\\ more.\n# TYPE jobs_total counter\n# a comment\n\
             jobs_total{b=\"x\\\"\\\\\\n\", a = \"1\",} 10\n\n  jobs_total\t1e3  \n\
             # TYPE hot gauge\nhot -Inf\nplain:name NaN\n",
        )],
        &expect![[r##"
            # HELP hot Not described in /text/a.prom.
            # TYPE hot gauge
            hot -Inf
            # HELP jobs_total Jobs\nand \\ more.
            # TYPE jobs_total counter
            jobs_total{a="1",b="x\"\\\n"} 10
            jobs_total 1000
            # HELP node_textfile_mtime_seconds When the text file was last written, in seconds since 1970.
            # TYPE node_textfile_mtime_seconds gauge
            node_textfile_mtime_seconds{file="/text/a.prom"} 1.7e+09
            # HELP node_textfile_scrape_error 1 if a text file or folder could not be used as it is, else 0.
            # TYPE node_textfile_scrape_error gauge
            node_textfile_scrape_error 0
            # HELP plain:name Not described in /text/a.prom.
            # TYPE plain:name untyped
            plain:name NaN
        "##]],
    );
}

#[test]
fn histograms_and_summaries_are_kept_together() {
    check(
        &[(
            "a.prom",
            "# TYPE wait histogram\nwait_bucket{le=\"1000000\"} 2\nwait_bucket{le=\"0.5\"} 1\n\
             wait_sum 3.5\nwait_count 3\nwait_bucket{k=\"v\",le=\"+Inf\"} 1\n\
             # TYPE rpc summary\nrpc{quantile=\"0.9\"} 2\nrpc{quantile=\"0.5\"} 1\nrpc_sum 9\n\
             rpc_count 4\nrpc_bucket 7\n",
        )],
        &expect![[r##"
            # HELP node_textfile_mtime_seconds When the text file was last written, in seconds since 1970.
            # TYPE node_textfile_mtime_seconds gauge
            node_textfile_mtime_seconds{file="/text/a.prom"} 1.7e+09
            # HELP node_textfile_scrape_error 1 if a text file or folder could not be used as it is, else 0.
            # TYPE node_textfile_scrape_error gauge
            node_textfile_scrape_error 0
            # HELP rpc Not described in /text/a.prom.
            # TYPE rpc summary
            rpc{quantile="0.5"} 1
            rpc{quantile="0.9"} 2
            rpc_sum 9
            rpc_count 4
            # HELP rpc_bucket Not described in /text/a.prom.
            # TYPE rpc_bucket untyped
            rpc_bucket 7
            # HELP wait Not described in /text/a.prom.
            # TYPE wait histogram
            wait_bucket{le="0.5"} 1
            wait_bucket{le="1e+06"} 2
            wait_bucket{le="+Inf"} 3
            wait_sum 3.5
            wait_count 3
            wait_bucket{k="v",le="+Inf"} 1
            wait_sum{k="v"} 0
            wait_count{k="v"} 0
        "##]],
    );
}

#[test]
fn files_are_merged_where_they_agree() {
    check(
        &[
            ("a.prom", "# TYPE x counter\nx{f=\"a\"} 1\n# HELP y One.\ny{f=\"a\"} 1\n"),
            ("b.prom", "# TYPE x counter\nx{f=\"b\"} 2\n# HELP y Two.\ny{f=\"b\"} 1\n"),
            ("c.txt", "z 1\n"),
        ],
        &expect![[r##"
            # HELP node_textfile_mtime_seconds When the text file was last written, in seconds since 1970.
            # TYPE node_textfile_mtime_seconds gauge
            node_textfile_mtime_seconds{file="/text/a.prom"} 1.7e+09
            node_textfile_mtime_seconds{file="/text/b.prom"} 1.7e+09
            # HELP node_textfile_scrape_error 1 if a text file or folder could not be used as it is, else 0.
            # TYPE node_textfile_scrape_error gauge
            node_textfile_scrape_error 1
            # HELP x Not described in /text/a.prom, /text/b.prom.
            # TYPE x counter
            x{f="a"} 1
            x{f="b"} 2
            # HELP y One.
            # TYPE y untyped
            y{f="a"} 1
        "##]],
    );
}

#[test]
fn a_file_that_cannot_be_used_costs_only_itself() {
    check(
        &[("a.prom", "x 1\n"), ("b.prom", "y 1 1441205977284\n")],
        &expect![[r##"
            # HELP node_textfile_mtime_seconds When the text file was last written, in seconds since 1970.
            # TYPE node_textfile_mtime_seconds gauge
            node_textfile_mtime_seconds{file="/text/a.prom"} 1.7e+09
            # HELP node_textfile_scrape_error 1 if a text file or folder could not be used as it is, else 0.
            # TYPE node_textfile_scrape_error gauge
            node_textfile_scrape_error 1
            # HELP x Not described in /text/a.prom.
            # TYPE x untyped
            x 1
        "##]],
    );
}

#[test]
fn a_missing_folder_is_an_error_and_no_folder_is_none() {
    host(&[]).check(collect, &expect![[r#"
        # HELP node_textfile_scrape_error 1 if a text file or folder could not be used as it is, else 0.
        # TYPE node_textfile_scrape_error gauge
        node_textfile_scrape_error 1
    "#]]);
    Host::default().check(collect, &expect![[r#"
        # HELP node_textfile_scrape_error 1 if a text file or folder could not be used as it is, else 0.
        # TYPE node_textfile_scrape_error gauge
        node_textfile_scrape_error 0
    "#]]);
}

#[test]
fn errors_name_the_line_and_what_is_wrong() {
    for (text, expected) in [
        ("x", "line 1: expected a value"),
        ("x \n", "line 1: expected a value"),
        ("\n1x 1", "line 2: invalid metric name \"1x\""),
        ("x y", "line 1: expected a number, got \"y\""),
        (
            "x 1 2",
            "line 1: unsupported client-side timestamp; take it out, the time of collection counts",
        ),
        ("x{", "line 1: expected \"=\" behind a label"),
        ("x{a} 1", "line 1: expected \"=\" behind a label"),
        ("x{a=1} 1", "line 1: expected a quoted value"),
        ("x{a=\"1} 1", "line 1: expected a closing quote"),
        ("x{a=\"1\" b=\"2\"} 1", "line 1: expected \",\" or \"}\" behind a label"),
        ("x{a=\"\\t\"} 1", "line 1: invalid escape sequence \"\\t\""),
        ("x{a-b=\"1\"} 1", "line 1: invalid label name \"a-b\""),
        ("x{__name__=\"1\"} 1", "line 1: invalid label name \"__name__\""),
        ("x{a=\"1\",a=\"2\"} 1", "line 1: invalid label name \"a\""),
        ("x 1\nx 2", "line 2: x was given before with the same labels"),
        ("# TYPE x odd", "line 1: unknown metric type \"odd\""),
        (
            "# TYPE x gauge\n# TYPE x gauge",
            "line 2: second TYPE line for x, or TYPE reported after samples",
        ),
        ("x 1\n# TYPE x gauge", "line 2: second TYPE line for x, or TYPE reported after samples"),
        ("# HELP x a\n# HELP x b", "line 2: second HELP line for x"),
        ("# HELP x \\q", "line 1: invalid escape sequence \"\\q\""),
        ("# HELP 1 a", "line 1: invalid metric name \"1\""),
        ("# TYPE x histogram\nx_bucket 1", "line 2: a bucket needs the label le"),
        ("# TYPE x summary\nx 1", "line 2: a summary needs the label quantile"),
    ] {
        let error = parse(&format!("{text}\n")).map_err(|it| it.to_string());
        assert_eq!(error, Err(expected.to_owned()), "{text}");
    }
    assert_eq!(
        parse("x 1\ny 2").unwrap_err().to_string(),
        "line 2: unexpected end of input stream; the last line must end with a newline"
    );
}

proptest! {
    #[test]
    fn random_texts_never_panic(text in "([#xHELPTYPE_ a=\"\\\\{},0-9\n]|# TYPE x histogram\n|x_bucket\\{le=\"1\"\\} 1\n){0,40}") {
        for family in parse(&text).unwrap_or_default().values() {
            prop_assert!(!family.groups.is_empty());
        }
    }
}
