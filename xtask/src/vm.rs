//! `cargo xtask vm`: a guest with systemd as its first process, over this machine's own root, for what
//! packages do. It shares the kernel, or is `--full` machine; `vmtest` runs kernel tests alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    build,
    dist::{self, Product, Release},
    paths, setup, shell,
};

mod container;
mod guest;
mod journey;
mod machine;
mod ssh;

use container::{Container, Network};
use guest::Guest;
use machine::Machine;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Take the binaries from this folder and build nothing.
    #[arg(long, value_name = "DIR", global = true)]
    bin_dir: Option<PathBuf>,
    /// A machine with a kernel of its own, Debian's, under qemu: by KVM where that boots it, else
    /// emulated, which takes minutes.
    #[arg(long, global = true)]
    full: bool,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Install server and agent in a guest that shares this machine's network, until Ctrl-C.
    Run {
        /// Only the agent, which sends to the server of a `cargo xtask run --ready-file PATH`.
        #[arg(long, value_name = "PATH")]
        ready_file: Option<PathBuf>,
    },
    /// Install, enrol, deploy, kill, start again, upgrade, remove: what a user's machine goes through.
    Test,
}

/// What a guest needs of this machine, or finds on it.
const TOOLS: [(&str, &str); 3] = [
    ("systemd-nspawn", "systemd-container"),
    ("sshd", "openssh-server"),
    ("promtool", "prometheus"),
];

/// Names and passwords of a guest that only this machine reaches, and that is gone with it.
pub(crate) const USER: &str = "admin";
pub(crate) const PASSWORD: &str = "correct horse";

/// Which guest is booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    Machine,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let kind = if args.full { Kind::Machine } else { Kind::Container };
    setup::run(setup::For::Run)?;
    for (program, package) in TOOLS {
        if shell::is_root() && shell::which(program).is_none() {
            setup::package(package)?;
        }
    }
    if let Some(why) = why_not(kind) {
        anyhow::bail!("no guest can be booted here: {why}");
    }
    let bin_dir = match &args.bin_dir {
        Some(dir) => dir.clone(),
        None => build::binaries(false)?.bin_dir,
    };
    match &args.verb {
        Verb::Run { ready_file } => keep_up(&bin_dir, kind, ready_file.as_deref()),
        Verb::Test => test(&bin_dir, kind),
    }
}

/// The last step of `cargo xtask test`; says why where no guest can be booted.
pub(crate) fn test_where_possible() -> anyhow::Result<()> {
    match container::why_not() {
        Some(why) => {
            eprintln!("skipped because no guest can be booted here: {why}");
            Ok(())
        }
        None => test(&paths::bin_dir(false), Kind::Container),
    }
}

fn why_not(kind: Kind) -> Option<String> {
    match kind {
        Kind::Machine if std::env::consts::ARCH != "x86_64" => {
            Some(format!("it is for x86_64; this is {}", std::env::consts::ARCH))
        }
        Kind::Machine => None,
        Kind::Container => container::why_not(),
    }
}

fn test(bin_dir: &Path, kind: Kind) -> anyhow::Result<()> {
    let release = release(bin_dir)?;
    if kind == Kind::Machine {
        let packages = Packages::make(&release)?;
        let tested = journey::full(&packages, &release.out);
        packages.remove();
        return tested;
    }
    let upgraded =
        Release { version: format!("{}+upgraded", release.version), ..self::release(bin_dir)? };
    let packages = Packages::make(&release)?;
    let upgrade = Packages::make(&upgraded)?;
    let tested = journey::travel(&packages, &upgrade);
    for packages in [packages, upgrade] {
        packages.remove();
    }
    tested
}

fn release(bin_dir: &Path) -> anyhow::Result<Release> {
    let out = paths::target().join("vm-packages");
    let release = Release::of(&paths::root(), bin_dir.to_owned(), &out)?;
    Ok(Release { compressed: false, ..release })
}

/// Both packages of one version.
pub(crate) struct Packages {
    pub(crate) version: String,
    pub(crate) server: PathBuf,
    pub(crate) agent: PathBuf,
}

