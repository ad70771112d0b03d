//! `skep-server deploy`: an agent on another host, over the system's own ssh. Keys, passwords and
//! what to think of an unknown host stay ssh's business.

#![expect(clippy::print_stderr, reason = "a command line tool")]

use std::{
    ffi::OsStr,
    io::IsTerminal as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use skep_front::shell_word;

use crate::enrol::{Enroller, ServerArguments};

/// From here to the agent's first start.
const ENROLMENT_LIFETIME: Duration = Duration::from_secs(3600);
const SCRIPT: &str = "install.sh";
/// Tells what is to be known of a host, one a line.
const SURVEY: &str = "uname -m; uname -n; id -u; d=$(mktemp -d) && echo \"$d\"";

/// Installs the agent on a host over ssh and lets it in.
#[derive(Args)]
pub(crate) struct Deploy {
    /// As ssh takes it: USER@HOST, or a name of ~/.ssh/config.
    target: String,
    /// What the host is called here; as it calls itself, if left out.
    #[arg(long)]
    name: Option<String>,
    /// Put this server's agent in the place of the one there.
    #[arg(long, conflicts_with = "remove")]
    upgrade: bool,
    /// Stop and remove the agent, and revoke its credential.
    #[arg(long)]
    remove: bool,
    /// Install below this folder of the host (an image, a container) and start nothing.
    #[arg(long, value_name = "DIR")]
    root: Option<String>,
    /// An option for ssh and scp, as in ssh_config: "Port=2222".
    #[arg(short = 'o', value_name = "KEY=VALUE")]
    options: Vec<String>,
    #[command(flatten)]
    server: ServerArguments,
}

/// What a host tells of itself.
#[derive(Debug, PartialEq, Eq)]
struct Surveyed {
    arch: String,
    name: String,
    is_root: bool,
    /// Made for this visit.
    folder: String,
}

/// One connection for everything, so that a password is asked for once.
struct Ssh<'a> {
    target: &'a str,
    options: Vec<String>,
}

impl Deploy {
    /// # Errors
    /// What ssh, the host or the server's files say.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let enroller = self.server.open()?;
        let control = tempfile::tempdir().context("making a folder of our own")?;
        let ssh = Ssh::new(&self.target, &self.options, control.path());
        let done = self.visit(&ssh, &enroller, control.path());
        ssh.hang_up();
        done
    }

    fn visit(&self, ssh: &Ssh<'_>, enroller: &Enroller, control: &Path) -> anyhow::Result<()> {
        let survey = ssh.ask(SURVEY).with_context(|| format!("reaching {}", self.target))?;
        let host = Surveyed::read(&survey)
            .with_context(|| format!("{} answered {survey:?}", self.target))?;
        let done = self.work(ssh, enroller, control, &host);
        let cleared = ssh.ask(&format!("rm -rf {}", shell_word(&host.folder)));
        done.and(cleared.map(drop))
    }

    fn work(
        &self,
        ssh: &Ssh<'_>,
        enroller: &Enroller,
        control: &Path,
        host: &Surveyed,
    ) -> anyhow::Result<()> {
        let name = self.name.as_ref().unwrap_or(&host.name);
        let installer = match self.upgrade || self.remove {
            true => enroller.installer_without_token(name)?,
            false => enroller.installer(name, ENROLMENT_LIFETIME)?,
        };
        let script = control.join(SCRIPT);
        write_private(&script, &installer.script())?;
        let mut files = vec![script];
        if !self.remove {
            let programs = &enroller.config.front.agent_programs;
            let program = programs.find(&host.arch).with_context(|| {
                let wanted = programs.folder.join(format!("skep-agent-{}", host.arch));
                format!(
                    "{} is {}, and this server has no agent for it: put one into {}",
                    self.target,
                    host.arch,
                    wanted.display()
                )
            })?;
            let link = control.join("skep-agent");
            std::os::unix::fs::symlink(&program, &link)
                .with_context(|| format!("making {}", link.display()))?;
            files.push(link);
        }
        eprintln!("{}: {} ({}), sending files to {}", self.target, name, host.arch, host.folder);
        ssh.copy(&files, &host.folder)?;
        ssh.run(&self.command(host), host.is_root)
            .with_context(|| format!("on {}; what it did is told above", self.target))?;
        if self.remove {
            match enroller.revoke(name) {
                Ok(()) => eprintln!("{name}: its credential is revoked"),
                Err(error) => eprintln!("{name}: no credential was revoked: {error:#}"),
            }
        } else {
            eprintln!("{name}: done; its figures are on {}", enroller.url());
        }
        Ok(())
    }

    fn command(&self, host: &Surveyed) -> String {
        let folder = shell_word(&host.folder);
        let sudo = if host.is_root { "" } else { "sudo " };
        let verb = match (self.upgrade, self.remove) {
            (true, _) => " --upgrade",
            (_, true) => " --remove",
            _ => "",
        };
        let root = self.root.as_ref().map(|it| format!(" --root {}", shell_word(it)));
        let root = root.unwrap_or_default();
        format!("{sudo}sh {folder}/{SCRIPT} --from {folder}{verb}{root}")
    }
}

