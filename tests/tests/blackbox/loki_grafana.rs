//! Grafana's Loki data source and Logs Drilldown: each request they were seen to make, with its
//! parameters and headers, and the shape of the answer they read, to the order of its keys.

use anyhow::{Context as _, ensure};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use skep_proto::{Clock as _, Labels, LogEntry, SystemClock, TimestampNs};
use skep_tests::{Client, Server};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const JOURNAL: &str = r#"{job="systemd-journal"}"#;

/// Reads JSON as its shape: keys in their order, `s`, `n` and `b` for texts, numbers and booleans,
/// each shape of a list's items once. What stands under these keys is not looked at.
struct Shape;
const OPAQUE: [&str; 2] = ["stats", "limits"];

impl<'de> DeserializeSeed<'de> for Shape {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<String, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = String;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<String, E> {
        Ok("b".to_owned())
    }

    fn visit_u64<E>(self, _: u64) -> Result<String, E> {
        Ok("n".to_owned())
    }

    fn visit_i64<E>(self, _: i64) -> Result<String, E> {
        Ok("n".to_owned())
    }

    fn visit_f64<E>(self, _: f64) -> Result<String, E> {
        Ok("n".to_owned())
    }

    fn visit_str<E>(self, _: &str) -> Result<String, E> {
        Ok("s".to_owned())
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok("null".to_owned())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<String, A::Error> {
        let mut shapes: Vec<String> = Vec::new();
        while let Some(shape) = items.next_element_seed(Shape)? {
            shapes.push(shape);
        }
        // A point or a line is told by its places, all else by the kinds of its items.
        let is_mixed = shapes.iter().any(|it| Some(it) != shapes.first());
        let begins_plain = shapes.first().is_some_and(|it| it == "s" || it == "n");
        let is_tuple = shapes.len() <= 3 && begins_plain && is_mixed || shapes == ["n", "n"];
        if !is_tuple {
            shapes.sort();
            shapes.dedup();
        }
        Ok(format!("[{}]", shapes.join(if is_tuple { "," } else { "|" })))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<String, A::Error> {
        let mut shapes = Vec::new();
        while let Some(key) = pairs.next_key::<String>()? {
            let shape = pairs.next_value_seed(Shape)?;
            let shape = if OPAQUE.contains(&key.as_str()) { "…" } else { &shape };
            shapes.push(format!("{key}:{shape}"));
        }
        Ok(format!("{{{}}}", shapes.join(",")))
    }
}

fn shape(text: &str) -> anyhow::Result<String> {
    let mut json = serde_json::Deserializer::from_str(text);
    Shape.deserialize(&mut json).with_context(|| text.to_owned())
}

/// Lines of two units within the last minute.
async fn push(client: &Client, now: i64) -> anyhow::Result<()> {
    let entry = |seconds: i64, line: &str, metadata: &[(&str, &str)]| LogEntry {
        ts: TimestampNs(now - seconds * 1_000_000_000),
        line: line.to_owned(),
        metadata: metadata.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
    };
    let labels = |unit: &str| Labels::from_pairs([("job", "systemd-journal"), ("unit", unit)]);
    let ssh = vec![
        entry(50, "level=info msg=\"in\" took=5ms", &[("pid", "7")]),
        entry(40, "level=error msg=\"out\" took=7ms", &[]),
    ];
    let web = vec![
        entry(30, r#"{"level":"warn","req":{"id":17},"ok":true}"#, &[("pid", "8")]),
        entry(20, r#"{"level":"info","req":{"id":18},"ok":true}"#, &[("pid", "8")]),
    ];
    let streams = [(labels("ssh.service")?, ssh), (labels("web.service")?, web)];
    ensure!(client.push(&streams).await?.is_success(), "the push was refused");
    Ok(())
}

type Pairs = Vec<(&'static str, String)>;

/// A path, its parameters beside the times, and the shape of the answer.
struct Request {
    path: &'static str,
    params: Pairs,
    shape: &'static str,
}

fn request(path: &'static str, params: &[(&'static str, &str)], shape: &'static str) -> Request {
    let params = params.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Request { path, params, shape }
}

/// What the data source asks, with times in nanoseconds.
fn of_the_data_source() -> Vec<Request> {
    const LABELS: &str = "{status:s,data:[s]}";
    const SERIES: &str = "{status:s,data:[{job:s,service_name:s,unit:s}]}";
    const LINES: &str = "{status:s,data:{resultType:s,encodingFlags:[s],result:[\
        {stream:{job:s,service_name:s,unit:s},values:[\
        [s,s,{structuredMetadata:{detected_level:s,pid:s}}]]}|\
        {stream:{job:s,service_name:s,unit:s},values:[\
        [s,s,{structuredMetadata:{detected_level:s,pid:s}}]|\
        [s,s,{structuredMetadata:{detected_level:s}}]]}],stats:…}}";
    let range = |query: &str, direction: &str| {
        request(
            "query_range",
            &[("query", query), ("direction", direction), ("limit", "1000"), ("step", "1000ms")],
            LINES,
        )
    };
    vec![
        request("labels", &[], LABELS),
        request("series", &[("match[]", JOURNAL)], SERIES),
        request("series", &[("match[]", "{}")], SERIES),
        request("label/unit/values", &[], LABELS),
        request("label/unit/values", &[("query", JOURNAL)], LABELS),
        request(
            "detected_fields",
            &[("limit", "1000"), ("query", JOURNAL)],
            "{fields:[{label:s,type:s,cardinality:n,parsers:[s],jsonPath:[s]}|\
             {label:s,type:s,cardinality:n,parsers:[s]}|\
             {label:s,type:s,cardinality:n,parsers:null}],limit:n}",
        ),
        request(
            "detected_field/detected_level/values",
            &[("limit", "1000"), ("query", JOURNAL)],
            "{values:[s],limit:n}",
        ),
        request("index/stats", &[("query", JOURNAL)], "{streams:n,chunks:n,bytes:n,entries:n}"),
        range(JOURNAL, "backward"),
        range(JOURNAL, "forward"),
        request(
            "query_range",
            &[
                (
                    "query",
                    &format!(
                        "sum by (level, detected_level) (count_over_time({JOURNAL} | drop __error__[10s]))"
                    ),
                ),
                ("step", "10000ms"),
                ("direction", "backward"),
            ],
            "{status:s,data:{resultType:s,result:[{metric:{detected_level:s},values:[[n,s]]}],stats:…}}",
        ),
    ]
}

/// What Logs Drilldown asks, with times as RFC 3339.
fn of_drilldown() -> Vec<Request> {
    let query = r#"{service_name=~".+"}"#;
    vec![
        request(
            "index/volume",
            &[("query", query), ("limit", "5000")],
            "{status:s,data:{resultType:s,result:[{metric:{service_name:s},value:[n,s]}]}}",
        ),
        request("detected_labels", &[("query", "")], "{detectedLabels:[{label:s,cardinality:n}]}"),
        request(
            "detected_fields",
            &[("query", r#"{service_name="systemd-journal"}"#)],
            "{fields:[{label:s,type:s,cardinality:n,parsers:[s],jsonPath:[s]}|\
             {label:s,type:s,cardinality:n,parsers:[s]}|\
             {label:s,type:s,cardinality:n,parsers:null}],limit:n}",
        ),
        request(
            "patterns",
            &[("query", query), ("step", "10s")],
            "{status:s,data:[{pattern:s,level:s,samples:[[n,n]]}]}",
        ),
        request("labels", &[], "{status:s,data:[s]}"),
        request("drilldown-limits", &[], "{limits:…,pattern_ingester_enabled:b,version:s}"),
        request(
            "query_range",
            &[
                (
                    "query",
                    r#"sum(count_over_time({service_name="systemd-journal"} | json | logfmt | drop __error__, __error_details__ | level!="" [10s])) by (level)"#,
                ),
                ("step", "10000ms"),
            ],
            "{status:s,data:{resultType:s,result:[{metric:{level:s},values:[[n,s]]}],stats:…}}",
        ),
    ]
}

async fn check(
    client: &Client,
    requests: Vec<Request>,
    (start, end): (&str, &str),
    tags: &str,
) -> anyhow::Result<()> {
    let headers = [
        ("X-Loki-Response-Encoding-Flags", "categorize-labels"),
        ("X-Query-Tags", tags),
        ("X-Scope-OrgID", "tenant"),
        ("Accept-Encoding", "gzip"),
    ];
    for Request { path, params, shape: expected } in requests {
        let mut pairs: Vec<(&str, &str)> = vec![("start", start), ("end", end)];
        pairs.extend(params.iter().map(|(name, value)| (*name, value.as_str())));
        let path = format!("/loki/api/v1/{path}");
        let response = client.get_with(&path, &pairs, &headers).await?;
        let status = response.status();
        let text = response.text().await?;
        assert_eq!(status, 200, "{path} {params:?}: {text}");
        assert_eq!(shape(&text)?, expected, "{path} {params:?}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn recorded_requests_are_answered_in_the_recorded_shape() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    let now = SystemClock.now().0;
    push(&client, now).await?;
    let (start, end) = (now - 600_000_000_000, now);
    let ns = (start.to_string(), end.to_string());
    check(&client, of_the_data_source(), (&ns.0, &ns.1), "Source=logvolhist").await?;
    let rfc3339 = |ns: i64| {
        anyhow::Ok(OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns))?.format(&Rfc3339)?)
    };
    let times = (rfc3339(start)?, rfc3339(end)?);
    let tags = "Source=grafana-lokiexplore-app";
    check(&client, of_drilldown(), (&times.0, &times.1), tags).await?;
    // Save and test.
    let probe =
        [("query", "vector(1)+vector(1)"), ("direction", "backward"), ("time", "4000000000")];
    let data = client.data("/loki/api/v1/query", &probe).await?;
    assert_eq!(data["resultType"], "vector");
    assert_eq!(data["result"], serde_json::json!([{"metric": {}, "value": [4000000000u64, "2"]}]));
    Ok(())
}

/// Without the header the labels are merged; faults are text.
#[tokio::test]
async fn annotations_variables_and_faults_have_lokis_shape() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    let now = SystemClock.now().0;
    push(&client, now).await?;
    let annotation = [("query", r#"{unit="ssh.service"} | logfmt"#), ("limit", "10")];
    let text = client.get("/loki/api/v1/query_range", &annotation).await?.text().await?;
    let merged = "{detected_level:s,job:s,level:s,msg:s,service_name:s,took:s,unit:s}";
    let with_pid = "{detected_level:s,job:s,level:s,msg:s,pid:s,service_name:s,took:s,unit:s}";
    let stream = |labels: &str| format!("{{stream:{labels},values:[[s]]}}");
    let expected = format!(
        "{{status:s,data:{{resultType:s,result:[{}|{}],stats:…}}}}",
        stream(with_pid),
        stream(merged)
    );
    assert_eq!(shape(&text)?, expected, "{text}");
    let values = client.get("/loki/api/v1/label/nope/values", &[]).await?.text().await?;
    assert_eq!(values, r#"{"status":"success"}"#);
    for (path, query, fault) in [
        (
            "query_range",
            "{",
            "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }",
        ),
        ("patterns", "", "parse error : syntax error: unexpected $end"),
        ("index/volume", r#"{a="b"} |= "c""#, "only label matchers are supported"),
    ] {
        let path = format!("/loki/api/v1/{path}");
        let answer = client.get(&path, &[("query", query)]).await?;
        assert_eq!(answer.status(), 400, "{path}");
        let media = answer.headers()["content-type"].to_str()?.to_owned();
        assert_eq!(media, "text/plain; charset=utf-8", "{path}");
        assert_eq!(answer.text().await?.trim_end(), fault, "{path}");
    }
    Ok(())
}
