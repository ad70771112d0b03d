//! Clients that exist: promtool asks, Prometheus sends.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use skep_proto::{
    Clock as _, Labels, MetricKind, Sample, SystemClock, TimestampMs, remote_write::SeriesBatch,
};
use skep_tests::{Deadline, Process, Server, free_port};
use tokio::process::Command;

const LONG: Duration = Duration::from_secs(30);
const START_S: i64 = 1_790_000_000;

async fn promtool(server: &Server, args: &[&str]) -> anyhow::Result<String> {
    let login = format!("{}:{}@", Server::USER, Server::PASSWORD.replace(' ', "%20"));
    let url = server.url().replacen("https://", &format!("https://{login}"), 1);
    let args: Vec<&str> =
        args.iter().map(|it| if *it == "URL" { url.as_str() } else { it }).collect();
    let mut command = Command::new("promtool");
    command.arg("query").args(args).env("SSL_CERT_FILE", server.ca_file());
    let mut process = Process::start("promtool", &mut command)?;
    process.finish(LONG).await?;
    Ok(process.log())
}

#[tokio::test]
async fn promtool_queries_over_the_front() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let client = server.client()?;
    let series = |mode: &str, per_step: i32| SeriesBatch {
        labels: Labels::from_pairs([("__name__", "cpu_total"), ("mode", mode)]).unwrap(),
        samples: (0..9)
            .map(|n| Sample {
                ts: TimestampMs((START_S + i64::from(n) * 15) * 1_000),
                value: f64::from(n * per_step),
            })
            .collect(),
        kind: MetricKind::Counter,
        help: "Busy.".into(),
    };
    assert!(client.write(&[series("user", 15), series("idle", 30)]).await?.is_success());
    let (start, end) = (START_S.to_string(), (START_S + 120).to_string());
    let at = format!("--time={end}");
    // Prometheus itself answers 0.9999999999999999 here: the factor is divided before it is used.
    let instant = ["instant", &at, "URL", "sum by (mode) (rate(cpu_total[1m]))"];
    let rates = promtool(&server, &instant).await?;
    for (mode, want) in [("idle", 2.0), ("user", 1.0)] {
        let line =
            rates.lines().find_map(|it| it.strip_prefix(&format!("{{mode=\"{mode}\"}} => ")));
        let (value, ts) = line.and_then(|it| it.split_once(" @")).context("no such line")?;
        assert!((value.parse::<f64>()? - want).abs() < 1e-9, "{rates}");
        assert_eq!(ts, format!("[{end}]"));
    }
    let range = [
        "range",
        "--start",
        &start,
        "--end",
        &end,
        "--step=60s",
        "URL",
        "cpu_total{mode=\"user\"}",
    ];
    assert_eq!(
        promtool(&server, &range).await?,
        format!(
            "cpu_total{{mode=\"user\"}} =>\n0 @[{START_S}]\n60 @[{}]\n120 @[{end}]",
            START_S + 60
        )
    );
    let times = [format!("--start={start}"), format!("--end={end}")];
    let found =
        promtool(&server, &["series", "--match=cpu_total", &times[0], &times[1], "URL"]).await?;
    assert!(found.contains(r#"mode="idle""#) && found.contains(r#"mode="user""#), "{found}");
    assert_eq!(
        promtool(&server, &["labels", &times[0], &times[1], "URL", "mode"]).await?,
        "idle\nuser"
    );
    Ok(())
}

/// What a block of Prometheus' configuration says of the server's login.
fn login(dir: &Path, server: &Server) -> anyhow::Result<String> {
    let token_file = dir.join("sender-token");
    fs::write(&token_file, server.token())?;
    let (token, ca) = (token_file.display(), server.ca_file());
    let ca = ca.display();
    Ok(format!(
        "authorization: {{ credentials_file: {token} }}\n    tls_config: {{ ca_file: {ca} }}"
    ))
}

fn prometheus(dir: &Path, port: u16, config: &str) -> anyhow::Result<Process> {
    let path = dir.join("prometheus.yml");
    fs::write(&path, config)?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", path.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    Process::start("prometheus", &mut command)
}

#[tokio::test]
async fn prometheus_sends_what_it_scrapes() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let port = free_port()?;
    let config = format!(
        "global: {{ scrape_interval: 1s }}\n\
         scrape_configs:\n  - job_name: self\n    static_configs: [{{ targets: ['127.0.0.1:{port}'] }}]\n\
         remote_write:\n  - url: {url}/api/v1/write\n    {login}\n    \
         queue_config: {{ batch_send_deadline: 1s }}\n    \
         metadata_config: {{ send_interval: 5s }}\n",
        url = server.url(),
        login = login(dir.path(), &server)?,
    );
    let prometheus = prometheus(dir.path(), port, &config)?;
    let client = server.client()?;
    let query = r#"sum(rate(prometheus_tsdb_head_samples_appended_total{job="self"}[30s])) > 0"#;
    let result = Deadline::within(Duration::from_secs(60))
        .until(query, || async { Ok(client.promql(query).await?.first().map(|(_, it)| *it)) })
        .await;
    assert!(result.is_ok(), "{result:?}\n{}", prometheus.log());
    // Metadata goes along.
    let metadata = Deadline::within(Duration::from_secs(90))
        .until("metadata", || async {
            let metadata = client.data("/api/v1/metadata", &[("metric", "go_goroutines")]).await?;
            Ok(metadata.pointer("/go_goroutines/0/type").cloned())
        })
        .await?;
    assert_eq!(metadata, "gauge");
    Ok(())
}

