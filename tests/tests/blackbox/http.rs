//! What the front lets through, and what bad input is told.

use skep_tests::{Client, Server};

#[tokio::test]
async fn without_a_token_nothing_is_told_but_health_and_the_ca() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let ca = std::fs::read(server.ca_file())?;
    let nobody = Client::new(&server.url(), "wrong", &ca)?;
    for path in ["/api/v1/query?query=1", "/loki/api/v1/labels", "/-/flush", "/metrics"] {
        assert_eq!(nobody.get(path, &[]).await?.status(), 401, "{path}");
    }
    assert_eq!(nobody.post("/api/v1/write", &[], Vec::new()).await?.status(), 401);
    assert_eq!(nobody.get("/-/healthy", &[]).await?.status(), 200);
    let person = Client::new(&server.url(), "", &ca)?;
    let page = person.get("/", &[]).await?;
    assert!(page.status().is_redirection(), "a person is sent to the login: {}", page.status());
    let plain = Client::new(&server.redirect_url(), "", &ca)?;
    assert_eq!(plain.get("/ca.pem", &[]).await?.bytes().await?, ca);
    let away = plain.get("/api/v1/query", &[]).await?;
    assert_eq!(away.status(), 308);
    assert!(away.headers()["location"].to_str()?.starts_with("https://"));
    Ok(())
}

#[tokio::test]
async fn errors_have_the_shape_of_prometheus_and_of_loki() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    let answer = client.get("/api/v1/query", &[("query", "sum(up")]).await?;
    assert_eq!(answer.status(), 400);
    let answer: serde_json::Value = answer.json().await?;
    assert_eq!(answer["status"], "error");
    assert_eq!(answer["errorType"], "bad_data");
    let text = answer["error"].as_str().unwrap();
    assert!(text.starts_with(r#"invalid parameter "query": 1:"#), "{text}");

    let answer = client.get("/loki/api/v1/query_range", &[("query", r#"{a="b"} |= "#)]).await?;
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await?.starts_with("parse error"));

    let answer =
        client.post("/api/v1/write", &[("Content-Encoding", "snappy")], b"junk".to_vec()).await?;
    assert_eq!(answer.status(), 400);
    let answer = client
        .post("/loki/api/v1/push", &[("Content-Type", "application/json")], b"{".to_vec())
        .await?;
    assert_eq!(answer.status(), 400);
    Ok(())
}

#[tokio::test]
async fn ca_and_data_survive_an_orderly_restart() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), "").await?;
    let before = std::fs::read(server.ca_file())?;
    server.stop().await?;
    server.restart().await?;
    assert_eq!(std::fs::read(server.ca_file())?, before);
    assert_eq!(server.client()?.get("/-/ready", &[]).await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn the_plain_listener_answers_on_loopback() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let ca = std::fs::read(server.ca_file())?;
    let client = Client::new(&server.plain_url(), "", &ca)?;
    assert_eq!(client.promql("vector(2)").await?[0].1, 2.0);
    Ok(())
}
