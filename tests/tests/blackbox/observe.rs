//! Requests of the front as telemetry, asked for as anything else.

use std::time::Duration;

use serde_json::Value;
use skep_tests::{Client, Deadline, Server};

const SOON: Duration = Duration::from_secs(60);

/// A site that answers by itself, and the server's own figures often.
const SETTINGS: &str = "[self]\nmetrics_interval = \"500ms\"\n\
    [[sites]]\nhosts = [\"hello.skep.localhost\"]\n\
    routes = [{ path = \"/hello\", respond = { status = 200, body = \"hello\" } }]\n";

#[tokio::test]
async fn requests_by_host_status_and_latency_need_no_exporter() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start_observed(dir.path(), SETTINGS).await?;
    let ca = std::fs::read(server.ca_file())?;
    let visitor = Client::new(&server.plain_url(), "", &ca)?;
    for (path, n_times) in [("/hello?token=hush", 5), ("/nothing", 2)] {
        for _ in 0..n_times {
            visitor.get_with(path, &[], &[("host", "hello.skep.localhost")]).await?;
        }
    }

    let client = server.client()?;
    let deadline = Deadline::within(SOON);
    let site = "job=\"skep-front\",site=\"hello.skep.localhost\"";
    let by_status = format!("sum by (status) (count_over_time({{{site}}}[1h]))");
    let counted = deadline.until("log entries", || async {
        let counts = client.logql(&by_status).await?;
        let of = |status: &str| {
            let found = counts.iter().find(|(labels, _)| labels["status"] == status);
            found.map(|(_, count)| *count)
        };
        Ok((of("200") == Some(5.0) && of("404") == Some(2.0)).then_some(()))
    });
    counted.await?;
    let slowest = format!("max by (site) (max_over_time({{{site}}} | unwrap duration [1h]))");
    let slowest = client.logql(&slowest).await?;
    assert!(slowest.len() == 1 && slowest[0].1 > 0.0 && slowest[0].1 < 30.0, "{slowest:?}");
    let of_json = format!("{{{site}}} | json | request_uri=~`/hello.*` | status=200");
    let lines = client.lines(&of_json, 100).await?;
    assert_eq!(lines.len(), 5);
    for (_, line) in &lines {
        let line: Value = serde_json::from_str(line)?;
        assert_eq!(line["msg"], "handled request");
        assert_eq!(line["request"]["uri"], "/hello?token=REDACTED");
    }

    let host = "host=\"hello.skep.localhost\"";
    for (query, expected) in [
        (format!("sum by (host) (skep_http_requests_total{{{host}}})"), 7.0),
        (format!("sum(skep_http_request_duration_seconds_count{{{host},code=\"404\"}})"), 2.0),
        ("sum(up{job=\"skep-server\"})".to_owned(), 1.0),
    ] {
        let is_there = deadline.until(&query, || async {
            let found = client.promql(&query).await?;
            Ok(found.iter().any(|(_, value)| *value == expected).then_some(()))
        });
        is_there.await?;
    }
    let latency = format!(
        "histogram_quantile(0.9, sum by (le) (skep_http_request_duration_seconds_bucket{{{host}}}))"
    );
    let latency = client.promql(&latency).await?;
    assert!(latency.len() == 1 && latency[0].1 > 0.0, "{latency:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_of_the_server_itself_is_stored_where_that_is_off() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    client.promql("up").await?;
    client.flush().await?;
    assert!(client.promql("{__name__=~\".+\"}").await?.is_empty());
    let streams = client.data("/loki/api/v1/series", &[("match[]", "{job=~\".+\"}")]).await?;
    assert_eq!(streams.as_array().map_or(0, Vec::len), 0, "{streams}");
    Ok(())
}
