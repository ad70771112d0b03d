//! The journal that the agent follows: the machine's own or, where none runs, one of ours.
//!
//! A machine without systemd as PID 1 (a container, CI) has no journal. As root we start a real
//! journald by hand there, in a private mount namespace, with its files below the data folder and
//! `/dev/log` pointing to it, so that `logger` works.

use std::{
    fs,
    os::unix::net::{UnixDatagram, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::shell;

const JOURNALD: &str = "/lib/systemd/systemd-journald";
const DEV_LOG: &str = "/dev/log";

/// The mount namespace: journald insists on a /run that is a tmpfs, and writes to memory only
/// until something says that /var is there (`flushed`).
const SCRIPT: &str = r#"
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal /var/log/journal
mount --bind "$1" /var/log/journal
printf '[Journal]\nStorage=persistent\nReadKMsg=no\nAudit=no\nForwardToWall=no\nRateLimitIntervalSec=0\nSystemMaxFileSize=16M\nSystemMaxUse=256M\n' > /run/systemd/journald.conf.d/50-skep.conf
touch /run/systemd/journal/flushed
exec "$2"
"#;

pub(crate) enum Journal {
    /// systemd's own, where libsystemd looks by itself.
    Machine {
        directory: PathBuf,
    },
    Ours {
        directory: PathBuf,
        process: Child,
        owns_dev_log: bool,
    },
}

impl Journal {
    /// None, with the reason said, where there is neither.
    pub(crate) fn find_or_start(data: &Path) -> Option<Self> {
        if UnixStream::connect("/run/systemd/journal/stdout").is_ok() {
            let persistent = Path::new("/var/log/journal");
            let directory =
                if persistent.is_dir() { persistent } else { Path::new("/run/log/journal") };
            return Some(Self::Machine { directory: directory.to_owned() });
        }
        if !shell::is_root() || !Path::new(JOURNALD).exists() {
            eprintln!(
                "no journald runs here, and one can only be started as root with systemd \
                 installed: there will be no journal lines"
            );
            return None;
        }
        match start(data) {
            Ok(journal) => Some(journal),
            Err(error) => {
                eprintln!("could not start a journald, there will be no journal lines: {error:#}");
                None
            }
        }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        match self {
            Self::Machine { directory } | Self::Ours { directory, .. } => directory.clone(),
        }
    }

    pub(crate) fn stdout_socket(&self) -> Option<PathBuf> {
        self.socket("stdout")
    }

    /// Where `logger -u` writes to.
    pub(crate) fn syslog_socket(&self) -> Option<PathBuf> {
        self.socket("dev-log")
    }

    fn socket(&self, name: &str) -> Option<PathBuf> {
        let root = match self {
            Self::Machine { .. } => String::new(),
            Self::Ours { process, .. } => format!("/proc/{}/root", process.id()),
        };
        Some(PathBuf::from(format!("{root}/run/systemd/journal/{name}")))
    }

    pub(crate) fn stop(&mut self) {
        let Self::Ours { process, owns_dev_log, .. } = self else { return };
        if *owns_dev_log {
            drop(fs::remove_file(DEV_LOG));
        }
        let pid = process.id().to_string();
        shell::succeeds(Command::new("kill").args(["-TERM", &pid]));
        drop(process.wait());
    }
}

fn start(data: &Path) -> anyhow::Result<Journal> {
    let directory = data.join("journal");
    fs::create_dir_all(&directory)?;
    if !Path::new("/etc/machine-id").exists() {
        shell::quiet(&mut Command::new("systemd-machine-id-setup"))?;
    }
    let mut process = shell::tied("unshare")
        .args(["--mount", "--propagation", "private", "bash", "-c", SCRIPT, "journald"])
        .arg(&directory)
        .arg(JOURNALD)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let socket = PathBuf::from(format!("/proc/{}/root/run/systemd/journal/dev-log", process.id()));
    for _ in 0..500 {
        if let Some(status) = process.try_wait()? {
            anyhow::bail!("journald ended with {status}");
        }
        let probe = UnixDatagram::unbound()?;
        if probe.connect(&socket).is_ok() {
            let owns_dev_log = link_dev_log(&socket);
            eprintln!(
                "no journald runs here: started one, its files are in {}",
                directory.display()
            );
            return Ok(Journal::Ours { directory, process, owns_dev_log });
        }
        thread::sleep(Duration::from_millis(10));
    }
    drop(process.kill());
    drop(process.wait());
    anyhow::bail!("journald did not open its socket within 5 s")
}

/// Where `logger` writes to, unless somebody listens there already.
fn link_dev_log(socket: &Path) -> bool {
    let taken = UnixDatagram::unbound().and_then(|it| it.connect(DEV_LOG)).is_ok();
    if taken {
        return false;
    }
    // A link that a killed run left behind points nowhere.
    if fs::symlink_metadata(DEV_LOG).is_ok_and(|it| it.is_symlink()) {
        drop(fs::remove_file(DEV_LOG));
    }
    std::os::unix::fs::symlink(socket, DEV_LOG).is_ok()
}
