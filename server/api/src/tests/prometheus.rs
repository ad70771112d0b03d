//! Prometheus' API.

use expect_test::{Expect, expect};

use super::{BASE_MS, Server};
use crate::ApiConfig;

const START: i64 = BASE_MS / 1_000;

async fn server() -> Server {
    let server = Server::new();
    assert_eq!(server.write_samples().await.text(), "204 ");
    server
}

/// Each line of `paths` is asked for; `@n` is n seconds after the data begins.
async fn check(paths: &str, expect: Expect) {
    let server = server().await;
    let mut out = String::new();
    for path in paths.lines().map(str::trim).filter(|it| !it.is_empty()) {
        let mut asked = String::new();
        let mut rest = path;
        while let Some((before, after)) = rest.split_once('@') {
            let digits = after.find(|it: char| !it.is_ascii_digit()).unwrap_or(after.len());
            let (offset, after) = after.split_at(digits);
            asked.push_str(before);
            asked.push_str(&(START + offset.parse::<i64>().unwrap()).to_string());
            rest = after;
        }
        asked.push_str(rest);
        let answer = server.get(&format!("/api/v1/{asked}")).await;
        out.push_str(&format!("{path}\n  {}\n", answer.text()));
    }
    expect.assert_eq(&out);
}

#[tokio::test]
async fn what_was_written_is_answered() {
    check(
        "query?query=cpu_seconds_total&time=@600
         query?query=rate(cpu_seconds_total[1m])&time=@300
         query?query=sum+by(host)(rate(cpu_seconds_total[1m]))&time=@300
         query?query=memory_bytes[30s]&time=@60
         query?query=1.5&time=@0.25
         query?query=%22text%22&time=@0
         query?query=nosuch&time=@0
         query?query=cpu_seconds_total&time=@600&limit=1
         query_range?query=sum(cpu_seconds_total)&start=@0&end=@60&step=30
         query_range?query=2&start=@0&end=@1&step=1s",
        expect![[r#"
            query?query=cpu_seconds_total&time=@600
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"cpu_seconds_total","core":"0","host":"a"},"value":[1717373400,"58.5"]},{"metric":{"__name__":"cpu_seconds_total","core":"1","host":"a"},"value":[1717373400,"117"]}]}}
            query?query=rate(cpu_seconds_total[1m])&time=@300
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"core":"0","host":"a"},"value":[1717373100,"0.09999999999999999"]},{"metric":{"core":"1","host":"a"},"value":[1717373100,"0.19999999999999998"]}]}}
            query?query=sum+by(host)(rate(cpu_seconds_total[1m]))&time=@300
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"host":"a"},"value":[1717373100,"0.3"]}]}}
            query?query=memory_bytes[30s]&time=@60
              200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"memory_bytes","host":"a"},"values":[[1717372845,"3072"],[1717372860,"4096"]]}]}}
            query?query=1.5&time=@0.25
              200 {"status":"success","data":{"resultType":"scalar","result":[1717372800.250,"1.5"]}}
            query?query=%22text%22&time=@0
              200 {"status":"success","data":{"resultType":"string","result":[1717372800,"text"]}}
            query?query=nosuch&time=@0
              200 {"status":"success","data":{"resultType":"vector","result":[]}}
            query?query=cpu_seconds_total&time=@600&limit=1
              200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"cpu_seconds_total","core":"0","host":"a"},"value":[1717373400,"58.5"]}]},"warnings":["results truncated due to limit"]}
            query_range?query=sum(cpu_seconds_total)&start=@0&end=@60&step=30
              200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1717372800,"0"],[1717372830,"9"],[1717372860,"18"]]}]}}
            query_range?query=2&start=@0&end=@1&step=1s
              200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1717372800,"2"],[1717372801,"2"]]}]}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn listings_come_from_the_index() {
    check(
        "series?match[]=cpu_seconds_total&match[]={core=%221%22}
         labels
         labels?match[]=memory_bytes
         label/core/values
         label/U__core/values
         label/__name__/values?limit=1
         metadata
         metadata?metric=nosuch
         query_exemplars?query=up
         query_exemplars?query=rate(a[5m])%2Btopk(1,b)
         query_exemplars?query=1",
        expect![[r#"
            series?match[]=cpu_seconds_total&match[]={core=%221%22}
              200 {"status":"success","data":[{"__name__":"cpu_seconds_total","core":"0","host":"a"},{"__name__":"cpu_seconds_total","core":"1","host":"a"}]}
            labels
              200 {"status":"success","data":["__name__","core","host"]}
            labels?match[]=memory_bytes
              200 {"status":"success","data":["__name__","host"]}
            label/core/values
              200 {"status":"success","data":["0","1"]}
            label/U__core/values
              200 {"status":"success","data":["0","1"]}
            label/__name__/values?limit=1
              200 {"status":"success","data":["cpu_seconds_total"],"warnings":["results truncated due to limit"]}
            metadata
              200 {"status":"success","data":{"cpu_seconds_total":[{"type":"counter","unit":"","help":"Seconds."}],"memory_bytes":[{"type":"counter","unit":"","help":"Seconds."}]}}
            metadata?metric=nosuch
              200 {"status":"success","data":{}}
            query_exemplars?query=up
              200 {"status":"success","data":[]}
            query_exemplars?query=rate(a[5m])%2Btopk(1,b)
              200 {"status":"success","data":[]}
            query_exemplars?query=1
              204 
        "#]],
    )
    .await;
}

/// The index knows the hours of what came since the start.
#[tokio::test]
async fn listings_of_other_hours_leave_a_series_out() {
    check(
        "series?match[]=memory_bytes&start=@600&end=@700
         series?match[]=memory_bytes&start=@3600&end=@7000
         label/core/values?start=@3600&end=@7000
         labels?start=@3600&end=@7000",
        expect![[r#"
            series?match[]=memory_bytes&start=@600&end=@700
              200 {"status":"success","data":[{"__name__":"memory_bytes","host":"a"}]}
            series?match[]=memory_bytes&start=@3600&end=@7000
              200 {"status":"success","data":[]}
            label/core/values?start=@3600&end=@7000
              200 {"status":"success","data":[]}
            labels?start=@3600&end=@7000
              200 {"status":"success","data":[]}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn faults_are_told_in_prometheus_words() {
    check(
        "query?query=
         query?query=sum(
         query?query=up&time=abc
         query?query=up&timeout=-1s
         query?query=up&limit=-1
         query?query=up&lookback_delta=-5m
         query?query=cpu_seconds_total-on(host)cpu_seconds_total&time=@600
         query_range?query=up
         query_range?query=up&start=@9&end=@0&step=1
         query_range?query=up&start=@0&end=@9&step=0
         query_range?query=up&start=@0&end=@11000&step=1
         query_range?query=up[1m]&start=@0&end=@9&step=1
         series
         series?match[]={}
         labels?match[]=(
         labels?limit=x
         rules?type=bogus
         parse_query?query=up",
        expect![[r#"
            query?query=
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": unknown position: parse error: no expression found in input"}
            query?query=sum(
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}
            query?query=up&time=abc
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"time\": invalid time value for 'time': cannot parse \"abc\" to a valid timestamp"}
            query?query=up&timeout=-1s
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"timeout\": cannot parse \"-1s\" to a valid duration"}
            query?query=up&limit=-1
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"limit\": limit must be non-negative"}
            query?query=up&lookback_delta=-5m
              400 {"status":"error","errorType":"bad_data","error":"error parsing lookback delta duration: cannot parse \"-5m\" to a valid duration"}
            query?query=cpu_seconds_total-on(host)cpu_seconds_total&time=@600
              422 {"status":"error","errorType":"execution","error":"found duplicate series for the match group {host=\"a\"} on the right hand-side of the operation: [{__name__=\"cpu_seconds_total\", core=\"0\", host=\"a\"}, {__name__=\"cpu_seconds_total\", core=\"1\", host=\"a\"}];many-to-many matching not allowed: matching labels must be unique on one side"}
            query_range?query=up
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"start\": cannot parse \"\" to a valid timestamp"}
            query_range?query=up&start=@9&end=@0&step=1
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"end\": end timestamp must not be before start time"}
            query_range?query=up&start=@0&end=@9&step=0
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"}
            query_range?query=up&start=@0&end=@11000&step=1
              400 {"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}
            query_range?query=up[1m]&start=@0&end=@9&step=1
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"}
            series
              400 {"status":"error","errorType":"bad_data","error":"no match[] parameter provided"}
            series?match[]={}
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"}
            labels?match[]=(
              400 {"status":"error","errorType":"bad_data","error":"1:1: parse error: unexpected \"(\""}
            labels?limit=x
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax"}
            rules?type=bogus
              400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"type\": not supported value \"bogus\""}
            parse_query?query=up
              200 {"status":"success","data":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_is_not_there_has_prometheus_empty_shape() {
    check(
        "rules
         alerts
         targets
         status/buildinfo
         status/flags
         status/config
         status/tsdb?limit=1",
        expect![[r#"
            rules
              200 {"status":"success","data":{"groups":[]}}
            alerts
              200 {"status":"success","data":{"alerts":[]}}
            targets
              200 {"status":"success","data":{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}}
            status/buildinfo
              200 {"status":"success","data":{"version":"0.1.0","revision":"","branch":"","buildUser":"","buildDate":"","goVersion":""}}
            status/flags
              200 {"status":"success","data":{}}
            status/config
              200 {"status":"success","data":{"yaml":""}}
            status/tsdb?limit=1
              200 {"status":"success","data":{"headStats":{"chunkCount":1,"maxTime":1717376400000,"minTime":1717376400000,"numLabelPairs":5,"numSeries":3},"seriesCountByMetricName":[{"name":"cpu_seconds_total","value":2}],"seriesCountByLabelName":[{"name":"__name__","value":3}],"labelValueCountByLabelName":[{"name":"__name__","value":2}],"memoryInBytesByLabelName":[{"name":"__name__","value":46}],"seriesCountByLabelValuePair":[{"name":"host=a","value":3}]}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_explained_query_shows_its_leaf() {
    let server = server().await;
    let answer = server.get(&format!("/api/v1/explain?query=sum(memory_bytes)&time={START}")).await;
    assert!(answer.body.contains("SeriesWindowExec: series=1, window=Last"), "{}", answer.body);
    assert!(answer.body.contains("1 samples read"), "{}", answer.body);
}

#[tokio::test]
async fn a_form_is_as_good_as_a_query_string() {
    let server = server().await;
    let form = format!("query=memory_bytes&time={START}");
    let posted = server.post_form("/api/v1/query", &form).await;
    assert_eq!(posted.text(), server.get(&format!("/api/v1/query?{form}")).await.text());
    assert_eq!(posted.headers["content-type"], "application/json");
}

#[tokio::test]
async fn writes_tell_what_was_written_and_refuse_what_is_no_write() {
    let server = Server::new();
    let written = server.write_samples().await;
    assert_eq!(written.headers["x-prometheus-remote-write-samples-written"], "120");
    let headers = [("Content-Type", "text/plain")];
    let refused = server.post("/api/v1/write", &headers, b"x".to_vec()).await;
    assert_eq!(
        refused.text(),
        "415 expected application/x-protobuf as the first (media) part, got text/plain content-type"
    );
    let damaged = server.post("/api/v1/write", &[], b"damaged".to_vec()).await;
    assert_eq!(damaged.text(), "400 snappy: corrupt input");
    assert_eq!(server.get("/api/v1/write").await.text(), "405 Method Not Allowed");
}

#[tokio::test]
async fn a_write_beyond_the_limits_is_told_to_shrink_or_come_again() {
    let mut config = ApiConfig::default();
    config.receive.body_bytes_max = 10;
    let server = Server::with(config);
    assert_eq!(server.write_samples().await.status, 413);
    let server = Server::with(ApiConfig { n_writes_max: 0, ..ApiConfig::default() });
    let busy = server.write_samples().await;
    assert_eq!(busy.status, 429);
    assert_eq!(busy.headers["retry-after"], "1");
}

#[tokio::test]
async fn the_server_counts_what_it_answers() {
    let server = server().await;
    server.get(&format!("/api/v1/query?query=memory_bytes&time={START}")).await;
    server.get("/api/v1/query?query=(").await;
    let text = server.get("/metrics").await.body;
    for line in [
        "skep_api_requests_total{handler=\"/api/v1/query\",code=\"200\"} 1",
        "skep_api_requests_total{handler=\"/api/v1/query\",code=\"400\"} 1",
        "skep_receive_samples_total 120",
        "skep_query_seconds_count 2",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(server.get("/-/ready").await.text(), "200 Prometheus Server is Ready.");
}

/// The store's lines, without the sizes: compressed files are of no fixed size.
fn store_figures(text: &str) -> String {
    let wanted = |it: &&str| it.starts_with("skep_store_");
    text.lines().filter(wanted).fold(String::new(), |all, line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let is_size = name.contains("_bytes") && value != "0";
        all + name + " " + if is_size { "N" } else { value } + "\n"
    })
}

#[tokio::test]
async fn the_store_tells_its_figures_before_and_after_a_flush() {
    let server = server().await;
    server.push_lines().await;
    // A month ahead of the clock: a sender's fault.
    assert_eq!(server.push_line_at(BASE_MS + 30 * 86_400_000).await.status, 400);
    let figures = async || store_figures(&server.get("/metrics").await.body);
    expect![[r#"
        skep_store_series 3
        skep_store_streams 2
        skep_store_head_rows{table="samples"} 120
        skep_store_head_rows{table="logs"} 4
        skep_store_head_bytes N
        skep_store_parts 0
        skep_store_damaged_parts 0
        skep_store_damaged_checkpoints 0
        skep_store_damaged_indexes 0
        skep_store_disk_bytes{table="series"} 0
        skep_store_disk_bytes{table="streams"} 0
        skep_store_disk_bytes{table="samples"} 0
        skep_store_disk_bytes{table="logs"} 0
        skep_store_disk_bytes{table="rollups"} 0
        skep_store_wal_bytes N
        skep_store_wal_segments 1
        skep_store_last_flush_timestamp_seconds 0.000
        skep_store_rejected_rows_total{table="samples"} 0
        skep_store_rejected_rows_total{table="logs"} 1
        skep_store_wal_syncs_total 2
        skep_store_wal_failures_total 0
        skep_store_flushes_total 0
        skep_store_flush_failures_total 0
        skep_store_used_bytes N
        skep_store_file_system_free_bytes N
        skep_store_disk_full 0
        skep_store_evicted_parts_total 0
        skep_store_evicted_bytes_total 0
        skep_store_merges_postponed_total 0
    "#]]
    .assert_eq(&figures().await);
    server.post("/-/flush", &[], Vec::new()).await;
    expect![[r#"
        skep_store_series 3
        skep_store_streams 2
        skep_store_head_rows{table="samples"} 0
        skep_store_head_rows{table="logs"} 0
        skep_store_head_bytes 0
        skep_store_parts 2
        skep_store_damaged_parts 0
        skep_store_damaged_checkpoints 0
        skep_store_damaged_indexes 0
        skep_store_disk_bytes{table="series"} N
        skep_store_disk_bytes{table="streams"} N
        skep_store_disk_bytes{table="samples"} N
        skep_store_disk_bytes{table="logs"} N
        skep_store_disk_bytes{table="rollups"} 0
        skep_store_wal_bytes N
        skep_store_wal_segments 1
        skep_store_last_flush_timestamp_seconds 1717376400.000
        skep_store_rejected_rows_total{table="samples"} 0
        skep_store_rejected_rows_total{table="logs"} 1
        skep_store_wal_syncs_total 2
        skep_store_wal_failures_total 0
        skep_store_flushes_total 1
        skep_store_flush_failures_total 0
        skep_store_used_bytes N
        skep_store_file_system_free_bytes N
        skep_store_disk_full 0
        skep_store_evicted_parts_total 0
        skep_store_evicted_bytes_total 0
        skep_store_merges_postponed_total 0
    "#]]
    .assert_eq(&figures().await);
}

#[tokio::test]
async fn an_answer_is_the_same_before_and_after_a_flush() {
    let server = server().await;
    let query = format!("/api/v1/query?query=memory_bytes[10m]&time={}", START + 600);
    let before = server.get(&query).await.text();
    assert_eq!(server.post("/-/flush", &[], Vec::new()).await.text(), "200 flushed");
    assert_eq!(server.get(&query).await.text(), before);
    assert_eq!(server.post("/-/compact", &[], Vec::new()).await.text(), "200 compacted");
    assert_eq!(server.get(&query).await.text(), before);
}
