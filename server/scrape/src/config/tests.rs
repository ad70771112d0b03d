//! Files as people write them, and what is said about those that are wrong.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

/// With the folder's name taken out of what is said.
fn load(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prometheus.yml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path).map_err(|error| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(it) = source {
            write!(text, ": {it}").unwrap();
            source = it.source();
        }
        text.replace(&format!("{}/", dir.path().display()), "")
    })
}

#[track_caller]
fn check_refused(text: &str, expected: &Expect) {
    expected.assert_eq(&load(text).unwrap_err());
}

#[test]
fn a_whole_prometheus_yml_is_read_and_what_is_left_out_is_named() {
    let config = load(
        r#"
global:
  scrape_interval: 15s
  evaluation_interval: 15s
  sample_limit: 1000
  external_labels: {monitor: here}
alerting:
  alertmanagers: [{static_configs: [{targets: [localhost:9093]}]}]
rule_files: [rules.yml]
scrape_configs:
  - job_name: prometheus
    static_configs:
      - targets: ['localhost:9090', "other:80"]
        labels: {env: 1, on: yes}
  - job_name: node
    scrape_interval: 5s
    sample_limit: 7
    honor_labels: true
    params: {"collect[]": [cpu, meminfo]}
    scheme: https
    basic_auth: {username: me, password_file: secret}
    tls_config: {ca_file: ca.pem, min_version: TLS13}
    relabel_configs:
      - {source_labels: [__address__], regex: 5, target_label: x}
    file_sd_configs: [{files: ['targets/*.json']}]
    http_sd_configs: [{url: 'http://localhost/sd', refresh_interval: 10s}]
"#,
    )
    .unwrap();
    expect![[r#"
        rule_files is ignored: only scraping is read from this file
        alerting is ignored: only scraping is read from this file
        global.evaluation_interval is ignored
        global.external_labels is ignored"#]]
    .assert_eq(&config.warnings.join("\n"));
    let [first, second] = config.jobs.as_slice() else { panic!("{config:?}") };
    assert_eq!((first.interval.as_secs(), first.timeout.as_secs()), (15, 10));
    assert_eq!((second.interval.as_secs(), second.timeout.as_secs()), (5, 5));
    assert_eq!((first.limits.samples, second.limits.samples), (1000, 7));
    let Discovery::Static(groups) = &first.discoveries[0] else { panic!("{first:?}") };
    assert_eq!(groups[0].labels["env"], "1");
    assert_eq!(groups[0].labels["on"], "yes");
    let Discovery::File(files) = &second.discoveries[0] else { panic!("{second:?}") };
    assert!(files.patterns[0].is_absolute());
    assert_eq!(files.refresh.as_secs(), 300);
    assert!(!format!("{config:?}").contains("\"me\""), "secrets are not shown");
}

#[test]
fn an_empty_file_scrapes_nothing() {
    assert_eq!(load("").unwrap(), Config::default());
    assert_eq!(load("scrape_configs:\n").unwrap(), Config::default());
}

#[test]
fn mistakes_are_named_with_job_and_field() {
    check_refused(
        "scrap_configs: []",
        &expect!["prometheus.yml: scrap_configs: line 1: field scrap_configs not found"],
    );
    check_refused(
        "scrape_configs:\n- job_name: a\n  static_configs:\n  - target: [x]",
        &expect![
            "prometheus.yml: scrape_configs[0].static_configs[0].target: line 4: field target not found"
        ],
    );
    check_refused(
        "scrape_configs: [{job_name: a, scrape_interval: 5}]",
        &expect![[
            r#"prometheus.yml: scrape_configs[0].scrape_interval: not a valid duration string: "5" at line 1, column 49"#
        ]],
    );
    check_refused(
        "scrape_configs: [{job_name: a, sample_limit: many}]",
        &expect![
            "prometheus.yml: scrape_configs[0].sample_limit: invalid u64 at line 1, column 46"
        ],
    );
    check_refused(
        "scrape_configs: [",
        &expect!["prometheus.yml: scrape_configs: unclosed bracket '[' at line 1, column 17"],
    );
    check_refused(
        "scrape_configs: [{scheme: http}]",
        &expect![[r#"prometheus.yml: job "": job_name: job_name is empty"#]],
    );
    check_refused(
        "scrape_configs: [{job_name: a}, {job_name: a}]",
        &expect![[r#"found multiple scrape configs with job name "a""#]],
    );
    check_refused(
        "scrape_configs: [{job_name: a, scrape_interval: 5s, scrape_timeout: 6s}]",
        &expect![[
            r#"prometheus.yml: job "a": scrape_timeout: scrape timeout greater than scrape interval"#
        ]],
    );
    check_refused(
        "global: {scrape_timeout: 2m}",
        &expect![
            "prometheus.yml: global.scrape_timeout: global scrape timeout greater than scrape interval"
        ],
    );
    check_refused(
        "scrape_config_files: ['a*/x.yml']",
        &expect![[
            r#"prometheus.yml: scrape_config_files: path name "a*/x.yml" is not valid; it must end with one of yml, yaml and may have one * in its last part"#
        ]],
    );
    check_refused(
        "scrape_config_files: ['missing.yml']",
        &expect!["cannot read missing.yml: No such file or directory (os error 2)"],
    );
}

#[test]
fn what_a_job_may_not_say_is_named() {
    let mut said = String::new();
    for job in [
        "kubernetes_sd_configs: [{role: pod}]",
        "oauth2: {client_id: x}",
        "static_configs: [{targets: ['http://a/metrics']}]",
        "file_sd_configs: [{files: [targets.txt]}]",
        "http_sd_configs: [{url: 'ftp://x'}]",
        "basic_auth: {password: a, password_file: b}",
        "basic_auth: {}\n  authorization: {}",
        "authorization: {type: Basic}",
        "tls_config: {min_version: TLS9}",
        "tls_config: {cert_file: a}",
        "relabel_configs: [{action: keep}, {action: hashmod, target_label: a}]",
        "scrape_protocols: [Text]",
        "scrape_protocols: [PrometheusText0.0.4, PrometheusText0.0.4]",
        "body_size_limit: 10",
        "metric_name_escaping_scheme: dots",
        "scheme: ftp",
    ] {
        let error = load(&format!("scrape_configs:\n- job_name: a\n  {job}")).unwrap_err();
        writeln!(said, "{error}").unwrap();
    }
    expect![[r#"
        prometheus.yml: kubernetes_sd_configs is not supported; targets are found by static_configs, file_sd_configs and http_sd_configs (at scrape_configs[0].kubernetes_sd_configs)
        prometheus.yml: job "a": oauth2: not supported
        prometheus.yml: job "a": static_configs: "http://a/metrics" is not a valid hostname
        prometheus.yml: job "a": file_sd_configs: path name "targets.txt" is not valid; it must end with one of json, yml, yaml, JSON, YML, YAML and may have one * in its last part
        prometheus.yml: job "a": http_sd_configs.url: URL scheme must be 'http' or 'https'
        prometheus.yml: job "a": basic_auth.password: at most one of password & password_file must be configured
        prometheus.yml: job "a": authorization: at most one of basic_auth, authorization, bearer_token & bearer_token_file must be configured
        prometheus.yml: job "a": authorization.type: authorization type cannot be set to "basic", use "basic_auth" instead
        prometheus.yml: job "a": tls_config.min_version: unknown TLS version: TLS9
        prometheus.yml: job "a": tls_config.key: exactly one of key or key_file must be configured when a client certificate is configured
        prometheus.yml: job "a": relabel_configs: rule 2: relabel configuration for hashmod requires non-zero modulus
        prometheus.yml: job "a": scrape_protocols: unknown scrape protocol Text, supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0]
        prometheus.yml: job "a": scrape_protocols: duplicated protocol in scrape_protocols, got [PrometheusText0.0.4 PrometheusText0.0.4]
        prometheus.yml: scrape_configs[0].body_size_limit: "10" is not a size; write a number and B, KB, MB or GB at line 3, column 20
        prometheus.yml: job "a": metric_name_escaping_scheme: only allow-utf-8 is supported: names are stored as they come
        prometheus.yml: job "a": scheme: "ftp" is not http or https
    "#]].assert_eq(&said);
}
