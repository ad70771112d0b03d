//! A real journald with files of its own, in a private mount namespace.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{io::AsyncWriteExt as _, net::UnixStream, process::Command};

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
import socket, sys
journald = socket.socket(socket.AF_UNIX)
journald.connect(sys.argv[1])
journald.sendall(sys.stdin.buffer.read())
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
        let mut text = stream_header(unit);
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        let mut writer = Command::new("python3")
            .args(["-c", COPY_TO_SOCKET])
            .arg(self.socket("stdout"))
            .stdin(Stdio::piped())
            .spawn()
            .context("starting python3")?;
        if let Some(mut stdin) = writer.stdin.take() {
            stdin.write_all(text.as_bytes()).await?;
        }
        let status = writer.wait().await?;
        anyhow::ensure!(status.success(), "writing to journald failed with {status}");
        Ok(())
    }

    /// The standard output of a unit, for lines written by and by. One unit a process.
    ///
    /// # Errors
    /// The socket does not take it.
    pub async fn stream(&self, unit: &str) -> anyhow::Result<UnixStream> {
        let mut stream = UnixStream::connect(self.socket("stdout")).await?;
        stream.write_all(stream_header(unit).as_bytes()).await?;
        Ok(stream)
    }

    fn socket(&self, name: &str) -> PathBuf {
        format!("/proc/{}/root/run/systemd/journal/{name}", self.process.pid()).into()
    }
}

/// What systemd says of a unit before its first line: identifier, unit, priority, whether lines
/// may begin with one, and whether they go anywhere else.
fn stream_header(unit: &str) -> String {
    let ident = unit.trim_end_matches(".service");
    format!("{ident}\n{unit}\n6\n1\n0\n0\n0\n")
}
