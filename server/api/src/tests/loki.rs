//! Loki's API.

use std::fmt::Write as _;

use axum::body::Body;
use expect_test::{Expect, expect};
use http::Request;

use super::{BASE_MS, Server, without_stats};

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
        let answer = without_stats(&server.get(&asked).await.text());
        writeln!(out, "{path}\n  {answer}").unwrap();
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
           detected_fields?query={host=~".+"}
           detected_fields?query={host="a"}&limit=1
           detected_field/level/values?query={unit="ssh.service"}
           detected_field/nope/values?query={unit="ssh.service"}
           index/volume?query={host=~".+"}
           index/volume?query={host=~".+"}&targetLabels=unit&limit=1
           index/volume?query={host=~".+"}&aggregateBy=labels
           index/volume_range?query={host=~".+"}&step=30
           patterns?query={unit="ssh.service"}
           drilldown-limits
           cache/generation_numbers
           status/buildinfo"#,
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
            detected_fields?query={host=~".+"}
              200 {"fields":[{"label":"level","type":"string","cardinality":2,"parsers":["logfmt"]},{"label":"msg","type":"string","cardinality":3,"parsers":["logfmt"]},{"label":"pid","type":"int","cardinality":1,"parsers":null}],"limit":1000}
            detected_fields?query={host="a"}&limit=1
              200 {"fields":[{"label":"level","type":"string","cardinality":2,"parsers":["logfmt"]}],"limit":1}
            detected_field/level/values?query={unit="ssh.service"}
              200 {"values":["info","warn"],"limit":1000}
            detected_field/nope/values?query={unit="ssh.service"}
              200 {"values":[],"limit":1000}
            index/volume?query={host=~".+"}
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"host":"a"},"value":[1717372860,"71"]},{"metric":{"host":"b"},"value":[1717372860,"4"]}]}}
            index/volume?query={host=~".+"}&targetLabels=unit&limit=1
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"unit":"ssh.service"},"value":[1717372860,"71"]}]}}
            index/volume?query={host=~".+"}&aggregateBy=labels
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"host":""},"value":[1717372860,"75"]},{"metric":{"unit":""},"value":[1717372860,"75"]}]}}
            index/volume_range?query={host=~".+"}&step=30
              200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{"host":"a"},"values":[[1717372829.999,"71"]]},{"metric":{"host":"b"},"values":[[1717372829.999,"4"]]}]}}
            patterns?query={unit="ssh.service"}
              200 {"status":"success","data":[{"pattern":"level=<_> msg=\"<_>\"","level":"unknown","samples":[[1717372800,3]]}]}
            drilldown-limits
              200 {"limits":{"allow_structured_metadata":true,"deletion_mode":"filter-and-delete","discover_log_levels":false,"discover_service_name":[],"increment_duplicate_timestamp":false,"max_concurrent_tail_requests":10,"max_entries_limit_per_query":5000,"max_label_name_length":1024,"max_label_names_per_series":64,"max_label_value_length":4096,"max_line_size":262144,"max_line_size_truncate":false,"max_query_bytes_read":"0B","max_query_length":"0s","max_query_lookback":"0s","max_query_range":"0s","max_query_series":500,"max_structured_metadata_entries_count":128,"max_structured_metadata_size":262144,"metric_aggregation_enabled":false,"pattern_persistence_enabled":false,"query_timeout":"2m","volume_enabled":true,"volume_max_series":1000000},"pattern_ingester_enabled":true,"version":"0.1.0"}
            cache/generation_numbers
              200 ""
            status/buildinfo
              200 {"version":"0.1.0","revision":"","branch":"","buildUser":"","buildDate":"","goVersion":""}
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
           format_query?query={a="b"}|=`c`"#,
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
        "#]],
    )
    .await;
}

