//! What administrators are told: storage, sizes, cardinality, queries.

use axum::body::Body;
use expect_test::expect;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{BASE_MS, Server};
use crate::{ApiConfig, Caller};

const START: i64 = BASE_MS / 1_000;

async fn data(server: &Server, path: &str) -> Value {
    let answer = server.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["status"], "success");
    body["data"].clone()
}

async fn ask_as(server: &Server, user: &str, path: &str) -> u16 {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    request.extensions_mut().insert(Caller(user.into()));
    server.send(request).await.status
}

/// A line for each query: what differs from run to run is left out.
fn lines(queries: &Value) -> String {
    let line = |it: &Value| {
        let cost = ["seconds", "cpu_seconds", "queued_seconds"];
        assert!(cost.iter().all(|key| it[key].as_f64().is_some_and(|it| it >= 0.0)), "{it}");
        let [language, path, user, query, state] =
            ["language", "path", "user", "query", "state"].map(|key| &it[key]);
        assert_eq!(it["error"].is_string(), it["state"] == "failed", "{it}");
        format!("{language} {path} {user} {query} {} {state} {} rows\n", it["span"], it["rows"])
    };
    queries.as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn every_kind_of_query_is_listed_with_who_asked_and_how_it_went() {
    let server = Server::new();
    server.write_samples().await;
    server.push_lines().await;
    let (end, ns) = (START + 60, START * 1_000_000_000);
    for (status, path) in [
        (200, format!("/api/v1/query?query=memory_bytes&time={START}")),
        (200, format!("/api/v1/query_range?query=memory_bytes&start={START}&end={end}&step=15")),
        (400, format!("/api/v1/query?query=sum(&time={START}")),
        (200, format!("/api/v1/explain?query=memory_bytes&time={START}")),
        (200, format!("/loki/api/v1/query_range?query={{host=%22a%22}}&start={ns}&end={end}")),
        (400, "/loki/api/v1/query?query=nonsense".to_owned()),
        (200, "/api/v1/sql?query=SELECT+1".to_owned()),
    ] {
        assert_eq!(ask_as(&server, "ada", &path).await, status, "{path}");
    }
    let queries = data(&server, "/api/v1/admin/queries").await;
    assert_eq!(queries["running"], json!([]));
    expect![[r#"
        "sql" "/api/v1/sql" "ada" "SELECT 1" null "done" 1 rows
        "logql" "/loki/api/v1/query" "ada" "nonsense" {"end_ms":1717376400000,"start_ms":1717376400000,"step_ms":0} "failed" 0 rows
        "logql" "/loki/api/v1/query_range" "ada" "{host=\"a\"}" {"end_ms":1717372860000,"start_ms":1717372800000,"step_ms":1000} "done" 3 rows
        "promql" "/api/v1/explain" "ada" "memory_bytes" {"end_ms":1717372800000,"start_ms":1717372800000,"step_ms":0} "done" 1 rows
        "promql" "/api/v1/query" "ada" "sum(" {"end_ms":1717372800000,"start_ms":1717372800000,"step_ms":0} "failed" 0 rows
        "promql" "/api/v1/query_range" "ada" "memory_bytes" {"end_ms":1717372860000,"start_ms":1717372800000,"step_ms":15000} "done" 5 rows
        "promql" "/api/v1/query" "ada" "memory_bytes" {"end_ms":1717372800000,"start_ms":1717372800000,"step_ms":0} "done" 1 rows
    "#]]
    .assert_eq(&lines(&queries["recent"]));
    assert_eq!(queries["slowest"].as_array().unwrap().len(), 7);
    let answered = |it: &&Value| it["state"] == "done";
    let recent = queries["recent"].as_array().unwrap().iter();
    assert!(recent.filter(answered).all(|it| it["answer_bytes"].as_u64() > Some(0)), "{queries}");
    let few = data(&server, "/api/v1/admin/queries?limit=1").await;
    assert_eq!(few["recent"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_query_at_work_is_listed_and_can_be_canceled() {
    let server = Server::with(ApiConfig { n_queries_max: 0, ..ApiConfig::default() });
    let request = Request::get("/api/v1/query?query=up&time=1").body(Body::empty()).unwrap();
    let asked = tokio::spawn(server.router.clone().oneshot(request));
    let id = loop {
        let running = data(&server, "/api/v1/admin/queries").await["running"].clone();
        if let Some(query) = running.get(0) {
            assert_eq!((&query["query"], &query["state"]), (&json!("up"), &json!("queued")));
            break query["id"].clone();
        }
        tokio::task::yield_now().await;
    };
    let delete = async |id: &str| {
        let request = Request::delete(format!("/api/v1/admin/queries/{id}"));
        server.send(request.body(Body::empty()).unwrap()).await.text()
    };
    assert_eq!(delete(&id.to_string()).await, r#"200 {"data":{},"status":"success"}"#);
    let answer = asked.await.unwrap().unwrap();
    assert_eq!(answer.status(), 499);
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    expect![[r#"{"status":"error","errorType":"canceled","error":"an administrator has canceled this query"}"#]]
        .assert_eq(&String::from_utf8_lossy(&body));
    let queries = data(&server, "/api/v1/admin/queries").await;
    assert_eq!(queries["recent"][0]["state"], "canceled");
    expect![[r#"404 {"status":"error","errorType":"not_found","error":"no query 1 is at work; it may have ended"}"#]]
        .assert_eq(&delete(&id.to_string()).await);
    expect![[r#"400 {"status":"error","errorType":"bad_data","error":"\"x\" is not the number of a query"}"#]]
        .assert_eq(&delete("x").await);
    let refused = server.get("/api/v1/admin/queries?limit=0").await;
    expect![[r#"400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"limit\": \"0\" is not a number from 1 on"}"#]]
        .assert_eq(&refused.text());
}

#[tokio::test]
async fn storage_is_told_by_table_and_day_and_by_metric() {
    let server = Server::new();
    server.write_samples().await;
    server.push_lines().await;
    let before = data(&server, "/api/v1/admin/storage").await;
    assert_eq!(before["tables"][0]["days"], json!([]));
    assert_eq!(before["memory"]["samples"], 120);
    let flushed = server.post("/-/flush", &[], Vec::new()).await;
    assert_eq!(flushed.status, 200);
    let after = data(&server, "/api/v1/admin/storage").await;
    let rows: Vec<String> = after["tables"].as_array().unwrap().iter().map(one_day).collect();
    expect![[r#"
        samples 120 rows ["2024-06-03 1 parts 585 s"]
        histograms 0 rows []
        logs 4 rows ["2024-06-03 1 parts 3 s"]"#]]
    .assert_eq(&rows.join("\n"));
    assert_eq!(after["label_sets"]["series"]["count"], 3);
    assert_eq!(after["next_out"], json!([]), "there is no cap");
    assert_eq!(after["disk"]["max_bytes"], Value::Null);
    let sizes = data(&server, "/api/v1/admin/storage/metrics").await;
    let total = after["tables"][0]["bytes"].as_u64().unwrap();
    let each = total / 3;
    assert_eq!(
        sizes["metrics"],
        json!([
            {"name": "cpu_seconds_total", "series": 2, "estimated_bytes": 2 * each},
            {"name": "memory_bytes", "series": 1, "estimated_bytes": each},
        ])
    );
    assert_eq!(sizes["estimated_bytes"], json!(3 * each));
    let first = data(&server, "/api/v1/admin/storage/metrics?limit=1").await;
    assert_eq!((first["metrics"].as_array().unwrap().len(), &first["n_metrics"]), (1, &json!(2)));
}

fn one_day(table: &Value) -> String {
    let days = table["days"].as_array().unwrap();
    let day = days.iter().map(|day| {
        assert!(day["bytes"].as_u64() > Some(0), "{day}");
        let newest = (day["newest_unix_ms"].as_i64().unwrap() - BASE_MS) / 1_000;
        format!("{} {} parts {newest} s", day["day"].as_str().unwrap(), day["parts"])
    });
    let days: Vec<String> = day.collect();
    format!("{} {} rows {days:?}", table["name"].as_str().unwrap(), table["rows"])
}

#[tokio::test]
async fn cardinality_is_told_of_some_series_and_of_one_label() {
    let server = Server::new();
    server.write_samples().await;
    let path = "/api/v1/status/tsdb?match[]=cpu_seconds_total&focusLabel=core";
    let found = data(&server, path).await;
    assert_eq!(found["headStats"]["numSeries"], 2);
    let lists = ["seriesCountByLabelName", "seriesCountByFocusLabelValue"];
    expect![[r#"
        [{"name":"__name__","value":2},{"name":"core","value":2},{"name":"host","value":2}]
        [{"name":"0","value":1},{"name":"1","value":1}]"#]]
    .assert_eq(&lists.map(|it| found[it].to_string()).join("\n"));
    let refused = server.get("/api/v1/status/tsdb?match[]={}").await;
    assert_eq!(refused.status, 400);
    let all = data(&server, "/api/v1/status/tsdb").await.to_string();
    assert!(!all.contains("FocusLabel"), "{all}");
}
