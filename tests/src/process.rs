//! Child processes of a test: their lines kept for the failure message, killed with the test.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
    time::Instant,
};

/// Where the binaries under test are: `SKEP_BIN_DIR`, or beside the running test.
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("SKEP_BIN_DIR") {
        return dir.into();
    }
    let exe = std::env::current_exe().unwrap_or_default();
    exe.ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

/// Whether the test may load eBPF programs and start a journald.
pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|it| it.lines().any(|line| line.starts_with("Uid:\t0\t")))
}

/// The cgroup2 tree, wherever it is mounted.
pub fn cgroup2() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let at = fields.next()?;
        (fields.next()? == "cgroup2").then(|| at.into())
    })
}

/// A port that nobody listens on now, for a program that cannot say which one it took itself.
///
/// # Errors
/// All are taken.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// CPU time a process has used, in user and kernel mode.
///
/// # Errors
/// It has ended.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |i: usize| fields.get(i).and_then(|it| it.parse::<f64>().ok()).context("stat");
    Ok((ticks(12)? + ticks(13)?) / 100.0)
}

/// Says, where everybody sees it, that a test did not run.
#[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
pub fn skipped(what: &str, why: &str) {
    eprintln!("skipped: {what}: {why}");
}

/// How long to wait for something that will happen.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn within(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// Asks again and again until there is an answer; an error says what was last seen.
    ///
    /// # Errors
    /// The deadline passed.
    pub async fn until<T, F>(self, what: &str, mut ask: impl FnMut() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<Option<T>>>,
    {
        loop {
            let seen = ask().await;
            if let Ok(Some(found)) = seen {
                return Ok(found);
            }
            if Instant::now() > self.0 {
                match seen {
                    Err(error) => return Err(error.context(format!("waited in vain for {what}"))),
                    Ok(_) => bail!("waited in vain for {what}"),
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A program of ours or a client of it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// They end when it has closed its output.
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// # Errors
    /// The program cannot be started.
    pub fn start(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}: {command:?}"))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let mut readers = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            readers.push(tokio::spawn(collect(pipe, Arc::clone(&lines))));
        }
        if let Some(pipe) = child.stderr.take() {
            readers.push(tokio::spawn(collect(pipe, Arc::clone(&lines))));
        }
        Ok(Self { name: name.to_owned(), child, lines, readers })
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        self.lines.lock().map(|it| it.join("\n")).unwrap_or_default()
    }

    /// # Errors
    /// It ended, or did not print such a line in time.
    pub async fn wait_for_line(&mut self, text: &str, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        while !self.log().contains(text) {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before `{text}`:\n{}", self.name, self.log());
            }
            if Instant::now() > deadline {
                bail!("{} did not say `{text}` within {within:?}:\n{}", self.name, self.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What is in a file that it writes when it is ready.
    ///
    /// # Errors
    /// It ended, or did not write the file in time.
    pub async fn wait_for_json(
        &mut self,
        path: &Path,
        within: Duration,
    ) -> anyhow::Result<serde_json::Value> {
        let deadline = Instant::now() + within;
        loop {
            // Half written it is not JSON yet.
            if let Ok(text) = std::fs::read(path)
                && let Ok(json) = serde_json::from_slice(&text)
            {
                return Ok(json);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} and was not ready:\n{}", self.name, self.log());
            }
            if Instant::now() > deadline {
                bail!("{} was not ready within {within:?}:\n{}", self.name, self.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGKILL: what a crash is to it.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("killing {}", self.name))
    }

    /// SIGTERM; it has to end well within `within`.
    ///
    /// # Errors
    /// It ended badly or not at all.
    pub async fn stop(&mut self, within: Duration) -> anyhow::Result<()> {
        Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().await?;
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => {
                let status = status?;
                anyhow::ensure!(
                    status.success(),
                    "{} ended with {status}:\n{}",
                    self.name,
                    self.log()
                );
                Ok(())
            }
            Err(_elapsed) => bail!("{} did not stop within {within:?}:\n{}", self.name, self.log()),
        }
    }

    /// Waits for its end and the end of its output.
    ///
    /// # Errors
    /// It failed, or took longer than `within`.
    pub async fn finish(&mut self, within: Duration) -> anyhow::Result<()> {
        let status =
            tokio::time::timeout(within, self.child.wait()).await.with_context(|| {
                format!("{} took longer than {within:?}:\n{}", self.name, self.log())
            })??;
        for reader in self.readers.drain(..) {
            tokio::time::timeout(within, reader).await.context("its output stays open")??;
        }
        anyhow::ensure!(status.success(), "{} ended with {status}:\n{}", self.name, self.log());
        Ok(())
    }
}

async fn collect(pipe: impl AsyncRead + Unpin, lines: Arc<Mutex<Vec<String>>>) {
    let mut reader = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        if let Ok(mut lines) = lines.lock() {
            lines.push(line);
        }
    }
}