#[tokio::test]
async fn faults_of_what_is_found_are_told_in_lokis_words() {
    check(
        r#"detected_fields
           detected_fields?query=rate({a="b"}[1m])
           detected_fields?query={a="b"}&line_limit=6000
           detected_labels?query={
           patterns
           patterns?query={unit="a"} |= `x`
           index/volume?query={a="b"}&aggregateBy=x
           tail?query={
           tail?query={a="b"}&delay_for=6
           tail?query={a="b"}"#,
        expect![[r#"
            detected_fields
              400 parse error : syntax error: unexpected $end
            detected_fields?query=rate({a="b"}[1m])
              400 only log selector is supported
            detected_fields?query={a="b"}&line_limit=6000
              400 max entries limit per query exceeded, limit > max_entries_limit_per_query (6000 > 5000)
            detected_labels?query={
              400 parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }
            patterns
              400 parse error : syntax error: unexpected $end
            patterns?query={unit="a"} |= `x`
              400 only label matchers are supported
            index/volume?query={a="b"}&aggregateBy=x
              400 invalid aggregation option
            tail?query={
              400 parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }
            tail?query={a="b"}&delay_for=6
              400 delay_for can't be greater than 5
            tail?query={a="b"}
              400 Bad Request
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
    expect![[r#"200 {"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[{"stream":{"host":"a","unit":"ssh.service"},"values":[["1717372802000000000","level=warn msg=\"bad\"",{"structuredMetadata":{"pid":"7"},"parsed":{"level":"warn","msg":"bad"}}]]}]}}"#]].assert_eq(&without_stats(&answer.text()));
}

#[tokio::test]
async fn the_first_api_is_still_answered() {
    let server = server().await;
    let times = format!("start={START}&end={}", START + 60);
    let mut out = String::new();
    for path in [
        "query?query=%7Bunit=%22ssh.service%22%7D&limit=1&regexp=bad",
        "query?query=vector(1)&step=60",
        "label?x=y",
        "label/unit/values?x=y",
        "series?match=%7Bhost=%22b%22%7D",
    ] {
        let answer = server.get(&format!("/api/prom/{path}&{times}")).await.text();
        let (answer, _stats) = answer.split_once(",\"stats\":").unwrap_or((&answer, ""));
        writeln!(out, "{answer}").unwrap();
    }
    expect![[r#"
        200 {"streams":[{"labels":"{host=\"a\", pid=\"7\", unit=\"ssh.service\"}","entries":[{"ts":"2024-06-03T00:00:02Z","line":"level=warn msg=\"bad\""}]}]
        400 legacy endpoints only support streams result type
        200 {"values":["host","unit"]}
        200 {"values":["cron.service","ssh.service"]}
        200 {"status":"success","data":[{"host":"b","unit":"cron.service"}]}
    "#]].assert_eq(&out);
    for path in ["/prometheus/api/v1/rules", "/prometheus/api/v1/alerts"] {
        let answer = server.get(path).await.text();
        assert!(answer.ends_with(r#","errorType":"","error":""}"#), "{answer}");
    }
    let config = server.get("/config").await.text();
    assert!(config.contains("\nlimits_config:\n  allow_structured_metadata: true\n"), "{config}");
}

#[tokio::test]
async fn a_query_tells_what_it_read() {
    let server = server().await;
    let end = START + 60;
    let query = "%7Bhost=%22a%22%7D+%7C=+%60bad%60";
    let path = format!("/loki/api/v1/query_range?query={query}&start={START}&end={end}");
    let answer: serde_json::Value = serde_json::from_str(&server.get(&path).await.body).unwrap();
    let summary = &answer["data"]["stats"]["summary"];
    assert_eq!(summary["totalEntriesReturned"], 1, "{summary}");
    assert_eq!(summary["totalPostFilterLines"], 1, "{summary}");
    assert!(summary["totalLinesProcessed"].as_u64().unwrap() >= 1, "{summary}");
    assert!(summary["totalBytesProcessed"].as_u64().unwrap() >= 20, "{summary}");
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
