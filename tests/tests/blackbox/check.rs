//! `skep-server check`: what it says of a configuration that is wrong, and of one that soon will be.

use std::path::Path;

use anyhow::{Context as _, ensure};
use skep_tests::{bin_dir, free_port};
use tokio::{net::TcpListener, process::Command};

/// What it prints as errors and warnings, with the folder of the test as `DIR`.
async fn check(dir: &Path, config: &str, more: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let path = dir.join("server.toml");
    let data_dir = dir.join("data").display().to_string();
    std::fs::write(&path, format!("data_dir = {data_dir:?}\n{config}"))?;
    let mut command = Command::new(bin_dir().join("skep-server"));
    let output = command.arg("check").args(more).arg(&path).output().await?;
    let text = String::from_utf8(output.stderr)?;
    ensure!(!dir.join("data").exists(), "it looks and changes nothing: {text}");
    let said = text.replace(&dir.display().to_string(), "DIR");
    Ok((output.status.code(), said))
}

async fn check_refused(config: &str, expected: &[&str]) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (code, said) = check(dir.path(), config, &[]).await?;
    assert_eq!(code, Some(78), "{said}");
    let places: Vec<&str> = said.lines().filter_map(|it| it.strip_prefix("error: ")).collect();
    assert_eq!(places.len(), expected.len(), "{said}");
    for (line, place) in places.iter().zip(expected) {
        assert!(line.starts_with(place), "{place} is not where {said}");
    }
    Ok(())
}

#[tokio::test]
async fn mistakes_are_told_together_with_line_column_and_key() -> anyhow::Result<()> {
    // Keys that are not there, then values that cannot be.
    check_refused(
        "[front]\nhttp = \"127.0.0.1:80\"\n[[sites]]\nhost = \"x.lan\"\n",
        &[
            "DIR/server.toml:3:1: front.http: unknown field `http`, expected one of",
            "DIR/server.toml:4:1: sites[0]: missing field `hosts`",
            "DIR/server.toml:5:1: sites[0].host: unknown field `host`, expected one of",
        ],
    )
    .await?;
    check_refused(
        "[front]\ndomain = \"home lan\"\n[[sites]]\nhosts = []\n",
        &["DIR/server.toml:3:1: front.domain", "DIR/server.toml:5:1: sites[0].hosts"],
    )
    .await
}

#[tokio::test]
async fn what_soon_will_be_wrong_is_a_warning() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (up, down) = (listener.local_addr()?.port(), free_port()?);
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let config = format!(
        "[front]
domain = \"home.example.org\"
[[acme]]
terms_agreed = true
names = [\"home.example.org\", \"*.home.example.org\"]
challenge = \"dns-01\"
dns = {{ provider = \"exec\", program = \"/bin/true\" }}
[[sites]]
hosts = [\"photos.example.net\"]
routes = [{{ files = {{ root = {root:?} }} }}]
[[sites]]
hosts = [\"app.home.example.org\"]
to = [\"http://127.0.0.1:{up}\", \"http://127.0.0.1:{down}\"]
",
        root = dir.path().join("nowhere").display().to_string(),
    );
    let (code, quick) = check(dir.path(), &config, &[]).await?;
    assert_eq!(code, Some(0), "{quick}");
    let expected = "\
warning: DIR/server.toml:10:10: sites[0].hosts \"photos.example.net\" is in no certificate but the local CA's; add it to acme.names or acme.zones, or name files of it in [[certificates]]
warning: DIR/server.toml:11:23: sites[0].routes[0].files.root \"DIR/nowhere\": No such file or directory (os error 2)
";
    assert_eq!(quick, expected);

    let (code, whole) = check(dir.path(), &config, &["--connect"]).await?;
    assert_eq!(code, Some(0), "{whole}");
    let more = whole.strip_prefix(expected).with_context(|| whole.clone())?;
    let silent = format!(
        "warning: DIR/server.toml:14:33: sites[1].to \"http://127.0.0.1:{down}\" gives no good answer: Connection refused"
    );
    assert!(more.starts_with(&silent) && more.lines().count() == 1, "{whole}");
    Ok(())
}
