//! Existing exporters: targets over HTTPS and HTTP, found in files, that come, fail and go.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use skep_tests::{Client, Deadline, Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::Command,
    sync::watch,
};

const SOON: Duration = Duration::from_secs(60);

/// The smallest exporter: whatever is asked, this text.
struct Exporter {
    address: String,
    text: watch::Sender<&'static str>,
}

impl Exporter {
    async fn start(text: &'static str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (text, told) = watch::channel(text);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let body = *told.borrow();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                if stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                    drop(stream.write_all(answer.as_bytes()).await);
                }
            }
        });
        Ok(Self { address, text })
    }

    fn say(&self, text: &'static str) {
        self.text.send_replace(text);
    }
}

/// Waits until a query has these values, in any order.
async fn eventually(client: &Client, query: &str, expected: &[f64]) -> anyhow::Result<()> {
    Deadline::within(SOON)
        .until(query, || async {
            let mut seen: Vec<_> =
                client.promql(query).await?.into_iter().map(|(_, value)| value).collect();
            seen.sort_by(f64::total_cmp);
            Ok((seen == expected).then_some(()))
        })
        .await
        .with_context(|| format!("{query} is never {expected:?}"))
}

async fn active_targets(client: &Client) -> anyhow::Result<Vec<Value>> {
    let data = client.data("/api/v1/targets", &[("state", "active")]).await?;
    Ok(data.get("activeTargets").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn write_targets(dir: &Path, name: &str, address: &str) -> anyhow::Result<()> {
    let text = format!("[{{\"targets\": [{address:?}], \"labels\": {{\"env\": \"test\"}}}}]");
    // As tools do it: nobody reads half a list.
    fs::write(dir.join("unfinished"), text)?;
    Ok(fs::rename(dir.join("unfinished"), dir.join(name))?)
}

const GOOD: &str = "# TYPE jobs counter\n# HELP jobs Jobs done.\njobs_total{kind=\"a\"} 3\n\
                    jobs_total{kind=\"b\"} 4\nnoise 1\n# EOF\n";

/// One job over TLS with a password, one without; both find their targets in files.
fn write_config(dir: &Path, other: &Server) -> anyhow::Result<()> {
    fs::write(dir.join("password"), format!("{}\n", Server::PASSWORD))?;
    let address = other.url().replace("https://", "");
    write_targets(dir, "https.json", &address)?;
    let config = format!(
        "
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
rule_files: [rules.yml]
scrape_configs:
- job_name: other
  scheme: https
  basic_auth: {{username: {user}, password_file: password}}
  tls_config: {{ca_file: {ca:?}}}
  file_sd_configs: [{{files: [https.json]}}]
- job_name: exporter
  file_sd_configs: [{{files: ['exporter*.json']}}]
  metric_relabel_configs:
  - {{source_labels: [__name__], regex: noise, action: drop}}
",
        user = Server::USER,
        ca = other.ca_file(),
    );
    Ok(fs::write(dir.join("prometheus.yml"), config)?)
}

#[tokio::test]
async fn exporters_are_scraped_and_their_series_end_with_them() -> anyhow::Result<()> {
    let (dir, other_dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let other = Server::start(other_dir.path(), "").await?;
    let exporter = Exporter::start(GOOD).await?;
    write_config(dir.path(), &other)?;
    let server = Server::start(dir.path(), "[scrape]\nconfig_file = \"prometheus.yml\"").await?;
    let client = server.client()?;

    eventually(&client, "up{job=\"other\"}", &[1.0]).await?;
    eventually(&client, "count(skep_receive_samples_total{job=\"other\",env=\"test\"})", &[1.0])
        .await?;
    // A target that is written down later is found.
    eventually(&client, "count(up)", &[1.0]).await?;
    write_targets(dir.path(), "exporter-1.json", &exporter.address)?;
    eventually(&client, "jobs_total{env=\"test\",job=\"exporter\"}", &[3.0, 4.0]).await?;
    eventually(
        &client,
        "{__name__=~\"noise|scrape_samples_post_metric_relabeling\",job=\"exporter\"}",
        &[2.0],
    )
    .await?;
    let metadata = client.data("/api/v1/metadata", &[("metric", "jobs")]).await?;
    assert_eq!(metadata.pointer("/jobs/0/help"), Some(&Value::from("Jobs done.")));

    // One series vanishes, then the exposition breaks.
    exporter.say("jobs_total{kind=\"a\"} 5\n# EOF\n");
    eventually(&client, "jobs_total", &[5.0]).await?;
    exporter.say("jobs_total{kind=\"a\"} 5\n");
    eventually(&client, "up{job=\"exporter\"}", &[0.0]).await?;
    eventually(&client, "jobs_total", &[]).await?;
    let targets = active_targets(&client).await?;
    let broken = targets.iter().find(|it| it.get("health") == Some(&Value::from("down")));
    let error = broken.and_then(|it| it.get("lastError")).and_then(Value::as_str);
    assert_eq!(error, Some("data does not end with # EOF"), "{targets:#?}");

    // And is well again until its target goes.
    exporter.say(GOOD);
    eventually(&client, "jobs_total", &[3.0, 4.0]).await?;
    fs::remove_file(dir.path().join("exporter-1.json"))?;
    eventually(&client, "jobs_total or up{job=\"exporter\"}", &[]).await?;
    assert_eq!(active_targets(&client).await?.len(), 1);
    eventually(&client, "up{job=\"other\"}", &[1.0]).await
}

#[tokio::test]
async fn a_configuration_is_read_again_when_told_and_a_wrong_one_is_left_alone()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let exporter = Exporter::start(GOOD).await?;
    let file = dir.path().join("prometheus.yml");
    let config = |job: &str| {
        format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: {job}\n  static_configs: [{{targets: ['{}']}}]\n",
            exporter.address
        )
    };
    fs::write(&file, config("first"))?;
    let server = Server::start(dir.path(), "[scrape]\nconfig_file = \"prometheus.yml\"").await?;
    let client = server.client()?;
    eventually(&client, "up{job=\"first\"}", &[1.0]).await?;

    fs::write(&file, "scrape_configs: [{job_name: a, kubernetes_sd_configs: []}]")?;
    let answer = client.post("/-/reload", &[], Vec::new()).await?;
    assert_eq!(answer.status(), 400);
    let text = answer.text().await?;
    assert!(text.contains("kubernetes_sd_configs is not supported"), "{text}");
    let pools = client.data("/api/v1/scrape_pools", &[]).await?;
    assert_eq!(pools.pointer("/scrapePools"), Some(&serde_json::json!(["first"])));

    fs::write(&file, config("second"))?;
    assert!(client.post("/-/reload", &[], Vec::new()).await?.status().is_success());
    eventually(&client, "up{job=\"second\"}", &[1.0]).await?;
    // The first job's series have ended; queries look back five minutes otherwise.
    eventually(&client, "up{job=\"first\"}", &[]).await?;

    fs::write(&file, config("third"))?;
    let pid = server.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().await?.success());
    eventually(&client, "up{job=\"third\"}", &[1.0]).await
}
