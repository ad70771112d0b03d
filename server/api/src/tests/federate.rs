//! `/federate`.

use axum::body::Body;
use expect_test::expect;
use http::Request;

use super::{BASE_MS, Server};

/// At the minute of the server's clock, before it, and too long before it.
async fn server() -> Server {
    let server = Server::new();
    let now = BASE_MS + 3_600_000;
    let lines = [
        format!("b{{x=\"2\"}} 1234567 {}", now - 1_000),
        format!("b{{Z=\"0\",instance=\"i\"}} 0.5 {now}"),
        format!("a{{x=\"1\"}} 1 {}", now - 60_000),
        format!("a{{x=\"1\"}} +Inf {}", now - 299_000),
        format!("gone 1 {}", now - 301_000),
        format!("later 1 {}", now + 1),
        format!("{{\"dotted.name\",\"ö\"=\"q\\\"\\n\"}} NaN {now}"),
    ];
    let body = lines.join("\n") + "\n";
    let sent = server.post("/api/v1/import/prometheus", &[], body.into_bytes()).await;
    assert_eq!(sent.text(), "204 ");
    let stale = format!(
        "{{\"metric\":{{\"__name__\":\"ended\"}},\"values\":[1,null],\"timestamps\":[{},{now}]}}\n",
        now - 9
    );
    assert_eq!(server.post("/api/v1/import", &[], stale.into_bytes()).await.text(), "204 ");
    server
}

#[tokio::test]
async fn the_newest_sample_of_each_series_is_exposed() {
    let answer = server().await.get("/federate?match[]={__name__!=%22%22}&match[]=b").await;
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    );
    expect![[r#"
        # TYPE a untyped
        a{x="1",instance=""} 1 1717376340000
        # TYPE b untyped
        b{Z="0",instance="i"} 0.5 1717376400000
        b{x="2",instance=""} 1.234567e+06 1717376399000
        # TYPE dotted_name untyped
        dotted_name{_="q\"\n",instance=""} NaN 1717376400000
    "#]]
    .assert_eq(&answer.body);
}

#[tokio::test]
async fn names_are_quoted_for_who_reads_quoted_names() {
    let request = Request::get("/federate?match[]={%22dotted.name%22}")
        .header("Accept", "text/plain;version=1.0.0;escaping=allow-utf-8,*/*;q=0.1")
        .body(Body::empty());
    let answer = server().await.send(request.unwrap()).await;
    expect![[r#"
        # TYPE "dotted.name" untyped
        {"dotted.name","ö"="q\"\n",instance=""} NaN 1717376400000
    "#]]
    .assert_eq(&answer.body);
}

#[tokio::test]
async fn without_a_selector_there_is_nothing_and_faults_are_text() {
    let server = server().await;
    assert_eq!(server.get("/federate").await.text(), "200 ");
    expect!["400 1:1: parse error: unexpected \"(\""]
        .assert_eq(&server.get("/federate?match[]=(").await.text());
}
