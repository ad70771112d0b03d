//! SQL's limits, over HTTP and by the verb: it only reads, it ends in time, and it stays small.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::ensure;
use reqwest::StatusCode;
use skep_tests::{Client, Deadline, Server, bin_dir};
use tokio::process::Command;

/// Hours of work on any machine.
const ENDLESS: &str = "SELECT count(*) AS n FROM generate_series(1, 1000000) AS a(x) \
                       CROSS JOIN generate_series(1, 1000000) AS b(y) WHERE (x * y) % 7 = 3";
/// One value of a gigabyte.
const LARGE: &str = "SELECT array_agg(x) FROM generate_series(1, 100000000) AS a(x)";
/// Rows without end, a little at a time.
const LONG: &str = "SELECT x FROM generate_series(1, 1000000000) AS a(x)";
/// Millions of groups.
const GROUPED: &str = "SELECT x * 7919 % 100000007 AS g, count(*) \
                       FROM generate_series(1, 100000000) AS a(x) GROUP BY g";

const SETTINGS: &str = "[query]\nconcurrency = 1\nsamples_max = 20000\n\
                        memory_max = \"24MiB\"\nmemory_total = \"24MiB\"\n\
                        spill_total = \"8MiB\"";

const REFUSED: [&str; 9] = [
    "INSERT INTO samples VALUES (1, 2, 3)",
    "UPDATE samples SET value = 1",
    "DELETE FROM logs",
    "CREATE TABLE t AS SELECT 1",
    "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'",
    "DROP TABLE samples",
    "COPY (SELECT 1) TO '/tmp/skep-sql-test.csv'",
    "SET datafusion.execution.batch_size = 1",
    "EXPLAIN ANALYZE INSERT INTO samples VALUES (1, 2, 3)",
];

async fn ask(client: &Client, query: &str) -> anyhow::Result<(StatusCode, String)> {
    let path = "/api/v1/sql?format=csv&timeout=20s";
    let answer = client.post(path, &[], query.as_bytes().to_vec()).await?;
    Ok((answer.status(), answer.text().await?))
}

async fn verb(dir: &Path, query: &str) -> anyhow::Result<Output> {
    let mut command = Command::new(bin_dir().join("skep-server"));
    command.args(["sql", query, "--format", "csv", "--config"]).arg(dir.join("server.toml"));
    Ok(command.stdin(Stdio::null()).output().await?)
}

/// The same of the verb as of the server: `wanted` is in what it says.
async fn check(client: &Client, query: &str, status: u16, wanted: &str) -> anyhow::Result<()> {
    let (found, text) = ask(client, query).await?;
    ensure!(found == status && text.contains(wanted), "{query}: {found}: {text}");
    Ok(())
}

async fn check_verb(dir: &Path, query: &str, wanted: &str) -> anyhow::Result<()> {
    let output = verb(dir, query).await?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && text.contains(wanted), "{query}: {text}");
    Ok(())
}

#[tokio::test]
async fn what_writes_is_refused_and_what_is_wrong_is_named() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), SETTINGS).await?;
    let client = server.client()?;
    let refused = "is refused: tables are only read here; write SELECT";
    for query in REFUSED {
        check(&client, query, 400, refused).await?;
    }
    let typo = "Expected: an SQL statement, found: SELEC at Line: 1, Column: 1";
    check(&client, "SELEC 1", 400, typo).await?;
    check(&client, "SELECT * FROM '/etc/passwd'", 400, "there is no table").await?;
    check(&client, "", 400, "it is empty; write SELECT").await?;
    let any_size = "is refused: it makes values of any size, past query.memory_max";
    check(&client, "SELECT length(repeat('x', 1000000000))", 400, any_size).await?;
    check(&client, "SELECT cardinality(range(1, 100000000))", 400, any_size).await?;
    let nested = format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500));
    check(&client, &nested, 400, "it is nested too deep").await?;
    check(&client, "SELECT 1 / 0", 422, "Divide by zero").await?;
    server.stop().await?;

    for query in REFUSED {
        check_verb(dir.path(), query, refused).await?;
    }
    check_verb(dir.path(), "SELEC 1", typo).await?;
    ensure!(!Path::new("/tmp/skep-sql-test.csv").exists());
    Ok(())
}

#[tokio::test]
async fn a_query_that_is_too_large_ends_with_the_setting_to_raise() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), SETTINGS).await?;
    let client = server.client()?;
    let memory = "raise query.memory_max or query.memory_total";
    check(&client, LARGE, 422, memory).await?;
    let spilled = "8388608 bytes of temporary files; narrow this one, or raise query.spill_total";
    check(&client, GROUPED, 422, spilled).await?;
    // Rows are sent as they come; one too many cuts the connection, so that nobody takes what came
    // for the whole.
    let rows = client.post("/api/v1/sql?format=csv", &[], LONG.as_bytes().to_vec()).await?;
    ensure!(rows.status() != StatusCode::OK || rows.bytes().await.is_err(), "rows without end");
    check(&client, "SELECT count(*) AS n FROM generate_series(1, 20000)", 200, "20000").await?;
    server.stop().await?;

    check_verb(dir.path(), LARGE, memory).await?;
    check_verb(dir.path(), GROUPED, spilled).await?;
    let output = verb(dir.path(), LONG).await?;
    ensure!(!output.status.success(), "an answer without end");
    Ok(())
}

#[tokio::test]
async fn a_query_that_takes_too_long_or_that_nobody_waits_for_gives_up_its_turn()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), SETTINGS).await?;
    let client = server.client()?;
    let late = client.post("/api/v1/sql?timeout=1s", &[], ENDLESS.as_bytes().to_vec()).await?;
    let (status, text) = (late.status(), late.text().await?);
    ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "{status}: {text}");
    ensure!(text.contains("\"errorType\":\"timeout\""), "{text}");

    // The only turn is taken …
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.post("/api/v1/sql", &[], ENDLESS.as_bytes().to_vec()).await }
    });
    let quick = async |timeout: &str| {
        let path = format!("/api/v1/sql?timeout={timeout}");
        anyhow::Ok(client.post(&path, &[], b"SELECT 1 AS one".to_vec()).await?.status())
    };
    Deadline::within(Duration::from_secs(20))
        .until("the only turn to be taken", || async {
            let answered = tokio::time::timeout(Duration::from_secs(1), quick("10s")).await;
            Ok(answered.is_err().then_some(()))
        })
        .await?;
    // … until its client goes, two minutes before the query would end.
    asked.abort();
    let status = tokio::time::timeout(Duration::from_secs(20), quick("10s")).await??;
    ensure!(status == StatusCode::OK, "{status}");
    Ok(())
}