/// By remote read it evaluates what we have, and it scrapes `/federate`.
#[tokio::test]
async fn prometheus_reads_and_federates_what_we_have() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let now_s = SystemClock.now().to_ms().0 / 1_000;
    let n_samples: i32 = 300;
    let series = |name: &str, per_step: f64| SeriesBatch {
        labels: Labels::from_pairs([("__name__", name), ("mode", "user")]).unwrap(),
        samples: (1 - n_samples..=0)
            .map(|n| Sample {
                ts: TimestampMs((now_s + i64::from(n) * 10) * 1_000),
                value: 1.5e6 + f64::from(n) * per_step,
            })
            .collect(),
        kind: MetricKind::Counter,
        help: "Busy.".into(),
    };
    let client = server.client()?;
    assert!(client.write(&[series("cpu_total", 10.0), series("other", 0.1)]).await?.is_success());
    let port = free_port()?;
    let login = login(dir.path(), &server)?;
    let address = server.url().replacen("https://", "", 1);
    let config = format!(
        "global: {{ scrape_interval: 1s }}\n\
         remote_read:\n  - url: {url}/api/v1/read\n    read_recent: true\n    {login}\n\
         scrape_configs:\n  - job_name: ours\n    scheme: https\n    metrics_path: /federate\n    \
         honor_labels: true\n    params: {{ 'match[]': ['other'] }}\n    \
         static_configs: [{{ targets: ['{address}'] }}]\n    {login}\n    \
         metric_relabel_configs: [{{ target_label: __name__, replacement: federated }}]\n",
        url = server.url(),
    );
    let prometheus = prometheus(dir.path(), port, &config)?;
    let ask = async |query: &str| {
        let mut command = Command::new("promtool");
        let url = format!("http://127.0.0.1:{port}");
        command.args(["query", "instant", "--time", &now_s.to_string(), &url, query]);
        let mut process = Process::start("promtool", &mut command)?;
        process.finish(LONG).await?;
        Ok::<_, anyhow::Error>(Some(process.log()).filter(|it| !it.is_empty()))
    };
    let expected = [
        ("cpu_total", format!("cpu_total{{mode=\"user\"}} => 1500000 @[{now_s}]")),
        ("rate(cpu_total[40m])", format!("{{mode=\"user\"}} => 1 @[{now_s}]")),
        ("count_over_time(other[1h])", format!("{{mode=\"user\"}} => {n_samples} @[{now_s}]")),
    ];
    for (query, expected) in expected {
        let found =
            Deadline::within(LONG).until(query, || async { Ok(ask(query).await.ok().flatten()) });
        assert_eq!(found.await.with_context(|| prometheus.log())?, expected);
    }
    let query = r#"federated{instance="",mode="user"}"#;
    let found = Deadline::within(LONG).until(query, || ask(query)).await;
    let expected = format!("federated{{job=\"ours\", mode=\"user\"}} => 1500000 @[{now_s}]");
    assert_eq!(found.with_context(|| prometheus.log())?, expected);
    Ok(())
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_our_own_metrics() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    client.data("/api/v1/query", &[("query", "up")]).await?;
    let metrics = client.get("/metrics", &[]).await?.text().await?;
    let path = dir.path().join("metrics");
    fs::write(&path, &metrics)?;
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(fs::File::open(&path)?);
    let output = command.output().await?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.is_empty(), "{told}\n{metrics}");
    Ok(())
}