impl Packages {
    fn make(release: &Release) -> anyhow::Result<Self> {
        dist::tools()?;
        Ok(Self {
            version: release.version.clone(),
            server: dist::deb(release, Product::Server)?,
            agent: dist::deb(release, Product::Agent)?,
        })
    }

    /// Those of a development build are large.
    fn remove(&self) {
        for file in [&self.server, &self.agent] {
            if let Err(error) = fs::remove_file(file) {
                eprintln!("{} is left behind: {error}", file.display());
            }
        }
    }
}

/// Where the page of a server in a guest is.
const PAGE_PORT: u16 = 8443;

fn keep_up(bin_dir: &Path, kind: Kind, ready_file: Option<&Path>) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("watching for signals")?;
    let release = release(bin_dir)?;
    let packages = Packages::make(&release)?;
    let mut guest: Box<dyn Guest> = if kind == Kind::Machine {
        let page = ready_file.is_none().then_some(PAGE_PORT);
        Box::new(Machine::make("bee-1", &release.out, page)?)
    } else {
        Box::new(Container::start("bee-1", Network::Shared)?)
    };
    guest.boot()?;
    let installed = install(guest.as_ref(), &packages, kind, ready_file);
    packages.remove();
    installed?;
    eprintln!("\n  The guest is up.\n");
    if ready_file.is_none() {
        eprintln!("  page   https://localhost:{PAGE_PORT}\n  login  {USER} / {PASSWORD}");
    }
    eprintln!("  shell  {}", guest.shell_command());
    if kind == Kind::Container {
        ssh::start(guest.as_ref())?;
        let key = ssh::key_outside(guest.as_ref())?;
        eprintln!("  ssh    ssh -i {} -p 2223 root@localhost", key.display());
    }
    eprintln!("\n  Ctrl-C ends it and all that is in it.\n");
    while signals.pending().next().is_none() {
        std::thread::sleep(Duration::from_millis(50));
    }
    guest.stop()
}

fn install(
    guest: &dyn Guest,
    packages: &Packages,
    kind: Kind,
    ready_file: Option<&Path>,
) -> anyhow::Result<()> {
    if let Some(path) = ready_file {
        return install_agent(guest, packages, kind, path);
    }
    journey::install(guest, packages)?;
    if kind == Kind::Machine {
        // To be reached from outside of it.
        let open = format!("s,^# https = .*,https = [\"[::]:{PAGE_PORT}\"],");
        guest.run(&["sed", "-i", &open, "/etc/skep/server.toml"])?;
    }
    journey::enrol(guest, "5s")
}

/// Points an agent in the guest at a server outside.
fn install_agent(
    guest: &dyn Guest,
    packages: &Packages,
    kind: Kind,
    ready_file: &Path,
) -> anyhow::Result<()> {
    let ready = fs::read_to_string(ready_file).with_context(|| {
        format!("reading {}; does `cargo xtask run` run?", ready_file.display())
    })?;
    let ready: serde_json::Value =
        serde_json::from_str(&ready).context("reading the ready file")?;
    let member = |key: &str| {
        let text = ready.get(key).and_then(serde_json::Value::as_str);
        text.with_context(|| format!("{} has no {key}", ready_file.display()))
    };
    guest.copy(&packages.agent)?;
    guest.sh("apt-get install --yes /root/skep-agent_*.deb")?;
    guest.write("/etc/skep/agent-token", member("token")?)?;
    let ca = fs::read_to_string(member("ca_file")?).context("reading the server's CA")?;
    guest.write("/etc/skep/ca.pem", &ca)?;
    let url = member("url")?;
    // Loopback is the guest's own there; it knows this machine by the name of the page.
    let url = if kind == Kind::Machine {
        url.replace("//localhost", "//skep.localhost")
    } else {
        url.to_owned()
    };
    guest.sh(&format!(
        "sed -i 's,^url = .*,url = \"{url}\",' /etc/skep/agent.toml && systemctl restart skep-agent"
    ))?;
    Ok(())
}

/// Asks a process that is not ours to end; whether it could be asked.
fn signal(name: &str, pid: u32) -> bool {
    shell::succeeds(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]))
}
