//! Deletes, snapshots, SQL, export and import, by the verbs of the real binary.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context as _;
use skep_tests::{Server, bin_dir, skipped};
use tokio::{io::AsyncWriteExt as _, process::Command};

const SAMPLES: &str = r#"{"metric":{"__name__":"cpu_total","mode":"idle"},"values":[1,2.5,null],"timestamps":[-5,0,1717372800000]}
{"metric":{"__name__":"up","host":"zürich"},"values":["NaN","Infinity"],"timestamps":[1717372800000,1717372801000]}
"#;
const LINES: &str = r#"{"stream":{"unit":"a.service"},"values":[["1","a line",{"_PID":"7"}],["1717372800000000001","ä \"b\""]]}
"#;

/// What the verb prints.
pub(crate) async fn tool(args: &[&str]) -> anyhow::Result<String> {
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
pub(crate) async fn everything(at: &[&str]) -> anyhow::Result<String> {
    let samples = tool(&[&["export"], at].concat()).await?;
    let lines = tool(&[&["export", "--format", "loki"], at].concat()).await?;
    Ok(samples + &lines)
}

pub(crate) fn text(path: &Path) -> anyhow::Result<&str> {
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

/// The verb with a file as its standard input.
async fn tool_with_input(args: &[&str], input: &str) -> anyhow::Result<()> {
    let mut child = Command::new(bin_dir().join("skep-server"))
        .args(args)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{args:?}: {}: {errors}", output.status);
    Ok(())
}

#[tokio::test]
async fn every_format_goes_out_of_one_server_and_into_another() -> anyhow::Result<()> {
    let samples = "{\"metric\":{\"__name__\":\"a_total\",\"k\":\"v\"},\"values\":[1,2.5],\
                   \"timestamps\":[1717372800000,1717372801500]}\n";
    let dir = tempfile::tempdir()?;
    let from = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let url = from.plain_url();
    let from_at = ["--url", url.as_str()];
    tool_with_input(&[&["import", "-"], &from_at[..]].concat(), samples).await?;
    tool_with_input(&[&["import", "-"], &from_at[..]].concat(), LINES).await?;
    for format in ["json", "prometheus", "openmetrics"] {
        let dir = tempfile::tempdir()?;
        let to = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
        let url = to.plain_url();
        let at = ["--url", url.as_str()];
        let file = dir.path().join("file");
        let args = ["export", "--format", format, "--output", text(&file)?];
        assert_eq!(tool(&[&args[..], &from_at].concat()).await?, "", "{format}");
        let args = ["import", text(&file)?, "--format", format];
        tool(&[&args[..], &at].concat()).await?;
        assert_eq!(tool(&[&["export"], &at[..]].concat()).await?, samples, "{format}");
        if format == "openmetrics" {
            assert!(fs::read_to_string(&file)?.ends_with("# EOF\n"));
            // What a Loki answers to a query is read as it is.
            let client = from.client()?;
            let params = [("query", "{unit=\"a.service\"}"), ("start", "0"), ("end", "1800000000")];
            let answer = client.get("/loki/api/v1/query_range", &params).await?.text().await?;
            tool_with_input(&[&["import", "-"], &at[..]].concat(), &answer).await?;
            let found = to.client()?.lines("{unit=\"a.service\"}", 10).await?;
            let wanted = [(1, "a line"), (1_717_372_800_000_000_001, "ä \"b\"")];
            assert_eq!(found, wanted.map(|(ts, line)| (ts, line.to_owned())));
        }
    }
    // By selector and time.
    let args = ["export", "--match", "{k=\"v\"}", "--start", "1717372801"];
    let one = samples.replace("[1,2.5]", "[2.5]").replace("[1717372800000,", "[");
    assert_eq!(tool(&[&args[..], &from_at].concat()).await?, one);
    let args = ["export", "--match", "{k=\"w\"}"];
    assert_eq!(tool(&[&args[..], &from_at].concat()).await?, "");
    Ok(())
}

#[tokio::test]
async fn an_import_on_a_terminal_draws_a_bar() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let samples = dir.path().join("samples.jsonl");
    fs::write(&samples, SAMPLES)?;
    let (tool, url) = (bin_dir().join("skep-server"), server.plain_url());
    let command = format!("{} import {} --url {url}", text(&tool)?, text(&samples)?);
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).stdin(Stdio::null());
    let Ok(output) = script.output().await else {
        skipped(
            "an_import_on_a_terminal_draws_a_bar",
            "there is no script, which gives a terminal",
        );
        return Ok(());
    };
    let drawn = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "{drawn}");
    let n_bytes = format!("{0} B/{0} B", SAMPLES.len());
    anyhow::ensure!(drawn.contains(&n_bytes), "{n_bytes} is not in {drawn:?}");
    Ok(())
}

#[tokio::test]
async fn a_delete_takes_the_time_it_is_told_and_nothing_else() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let url = server.plain_url();
    let at = ["--url", url.as_str()];
    tool_with_input(&[&["import", "-"], &at[..]].concat(), SAMPLES).await?;
    tool_with_input(&[&["import", "-"], &at[..]].concat(), LINES).await?;
    let client = server.client()?;
    client.flush().await?;
    let path = "/api/v1/admin/tsdb/delete_series?match[]=%7Bmode%3D%22idle%22%7D&start=0&end=1";
    assert_eq!(client.post(path, &[], Vec::new()).await?.status(), 204);
    let path = "/loki/api/v1/delete?query=%7Bunit%3D%22a.service%22%7D\
                &start=2024-01-01T00:00:00Z&end=2025-01-01T00:00:00Z";
    assert_eq!(client.post(path, &[], Vec::new()).await?.status(), 204);
    let samples = SAMPLES.replace("[1,2.5,null]", "[1,null]").replace("[-5,0,", "[-5,");
    let lines = LINES.replace(",[\"1717372800000000001\",\"ä \\\"b\\\"\"]", "");
    for when in ["at once", "after a merge"] {
        assert_eq!(everything(&at).await?, format!("{samples}{lines}"), "{when}");
        client.compact().await?;
    }
    Ok(())
}

/// Of all Parquet files below a folder.
fn inodes(dir: &Path) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for table in ["samples", "logs", "series", "streams"] {
        for day in fs::read_dir(dir.join(table))? {
            let day = day?;
            if !day.file_name().to_string_lossy().starts_with("day=") {
                continue;
            }
            for file in fs::read_dir(day.path())? {
                let file = file?;
                let name = file.path().strip_prefix(dir)?.to_owned();
                found.push((name, file.metadata()?.ino()));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[tokio::test]
async fn a_snapshot_shares_its_files_with_the_store() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let url = server.plain_url();
    let at = ["--url", url.as_str()];
    tool_with_input(&[&["import", "-"], &at[..]].concat(), SAMPLES).await?;
    tool_with_input(&[&["import", "-"], &at[..]].concat(), LINES).await?;
    let snapshot = tool(&[&["snapshot"], &at[..]].concat()).await?;
    let linked = inodes(&server.data_dir().join(snapshot.trim()))?;
    anyhow::ensure!(linked.len() >= 4, "{linked:?}");
    assert_eq!(linked, inodes(&server.data_dir())?);
    Ok(())
}
