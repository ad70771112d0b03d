//! Loki's API.

use std::fmt::Write as _;

use axum::body::Body;
use expect_test::{Expect, expect};
use http::Request;

use super::{BASE_MS, Server};

const START: i64 = BASE_MS / 1_000;

async fn server() -> Server {
    let server = Server::new();
    assert_eq!(server.push_lines().await.text(), "204 ");
    server
}

/// Each line of `paths` is asked for, over the minute of the data unless it says otherwise.
async fn check(paths: &str, expect: Expect) {
    let server = server().await;
    let mut out = String::new();
    for path in paths.lines().map(str::trim).filter(|it| !it.is_empty()) {
        let joint = if path.contains('?') { '&' } else { '?' };
        let end = START + 60;
        let asked =
            path.replace('+', "%2B").replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        let asked = asked.replace(' ', "+").replace('|', "%7C").replace('`', "%60");
        let asked = format!("/loki/api/v1/{asked}{joint}start={START}&end={end}");
        writeln!(out, "{path}\n  {}", server.get(&asked).await.text()).unwrap();
    }
    expect.assert_eq(&out);
}

#[tokio::test]
async fn what_was_pushed_is_answered() {
    check(
        r#"query_range?query={unit="ssh.service"}&direction=forward
           query_range?query={unit="ssh.service"}&limit=1
           query_range?query={unit="ssh.service"} |= `bad`
           query_range?query={unit="ssh.service"} | logfmt | level=`warn`
           query_range?query={unit="ssh.service"}&direction=forward&interval=2
           query_range?query=sum by (unit) (count_over_time({host=~".+"}[1m]))&step=60
           query_range?query=1+1&step=60
           query?query=vector(1)+vector(1)&time=4000000000
           query?query=sum(count_over_time({host="a"}[1m]))&time=1717372860"#,
        expect![[r#"
            query_range?query={unit="ssh.service"}&direction=forward
              200 {"status":"success","data":{"resultType":"streams","result":[{"stream":{"host":"a","unit":"ssh.service"},"values":[["1717372801000000000","level=info msg=\"in\""],["1717372803000000000","level=info msg=\"out\""]]},{"stream":{"host":"a","pid":"7","unit":"ssh.service"},"values":[["1717372802000000000","level=warn msg=\"bad\""]]}]}}
            query_range?query={unit="ssh.service"}&limit=1
              200 {"status":"success","data":{"resultType":"streams","result":[{"stream":{"host":"a","unit":"ssh.service"},"values":[["1717372803000000000","level=info msg=\"out\""]]}]}}
            query_range?query={unit="ssh.service"} |= `bad`
              200 {"status":"success","data":{"resultType":"streams","result":[{"stream":{"host":"a","pid":"7","unit":"ssh.service"},"values":[["1717372802000000000","level=warn msg=\"bad\""]]}]}}
            query_range?query={unit="ssh.service"} | logfmt | level=`warn`
              200 {"status":"success","data":{"resultType":"streams","result":[{"stream":{"host":"a","level":"warn","msg":"bad","pid":"7","unit":"ssh.service"},"values":[["1717372802000000000","level=warn msg=\"bad\""]]}]}}
            query_range?query={unit="ssh.service"}&direction=forward&interval=2
              200 {"status":"success","data":{"resultType":"streams","result":[{"stream":{"host":"a","unit":"ssh.service"},"values":[["1717372801000000000","level=info msg=\"in\""],["1717372803000000000","level=info msg=\"out\""]]}]}}
            query_range?query=sum by (unit) (count_over_time({host=~".+"}[1m]))&step=60
              200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{"unit":"ssh.service"},"values":[[1717372860,"3"]]},{"metric":{"unit":"cron.service"},"values":[[1717372860,"1"]]}]}}
            query_range?query=1+1&step=60
              200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1717372800,"2"],[1717372860,"2"]]}]}}
            query?query=vector(1)+vector(1)&time=4000000000
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[4000000000,"2"]}]}}
            query?query=sum(count_over_time({host="a"}[1m]))&time=1717372860
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1717372860,"3"]}]}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn listings_come_from_the_index() {
    check(
        r#"labels
           label/unit/values
           label/unit/values?query={host="a"}
           series?match[]={}
           series?match[]={unit="cron.service"}
           detected_labels
           index/stats?query={host="a"}
           index/volume?query={host=~".+"}"#,
        expect![[r#"
            labels
              200 {"status":"success","data":["host","unit"]}
            label/unit/values
              200 {"status":"success","data":["cron.service","ssh.service"]}
            label/unit/values?query={host="a"}
              200 {"status":"success","data":["ssh.service"]}
            series?match[]={}
              200 {"status":"success","data":[{"host":"a","unit":"ssh.service"},{"host":"b","unit":"cron.service"}]}
            series?match[]={unit="cron.service"}
              200 {"status":"success","data":[{"host":"b","unit":"cron.service"}]}
            detected_labels
              200 {"detectedLabels":[{"label":"host","cardinality":2},{"label":"unit","cardinality":2}]}
            index/stats?query={host="a"}
              200 {"streams":1,"chunks":0,"bytes":59,"entries":3}
            index/volume?query={host=~".+"}
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"host":"a"},"value":[1717372860,"59"]},{"metric":{"host":"b"},"value":[1717372860,"4"]}]}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn faults_are_told_in_lokis_words() {
    check(
        r#"query_range?query={
           query_range?query={unit="ssh.service"}&limit=0
           query_range?query={unit="ssh.service"}&limit=x
           query_range?query={unit="ssh.service"}&limit=6000
           query_range?query={unit="ssh.service"}&interval=x
           query_range?query={unit="ssh.service"}&direction=up
           query_range?query=count_over_time({unit="ssh.service"}[1m])&step=0
           query?query={unit="ssh.service"}
           query?query=vector(1)&time=x
           query_range?query=count_over_time({unit="ssh.service"}[1m])-on()count_over_time({unit="ssh.service"}|logfmt[1m])&step=60
           series?match[]={unit="a"} |= `x`
           index/stats
           format_query?query={
           format_query?query={a="b"}|=`c`
           tail?query={a="b"}"#,
        expect![[r#"
            query_range?query={
              400 parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }
            query_range?query={unit="ssh.service"}&limit=0
              400 limit must be a positive value
            query_range?query={unit="ssh.service"}&limit=x
              400 strconv.Atoi: parsing "x": invalid syntax
            query_range?query={unit="ssh.service"}&limit=6000
              400 max entries limit per query exceeded, limit > max_entries_limit_per_query (6000 > 5000)
            query_range?query={unit="ssh.service"}&interval=x
              400 cannot parse "x" to a valid duration
            query_range?query={unit="ssh.service"}&direction=up
              400 invalid direction 'up'
            query_range?query=count_over_time({unit="ssh.service"}[1m])&step=0
              400 zero or negative query resolution step widths are not accepted. Try a positive integer
            query?query={unit="ssh.service"}
              400 log queries are not supported as an instant query type, please change your query to a range query type
            query?query=vector(1)&time=x
              400 strconv.ParseInt: parsing "x": invalid syntax
            query_range?query=count_over_time({unit="ssh.service"}[1m])-on()count_over_time({unit="ssh.service"}|logfmt[1m])&step=60
              500 found duplicate series for the match group {} on the right hand-side of the operation: [{host="a", level="info", msg="in", unit="ssh.service"}, {host="a", level="warn", msg="bad", pid="7", unit="ssh.service"}];many-to-many matching not allowed: matching labels must be unique on one side
            series?match[]={unit="a"} |= `x`
              400 only label matchers are supported
            index/stats
              400 parse error : syntax error: unexpected $end
            format_query?query={
              400 {"status":"invalid-query","error":"parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }"}
            format_query?query={a="b"}|=`c`
              200 {"status":"success","data":"{a=\"b\"} |= \"c\""}
            tail?query={a="b"}
              501 tail: live tailing over a WebSocket is not supported yet
        "#]],
    )
    .await;
}

#[tokio::test]
async fn labels_are_told_apart_for_who_asks() {
    let server = server().await;
    let query = "%7Bunit=%22ssh.service%22%7D+%7C=+%60bad%60+%7C+logfmt";
    let end = START + 60;
    let request =
        Request::get(format!("/loki/api/v1/query_range?query={query}&start={START}&end={end}"))
            .header("X-Loki-Response-Encoding-Flags", "categorize-labels")
            .body(Body::empty());
    let answer = server.send(request.unwrap()).await;
    expect![[r#"200 {"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[{"stream":{"host":"a","unit":"ssh.service"},"values":[["1717372802000000000","level=warn msg=\"bad\"",{"structuredMetadata":{"pid":"7"},"parsed":{"level":"warn","msg":"bad"}}]]}]}}"#]].assert_eq(&answer.text());
}

#[tokio::test]
async fn pushes_of_json_are_taken_and_faults_refused() {
    let server = Server::new();
    let json = [("Content-Type", "application/json")];
    let push = async |body: &str| {
        server.post("/loki/api/v1/push", &json, body.as_bytes().to_vec()).await.text()
    };
    let line = format!(r#"["{BASE_MS}000000", "x"]"#);
    let body = format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":[{line}]}}]}}"#);
    assert_eq!(push(&body).await, "204 ");
    assert!(push("{").await.starts_with("400 "));
    let none = push(r#"{"streams":[]}"#).await;
    assert_eq!(none, "422 error at least one valid stream is required for ingestion");
    assert_eq!(server.get("/ready").await.text(), "200 ready");
}