impl Surveyed {
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(|it| it.trim().to_owned());
        let (arch, name) = (lines.next()?, lines.next()?);
        let (uid, folder) = (lines.next()?, lines.next()?);
        let is_well = uid.bytes().all(|it| it.is_ascii_digit()) && folder.starts_with('/');
        is_well.then(|| Self { arch, name, is_root: uid == "0", folder })
    }
}

impl<'a> Ssh<'a> {
    fn new(target: &'a str, options: &[String], control: &Path) -> Self {
        let shared = [
            "ControlMaster=auto".to_owned(),
            format!("ControlPath={}/%C", control.display()),
            "ControlPersist=60".to_owned(),
        ];
        Self { target, options: options.iter().cloned().chain(shared).collect() }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.arg("-o").arg(option);
        }
        command
    }

    /// Runs something and returns what it prints; what it complains of is shown.
    fn ask(&self, command: &str) -> anyhow::Result<String> {
        let mut ssh = self.command("ssh");
        ssh.args(["--", self.target, command]).stderr(Stdio::inherit());
        let output = ssh.output().context("starting ssh; is openssh-client installed?")?;
        if !output.status.success() {
            bail!("ssh ended with {}", output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs something that may ask for a password, with all that it says.
    fn run(&self, command: &str, is_root: bool) -> anyhow::Result<()> {
        let mut ssh = self.command("ssh");
        if !is_root && std::io::stdin().is_terminal() {
            ssh.arg("-t");
        }
        ended_well(ssh.args(["--", self.target, command]))
    }

    fn copy(&self, files: &[impl AsRef<OsStr>], folder: &str) -> anyhow::Result<()> {
        let mut scp = self.command("scp");
        ended_well(scp.arg("-q").arg("--").args(files).arg(format!("{}:{folder}/", self.target)))
    }

    /// It ends by itself after a minute, too.
    fn hang_up(&self) {
        let mut ssh = self.command("ssh");
        ssh.args(["-O", "exit", "--", self.target]).stderr(Stdio::null());
        drop(ssh.status());
    }
}

fn ended_well(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("starting {program}; is openssh-client installed?"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(())
}

/// It holds a token.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut it| it.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_tells_what_is_to_be_known() {
        let host = Surveyed::read("x86_64\nbee-1\n1000\n/tmp/tmp.x\n").unwrap();
        assert_eq!((host.arch.as_str(), host.name.as_str()), ("x86_64", "bee-1"));
        assert!(!host.is_root);
        for bad in ["", "x86_64\nbee-1\n0\n", "Welcome!\nx86_64\nbee-1\n0\n/tmp/x\n"] {
            assert_eq!(Surveyed::read(bad), None, "{bad:?}");
        }
    }
}
