//! Grafana's Prometheus data source: its front end itself, in Node.js, and what its back end asks.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use skep_proto::{
    Clock as _, Labels, MetricKind, Sample, SystemClock, TimestampMs, remote_write::SeriesBatch,
};
use skep_tests::{Client, Process, Server};
use tokio::process::Command;

/// Loading half of Grafana takes seconds, more on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// Five series of two jobs, with a sample at this second.
async fn write(client: &Client, now_s: i64) -> anyhow::Result<()> {
    let series = |pairs: &[(&str, &str)], value: f64| SeriesBatch {
        labels: Labels::from_pairs(pairs.iter().copied()).unwrap_or_default(),
        samples: vec![Sample { ts: TimestampMs(now_s * 1_000), value }],
        kind: MetricKind::Gauge,
        help: "Help.".into(),
    };
    let node = ("job", "node");
    let a = ("instance", "a:9100");
    let batch = [
        series(&[("__name__", "node_load1"), a, node], 0.5),
        series(&[("__name__", "node_load1"), ("instance", "b:9100"), node], 1.5),
        series(&[("__name__", "node_load5"), a, node], 0.25),
        series(&[("__name__", "node_uname_info"), a, node, ("nodename", "a")], 1.0),
        series(&[("__name__", "up"), ("instance", "c:9090"), ("job", "prometheus")], 1.0),
    ];
    ensure!(client.write(&batch).await?.is_success(), "the write was refused");
    Ok(())
}

#[tokio::test]
async fn the_front_end_of_the_data_source_works() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    write(&server.client()?, SystemClock.now().to_ms().0 / 1_000).await?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/grafana");
    for (what, words) in [("bundling Grafana", ["run", "bundle"]), ("Grafana", ["run", "test"])] {
        let mut npm = Command::new("npm");
        npm.arg("--silent").args(words).current_dir(folder).env("SKEP_URL", server.plain_url());
        let mut npm = Process::start(what, &mut npm)?;
        npm.finish(LONG).await.context("cargo xtask test installs what this needs")?;
    }
    Ok(())
}

/// Parameters as Grafana's back end encodes them.
type Form<'a> = &'a [(&'a str, &'a str)];
/// A path, its parameters, and the data of the answer.
type Request<'a> = (&'a str, Vec<(&'a str, &'a str)>, Value);

async fn ask(client: &Client, method: &str, path: &str, form: Form<'_>) -> anyhow::Result<Value> {
    if method == "GET" {
        return client.data(path, form).await;
    }
    let body = reqwest::Url::parse_with_params("http://x", form)?;
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = body.query().unwrap_or_default().as_bytes().to_vec();
    let response = client.post(path, &headers, body).await?;
    ensure!(response.status() == 200, "{method} {path}: {}", response.status());
    let mut answer: Value = response.json().await?;
    ensure!(answer.get("status").is_some_and(|it| it == "success"), "{answer}");
    answer.get_mut("data").map(Value::take).context("no data")
}

/// The last half minute, as the requests spell it.
struct Times {
    now_s: i64,
    start: String,
    end: String,
    /// The probe for exemplars counts in milliseconds.
    start_ms: String,
    end_ms: String,
}

impl Times {
    fn until(now_s: i64) -> Self {
        let (start, end) = ((now_s - 30).to_string(), now_s.to_string());
        let (start_ms, end_ms) = (format!("{start}000"), format!("{end}000"));
        Self { now_s, start, end, start_ms, end_ms }
    }

    fn within<'a>(&'a self, form: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [form, &[("start", self.start.as_str()), ("end", self.end.as_str())]].concat()
    }
}

/// What is asked by POST, or by GET where the data source is told so.
fn forms(times: &Times) -> Vec<Request<'_>> {
    let Times { now_s, end, start_ms, end_ms, .. } = times;
    let within = |form| times.within(form);
    let a = json!({"__name__": "node_load1", "instance": "a:9100", "job": "node"});
    let b = json!({"__name__": "node_load1", "instance": "b:9100", "job": "node"});
    let new_names = ["node_load1", "node_load5", "node_uname_info", "up"]
        .map(|it| json!({"metric": {"__name__": it}, "value": [now_s, "1"]}));
    vec![
        (
            "/api/v1/query",
            vec![("query", "1+1"), ("time", "4")],
            json!({"resultType": "scalar", "result": [4, "2"]}),
        ),
        (
            "/api/v1/query_exemplars",
            vec![("query", "test"), ("start", start_ms), ("end", end_ms)],
            json!([]),
        ),
        (
            "/api/v1/query_range",
            within(&[("query", "sum by (job) (node_load1)"), ("step", "30"), ("timeout", "30s")]),
            json!({"resultType": "matrix", "result": [
                {"metric": {"job": "node"}, "values": [[now_s, "2"]]},
            ]}),
        ),
        (
            "/api/v1/query",
            vec![
                (
                    "query",
                    r#"group by (__name__) ({__name__!=""}) unless (group by (__name__) ({__name__!=""} offset 1h))"#,
                ),
                ("time", end),
            ],
            json!({"resultType": "vector", "result": new_names}),
        ),
        (
            "/api/v1/labels",
            within(&[("limit", "40000")]),
            json!(["__name__", "instance", "job", "nodename"]),
        ),
        (
            "/api/v1/labels",
            within(&[("limit", "100"), ("match[]", r#"{job="prometheus"}"#)]),
            json!(["__name__", "instance", "job"]),
        ),
        ("/api/v1/series", within(&[("match[]", r#"node_load1{job="node"}"#)]), json!([a, b])),
        ("/api/v1/series", within(&[("match[]", r#"{__name__!=""}"#), ("limit", "1")]), json!([a])),
    ]
}

#[tokio::test]
async fn requests_of_the_back_end_are_answered() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    let times = Times::until(SystemClock.now().to_ms().0 / 1_000);
    write(&client, times.now_s).await?;
    for (path, form, expected) in &forms(&times) {
        for method in ["POST", "GET"] {
            let mut found = ask(&client, method, path, form).await?;
            // An instant vector has no order.
            if let Some(rows) = found.get_mut("result").and_then(Value::as_array_mut) {
                rows.sort_by_key(|it| it.get("metric").map(Value::to_string));
            }
            assert_eq!(&found, expected, "{method} {path} {form:?}");
        }
    }
    let gets: Vec<Request<'_>> = vec![
        (
            "/api/v1/label/__name__/values",
            times.within(&[("limit", "40000"), ("match[]", r#"{__name__=~"node_load.*"}"#)]),
            json!(["node_load1", "node_load5"]),
        ),
        (
            "/api/v1/label/U__job/values",
            times.within(&[("limit", "0")]),
            json!(["node", "prometheus"]),
        ),
        ("/api/v1/rules", vec![], json!({"groups": []})),
        ("/api/v1/alerts", vec![], json!({"alerts": []})),
    ];
    for (path, form, expected) in &gets {
        assert_eq!(&client.data(path, form).await?, expected, "{path} {form:?}");
    }
    let about = client.data("/api/v1/status/buildinfo", &[]).await?;
    // With features it would be taken for Mimir.
    assert!(about["version"].is_string() && about.get("features").is_none(), "{about}");
    Ok(())
}
