//! A guest that is a container: systemd-nspawn over a copy-on-write view of this machine's root, in memory.
//!
//! A process of ours holds the mounts, so that the guest's files outlive a guest that is killed, and go
//! with us. Nothing outside is changed but two control groups, which are removed.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{
    guest::{FRESH, Guest},
    signal,
};
use crate::shell;

const UP_WITHIN: Duration = Duration::from_secs(120);
const DOWN_WITHIN: Duration = Duration::from_secs(60);
const ROOT: &str = "/run/skep-guest/root";
/// Hierarchies that a guest wants a control group of its own in, on machines of both versions.
const HIERARCHIES: [&str; 3] = ["systemd", "unified", ""];

/// Makes the guest's root and holds it.
const HOLD: &str = r#"set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/skep-guest/memory /run/skep-guest/root
mount -t tmpfs -o size=75% tmpfs /run/skep-guest/memory
cd /run/skep-guest
mkdir memory/upper memory/work
mount -t overlay overlay -o lowerdir=/,upperdir=memory/upper,workdir=memory/work root
cd root
host=$1
@FRESH@echo held
exec sleep infinity"#;

/// Boots it in control groups of its own, with every capability and what kernel programs need.
const BOOT: &str = r#"set -eu
for group in $3; do
	mkdir -p "$group"
	echo $$ >"$group/cgroup.procs"
done
exec nsenter --mount --target "$1" systemd-nspawn --quiet --directory=/run/skep-guest/root --boot \
	--register=no --keep-unit --link-journal=no --resolv-conf=off --timezone=off --console=pipe \
	--tmpfs=/tmp --machine="$2" --hostname="$2" --capability=all \
	--system-call-filter='bpf perf_event_open' $4"#;

/// Which loopback the guest has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// Its own, and nothing else.
    Own,
    /// This machine's.
    Shared,
}

pub(crate) struct Container {
    host: &'static str,
    network: Network,
    /// Control groups, one a hierarchy.
    groups: Vec<String>,
    holder: Child,
    nspawn: Option<Child>,
}

/// What is missing here to boot one.
pub(crate) fn why_not() -> Option<String> {
    if !shell::is_root() {
        return Some("only root may".to_owned());
    }
    if let Some(missing) = ["systemd-nspawn", "unshare", "nsenter", "dpkg-deb", "curl", "logger"]
        .into_iter()
        .find(|it| shell::which(it).is_none())
    {
        return Some(format!("{missing} is not installed"));
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.lines().any(|it| it.ends_with("\toverlay")) {
        return Some("the kernel has no overlay file system".to_owned());
    }
    let mut mount = Command::new("unshare");
    mount.args(["--mount", "--propagation", "slave", "mount", "-t", "tmpfs", "tmpfs", "/run"]);
    shell::quiet(&mut mount).err().map(|error| error.to_string())
}

impl Container {
    /// Makes its root; it is not booted yet.
    pub(crate) fn start(host: &'static str, network: Network) -> anyhow::Result<Self> {
        let mut holder = shell::tied("unshare")
            .args(["--mount", "--propagation", "slave", "sh", "-c"])
            .args([&HOLD.replace("@FRESH@", FRESH), "sh", host])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("making the guest's root")?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).context("waiting for the guest's root")?;
        }
        let groups = HIERARCHIES
            .into_iter()
            .map(|it| Path::new("/sys/fs/cgroup").join(it))
            .filter(|it| it.join("cgroup.procs").exists())
            .map(|it| it.join(format!("skep-guest-{}", holder.id())).display().to_string())
            .collect();
        let guest = Self { host, network, groups, holder, nspawn: None };
        anyhow::ensure!(line == "held\n", "the guest's root could not be made; see above");
        Ok(guest)
    }

    #[expect(clippy::disallowed_methods, reason = "a deadline for a guest of our own")]
    fn end(&mut self, within: Duration) -> anyhow::Result<()> {
        if let Some(mut nspawn) = self.nspawn.take() {
            let deadline = Instant::now() + within;
            signal("TERM", nspawn.id());
            while nspawn.try_wait()?.is_none() {
                if Instant::now() > deadline {
                    nspawn.kill().context("killing the guest")?;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        for group in &self.groups {
            let mut remove = Command::new("find");
            remove.args([group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
            // The kernel may take a moment; an empty group costs nothing.
            shell::succeeds(&mut remove);
        }
        self.holder.kill().context("letting go of the guest's root")?;
        self.holder.wait().map(drop).context("letting go of the guest's root")
    }

    /// Our number of the guest's first process.
    fn leader(&self) -> anyhow::Result<u32> {
        let pid = self.nspawn.as_ref().context("the guest is not booted")?.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .context("looking for the guest's first process")?;
        let first = children.split_whitespace().next().context("the guest has no process yet")?;
        first.parse().with_context(|| format!("{first:?} is no process"))
    }
}

impl Guest for Container {
    fn boot(&mut self) -> anyhow::Result<()> {
        let network = match self.network {
            Network::Own => "--private-network",
            Network::Shared => "",
        };
        let nspawn = shell::tied("sh")
            .args(["-c", BOOT, "sh", &self.holder.id().to_string(), self.host])
            .args([&self.groups.join(" "), network])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("booting the guest")?;
        self.nspawn = Some(nspawn);
        self.wait_until_up(UP_WITHIN)
    }

    /// SIGKILL to all of it at once.
    fn kill(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(signal("KILL", self.leader()?), "the guest could not be killed");
        if let Some(mut nspawn) = self.nspawn.take() {
            nspawn.wait().context("waiting for the killed guest")?;
        }
        Ok(())
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.end(DOWN_WITHIN)
    }

    fn command(&self, words: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader()?.to_string()]);
        command.args([
            "--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup", "--root", "--wd", "--",
        ]);
        command.args(words);
        Ok(command)
    }

    fn copy(&self, file: &Path) -> anyhow::Result<()> {
        let mut copy = Command::new("nsenter");
        copy.args(["--mount", "--target", &self.holder.id().to_string(), "cp"]);
        shell::quiet(copy.arg(file).arg(format!("{ROOT}/root/"))).map(drop)
    }

    fn shell_command(&self) -> String {
        let pid = self.leader().unwrap_or_default();
        format!("sudo nsenter --target {pid} --all --root --wd bash -l")
    }
}

/// After a failed test, nothing stays behind.
impl Drop for Container {
    fn drop(&mut self) {
        if let Err(error) = self.end(Duration::ZERO) {
            eprintln!("the guest is left behind: {error:#}");
        }
    }
}
