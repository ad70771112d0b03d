//! Tools that compare a server with what Loki was recorded to answer.

use std::{
    path::Path,
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, ensure};
use skep_tests::Server;
use tokio::process::Command;

const PARSE_CHECK: &str = "parse_check.py";
const DIFF: &str = "logql_diff.py";

/// Lines of any age; levels and service names are as they were sent.
const AS_SENT: &str = "[store]\nretention = \"off\"\n\
                       [receive]\ndiscover_log_levels = false\ndiscover_service_name = []\n";
const DISCOVERED: &str = "[store]\nretention = \"off\"\n";

/// A tool, what it is told besides the address, and what it wants of the server.
struct Part {
    title: &'static str,
    tool: &'static str,
    address_as: &'static str,
    told: &'static [&'static str],
    settings: &'static str,
}

const PARTS: &[Part] = &[
    Part {
        title: "what parses, and how it prints",
        tool: PARSE_CHECK,
        address_as: "--loki",
        told: &["run"],
        settings: AS_SENT,
    },
    Part {
        title: "answers",
        tool: DIFF,
        address_as: "--url",
        told: &["run", "--push"],
        settings: AS_SENT,
    },
    Part {
        title: "answers with detected_level and service_name",
        tool: DIFF,
        address_as: "--url",
        told: &["run", "--push", "--golden", "data/logql_diff/golden_discover.json.gz"],
        settings: DISCOVERED,
    },
    Part {
        title: "answers about lines of this hour",
        tool: DIFF,
        address_as: "--url",
        told: &[
            "run",
            "--push",
            "--base",
            "now",
            "--golden",
            "data/logql_diff/golden_recent.json.gz",
        ],
        settings: AS_SENT,
    },
];

pub(crate) fn has_tools(folder: &Path) -> bool {
    PARTS.iter().all(|it| folder.join(it.tool).is_file())
}

/// Runs each tool against a server of its own; what they print is the result.
///
/// # Errors
/// A server or a tool cannot be started.
pub(crate) async fn run(folder: &Path, told: &[String]) -> anyhow::Result<ExitCode> {
    let mut is_fine = true;
    for part in PARTS {
        println!("-- {}", part.title);
        let dir = tempfile::tempdir()?;
        let mut server = Server::start(dir.path(), part.settings).await?;
        let status = Command::new("python3")
            .arg(part.tool)
            .args(part.told)
            .args([part.address_as, &server.plain_url()])
            .args(told)
            .current_dir(folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await
            .with_context(|| format!("starting python3 {}", part.tool))?;
        is_fine &= status.success();
        server.stop().await?;
        ensure!(status.code().is_some(), "{} was killed", part.tool);
    }
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
