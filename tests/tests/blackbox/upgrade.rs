//! What an upgrade meets: a data folder of before, one of a newer version, settings of a newer one.

use std::{fs, path::Path};

use anyhow::Context as _;
use skep_tests::{Server, bin_dir};
use tokio::process::Command;

use crate::admin::{everything, text, tool};

/// By format: what an older release has written, and what is served from it.
const FORMATS: [(&str, &str); 1] = [(
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/blackbox/format-1"),
    include_str!("format-1/expected.jsonl"),
)];
/// Bad configuration, or a folder that this version must not touch.
const EXIT_CONFIG: i32 = 78;

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to)?,
            false => fs::copy(entry.path(), to).map(drop)?,
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_data_folder_of_an_older_release_is_read_whole_by_verbs_and_server() -> anyhow::Result<()>
{
    for (fixture, expected) in FORMATS {
        let dir = tempfile::tempdir()?;
        let (beside, own) = (dir.path().join("beside"), dir.path().join("server"));
        let fixture = Path::new(fixture).join("data");
        copy(&fixture, &beside)?;
        copy(&fixture, &own)?;
        assert_eq!(everything(&["--data-dir", text(&beside)?]).await?, expected);

        let mut server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
        let token_file = dir.path().join("token");
        fs::write(&token_file, server.token())?;
        let (url, ca_file) = (server.url(), server.ca_file());
        let at = ["--url", &url, "--token-file", text(&token_file)?, "--ca-file", text(&ca_file)?];
        assert_eq!(everything(&at).await?, expected);
        let config = dir.path().join("server.toml");
        for (what, name) in [("user", "ada"), ("token", "grafana")] {
            let known = tool(&[what, "list", "--config", text(&config)?]).await?;
            assert!(known.lines().any(|it| it.starts_with(name)), "{known}");
        }
        // Brought up to date and merged, it is still the same.
        server.client()?.compact().await?;
        server.stop().await?;
        assert_eq!(everything(&["--data-dir", text(&own)?]).await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_refused_with_what_to_do() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let data_dir = dir.path().join("data");
    fs::create_dir(&data_dir)?;
    let stamp = data_dir.join("version.json");
    let newer = r#"{"format":99,"written_by":"9.0.0","more":true}"#;
    fs::write(&stamp, newer)?;
    let good = format!("data_dir = {:?}\n", text(&data_dir)?);
    let version = env!("CARGO_PKG_VERSION");
    let agent = "[server]\nurl = \"http://127.0.0.1:9\"\n[server.warp]\nspeed = 9\n";
    for (program, config, said) in [
        ("skep-server", good.clone(), "written by Skep 9.0.0, which is newer".to_owned()),
        ("skep-server", format!("{good}[front]\nwarp = 9\n"), ":3:1: front.warp: unknown".into()),
        ("skep-server", format!("{good}[warp]\n"), format!("this is skep-server {version}")),
        ("skep-agent", agent.to_owned(), "unknown field `warp`".to_owned()),
        ("skep-agent", agent.to_owned(), format!("this is skep-agent {version}")),
    ] {
        let file = dir.path().join("config.toml");
        fs::write(&file, config)?;
        let mut run = Command::new(bin_dir().join(program));
        let output = run.arg("run").arg("--config").arg(&file).output().await?;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(EXIT_CONFIG), "{told}");
        assert!(told.contains(&said), "no {said:?} in {told}");
    }
    assert_eq!(fs::read_to_string(&stamp)?, newer);
    assert_eq!(fs::read_dir(&data_dir)?.count(), 1, "something was written beside it");
    Ok(())
}
