//! Bodies in, samples out.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use skep_proto::is_stale_marker;

use super::*;
use crate::config::Config;

/// A target of one job, scraped once a second.
struct Scraped {
    job: Arc<Job>,
    labels: Labels,
    cache: Cache,
    now: i64,
}

impl Scraped {
    fn new(job: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prometheus.yml");
        std::fs::write(&path, format!("scrape_configs:\n- job_name: j\n{job}")).unwrap();
        let job = Arc::clone(&Config::load(&path).unwrap().jobs[0]);
        let labels = Labels::from_pairs([("instance", "i"), ("job", "j")]).unwrap();
        Self { job, labels, cache: Cache::default(), now: 0 }
    }

    #[track_caller]
    fn check(&mut self, body: &str, expected: &Expect) {
        self.now += 1000;
        let mut batch = Batch::default();
        let mut append = Append {
            job: &self.job,
            labels: &self.labels,
            ts_ms: self.now,
            cache: &mut self.cache,
            batch: &mut batch,
            counts: Counts::default(),
        };
        let done = append.text(body.as_bytes(), Syntax::Text);
        let counts = append.counts;
        let mut out = String::new();
        let gone = match done {
            Ok(()) => self.cache.end_scrape(),
            Err(error) => {
                writeln!(out, "error: {error}").unwrap();
                batch.clear_samples();
                self.cache.fail_scrape()
            }
        };
        let mut gone: Vec<_> = gone.iter().collect();
        gone.sort();
        for labels in gone {
            batch.push(labels, self.now, skep_proto::stale_marker());
        }
        let rows = batch.rows();
        for row in rows.series() {
            let labels = Labels::from_pairs(row.labels().iter().copied()).unwrap();
            for sample in row.samples() {
                let value = match is_stale_marker(sample.value) {
                    true => "stale".to_owned(),
                    false => sample.value.to_string(),
                };
                writeln!(out, "{labels} {value} @{}", sample.ts.0).unwrap();
            }
        }
        for it in &rows.metadata {
            writeln!(out, "{} is a {}: {}", it.metric, it.kind.as_str(), it.help).unwrap();
        }
        let Counts { scraped, after_relabelling, series_added } = counts;
        writeln!(out, "{scraped} {after_relabelling} {series_added}").unwrap();
        expected.assert_eq(&out);
    }
}

