//! docs/guide/grafana.md: its data sources lead to the server, and every panel of its dashboard has
//! data of a host with an agent.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use skep_tests::{Agent, Client, Deadline, Journald, Server, skipped};

const GUIDE: &str = include_str!("../../../docs/guide/grafana.md");
const SOON: Duration = Duration::from_secs(60);

fn block(language: &str) -> anyhow::Result<&'static str> {
    let opening = format!("```{language}\n");
    let block = GUIDE.split(&opening).nth(1).and_then(|it| it.split("```").next());
    block.with_context(|| format!("the guide has no {language}"))
}

/// As Grafana does when a data source is saved.
async fn check_health(source: &Value, server: &Server) -> anyhow::Result<()> {
    let text = |pointer: &str| source.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    ensure!(text("/jsonData/httpHeaderName1") == "Authorization", "{source}");
    let header = text("/secureJsonData/httpHeaderValue1").replace("$SKEP_TOKEN", server.token());
    let token = header.strip_prefix("Bearer ").context("no bearer token")?;
    let client = Client::new(&server.url(), token, &std::fs::read(server.ca_file())?)?;
    let (name, path, query) = match text("/type") {
        "prometheus" => ("metrics", "/api/v1/query", "1+1"),
        "loki" => ("logs", "/loki/api/v1/query", "vector(1)+vector(1)"),
        other => anyhow::bail!("a data source of type {other:?}"),
    };
    assert_eq!(text("/url"), format!("https://{name}.home.example.org"));
    assert_eq!(text("/uid"), format!("skep-{name}"));
    client.data(path, &[("query", query)]).await?;
    Ok(())
}

async fn has_data(client: &Client, target: &Value, source: &str) -> anyhow::Result<bool> {
    let query = target["expr"].as_str().context("a target without expr")?;
    let query = query.replace("$host", Agent::HOST);
    let query = query.replace("$__rate_interval", "1m").replace("$__auto", "1m");
    let path = match source {
        "skep-metrics" => "/api/v1/query",
        "skep-logs" => "/loki/api/v1/query_range",
        other => anyhow::bail!("no data source {other:?}"),
    };
    let data = client.data(path, &[("query", &query)]).await?;
    Ok(data.get("result").and_then(Value::as_array).is_some_and(|it| !it.is_empty()))
}

#[tokio::test]
async fn grafana_as_provisioned_by_the_guide_has_data() -> anyhow::Result<()> {
    if let Some(why) = Journald::unavailable() {
        skipped("grafana_as_provisioned_by_the_guide_has_data", why);
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let journald = Journald::start(dir.path()).await?;
    journald.log("bees.service", &["hum".to_owned()]).await?;
    let server = Server::start(dir.path(), "").await?;
    let _agent = Agent::start(dir.path(), &server, Some(journald.directory()), "").await?;
    let sources: Value = serde_saphyr::from_str(block("yaml datasources")?)?;
    let sources = sources["datasources"].as_array().context("no data sources")?;
    assert_eq!(sources.len(), 2);
    for source in sources {
        check_health(source, &server).await?;
    }
    let providers: Value = serde_saphyr::from_str(block("yaml")?)?;
    assert!(providers.pointer("/providers/0/options/path").is_some(), "{providers}");
    let dashboard: Value = serde_json::from_str(block("json dashboard")?)?;
    let client = server.client()?;
    let hosts = [("match[]", "node_uname_info")];
    for panel in dashboard["panels"].as_array().context("no panels")? {
        let source = panel.pointer("/datasource/uid").and_then(Value::as_str).unwrap_or_default();
        for target in panel["targets"].as_array().context("no targets")? {
            Deadline::within(SOON)
                .until(&target.to_string(), || async {
                    Ok(has_data(&client, target, source).await?.then_some(()))
                })
                .await?;
        }
    }
    let variable = dashboard.pointer("/templating/list/0/query").and_then(Value::as_str);
    assert_eq!(variable, Some("label_values(node_uname_info, instance)"));
    let hosts = client.data("/api/v1/label/instance/values", &hosts).await?;
    assert_eq!(hosts, serde_json::json!([Agent::HOST]));
    Ok(())
}
