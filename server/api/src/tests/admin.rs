//! Deletes: what clients send, what they are told, and what is left.

use expect_test::{Expect, expect};

use super::{BASE_MS, Server, without_stats};
use crate::ApiConfig;

const START: i64 = BASE_MS / 1_000;

/// Each line is a method, a path with its query and is answered on the next; `@n` is n seconds
/// after the data begins.
async fn check(server: &Server, requests: &str, expect: Expect) {
    let mut out = String::new();
    for line in requests.lines().map(str::trim).filter(|it| !it.is_empty()) {
        let (method, path) = line.split_once(' ').unwrap();
        let mut asked = String::new();
        let mut parts = path.split('@');
        asked.push_str(parts.next().unwrap());
        for part in parts {
            let digits = part.find(|it: char| !it.is_ascii_digit()).unwrap_or(part.len());
            let (offset, after) = part.split_at(digits);
            asked.push_str(&(START + offset.parse::<i64>().unwrap()).to_string());
            asked.push_str(after);
        }
        let request = http::Request::builder().method(method).uri(asked);
        let answer = server.send(request.body(axum::body::Body::empty()).unwrap()).await;
        out.push_str(&format!("{line}\n  {}\n", without_stats(&answer.text())));
    }
    expect.assert_eq(&out);
}

