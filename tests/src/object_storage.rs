//! An S3 server on loopback, for tests of parts that are not on this machine, and a line to it that
//! can be cut.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    process::Command,
    sync::watch,
    task::JoinHandle,
};

use crate::{Deadline, Process, free_port};

const UP_WITHIN: Duration = Duration::from_secs(60);
const SCRIPT_WITHIN: Duration = Duration::from_secs(120);

/// What a script that reads with Arrow ends with: threads of Arrow's that are at work while Python
/// ends abort it, whatever was read.
pub const END_OF_PYTHON: &str = "\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n";

/// A real S3 server (moto). What it holds is gone when it is.
#[derive(Debug)]
pub struct ObjectStorage {
    python: PathBuf,
    dir: PathBuf,
    port: u16,
    line_port: u16,
    line: watch::Sender<Line>,
    held: watch::Receiver<bool>,
    process: Process,
    proxy: JoinHandle<()>,
}

/// What the line between a server and the storage does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Open,
    /// Connections are closed at once, those that are open too.
    Cut,
    /// Commits get no further than here.
    HoldCommits,
}

impl Drop for ObjectStorage {
    fn drop(&mut self) {
        self.proxy.abort();
    }
}

impl ObjectStorage {
    pub const BUCKET: &'static str = "skep-test";
    pub const ACCESS_KEY: &'static str = "test-access-key";
    pub const SECRET_KEY: &'static str = "test-secret-key";

    /// A Python that has moto and the readers; `cargo xtask test` names it.
    pub fn python() -> Option<PathBuf> {
        let python = PathBuf::from(std::env::var_os("SKEP_TEST_PYTHON")?);
        python.with_file_name("moto_server").exists().then_some(python)
    }

    /// With an empty bucket.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(dir: &Path, python: PathBuf) -> anyhow::Result<Self> {
        let port = free_port()?;
        std::fs::write(dir.join("access-key"), format!("{}\n", Self::ACCESS_KEY))?;
        std::fs::write(dir.join("secret-key"), format!("{}\n", Self::SECRET_KEY))?;
        let process = moto(&python, port)?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let line_port = listener.local_addr()?.port();
        let (line, line_seen) = watch::channel(Line::Open);
        let (hold, held) = watch::channel(false);
        let proxy = tokio::spawn(serve(listener, port, line_seen, hold));
        let dir = dir.to_owned();
        let storage = Self { python, dir, port, line_port, line, held, process, proxy };
        storage.wait_until_up().await?;
        storage.script("s3.create_bucket(Bucket=bucket)", &[]).await?;
        Ok(storage)
    }

    /// The `[object_store]` section of a server's configuration.
    pub fn settings(&self, cache_bytes: &str) -> String {
        format!(
            "[object_store]\n\
             url = \"s3://{}/prefix\"\n\
             endpoint = \"{}\"\n\
             access_key_file = {:?}\n\
             secret_key_file = {:?}\n\
             cache_bytes = {cache_bytes:?}\n",
            Self::BUCKET,
            self.line(),
            self.dir.join("access-key").display().to_string(),
            self.dir.join("secret-key").display().to_string(),
        )
    }

    /// Where a server finds it.
    pub fn line(&self) -> String {
        format!("http://127.0.0.1:{}", self.line_port)
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs Python with `s3` (a client), `bucket`, `endpoint`, `sys` and what is printed returned.
    ///
    /// # Errors
    /// It fails; with what it printed.
    pub async fn script(&self, script: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let head = format!(
            "import sys, boto3\nendpoint = {:?}\nbucket = {:?}\n\
             keys = dict(aws_access_key_id={:?}, aws_secret_access_key={:?}, region_name='us-east-1')\n\
             s3 = boto3.client('s3', endpoint_url=endpoint, **keys)\n",
            self.endpoint(),
            Self::BUCKET,
            Self::ACCESS_KEY,
            Self::SECRET_KEY,
        );
        let mut command = Command::new(&self.python);
        command.arg("-c").arg(format!("{head}{script}{END_OF_PYTHON}")).args(arguments);
        let mut process = Process::start("python", &mut command)?;
        process.finish(SCRIPT_WITHIN).await?;
        Ok(process.log())
    }

    /// Every object, in order of name.
    ///
    /// # Errors
    /// The storage is away.
    pub async fn keys(&self) -> anyhow::Result<Vec<String>> {
        let script = "for page in s3.get_paginator('list_objects_v2').paginate(Bucket=bucket):\n\
                      \tfor it in page.get('Contents', []): print(it['Key'])";
        Ok(self.script(script, &[]).await?.lines().map(str::to_owned).collect())
    }

    pub fn set_line(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Waits until a commit is held up.
    ///
    /// # Errors
    /// The line is gone.
    pub async fn commit_held(&self) -> anyhow::Result<()> {
        self.held.clone().wait_for(|it| *it).await?;
        Ok(())
    }

    async fn wait_until_up(&self) -> anyhow::Result<()> {
        Deadline::within(UP_WITHIN)
            .until("the S3 server", || async {
                let answered = reqwest::get(self.endpoint()).await.context(self.process.log())?;
                Ok(Some(answered))
            })
            .await?;
        Ok(())
    }
}

/// Forwards connections while the line is open.
async fn serve(
    listener: tokio::net::TcpListener,
    port: u16,
    line: watch::Receiver<Line>,
    hold: watch::Sender<bool>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if *line.borrow() == Line::Cut {
            continue;
        }
        let (mut cut, line, hold) = (line.clone(), line.clone(), hold.clone());
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                _ = cut.wait_for(|it| *it == Line::Cut) => {}
                _ = forward(from_client, to_server, Some((line, hold))) => {}
                _ = forward(from_server, to_client, None) => {}
            }
        });
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    commits: Option<(watch::Receiver<Line>, watch::Sender<bool>)>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 65_536];
    loop {
        let n_bytes = from.read(&mut bytes).await?;
        let chunk = bytes.get(..n_bytes).unwrap_or_default();
        if chunk.is_empty() {
            return Ok(());
        }
        if let Some((line, hold)) = &commits {
            let head = String::from_utf8_lossy(chunk.get(..200.min(n_bytes)).unwrap_or_default());
            if *line.borrow() == Line::HoldCommits && is_commit_of_samples(&head) {
                hold.send_replace(true);
                std::future::pending::<()>().await;
            }
        }
        to.write_all(chunk).await?;
    }
}

/// Requests are not pipelined, so each begins a chunk.
fn is_commit_of_samples(head: &str) -> bool {
    head.starts_with("PUT ") && head.contains("/samples/_delta_log/")
}

fn moto(python: &Path, port: u16) -> anyhow::Result<Process> {
    let mut command = Command::new(python.with_file_name("moto_server"));
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    Process::start("moto_server", &mut command)
}
