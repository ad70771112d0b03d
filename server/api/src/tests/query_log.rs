//! What the query log holds.

use std::{fs, time::Duration};

use axum::{body::Body, extract::ConnectInfo};
use expect_test::expect;
use futures::FutureExt as _;
use http::Request;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{BASE_MS, Server};
use crate::{ApiConfig, QueryLogConfig};

const START: i64 = BASE_MS / 1_000;

#[tokio::test]
async fn every_query_is_logged_however_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queries.log");
    let query_log = QueryLogConfig { path: Some(path.clone()), slow: Some(Duration::ZERO) };
    let server = Server::with(ApiConfig { query_log, ..ApiConfig::default() });
    assert_eq!(server.write_samples().await.text(), "204 ");
    let mut request = Request::get(format!("/api/v1/query?query=memory_bytes&time={START}.5"));
    let peer = ConnectInfo::<std::net::SocketAddr>(([192, 0, 2, 7], 4711).into());
    request = request.extension(peer);
    assert_eq!(server.send(request.body(Body::empty()).unwrap()).await.status, 200);
    let form = format!("query=sum(cpu_seconds_total)&start={START}&end={}&step=30", START + 60);
    assert_eq!(server.post_form("/api/v1/query_range", &form).await.status, 200);
    assert_eq!(server.get("/api/v1/query?query=sum(&time=1").await.status, 400);
    // No query: nothing to log.
    assert_eq!(server.get("/api/v1/query?query=1&time=x").await.status, 400);
    drop(server);
    // Its client goes while it waits for a turn.
    let query_log = QueryLogConfig { path: Some(path.clone()), slow: None };
    let server = Server::with(ApiConfig { query_log, n_queries_max: 0, ..ApiConfig::default() });
    let request = Request::get("/api/v1/query?query=cpu_seconds_total&time=1");
    let asked = server.router.clone().oneshot(request.body(Body::empty()).unwrap());
    assert!(asked.now_or_never().is_none());
    drop(server);
    let mut out = String::new();
    for line in fs::read_to_string(&path).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let (stats, asked) = (&line["stats"], &line["httpRequest"]);
        assert!(stats["timings"]["execTotalTime"].is_number(), "{line}");
        out.push_str(&format!(
            "{} {} {asked}\n  {} {}\n",
            line["time"], line["params"], stats["samples"]["totalQueryableSamples"], line["error"]
        ));
    }
    expect![[r#"
        "2024-06-03T01:00:00.000Z" {"end":"2024-06-03T00:00:00.500Z","query":"memory_bytes","start":"2024-06-03T00:00:00.500Z","step":0} {"clientIP":"192.0.2.7","method":"GET","path":"/api/v1/query"}
          1 null
        "2024-06-03T01:00:00.000Z" {"end":"2024-06-03T00:01:00.000Z","query":"sum(cpu_seconds_total)","start":"2024-06-03T00:00:00.000Z","step":30} {"clientIP":null,"method":"POST","path":"/api/v1/query_range"}
          10 null
        "2024-06-03T01:00:00.000Z" {"end":"1970-01-01T00:00:01.000Z","query":"sum(","start":"1970-01-01T00:00:01.000Z","step":0} {"clientIP":null,"method":"GET","path":"/api/v1/query"}
          0 "invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"
        "2024-06-03T01:00:00.000Z" {"end":"1970-01-01T00:00:01.000Z","query":"cpu_seconds_total","start":"1970-01-01T00:00:01.000Z","step":0} {"clientIP":null,"method":"GET","path":"/api/v1/query"}
          0 "query was canceled in expression evaluation"
    "#]].assert_eq(&out);
}
