//! A real journald with files of its own, in a private mount namespace.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin, Command},
};

use crate::{Deadline, Process};

const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// journald wants a /run that is a tmpfs, and `flushed` to write to disk at once. Small files make
/// it rotate under the reader.
const SCRIPT: &str = r#"
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal /var/log/journal
mount --bind "$1" /var/log/journal
printf '[Journal]\nStorage=persistent\nReadKMsg=no\nAudit=no\nForwardToWall=no\nRateLimitIntervalSec=0\nSystemMaxFileSize=1M\nSystemMaxUse=200M\nSystemKeepFree=1M\n' > /run/systemd/journald.conf.d/50-test.conf
touch /run/systemd/journal/flushed
exec "$2"
"#;

const COPY_TO_SOCKET: &str = "
import os, socket, sys
journald = socket.socket(socket.AF_UNIX)
journald.connect(sys.argv[1])
while chunk := os.read(0, 65536):
    journald.sendall(chunk)
";

#[derive(Debug)]
pub struct Journald {
    directory: PathBuf,
    process: Process,
}

impl Journald {
    /// Whether one can be started here; the reason if not.
    pub fn unavailable() -> Option<&'static str> {
        if !crate::is_root() {
            return Some("needs root to start a journald");
        }
        (!Path::new(JOURNALD).exists()).then_some("systemd-journald is not installed")
    }

    /// # Errors
    /// It does not open its sockets.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let directory = dir.join("journal");
        fs::create_dir_all(&directory)?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "bash", "-c", SCRIPT, "journald"]);
        command.arg(&directory).arg(JOURNALD);
        let journald = Self { directory, process: Process::start("journald", &mut command)? };
        Deadline::within(Duration::from_secs(10))
            .until("journald's socket", || async {
                Ok(UnixDatagram::unbound()?.connect(journald.socket("dev-log")).ok())
            })
            .await?;
        Ok(journald)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Logs lines as systemd would from the standard output of a unit. journald remembers the
    /// unit by process, so each call is a process of its own.
    ///
    /// # Errors
    /// The socket does not take them.
    pub async fn log(&self, unit: &str, lines: &[String]) -> anyhow::Result<()> {
        let mut stream = self.stream(unit).await?;
        stream.write(&lines.iter().map(|line| format!("{line}\n")).collect::<String>()).await?;
        stream.finish().await
    }

    /// As [`Journald::log`], for lines that come by and by.
    ///
    /// # Errors
    /// The socket does not take them.
    pub async fn stream(&self, unit: &str) -> anyhow::Result<UnitOutput> {
        let mut writer = Command::new("python3")
            .args(["-c", COPY_TO_SOCKET])
            .arg(self.socket("stdout"))
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting python3")?;
        let stdin = writer.stdin.take().context("python3 has no input")?;
        let mut output = UnitOutput { writer, stdin };
        let ident = unit.trim_end_matches(".service");
        // What systemd says before the first line: identifier, unit, priority, whether lines may
        // begin with one, and whether they go anywhere else.
        output.write(&format!("{ident}\n{unit}\n6\n1\n0\n0\n0\n")).await?;
        Ok(output)
    }

    fn socket(&self, name: &str) -> PathBuf {
        format!("/proc/{}/root/run/systemd/journal/{name}", self.process.pid()).into()
    }
}

/// The standard output of a unit, as systemd connects it: through a process of its own.
#[derive(Debug)]
pub struct UnitOutput {
    writer: Child,
    stdin: ChildStdin,
}

impl UnitOutput {
    /// # Errors
    /// The process is gone.
    pub async fn write(&mut self, lines: &str) -> anyhow::Result<()> {
        Ok(self.stdin.write_all(lines.as_bytes()).await?)
    }

    /// Returns once journald has taken all of it.
    ///
    /// # Errors
    /// It did not.
    pub async fn finish(self) -> anyhow::Result<()> {
        let Self { mut writer, stdin } = self;
        drop(stdin);
        let status = writer.wait().await?;
        anyhow::ensure!(status.success(), "writing to journald failed with {status}");
        Ok(())
    }
}
