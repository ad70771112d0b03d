//! What is scraped, and what the server says of itself.

use std::{sync::Arc, time::Duration};

use expect_test::{Expect, expect};
use skep_proto::{MetricKind, TimestampMs};
use skep_scrape::{Health, Metadata, PoolStatus, TargetStatus};

use super::{BASE_MS, Server, labels};
use crate::{ApiConfig, Targets};

#[derive(Debug)]
struct TwoJobs;

impl Targets for TwoJobs {
    fn status(&self) -> Vec<PoolStatus> {
        let target = |instance: &str| TargetStatus {
            discovered: labels(&[("__address__", instance), ("job", "node")]),
            labels: labels(&[("instance", instance), ("job", "node")]),
            url: format!("http://{instance}/metrics"),
            health: Health::Unknown,
            last_error: String::new(),
            last_scrape: None,
            last_took: Duration::ZERO,
            interval: "1m".into(),
            timeout: "10s".into(),
            metadata: Vec::new(),
        };
        let about = |help: &str| Metadata {
            kind: MetricKind::Gauge,
            help: help.into(),
            unit: String::new(),
        };
        let metadata = vec![
            ("node_load1".to_owned(), about("Load.")),
            ("node_load5".to_owned(), about("More \"load\".")),
        ];
        let down = TargetStatus {
            health: Health::Down,
            last_error: "connection refused".into(),
            last_scrape: Some(TimestampMs(BASE_MS + 1_500)),
            last_took: Duration::from_micros(1_250),
            metadata,
            ..target("a:9100")
        };
        let pool = |name: &str| PoolStatus { name: name.into(), ..PoolStatus::default() };
        vec![
            PoolStatus { active: vec![down, target("b:9100")], ..pool("node") },
            PoolStatus {
                dropped: vec![labels(&[("__address__", "c:1")])],
                n_dropped: 7,
                ..pool("other")
            },
        ]
    }

    fn reload(&self) -> Result<(), String> {
        Err("job \"node\": scheme: \"ftp\" is not http or https".into())
    }
}

