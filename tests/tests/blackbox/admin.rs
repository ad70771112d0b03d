//! Deletes, snapshots, SQL, export and import, by the verbs of the real binary.

use std::{fs, path::Path, process::Stdio};

use anyhow::Context as _;
use skep_tests::{Server, bin_dir};
use tokio::process::Command;

const SAMPLES: &str = r#"{"metric":{"__name__":"cpu_total","mode":"idle"},"values":[1,2.5,null],"timestamps":[-5,0,1717372800000]}
{"metric":{"__name__":"up","host":"zürich"},"values":["NaN","Infinity"],"timestamps":[1717372800000,1717372801000]}
"#;
const LINES: &str = r#"{"stream":{"unit":"a.service"},"values":[["1","a line",{"_PID":"7"}],["1717372800000000001","ä \"b\""]]}
"#;

/// What the verb prints.
async fn tool(args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(bin_dir().join("skep-server"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("running skep-server {args:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{args:?}: {}: {errors}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Everything there is, as both formats of export.
async fn everything(at: &[&str]) -> anyhow::Result<String> {
    let samples = tool(&[&["export"], at].concat()).await?;
    let lines = tool(&[&["export", "--format", "loki"], at].concat()).await?;
    Ok(samples + &lines)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no UTF-8")
}

#[tokio::test]
async fn what_was_deleted_is_in_the_snapshot_and_nowhere_else() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let token_file = dir.path().join("token");
    fs::write(&token_file, server.token())?;
    let (samples, lines) = (dir.path().join("samples.jsonl"), dir.path().join("lines.jsonl"));
    fs::write(&samples, SAMPLES)?;
    fs::write(&lines, LINES)?;
    let (url, ca_file) = (server.url(), server.ca_file());
    let at = ["--url", &url, "--token-file", text(&token_file)?, "--ca-file", text(&ca_file)?];

    tool(&[&["import", text(&samples)?, text(&lines)?][..], &at].concat()).await?;
    assert_eq!(everything(&at).await?, format!("{SAMPLES}{LINES}"));
    let snapshot = tool(&[&["snapshot"][..], &at].concat()).await?;
    let snapshot = server.data_dir().join(snapshot.trim());

    let client = server.client()?;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = b"match[]=cpu_total&match[]=up".to_vec();
    let deleted = client.post("/api/v1/admin/tsdb/delete_series", &form, body).await?;
    assert_eq!(deleted.status(), 204);
    let path = "/loki/api/v1/delete?query=%7Bunit%3D%22a.service%22%7D&start=1970-01-01T00:00:00Z";
    let deleted = client.post(path, &[], Vec::new()).await?;
    assert_eq!(deleted.status(), 204);
    assert_eq!(everything(&at).await?, "");
    client.compact().await?;
    server.crash_and_restart().await?;
    let url = server.url();
    let at = ["--url", &url, "--token-file", text(&token_file)?, "--ca-file", text(&ca_file)?];
    assert_eq!(everything(&at).await?, "");
    let query = "SELECT count(*) AS n FROM metrics";
    let table = tool(&[&["sql", query][..], &at].concat()).await?;
    assert_eq!(table, "n\n-\n0\n");
    server.stop().await?;

    // The snapshot by itself: as a folder for the verbs, and as one for a server.
    let at = ["--data-dir", text(&snapshot)?];
    assert_eq!(everything(&at).await?, format!("{SAMPLES}{LINES}"));
    let query = "SELECT name, labels['mode'] AS mode, count(*) AS n FROM metrics \
                 GROUP BY 1, 2 ORDER BY 1";
    let table = tool(&[&["sql", query, "--format", "csv"][..], &at].concat()).await?;
    assert_eq!(table, "name,mode,n\r\ncpu_total,idle,3\r\nup,,2\r\n");
    let copy = tempfile::tempdir()?;
    fs::rename(&snapshot, copy.path().join("server"))?;
    let restored = Server::start(copy.path(), "[store]\nretention = \"off\"").await?;
    let url = restored.plain_url();
    assert_eq!(everything(&["--url", &url]).await?, format!("{SAMPLES}{LINES}"));
    Ok(())
}

#[tokio::test]
async fn a_bad_query_fails_the_verb_with_what_is_wrong() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let error = tool(&["sql", "SELECT * FROM up", "--data-dir", text(dir.path())?]).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("there is no table \"up\"; there are log_lines, logs"), "{error}");
    Ok(())
}