#[tokio::test]
async fn deleted_series_are_gone_from_answers_and_listings_at_once() {
    let server = Server::new();
    server.write_samples().await;
    check(
        &server,
        "POST /api/v1/admin/tsdb/delete_series
         POST /api/v1/admin/tsdb/delete_series?match[]={}
         POST /api/v1/admin/tsdb/delete_series?match[]=up&start=x
         GET /api/v1/admin/tsdb/delete_series?match[]=up
         POST /api/v1/admin/tsdb/delete_series?match[]=cpu_seconds_total{core=%220%22}&match[]=nosuch
         GET /api/v1/query?query=cpu_seconds_total&time=@600
         GET /api/v1/label/core/values
         PUT /api/v1/admin/tsdb/delete_series?match[]=memory_bytes&start=@30&end=@400
         GET /api/v1/query?query=count_over_time(memory_bytes[20m])&time=@600
         POST /api/v1/admin/tsdb/clean_tombstones
         GET /api/v1/query?query=count_over_time(memory_bytes[20m])&time=@600
         GET /api/v1/label/__name__/values",
        expect![[r#"
            POST /api/v1/admin/tsdb/delete_series
              400 {"status":"error","errorType":"bad_data","error":"no match[] parameter provided"}
            POST /api/v1/admin/tsdb/delete_series?match[]={}
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"}
            POST /api/v1/admin/tsdb/delete_series?match[]=up&start=x
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp"}
            GET /api/v1/admin/tsdb/delete_series?match[]=up
              405 Method Not Allowed
            POST /api/v1/admin/tsdb/delete_series?match[]=cpu_seconds_total{core=%220%22}&match[]=nosuch
              204 
            GET /api/v1/query?query=cpu_seconds_total&time=@600
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"cpu_seconds_total","core":"1","host":"a"},"value":[1717373400,"117"]}]}}
            GET /api/v1/label/core/values
              200 {"status":"success","data":["1"]}
            PUT /api/v1/admin/tsdb/delete_series?match[]=memory_bytes&start=@30&end=@400
              204 
            GET /api/v1/query?query=count_over_time(memory_bytes[20m])&time=@600
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"host":"a"},"value":[1717373400,"15"]}]}}
            POST /api/v1/admin/tsdb/clean_tombstones
              204 
            GET /api/v1/query?query=count_over_time(memory_bytes[20m])&time=@600
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"host":"a"},"value":[1717373400,"15"]}]}}
            GET /api/v1/label/__name__/values
              200 {"status":"success","data":["cpu_seconds_total","memory_bytes"]}
        "#]],
    )
    .await;
    // What is written afterwards stays.
    server.write_samples().await;
    check(
        &server,
        "GET /api/v1/label/core/values",
        expect![[r#"
        GET /api/v1/label/core/values
          200 {"status":"success","data":["0","1"]}
    "#]],
    )
    .await;
}

#[tokio::test]
async fn lines_are_deleted_by_stream_and_time() {
    let server = Server::new();
    server.push_lines().await;
    check(
        &server,
        "GET /loki/api/v1/delete
         POST /loki/api/v1/delete
         POST /loki/api/v1/delete?query={host=%22a%22}
         POST /loki/api/v1/delete?query={host=%22a%22}&start=1
         POST /loki/api/v1/delete?query={host=%22a%22}&start=@5&end=@4
         POST /loki/api/v1/delete?query={host=%22a%22}&start=@5&end=2100-01-01T00:00:00Z
         POST /loki/api/v1/delete?query={host=%22a%22}|=%22x%22&start=@0
         POST /loki/api/v1/delete?query={host=%22a%22}&start=@0&end=@2
         GET /loki/api/v1/query_range?query={host=~%22.%2B%22}&start=@0&end=@100
         POST /loki/api/v1/delete?query={host=%22b%22}&start=@0
         GET /loki/api/v1/label/host/values?start=@0
         GET /loki/api/v1/delete
         DELETE /loki/api/v1/delete?request_id=00000001
         DELETE /loki/api/v1/delete?request_id=7
         POST /-/compact
         GET /loki/api/v1/delete
         GET /loki/api/v1/query_range?query={host=~%22.%2B%22}&start=@0&end=@100",
        expect![[r#"
            GET /loki/api/v1/delete
              200 []
            POST /loki/api/v1/delete
              400 query not set
            POST /loki/api/v1/delete?query={host=%22a%22}
              400 start time not set
            POST /loki/api/v1/delete?query={host=%22a%22}&start=1
              400 invalid start time: require unix seconds or RFC3339 format
            POST /loki/api/v1/delete?query={host=%22a%22}&start=@5&end=@4
              400 start time can't be greater than end time
            POST /loki/api/v1/delete?query={host=%22a%22}&start=@5&end=2100-01-01T00:00:00Z
              400 deletes in the future are not allowed
            POST /loki/api/v1/delete?query={host=%22a%22}|=%22x%22&start=@0
              400 cannot delete by line filter or pipeline: {host="a"}|="x"; write a stream selector alone, like {unit="a.service"}
            POST /loki/api/v1/delete?query={host=%22a%22}&start=@0&end=@2
              204 
            GET /loki/api/v1/query_range?query={host=~%22.%2B%22}&start=@0&end=@100
              200 {"status":"success","data":{"resultType":"streams","result":[{"stream":{"host":"a","unit":"ssh.service"},"values":[["1717372803000000000","level=info msg=\"out\""]]},{"stream":{"host":"b","unit":"cron.service"},"values":[["1717372802000000000","tick"]]}]}}
            POST /loki/api/v1/delete?query={host=%22b%22}&start=@0
              204 
            GET /loki/api/v1/label/host/values?start=@0
              200 {"status":"success","data":["a"]}
            GET /loki/api/v1/delete
              200 [{"request_id":"00000001","start_time":1717372800,"end_time":1717372802,"query":"{host=\"a\"}","status":"received","created_at":1717376400},{"request_id":"00000002","start_time":1717372800,"end_time":1717376400,"query":"{host=\"b\"}","status":"received","created_at":1717376400}]
            DELETE /loki/api/v1/delete?request_id=00000001
              400 deletion of request which is in process or already processed is not allowed
            DELETE /loki/api/v1/delete?request_id=7
              404 could not find delete request with given id
            POST /-/compact
              200 compacted
            GET /loki/api/v1/delete
              200 [{"request_id":"00000001","start_time":1717372800,"end_time":1717372802,"query":"{host=\"a\"}","status":"processed","created_at":1717376400},{"request_id":"00000002","start_time":1717372800,"end_time":1717376400,"query":"{host=\"b\"}","status":"processed","created_at":1717376400}]
            GET /loki/api/v1/query_range?query={host=~%22.%2B%22}&start=@0&end=@100
              200 {"status":"success","data":{"resultType":"streams","result":[{"stream":{"host":"a","unit":"ssh.service"},"values":[["1717372803000000000","level=info msg=\"out\""]]}]}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn administration_can_be_switched_off() {
    let server = Server::with(ApiConfig { is_admin_enabled: false, ..ApiConfig::default() });
    check(
        &server,
        "POST /api/v1/admin/tsdb/delete_series?match[]=up
         POST /api/v1/admin/tsdb/clean_tombstones
         POST /loki/api/v1/delete?query={host=%22a%22}&start=@0",
        expect![[r#"
            POST /api/v1/admin/tsdb/delete_series?match[]=up
              503 {"status":"error","errorType":"unavailable","error":"admin APIs disabled; admin.enabled switches them on"}
            POST /api/v1/admin/tsdb/clean_tombstones
              503 {"status":"error","errorType":"unavailable","error":"admin APIs disabled; admin.enabled switches them on"}
            POST /loki/api/v1/delete?query={host=%22a%22}&start=@0
              503 admin APIs disabled; admin.enabled switches them on
        "#]],
    )
    .await;
}
