//! Addresses and what becomes of them.

use expect_test::{Expect, expect};

use super::*;
use crate::config::Config;

/// A job's first static target.
#[track_caller]
fn check(job: &str, expected: &Expect) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prometheus.yml");
    std::fs::write(&path, format!("scrape_configs:\n- job_name: j\n{job}")).unwrap();
    let config = Config::load(&path).unwrap();
    let job = &config.jobs[0];
    let crate::config::Discovery::Static(groups) = &job.discoveries[0] else { panic!("{job:?}") };
    let found = match find(&groups[0].targets[0], &groups[0], job) {
        Ok(Found::Active(it)) => format!(
            "{} {} {:?} {:?}\nfrom {}\n",
            it.url, it.labels, it.interval, it.timeout, it.discovered
        ),
        Ok(Found::Dropped(labels)) => format!("dropped {labels}"),
        Err(error) => format!("error: {error}"),
    };
    expected.assert_eq(&found);
}

#[test]
fn a_target_is_labelled_and_has_a_url() {
    check(
        "  static_configs: [{targets: ['a:1'], labels: {env: x, __meta_y: z}}]",
        &expect![[r#"
            http://a:1/metrics {env="x", instance="a:1", job="j"} 60s 10s
            from {__address__="a:1", __meta_y="z", __metrics_path__="/metrics", __scheme__="http", __scrape_interval__="1m", __scrape_timeout__="10s", env="x", job="j"}
        "#]],
    );
    check(
        "  params: {'a b': [1, '&'], c: [d]}\n  metrics_path: 'm/ü?'\n  scheme: https\n  static_configs: [{targets: ['a:1']}]",
        &expect![[r#"
            https://a:1/m/%C3%BC%3F?a+b=1&a+b=%26&c=d {instance="a:1", job="j"} 60s 10s
            from {__address__="a:1", __metrics_path__="m/ü?", "__param_a b"="1", __param_c="d", __scheme__="https", __scrape_interval__="1m", __scrape_timeout__="10s", job="j"}
        "#]],
    );
}

#[test]
fn rules_may_change_all_of_it() {
    check(
        r"
  static_configs: [{targets: ['probed.example']}]
  relabel_configs:
  - {source_labels: [__address__], target_label: __param_target}
  - {source_labels: [__param_target], target_label: instance}
  - {target_label: __address__, replacement: 'blackbox:9115'}
  - {target_label: __scrape_interval__, replacement: 3s}
  - {target_label: __scrape_timeout__, replacement: 2s}
  - {target_label: __tmp, replacement: gone}
",
        &expect![[r#"
            http://blackbox:9115/metrics?target=probed.example {instance="probed.example", job="j"} 3s 2s
            from {__address__="probed.example", __metrics_path__="/metrics", __scheme__="http", __scrape_interval__="1m", __scrape_timeout__="10s", job="j"}
        "#]],
    );
    let drop_all = "  static_configs: [{targets: [a]}]\n  relabel_configs:\n  - ";
    for (rule, expected) in [
        (
            "{action: drop}",
            expect![[
                r#"dropped {__address__="a", __metrics_path__="/metrics", __scheme__="http", __scrape_interval__="1m", __scrape_timeout__="10s", job="j"}"#
            ]],
        ),
        ("{target_label: __address__, replacement: ''}", expect!["error: no address"]),
        (
            "{target_label: __address__, replacement: 'a/b'}",
            expect![[r#"error: "a/b" is not a valid hostname"#]],
        ),
        (
            "{target_label: __scrape_interval__, replacement: x}",
            expect![[r#"error: error parsing scrape interval: not a valid duration string: "x""#]],
        ),
        (
            "{target_label: __scrape_timeout__, replacement: 2m}",
            expect![[
                r#"error: scrape timeout cannot be greater than scrape interval ("2m" > "1m")"#
            ]],
        ),
        (
            "{target_label: __scrape_timeout__, replacement: '0'}",
            expect!["error: scrape timeout cannot be 0"],
        ),
    ] {
        check(&format!("{drop_all}{rule}"), &expected);
    }
}

#[test]
fn targets_share_an_interval_and_keep_their_place() {
    let interval = Duration::from_secs(10);
    for now in [0, 1, 9_999_999_999, 1_700_000_000_123_456_789] {
        let due = now + i64::try_from(offset(now, interval, 77).as_nanos()).unwrap();
        assert_eq!(due % 10_000_000_000, 77, "{now}");
        assert!(offset(now, interval, 77) < interval);
    }
}