#[tokio::test]
async fn a_configuration_that_is_wrong_is_told_when_it_is_read_again() {
    let config = ApiConfig { targets: Some(Arc::new(TwoJobs)), ..ApiConfig::default() };
    let answer = Server::with(config).post("/-/reload", &[], Vec::new()).await.text();
    expect![[r#"400 failed to reload config: job "node": scheme: "ftp" is not http or https"#]]
        .assert_eq(&answer);
    let answer = Server::new().post("/-/reload", &[], Vec::new()).await.text();
    expect!["503 nothing can be read again: scrape.config_file is not set"].assert_eq(&answer);
}

async fn check(paths: &str, expect: Expect) {
    let config = ApiConfig {
        targets: Some(Arc::new(TwoJobs)),
        flags: vec![
            ("storage.tsdb.path", "/var/lib/skep".into()),
            ("storage.tsdb.retention.time", "90d".into()),
        ],
        version: "1.2.3".into(),
        ..ApiConfig::default()
    };
    let server = Server::with(config);
    assert_eq!(server.write_samples().await.text(), "204 ");
    let mut out = String::new();
    for path in paths.lines().map(str::trim).filter(|it| !it.is_empty()) {
        let answer = server.get(&format!("/api/v1/{path}")).await;
        out.push_str(&format!("{path}\n  {}\n", answer.text()));
    }
    expect.assert_eq(&out);
}

#[tokio::test]
async fn targets_are_shown_by_state_and_pool() {
    check(
        "targets
         targets?state=active&scrapePool=nosuch
         targets?state=DROPPED
         targets?scrapePool=other
         scrape_pools",
        expect![[r#"
            targets
              200 {"status":"success","data":{"activeTargets":[{"discoveredLabels":{"__address__":"a:9100","job":"node"},"labels":{"instance":"a:9100","job":"node"},"scrapePool":"node","scrapeUrl":"http://a:9100/metrics","globalUrl":"http://a:9100/metrics","lastError":"connection refused","lastScrape":"2024-06-03T00:00:01.5Z","lastScrapeDuration":0.00125,"health":"down","scrapeInterval":"1m","scrapeTimeout":"10s"},{"discoveredLabels":{"__address__":"b:9100","job":"node"},"labels":{"instance":"b:9100","job":"node"},"scrapePool":"node","scrapeUrl":"http://b:9100/metrics","globalUrl":"http://b:9100/metrics","lastError":"","lastScrape":"0001-01-01T00:00:00Z","lastScrapeDuration":0,"health":"unknown","scrapeInterval":"1m","scrapeTimeout":"10s"}],"droppedTargets":[{"discoveredLabels":{"__address__":"c:1"},"scrapePool":"other"}],"droppedTargetCounts":{"node":0,"other":7}}}
            targets?state=active&scrapePool=nosuch
              200 {"status":"success","data":{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":null}}
            targets?state=DROPPED
              200 {"status":"success","data":{"activeTargets":[],"droppedTargets":[{"discoveredLabels":{"__address__":"c:1"},"scrapePool":"other"}],"droppedTargetCounts":{"node":0,"other":7}}}
            targets?scrapePool=other
              200 {"status":"success","data":{"activeTargets":[],"droppedTargets":[{"discoveredLabels":{"__address__":"c:1"},"scrapePool":"other"}],"droppedTargetCounts":{"node":0,"other":7}}}
            scrape_pools
              200 {"status":"success","data":{"scrapePools":["node","other"]}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn metadata_is_shown_by_target_and_metric() {
    check(
        "targets/metadata
         targets/metadata?metric=node_load5
         targets/metadata?match_target={instance=%22b:9100%22}
         targets/metadata?limit=0
         targets/metadata?limit=x
         targets/metadata?match_target=(",
        expect![[r#"
            targets/metadata
              200 {"status":"success","data":[{"target":{"instance":"a:9100","job":"node"},"metric":"node_load1","type":"gauge","help":"Load.","unit":""},{"target":{"instance":"a:9100","job":"node"},"metric":"node_load5","type":"gauge","help":"More \"load\".","unit":""}]}
            targets/metadata?metric=node_load5
              200 {"status":"success","data":[{"target":{"instance":"a:9100","job":"node"},"type":"gauge","help":"More \"load\".","unit":""}]}
            targets/metadata?match_target={instance=%22b:9100%22}
              200 {"status":"success","data":[]}
            targets/metadata?limit=0
              200 {"status":"success","data":[]}
            targets/metadata?limit=x
              400 {"status":"error","errorType":"bad_data","error":"limit must be a number"}
            targets/metadata?match_target=(
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"match_target\": 1:1: parse error: unexpected \"(\""}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn the_server_tells_of_itself_in_prometheus_shapes() {
    check(
        "status/buildinfo
         status/flags
         status/config
         status/walreplay
         status/tsdb
         status/tsdb?limit=1
         status/tsdb?limit=0",
        expect![[r#"
            status/buildinfo
              200 {"status":"success","data":{"version":"1.2.3","revision":"","branch":"","buildUser":"","buildDate":"","goVersion":""}}
            status/flags
              200 {"status":"success","data":{"storage.tsdb.path":"/var/lib/skep","storage.tsdb.retention.time":"90d"}}
            status/config
              200 {"status":"success","data":{"yaml":""}}
            status/walreplay
              200 {"status":"success","data":{"min":0,"max":0,"current":0}}
            status/tsdb
              200 {"status":"success","data":{"headStats":{"chunkCount":1,"maxTime":1717376400000,"minTime":1717376400000,"numLabelPairs":5,"numSeries":3},"seriesCountByMetricName":[{"name":"cpu_seconds_total","value":2},{"name":"memory_bytes","value":1}],"seriesCountByLabelName":[{"name":"__name__","value":3},{"name":"host","value":3},{"name":"core","value":2}],"labelValueCountByLabelName":[{"name":"__name__","value":2},{"name":"core","value":2},{"name":"host","value":1}],"memoryInBytesByLabelName":[{"name":"__name__","value":46},{"name":"host","value":3},{"name":"core","value":2}],"seriesCountByLabelValuePair":[{"name":"host=a","value":3},{"name":"__name__=cpu_seconds_total","value":2},{"name":"__name__=memory_bytes","value":1},{"name":"core=0","value":1},{"name":"core=1","value":1}]}}
            status/tsdb?limit=1
              200 {"status":"success","data":{"headStats":{"chunkCount":1,"maxTime":1717376400000,"minTime":1717376400000,"numLabelPairs":5,"numSeries":3},"seriesCountByMetricName":[{"name":"cpu_seconds_total","value":2}],"seriesCountByLabelName":[{"name":"__name__","value":3}],"labelValueCountByLabelName":[{"name":"__name__","value":2}],"memoryInBytesByLabelName":[{"name":"__name__","value":46}],"seriesCountByLabelValuePair":[{"name":"host=a","value":3}]}}
            status/tsdb?limit=0
              400 {"status":"error","errorType":"bad_data","error":"limit must be a positive number"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn runtimeinfo_and_features_have_what_clients_look_for() {
    let server = Server::new();
    let data = async |path: &str| -> serde_json::Value {
        let answer = server.get(path).await;
        serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()["data"].clone()
    };
    let info = data("/api/v1/status/runtimeinfo").await;
    assert_eq!(info["startTime"], "2024-06-03T01:00:00Z");
    for number in ["corruptionCount", "goroutineCount", "GOMAXPROCS", "GOMEMLIMIT"] {
        assert!(info[number].is_u64(), "{number}: {info}");
    }
    let features = data("/api/v1/features").await;
    assert_eq!(features["promql_functions"]["rate"], true);
    assert_eq!(features["promql_operators"]["atan2"], true);
    assert_eq!(features["api"]["admin"], true);
}
