//! The throw-away config of a development run, and the secrets that stay the same between runs.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// One login and one token with every scope.
#[derive(Serialize, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) token: String,
}

impl Secrets {
    pub(crate) fn load_or_make(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("secrets.json");
        if let Ok(text) = fs::read_to_string(&path) {
            return serde_json::from_str(&text).with_context(|| {
                format!("reading {} (remove it to get new ones)", path.display())
            });
        }
        let secrets = Self {
            user: "admin".to_owned(),
            password: random_hex(8)?,
            token: format!("skep_{}", random_hex(32)?),
        };
        write_private(&path, &serde_json::to_string_pretty(&secrets)?)?;
        Ok(secrets)
    }
}

/// Writes the server's config and returns where.
pub(crate) fn server(
    data: &Path,
    secrets: &Secrets,
    server_bin: &Path,
    port: u16,
) -> anyhow::Result<PathBuf> {
    let password_hash = ask(server_bin, "hash-password", &secrets.password)?;
    let token_hash = ask(server_bin, "hash-token", &secrets.token)?;
    let [https, redirect, plain] =
        [port, 8080, 8428].map(|it| if port == 0 { 0 } else { free(it) });
    let text = format!(
        r#"# Written anew by each `cargo xtask run`.
data_dir = {data:?}

[front]
domain = "skep.localhost"
https = ["127.0.0.1:{https}"]
redirect = "127.0.0.1:{redirect}"
# For tools on this machine that speak neither TLS nor tokens. Off unless configured.
plain = {{ listen = "127.0.0.1:{plain}", require_auth = false }}

[store]
# Keep everything: test data is often years old.
retention = "off"

[[users]]
name = {user:?}
password_hash = {password_hash:?}

[[tokens]]
name = "development"
sha256 = {token_hash:?}
scopes = ["ingest", "query", "admin"]
"#,
        data = data.join("server").display().to_string(),
        user = secrets.user,
    );
    write_private(&data.join("token"), &secrets.token)?;
    let path = data.join("server.toml");
    write_private(&path, &text)?;
    Ok(path)
}

/// Writes the agent's config and returns where.
pub(crate) fn agent(
    data: &Path,
    url: &str,
    ca_file: &str,
    journal: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    let journal = match journal {
        Some(directory) => {
            format!("enabled = true\ndirectory = {:?}", directory.display().to_string())
        }
        None => "enabled = false".to_owned(),
    };
    let text = format!(
        r#"# Written anew by each `cargo xtask run`.
data_dir = {data_dir:?}
interval = "5s"

[server]
url = {url:?}
token_file = {token:?}
ca_file = {ca_file:?}

[journal]
{journal}
"#,
        data_dir = data.join("agent").display().to_string(),
        token = data.join("token").display().to_string(),
    );
    let path = data.join("agent.toml");
    write_private(&path, &text)?;
    Ok(path)
}

/// The port if nothing listens on it, else 0: any.
fn free(port: u16) -> u16 {
    TcpListener::bind(("127.0.0.1", port)).map_or(0, |_| port)
}

/// Hands a secret to one of the server's verbs through standard input and returns what it prints.
fn ask(server_bin: &Path, verb: &str, secret: &str) -> anyhow::Result<String> {
    let mut child = Command::new(server_bin)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", server_bin.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(secret.as_bytes()).with_context(|| format!("writing to {verb}"))?;
    }
    let output = child.wait_with_output().with_context(|| format!("running {verb}"))?;
    anyhow::ensure!(output.status.success(), "skep-server {verb} failed with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut it| it.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

fn random_hex(n_bytes: usize) -> anyhow::Result<String> {
    let mut bytes = vec![0; n_bytes];
    fs::File::open("/dev/urandom")
        .and_then(|mut it| it.read_exact(&mut bytes))
        .context("reading /dev/urandom")?;
    Ok(bytes.iter().map(|it| format!("{it:02x}")).collect())
}
