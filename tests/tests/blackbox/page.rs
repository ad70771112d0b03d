//! The whole of `cargo xtask run`, and its page in a real browser.

use std::{fs, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use skep_tests::{Client, Deadline, Journald, Process, bin_dir, skipped};
use tokio::process::Command;

const LONG: Duration = Duration::from_secs(120);
/// The first needs the line that was just logged; the next bring data, the last two a server of
/// their own.
const TESTS: [&str; 6] = [
    "page.test.mjs",
    "explore.test.mjs",
    "host.test.mjs",
    "admin.test.mjs",
    "home.test.mjs",
    "states.test.mjs",
];

#[tokio::test]
async fn the_page_shows_this_host_and_a_line_just_logged() -> anyhow::Result<()> {
    if let Some(why) = Journald::unavailable() {
        skipped("the_page_shows_this_host_and_a_line_just_logged", why);
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let ready_file = dir.path().join("ready.json");
    let mut command = Command::new(bin_dir().join("xtask"));
    command.arg("run").arg("--bin-dir").arg(bin_dir()).args(["--port", "0"]);
    command.arg("--data").arg(dir.path().join("data")).arg("--ready-file").arg(&ready_file);
    let mut stack = Process::start("xtask run", &mut command)?;
    let ready: Value = Deadline::within(LONG)
        .until("the ready file", || async {
            let Ok(text) = fs::read_to_string(&ready_file) else { return Ok(None) };
            Ok(Some(serde_json::from_str(&text)?))
        })
        .await
        .with_context(|| stack.log())?;
    let get = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
    let client = Client::new(&get("url"), &get("token"), &fs::read(get("ca_file"))?)?;
    let uname = Deadline::within(LONG)
        .until("node_uname_info", || async {
            Ok(client.promql("node_uname_info").await?.into_iter().next())
        })
        .await
        .with_context(|| stack.log())?;
    let host = uname.0["instance"].as_str().context("no instance")?.to_owned();
    let line = format!("a line for the page, {}", std::process::id());
    let mut logger = Command::new("logger");
    logger.args(["-u", &get("journal_syslog_socket"), "-t", "browser-test", &line]);
    assert!(logger.status().await?.success());

    let shots = bin_dir().join("screenshots");
    fs::create_dir_all(&shots)?;
    let browser = concat!(env!("CARGO_MANIFEST_DIR"), "/browser");
    for test in TESTS {
        let mut node = Command::new("node");
        node.args(["--test", test]).current_dir(browser);
        node.env("SKEP_URL", get("url")).env("SKEP_USER", get("user"));
        node.env("SKEP_PASSWORD", get("password")).env("SKEP_HOST", &host);
        node.env("SKEP_TOKEN", get("token")).env("SKEP_BIN", bin_dir().join("skep-server"));
        node.env("SKEP_LINE", &line).env("SKEP_SHOTS", &shots);
        let mut node = Process::start(test, &mut node)?;
        node.finish(LONG * 2).await.with_context(|| stack.log())?;
    }
    stack.stop(Duration::from_secs(60)).await
}
