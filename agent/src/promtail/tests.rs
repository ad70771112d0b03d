//! Configurations as homelabs have them, and what they become; all of our own making.

use expect_test::{Expect, expect};

use super::*;
use crate::config::Config;

/// What it becomes is a configuration of this agent, too.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "`expect!` makes a value")]
fn check(yaml: &str, expected: Expect) {
    let found = match convert(Path::new("promtail.yaml"), yaml) {
        Ok(toml) => {
            if let Err(error) = Config::of_text(&toml) {
                panic!("{error:#}\n{toml}");
            }
            toml
        }
        Err(error) => format!("refused: {:#}", anyhow::Error::new(error)),
    };
    expected.assert_eq(&found);
}

#[test]
fn the_journal_of_a_host() {
    check(
        r#"
server: {http_listen_port: 9080, grpc_listen_port: 0}
positions: {filename: /var/lib/promtail/positions.yaml}
clients:
- url: http://skep.lan:9090/loki/api/v1/push
  batchwait: 1s
  external_labels: {site: attic}
  tls_config: {ca_file: /etc/ssl/lan.pem}
scrape_configs:
- job_name: journal
  journal:
    json: false
    max_age: 12h
    path: /var/log/journal
    matches: _TRANSPORT=kernel PRIORITY=3
    labels: {job: systemd-journal}
  relabel_configs:
  - source_labels: [__journal__systemd_unit]
    target_label: unit
  - source_labels: ['__journal_priority_keyword']
    target_label: level
  - source_labels: [__journal__hostname]
    regex: (.*)\.lan
    target_label: host
"#,
        expect![[r##"
            # Made from promtail.yaml by skep-agent convert.
            # The server is that of clients (http://skep.lan:9090); write another one if it is not a Skep server. Metrics go there, too.
            # Left out server: see [expose] for /metrics.
            # Left out positions: positions are in data_dir.
            # Left out clients' tuning: batches, retries and timeouts are the agent's own.

            [journal]
            default_labels = false
            directory = "/var/log/journal"
            matches = ["_TRANSPORT=kernel", "PRIORITY=3"]
            max_age = "12h"

            [journal.labels]
            job = "systemd-journal"

            [[journal.relabel_configs]]
            action = "replace"
            source_labels = ["__journal__systemd_unit"]
            target_label = "unit"

            [[journal.relabel_configs]]
            action = "replace"
            source_labels = ["__journal_priority_keyword"]
            target_label = "level"

            [[journal.relabel_configs]]
            action = "replace"
            regex = '(.*)\.lan'
            source_labels = ["__journal__hostname"]
            target_label = "host"

            [labels]
            site = "attic"

            [server]
            ca_file = "/etc/ssl/lan.pem"
            url = "http://skep.lan:9090"
        "##]],
    );
}

#[test]
fn files_with_pipelines() {
    check(
        r#"
clients: [{url: https://skep.lan/loki/api/v1/push, bearer_token_file: /etc/promtail/token}]
limits_config: {max_line_size: 64kb, readline_rate_enabled: true, readline_rate: 500, readline_burst: 1000}
scrape_configs:
- job_name: nginx
  static_configs:
  - targets: [localhost]
    labels:
      job: web
      host: cellar
      __path__: /var/log/nginx/*.log
      __path_exclude__: /var/log/nginx/debug*.log
  pipeline_stages:
  - regex:
      expression: '^(?P<ip>\S+) .* "(?P<method>\w+) (?P<path>\S+)" (?P<status>\d+) (?P<took>[\d.]+)$'
  - labels:
      method:
      status:
  - metrics:
      requests_total: {type: Counter, description: requests, config: {match_all: true, action: inc}}
      took_seconds: {type: Histogram, source: took, config: {buckets: [0.1, 0.5, 1]}}
  - drop: {source: path, expression: ^/health}
- job_name: java
  encoding: iso-8859-1
  static_configs:
  - labels: {__path__: '/srv/{a,b}/app.log'}
  pipeline_stages:
  - multiline: {firstline: '^\d{4}-\d{2}-\d{2}', max_wait_time: 3s}
  - match:
      selector: '{job="java"} |= "ERROR"'
      stages:
      - static_labels: {level: error}
  - decolorize:
"#,
        expect![[r##"
            # Made from promtail.yaml by skep-agent convert.
            # The server is that of clients (https://skep.lan); write another one if it is not a Skep server. Metrics go there, too.

            [[files]]
            exclude = ["/var/log/nginx/debug*.log"]
            job = "web"
            long_lines = "drop"
            max_line_bytes = 65536
            paths = ["/var/log/nginx/*.log"]

            [files.labels]
            host = "cellar"

            [[files.pipeline_stages]]

            [files.pipeline_stages.regex]
            expression = '^(?P<ip>\S+) .* "(?P<method>\w+) (?P<path>\S+)" (?P<status>\d+) (?P<took>[\d.]+)$'

            [[files.pipeline_stages]]

            [files.pipeline_stages.labels]
            method = ""
            status = ""

            [[files.pipeline_stages]]

            [files.pipeline_stages.metrics.requests_total]
            description = "requests"
            type = "Counter"

            [files.pipeline_stages.metrics.requests_total.config]
            action = "inc"
            match_all = true

            [files.pipeline_stages.metrics.took_seconds]
            source = "took"
            type = "Histogram"

            [files.pipeline_stages.metrics.took_seconds.config]
            buckets = [0.1, 0.5, 1]

            [[files.pipeline_stages]]

            [files.pipeline_stages.drop]
            expression = "^/health"
            source = "path"

            [[files.pipeline_stages]]

            [files.pipeline_stages.limit]
            burst = 1000
            drop = true
            rate = 500.0

            [[files]]
            encoding = "iso-8859-1"
            job = "java"
            long_lines = "drop"
            max_line_bytes = 65536
            paths = ["/srv/{a,b}/app.log"]

            [[files.pipeline_stages]]

            [files.pipeline_stages.multiline]
            firstline = '^\d{4}-\d{2}-\d{2}'
            max_wait_time = "3s"

            [[files.pipeline_stages]]

            [files.pipeline_stages.match]
            selector = '{job="java"} |= "ERROR"'

            [[files.pipeline_stages.match.stages]]

            [files.pipeline_stages.match.stages.static_labels]
            level = "error"

            [[files.pipeline_stages]]

            [files.pipeline_stages.decolorize]

            [[files.pipeline_stages]]

            [files.pipeline_stages.limit]
            burst = 1000
            drop = true
            rate = 500.0

            [journal]
            enabled = false

            [server]
            token_file = "/etc/promtail/token"
            url = "https://skep.lan"
        "##]],
    );
}

#[test]
fn dockers_discovery_becomes_its_files() {
    check(
        r#"
client: {url: http://skep.lan/loki/api/v1/push, tenant_id: me}
scrape_configs:
- job_name: docker
  docker_sd_configs: [{host: unix:///var/run/docker.sock, refresh_interval: 5s}]
  relabel_configs:
  - source_labels: [__meta_docker_container_name]
    regex: /(.*)
    target_label: container
  - source_labels: [__meta_docker_container_log_stream]
    target_label: logstream
  - source_labels: [__meta_docker_container_label_com_docker_compose_project]
    target_label: project
"#,
        expect![[r##"
            # Made from promtail.yaml by skep-agent convert.
            # Left out clients.tenant_id: a Skep server has one tenant.
            # The server is that of clients (http://skep.lan); write another one if it is not a Skep server. Metrics go there, too.
            # scrape_configs "docker": Docker's files are read instead of its API; its containers need the json-file driver.

            [[files]]
            default_labels = false
            format = "docker"
            job = "docker"
            paths = ["/var/lib/docker/containers/*/*-json.log"]

            [[files.pipeline_stages]]

            [files.pipeline_stages.labels]
            logstream = "stream"

            [[files.pipeline_stages]]
            labeldrop = ["stream"]

            [[files.relabel_configs]]
            action = "replace"
            regex = "/(.*)"
            source_labels = ["__meta_docker_container_name"]
            target_label = "container"

            [[files.relabel_configs]]
            action = "replace"
            source_labels = ["__meta_docker_container_label_com_docker_compose_project"]
            target_label = "project"

            [journal]
            enabled = false

            [server]
            url = "http://skep.lan"
        "##]],
    );
}

#[test]
fn what_has_no_counterpart_is_refused_by_name() {
    let with = |job: &str| {
        format!(
            "clients: [{{url: http://a/loki/api/v1/push}}]\nscrape_configs:\n- job_name: x\n{job}"
        )
    };
    check(
        "scrape_configs: []",
        expect!["refused: clients: there is none; the agent needs the server's address"],
    );
    check(
        "clients: [{url: http://a}]",
        expect!["refused: there are no scrape_configs: nothing to convert"],
    );
    check("clientz: []", expect!["refused: clientz: line 1: clientz is not known"]);
    check(
        &with("  journal: {max_ages: 1h}"),
        expect!["refused: scrape_configs[0].journal.max_ages: line 4: max_ages is not known"],
    );
    check(
        &with("  syslog: {listen_address: 0.0.0.0:1514}"),
        expect![[
            r#"refused: scrape_configs "x": this agent has no syslog; let rsyslog or journald take it and read that"#
        ]],
    );
    check(
        &with("  kubernetes_sd_configs: [{role: pod}]"),
        expect![[
            r#"refused: scrape_configs "x": this agent has no kubernetes_sd_configs; follow /var/log/containers/*.log with format = "cri""#
        ]],
    );
    check(
        &with("  static_configs: [{labels: {job: a}}]"),
        expect![[
            r#"refused: scrape_configs "x": its labels have no __path__: there is nothing to read"#
        ]],
    );
    check(
        &with("  journal: {}\n- job_name: y\n  journal: {}"),
        expect![[
            r#"refused: scrape_configs "y": this agent reads one journal; make one job of the two"#
        ]],
    );
    check(
        &with("  journal: {}\n  pipeline_stages: [{geoip: {db: x}}]"),
        expect![[
            r#"refused: scrape_configs "x": pipeline_stages[0].geoip: this agent reads no GeoIP database; take the stage out and look addresses up when you query"#
        ]],
    );
    check(
        &with("  journal: {}\n  relabel_configs: [{action: shout}]"),
        expect![[
            r#"refused: scrape_configs "x": relabel_configs[0]: unknown relabel action "shout""#
        ]],
    );
    check(
        &with(
            "  docker_sd_configs: [{}]\n  relabel_configs: [{source_labels: [__meta_docker_network_ip], target_label: ip}]",
        ),
        expect![[
            r#"refused: scrape_configs "x": the label __meta_docker_network_ip is not known of Docker's files; take the rule out"#
        ]],
    );
    check(
        &with("  docker_sd_configs: [{host: tcp://other:2375}]"),
        expect![[
            r#"refused: scrape_configs "x": docker_sd_configs: only the host's own Docker is read"#
        ]],
    );
    check(
        "clients: [{url: http://a, proxy_url: http://b}]",
        expect!["refused: clients.proxy_url: this agent has no such setting"],
    );
}
