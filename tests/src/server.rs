//! The server under test: its own folder, its own ports, killed and started again at will.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{Client, Process, bin_dir, free_port};

/// A benchmark has it read a log of a gigabyte first.
const UP_WITHIN: Duration = Duration::from_secs(120);
const DOWN_WITHIN: Duration = Duration::from_secs(30);

/// A token with every scope.
const TOKEN: &str = "skep_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[derive(Debug)]
pub struct Server {
    dir: PathBuf,
    process: Process,
    addresses: Value,
}

impl Server {
    pub const USER: &'static str = "admin";
    pub const PASSWORD: &'static str = "correct horse";

    /// A server with an empty store below `dir`, which tells nothing of itself into it;
    /// `settings` is added to its config.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(dir: &Path, settings: &str) -> anyhow::Result<Self> {
        let silent = "[front.access_log]\nenabled = false\n[self]\nmetrics_interval = \"off\"\n";
        Self::start_observed(dir, &format!("{silent}{settings}")).await
    }

    /// As [`Self::start`], but its requests and figures are in its store.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start_observed(dir: &Path, settings: &str) -> anyhow::Result<Self> {
        let password_hash = ask("hash-password", Self::PASSWORD).await?;
        let token_hash = ask("hash-token", TOKEN).await?;
        // Free now, and the same after a restart: agents have it in their config.
        let port = free_port()?;
        let config = format!(
            "data_dir = {data:?}\n\
             [front]\n\
             domain = \"skep.localhost\"\n\
             https = [\"127.0.0.1:{port}\"]\n\
             redirect = \"127.0.0.1:0\"\n\
             plain = {{ listen = \"127.0.0.1:0\", require_auth = false }}\n\
             [[users]]\n\
             name = {user:?}\n\
             password_hash = {password_hash:?}\n\
             [[tokens]]\n\
             name = \"test\"\n\
             sha256 = {token_hash:?}\n\
             scopes = [\"ingest\", \"query\", \"admin\"]\n\
             {settings}\n",
            data = dir.join("server").display().to_string(),
            user = Self::USER,
        );
        fs::write(dir.join("server.toml"), config)?;
        let (process, addresses) = start(dir).await?;
        Ok(Self { dir: dir.to_owned(), process, addresses })
    }

    /// SIGKILL, then the same command again.
    ///
    /// # Errors
    /// It does not come up again.
    pub async fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill().await?;
        (self.process, self.addresses) = start(&self.dir).await?;
        Ok(())
    }

    /// SIGKILL, and no more.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Starts it, and kills it after this long, ready or not.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn kill_during_start(&mut self, after: Duration) -> anyhow::Result<()> {
        self.process = spawn(&self.dir)?;
        tokio::time::sleep(after).await;
        self.process.kill().await
    }

    /// # Errors
    /// It did not end well.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.stop(DOWN_WITHIN).await
    }

    /// # Errors
    /// It does not come up again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        (self.process, self.addresses) = start(&self.dir).await?;
        Ok(())
    }

    /// Over HTTPS, trusting the server's own CA.
    ///
    /// # Errors
    /// The CA is not there.
    pub fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.url(), TOKEN, &fs::read(self.ca_file())?)
    }

    pub fn token(&self) -> &'static str {
        TOKEN
    }

    pub fn url(&self) -> String {
        self.address("url")
    }

    /// The loopback listener without TLS and access control.
    pub fn plain_url(&self) -> String {
        self.address("http_url")
    }

    pub fn redirect_url(&self) -> String {
        self.address("redirect_url")
    }

    pub fn ca_file(&self) -> PathBuf {
        self.address("ca_file").into()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.address("data_dir").into()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    fn address(&self, key: &str) -> String {
        self.addresses.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

fn spawn(dir: &Path) -> anyhow::Result<Process> {
    let ready = ready_file(dir);
    if ready.exists() {
        fs::remove_file(&ready)?;
    }
    let mut command = Command::new(bin_dir().join("skep-server"));
    command.arg("run").arg("--config").arg(dir.join("server.toml"));
    command.arg("--ready-file").arg(&ready);
    Process::start("skep-server", &mut command)
}

fn ready_file(dir: &Path) -> PathBuf {
    dir.join("server-ready.json")
}

async fn start(dir: &Path) -> anyhow::Result<(Process, Value)> {
    let ready = ready_file(dir);
    let mut process = spawn(dir)?;
    let addresses = process.wait_for_json(&ready, UP_WITHIN).await?;
    Ok((process, addresses))
}

/// Hands a secret to a verb of the server and returns what it prints.
async fn ask(verb: &str, secret: &str) -> anyhow::Result<String> {
    let mut child = Command::new(bin_dir().join("skep-server"))
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting skep-server in {}", bin_dir().display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(secret.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    anyhow::ensure!(output.status.success(), "{verb} failed with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
