//! Samples and lines out of one server and into another.

use expect_test::{Expect, expect};
use skep_proto::stale_marker;

use super::{Server, without_stats};

/// What cannot be told from what by a careless round trip.
const SAMPLES: &str = r#"{"metric":{"__name__":"odd","host":"zürich \"1\"\\\n","ключ":"值"},"values":[1,0.1,-0,1e-320,1.7976931348623157e308,"Infinity","-Infinity","NaN",null,3],"timestamps":[1717372800000,1717372801000,1717372802000,1717372803000,1717372804000,1717372805000,1717372806000,1717372807000,1717372808000,1717372809001]}
{"metric":{"__name__":"up"},"values":[1],"timestamps":[-5]}
"#;
const LINES: &str = r#"{"stream":{"host":"ä"},"values":[["1717372800000000001","a \"line\"\n\u0001"],["1717372800000000002","b",{"pid":"7","ü":"x"}]]}
"#;

async fn import(server: &Server, path: &str, body: &str) -> String {
    server.post(path, &[], body.as_bytes().to_vec()).await.text()
}

#[tokio::test]
async fn what_is_exported_and_imported_is_the_same() {
    let from = Server::new();
    assert_eq!(import(&from, "/api/v1/import", SAMPLES).await, "204 ");
    assert_eq!(import(&from, "/loki/api/v1/import", LINES).await, "204 ");
    let to = Server::new();
    let selector = "match[]={__name__!=%22%22}";
    let samples = from.get(&format!("/api/v1/export?{selector}")).await;
    let lines = from.get("/loki/api/v1/export?query={}").await;
    assert_eq!(import(&to, "/api/v1/import", &samples.body).await, "204 ");
    assert_eq!(import(&to, "/loki/api/v1/import", &lines.body).await, "204 ");
    for path in [
        format!("/api/v1/export?{selector}"),
        "/loki/api/v1/export?query={}".to_owned(),
        "/api/v1/query?query=odd[1m]&time=1717372810".to_owned(),
        "/loki/api/v1/query_range?query={host=%22%C3%A4%22}&start=1717372800&end=1717372900"
            .to_owned(),
    ] {
        let (to, from) = (to.get(&path).await.text(), from.get(&path).await.text());
        assert_eq!(without_stats(&to), without_stats(&from), "{path}");
    }
    // To the bit: a stale marker is another NaN than NaN.
    assert!(samples.body.contains("\"NaN\",null,3]"), "{}", samples.body);
    assert!(stale_marker().is_nan());
    expect![[r#"
        {"metric":{"__name__":"odd","host":"zürich \"1\"\\\n","ключ":"值"},"values":[1,0.1,-0,1e-320,1.7976931348623157e+308,"Infinity","-Infinity","NaN",null,3],"timestamps":[1717372800000,1717372801000,1717372802000,1717372803000,1717372804000,1717372805000,1717372806000,1717372807000,1717372808000,1717372809001]}
        {"metric":{"__name__":"up"},"values":[1],"timestamps":[-5]}
        {"stream":{"host":"ä"},"values":[["1717372800000000001","a \"line\"\n\u0001"],["1717372800000000002","b",{"pid":"7","ü":"x"}]]}
    "#]].assert_eq(&format!("{}{}", samples.body, lines.body));
}

/// What is exported as text is the same after an import, stale markers aside.
async fn check_text(format: &str, media: &str, expect: Expect) {
    let from = Server::new();
    import(&from, "/api/v1/import", SAMPLES).await;
    let path = format!("/api/v1/export?match[]={{__name__!=%22%22}}&format={format}");
    let text = from.get(&path).await;
    expect.assert_eq(&text.body);
    let to = Server::new();
    let headers = [("Content-Type", media)];
    let imported =
        to.post("/api/v1/import/prometheus", &headers, text.body.clone().into_bytes()).await;
    assert_eq!(imported.text(), "204 ");
    assert_eq!(to.get(&path).await.body, text.body);
}

#[tokio::test]
async fn prometheus_text_comes_back() {
    check_text(
        "prometheus",
        "text/plain",
        expect![[r#"
        odd{host="zürich \"1\"\\\n","ключ"="值"} 1 1717372800000
        odd{host="zürich \"1\"\\\n","ключ"="值"} 0.1 1717372801000
        odd{host="zürich \"1\"\\\n","ключ"="值"} -0 1717372802000
        odd{host="zürich \"1\"\\\n","ключ"="值"} 1e-320 1717372803000
        odd{host="zürich \"1\"\\\n","ключ"="值"} 1.7976931348623157e+308 1717372804000
        odd{host="zürich \"1\"\\\n","ключ"="值"} +Inf 1717372805000
        odd{host="zürich \"1\"\\\n","ключ"="值"} -Inf 1717372806000
        odd{host="zürich \"1\"\\\n","ключ"="值"} NaN 1717372807000
        odd{host="zürich \"1\"\\\n","ключ"="值"} 3 1717372809001
        up 1 -5
    "#]],
    )
    .await;
}

#[tokio::test]
async fn openmetrics_text_comes_back() {
    check_text(
        "openmetrics",
        "application/openmetrics-text; version=1.0.0",
        expect![[r#"
        odd{host="zürich \"1\"\\\n","ключ"="值"} 1 1717372800
        odd{host="zürich \"1\"\\\n","ключ"="值"} 0.1 1717372801
        odd{host="zürich \"1\"\\\n","ключ"="值"} -0 1717372802
        odd{host="zürich \"1\"\\\n","ключ"="值"} 1e-320 1717372803
        odd{host="zürich \"1\"\\\n","ключ"="值"} 1.7976931348623157e+308 1717372804
        odd{host="zürich \"1\"\\\n","ключ"="值"} +Inf 1717372805
        odd{host="zürich \"1\"\\\n","ключ"="值"} -Inf 1717372806
        odd{host="zürich \"1\"\\\n","ключ"="值"} NaN 1717372807
        odd{host="zürich \"1\"\\\n","ключ"="值"} 3 1717372809.001
        up 1 -0.005
        # EOF
    "#]],
    )
    .await;
}

#[tokio::test]
async fn bad_lines_are_named_and_the_others_stored() {
    let server = Server::new();
    let mut out = String::new();
    for (path, body) in [
        (
            "/api/v1/import",
            "{\"metric\":{\"__name__\":\"a\"},\"values\":[1],\"timestamps\":[1]}\nx\n",
        ),
        ("/api/v1/import/prometheus", "b 1\nb{ 2\n"),
        ("/api/v1/import/prometheus?timestamp=x", "b 1\n"),
        (
            "/loki/api/v1/import",
            "{\"a\":1}\n{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"x\"]]}\n[",
        ),
        (
            "/loki/api/v1/import",
            "{\"labels\":{\"a\":\"c\"},\"line\":\"l\",\"timestamp\":\"2024-06-03T00:00:00.000000001Z\"}",
        ),
        (
            "/loki/api/v1/import",
            "{\"data\":{\"result\":[{\"stream\":{\"a\":\"d\"},\"values\":[[\"2\",\"y\",{\"structuredMetadata\":{\"k\":\"v\"}}]]}]}}",
        ),
    ] {
        out.push_str(&format!("{path}\n  {}\n", import(&server, path, body).await));
    }
    out.push_str(&server.get("/loki/api/v1/export?query={}").await.body);
    out.push_str(&server.get("/api/v1/label/__name__/values").await.text());
    let packed = server.post("/api/v1/import", &[("Content-Encoding", "gzip")], vec![1]).await;
    out.push_str(&format!("\n{}", packed.text()));
    expect![[r#"
        /api/v1/import
          400 {"status":"error","errorType":"bad_data","error":"line 2: expected { at byte 0"}
        /api/v1/import/prometheus
          400 {"status":"error","errorType":"bad_data","error":"line 2: expected label name or right brace, got \"\" while parsing: \"b{ 2\""}
        /api/v1/import/prometheus?timestamp=x
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"timestamp\": \"x\": invalid digit found in string"}
        /loki/api/v1/import
          400 line 1: neither {"stream":…,"values":…} nor {"labels":…,"line":…,"timestamp":…}
        /loki/api/v1/import
          204 
        /loki/api/v1/import
          204 
        {"stream":{"a":"b"},"values":[["1","x"]]}
        {"stream":{"a":"c"},"values":[["1717372800000000001","l"]]}
        {"stream":{"a":"d"},"values":[["2","y",{"k":"v"}]]}
        200 {"status":"success","data":["a","b"]}
        415 {"status":"error","errorType":"bad_data","error":"imports are read as they come; send them without Content-Encoding, not \"gzip\""}"#]].assert_eq(&out);
}

#[tokio::test]
async fn a_snapshot_is_named() {
    let server = Server::new();
    server.write_samples().await;
    let answer = server.post("/api/v1/admin/tsdb/snapshot", &[], Vec::new()).await;
    expect![[r#"200 {"status":"success","data":{"name":"20240603T010000Z-700c5c8ce88e9643"}}"#]]
        .assert_eq(&answer.text());
}

#[tokio::test]
async fn an_export_may_be_packed() {
    let server = Server::new();
    import(&server, "/api/v1/import", SAMPLES).await;
    let headers =
        [("Accept-Encoding", "gzip"), ("Content-Type", "application/x-www-form-urlencoded")];
    let body = b"match[]=up".to_vec();
    let packed = server.post_for_bytes("/api/v1/export", &headers, body).await;
    assert_eq!(packed.get(..2), Some(&[0x1f, 0x8b][..]));
}
