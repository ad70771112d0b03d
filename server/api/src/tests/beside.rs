//! What remote-write brings beside samples: native histograms and exemplars.

use expect_test::expect;
use prost::Message;
use skep_proto::{remote_write::CONTENT_TYPE_V2, snappy};

use super::{BASE_MS, Server};

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<Series>,
}

#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Histogram>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<Exemplar>,
}

/// All observations about zero.
#[derive(Clone, Copy, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(uint64, tag = "6")]
    zero_count: u64,
    #[prost(int64, tag = "15")]
    ts: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    ts: i64,
}

fn exemplar(labels_refs: &[u32], value: f64, seconds: i64) -> Exemplar {
    Exemplar { labels_refs: labels_refs.to_vec(), value, ts: BASE_MS + seconds * 1_000 }
}

/// What was written, as 2.0 tells.
async fn write(server: &Server, request: &Request) -> String {
    let body = snappy::compress(&request.encode_to_vec());
    let headers = [("content-type", CONTENT_TYPE_V2), ("content-encoding", "snappy")];
    let answer = server.post("/api/v1/write", &headers, body).await;
    let n_written: Vec<_> = ["samples", "histograms", "exemplars"]
        .iter()
        .filter_map(|it| answer.headers.get(format!("x-prometheus-remote-write-{it}-written")))
        .map(|it| it.to_str().unwrap())
        .collect();
    format!("{} {}", n_written.join("/"), answer.text())
}

fn request(histograms: Vec<Histogram>, exemplars: Vec<Exemplar>) -> Request {
    let symbols = ["", "__name__", "wait", "trace_id", "a", "b"].map(str::to_owned).to_vec();
    Request { symbols, timeseries: vec![Series { labels_refs: vec![1, 2], histograms, exemplars }] }
}

fn histogram(count: u64) -> Histogram {
    Histogram { count, schema: 3, zero_count: count, ts: BASE_MS }
}

#[tokio::test]
async fn a_sender_is_told_what_was_written_and_what_is_wrong_with_the_rest() {
    let server = Server::new();
    let wrong = Histogram { schema: 70, ..histogram(1) };
    let written = write(&server, &request(vec![histogram(7), wrong], Vec::new())).await;
    expect![[r#"0/1/0 400 histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema 70 for series {__name__="wait"}"#]].assert_eq(&written);
    let listed = server.get("/api/v1/series?match[]=wait").await.text();
    expect![[r#"200 {"status":"success","data":[{"__name__":"wait"}]}"#]].assert_eq(&listed);
}

#[tokio::test]
async fn exemplars_are_found_by_any_selector_of_a_query() {
    let server = Server::new();
    let exemplars = vec![
        exemplar(&[3, 4], 0.25, 1),
        exemplar(&[3, 5], 2.5, 2),
        // Of another time order, with a reference too few, and one that leads nowhere.
        exemplar(&[3, 4], 1.0, 1),
        exemplar(&[3], 1.0, 3),
        exemplar(&[3, 77], 1.0, 3),
    ];
    let written = write(&server, &request(vec![histogram(7)], exemplars.clone())).await;
    assert_eq!(written, "0/1/2 204 ");
    // Again, by a sender that did not hear the answer.
    assert_eq!(write(&server, &request(vec![histogram(7)], exemplars)).await, "0/1/0 204 ");
    let get = async |query: &str| {
        server.get(&format!("/api/v1/query_exemplars?query={query}")).await.text()
    };
    expect![[r#"200 {"status":"success","data":[{"seriesLabels":{"__name__":"wait"},"exemplars":[{"labels":{"trace_id":"a"},"value":"0.25","timestamp":1717372801},{"labels":{"trace_id":"b"},"value":"2.5","timestamp":1717372802}]}]}"#]].assert_eq(&get("rate(wait[5m])%2Bup").await);
    assert_eq!(get("up").await, "200 {\"status\":\"success\",\"data\":[]}");
    let end = (BASE_MS / 1_000) + 1;
    expect![[r#"200 {"status":"success","data":[{"seriesLabels":{"__name__":"wait"},"exemplars":[{"labels":{"trace_id":"a"},"value":"0.25","timestamp":1717372801}]}]}"#]].assert_eq(&get(&format!("wait&end={end}")).await);
}
