//! What a push of log lines becomes over HTTP, and what is said of one that is refused.

use expect_test::expect;

use super::{BASE_MS, Server};
use crate::{ApiConfig, IngestionRate};

#[tokio::test]
async fn levels_and_services_are_discovered_in_pushes_and_not_in_imports() {
    let server = Server::with(ApiConfig::default());
    let json = [("Content-Type", "application/json")];
    let line = format!(r#"["{BASE_MS}000000", "an error"]"#);
    let body = |job: &str| format!(r#"{{"stream":{{"job":"{job}"}},"values":[{line}]}}"#);
    let push = format!(r#"{{"streams":[{}]}}"#, body("pushed"));
    let pushed = server.post("/loki/api/v1/push", &json, push.into_bytes()).await;
    assert_eq!(pushed.text(), "204 ");
    let imported = server.post("/loki/api/v1/import", &json, body("imported").into_bytes()).await;
    assert_eq!(imported.text(), "204 ");
    let answer = server.get("/loki/api/v1/export?query=%7Bjob!=%22%22%7D").await;
    let mut lines: Vec<&str> = answer.body.lines().collect();
    lines.sort_unstable();
    expect![[r#"
        {"stream":{"job":"imported"},"values":[["1717372800000000000","an error"]]}
        {"stream":{"job":"pushed","service_name":"pushed"},"values":[["1717372800000000000","an error",{"detected_level":"error"}]]}"#]].assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn a_push_that_comes_too_fast_is_told_to_come_again() {
    let rate = IngestionRate { bytes_per_second: 10, burst_bytes: 20 };
    let server = Server::with(ApiConfig { ingestion_rate: Some(rate), ..ApiConfig::default() });
    let json = [("Content-Type", "application/json")];
    let line = format!(r#"["{BASE_MS}000000", "a line that is longer"]"#);
    let push = format!(r#"{{"streams":[{{"stream":{{"job":"j"}},"values":[{line}]}}]}}"#);
    let answer = server.post("/loki/api/v1/push", &json, push.into_bytes()).await;
    expect!["429 ingestion rate limit exceeded for user fake (limit: 10 bytes/sec) while attempting to ingest '1' lines totaling '42' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased"].assert_eq(&answer.text());
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("skep_receive_refused_total{reason=\"rate_limited\"} 1\n"));
}