#[test]
fn a_series_that_vanishes_gets_a_stale_marker_once() {
    let mut target = Scraped::new("");
    target.check(
        "# TYPE a counter\n# HELP a As.\na 1\nb 2\nb 3\n",
        &expect![[r#"
            a{instance="i", job="j"} 1 @1000
            b{instance="i", job="j"} 2 @1000
            a is a counter: As.
            3 3 2
        "#]],
    );
    target.check(
        "# TYPE a counter\n# HELP a As.\nb 2\n",
        &expect![[r#"
        b{instance="i", job="j"} 2 @2000
        a{instance="i", job="j"} stale @2000
        1 1 0
    "#]],
    );
    target.check(
        "b 2\n",
        &expect![[r#"
        b{instance="i", job="j"} 2 @3000
        1 1 0
    "#]],
    );
    // It is back, and then all of it is broken.
    target.check(
        "a 1\nb 2\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @4000
        b{instance="i", job="j"} 2 @4000
        2 2 1
    "#]],
    );
    target.check(
        "a 1\nb two\n",
        &expect![[r#"
        error: expected value after metric, got "two" while parsing: "b two"
        a{instance="i", job="j"} stale @5000
        b{instance="i", job="j"} stale @5000
        1 1 0
    "#]],
    );
    target.check(
        "a 1\nb two\n",
        &expect![[r#"
        error: expected value after metric, got "two" while parsing: "b two"
        1 1 0
    "#]],
    );
    target.check(
        "a 1\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @7000
        1 1 0
    "#]],
    );
    target.check(
        "",
        &expect![[r#"
        a{instance="i", job="j"} stale @8000
        0 0 0
    "#]],
    );
}

#[test]
fn time_stamps_of_the_target_are_honoured_and_have_no_stale_markers() {
    let mut target = Scraped::new("");
    target.check(
        "a 1 5\na 2 6\nb 2\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @5
        a{instance="i", job="j"} 2 @6
        b{instance="i", job="j"} 2 @1000
        3 3 2
    "#]],
    );
    target.check(
        "b 2\n",
        &expect![[r#"
        b{instance="i", job="j"} 2 @2000
        1 1 0
    "#]],
    );
    let mut target = Scraped::new("  track_timestamps_staleness: true");
    target.check(
        "a 1 5\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @5
        1 1 1
    "#]],
    );
    target.check(
        "b 2\n",
        &expect![[r#"
        b{instance="i", job="j"} 2 @2000
        a{instance="i", job="j"} stale @2000
        1 1 1
    "#]],
    );
    let mut target = Scraped::new("  honor_timestamps: false");
    target.check(
        "a 1 5\na 2 6\n",
        &expect![[r#"
        a{instance="i", job="j"} 1 @1000
        2 2 1
    "#]],
    );
    target.check(
        "",
        &expect![[r#"
        a{instance="i", job="j"} stale @2000
        0 0 0
    "#]],
    );
}

#[test]
fn labels_in_conflict_are_renamed_or_honoured() {
    let body = "a{job=\"x\",exported_job=\"y\",exported_exported_job=\"\"} 1\na{instance=\"\"} 2\n";
    Scraped::new("").check(
        body,
        &expect![[r#"
        a{exported_exported_job="x", exported_job="y", instance="i", job="j"} 1 @1000
        a{instance="i", job="j"} 2 @1000
        2 2 2
    "#]],
    );
    Scraped::new("  honor_labels: true").check(
        body,
        &expect![[r#"
        a{exported_job="y", instance="i", job="x"} 1 @1000
        a{job="j"} 2 @1000
        2 2 2
    "#]],
    );
}

#[test]
fn rules_for_metrics_drop_and_rename() {
    let mut target = Scraped::new(
        "  metric_relabel_configs:\n  - {source_labels: [__name__], regex: 'go_.*', action: drop}\n  - {regex: instance, action: labeldrop}\n",
    );
    target.check(
        "go_x 1\na 1\n",
        &expect![[r#"
        a{job="j"} 1 @1000
        2 1 1
    "#]],
    );
    target.check(
        "go_x 1\na 1\n",
        &expect![[r#"
        a{job="j"} 1 @2000
        2 1 0
    "#]],
    );
    target.check(
        "go_x 1\n",
        &expect![[r#"
        a{job="j"} stale @3000
        1 0 0
    "#]],
    );
    let no_name = "  metric_relabel_configs: [{regex: __name__, action: labeldrop}]";
    Scraped::new(no_name).check(
        "a 1\n",
        &expect![[r#"
        error: missing metric name (__name__ label)
        1 0 0
    "#]],
    );
}

#[test]
fn limits_make_the_whole_scrape_fail() {
    let body = "a{b=\"c\"} 1\nlonger_name 2\nd 3\n";
    for (limit, expected) in [
        (
            "sample_limit: 2",
            expect![[r#"
            error: sample limit exceeded
            3 3 3
        "#]],
        ),
        (
            "sample_limit: 3",
            expect![[r#"
            a{b="c", instance="i", job="j"} 1 @1000
            longer_name{instance="i", job="j"} 2 @1000
            d{instance="i", job="j"} 3 @1000
            3 3 3
        "#]],
        ),
        (
            "label_limit: 3",
            expect![[r#"
            error: label_limit exceeded (metric: a, number of labels: 4, limit: 3)
            1 0 0
        "#]],
        ),
        (
            "label_name_length_limit: 7",
            expect![[r#"
            error: label_name_length_limit exceeded (metric: a, label name: __name__, length: 8, limit: 7)
            1 0 0
        "#]],
        ),
        (
            "label_value_length_limit: 5",
            expect![[r#"
            error: label_value_length_limit exceeded (metric: longer_name, label name: __name__, value: "longer_name", length: 11, limit: 5)
            2 1 1
        "#]],
        ),
    ] {
        Scraped::new(&format!("  {limit}")).check(body, &expected);
    }
}

#[test]
fn what_is_no_series_makes_the_whole_scrape_fail() {
    for (job, body, expected) in [
        (
            "",
            "a{b=\"1\",b=\"2\"} 1\n",
            expect![[r#"
            error: label name "b" is not unique: invalid sample
            1 0 0
        "#]],
        ),
        (
            "",
            "{a=\"b\"} 1\n",
            expect![[r#"
            error: missing metric name (__name__ label)
            1 0 0
        "#]],
        ),
        (
            "  metric_name_validation_scheme: legacy",
            "{\"a.b\"} 1\n",
            expect![[r#"
            error: invalid metric name or label names: {"a.b", instance="i", job="j"}
            1 0 0
        "#]],
        ),
        (
            "",
            "{\"a.b\"} 1\n",
            expect![[r#"
            {"a.b", instance="i", job="j"} 1 @1000
            1 1 1
        "#]],
        ),
    ] {
        Scraped::new(job).check(body, &expected);
    }
}
