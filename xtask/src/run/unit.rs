//! Stand-ins for systemd's units, where systemd is not there to start them.
//!
//! Server and agent get a control group each, named as systemd would, so that journald and the
//! kernel programs see units. Without root or cgroups they run all the same, as no unit.

use std::{
    fs, io,
    io::{BufRead as _, Write as _},
    os::unix::{net::UnixStream, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::Context as _;

use crate::shell;

/// A unit's name and the control groups made for it.
pub(crate) struct Unit {
    name: &'static str,
    groups: Vec<PathBuf>,
}

impl Unit {
    /// Makes the groups in every hierarchy that names units; none where systemd runs.
    pub(crate) fn make(name: &'static str) -> Self {
        let mut groups = Vec::new();
        if shell::is_root() && !Path::new("/run/systemd/system").exists() {
            for hierarchy in hierarchies() {
                let group = hierarchy.join("system.slice").join(name);
                if fs::create_dir_all(&group).is_ok() {
                    groups.push(group);
                }
            }
        }
        Self { name, groups }
    }

    /// Moves a process into the unit.
    pub(crate) fn adopt(&self, pid: u32) {
        for group in &self.groups {
            // It may have ended already, or the kernel may refuse: then it is no unit.
            drop(fs::write(group.join("cgroup.procs"), pid.to_string()));
        }
    }

    /// Removes the groups; the processes in them must have ended.
    pub(crate) fn remove(&self) {
        for group in &self.groups {
            drop(fs::remove_dir(group));
            if let Some(slice) = group.parent() {
                // Fails as long as another unit is in it.
                drop(fs::remove_dir(slice));
            }
        }
    }
}

/// cgroup2, where the kernel programs look, and systemd's own of a hybrid machine, where journald
/// looks.
fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (at, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
            let names_units =
                kind == "cgroup2" || options.split(',').any(|it| it == "name=systemd");
            names_units.then(|| at.into())
        })
        .collect()
}

/// A process that hands lines to journald. It has to be one of its own: journald files the lines of
/// a process under the unit it first saw the process in.
pub(crate) struct Scribe {
    stdin: Option<ChildStdin>,
    process: Child,
}

impl Scribe {
    pub(crate) fn start(unit: &Unit, stdout_socket: &Path) -> io::Result<Self> {
        // Not its path: cargo may have built another xtask there since we were started.
        let mut process = Command::new("/proc/self/exe")
            .arg0("xtask")
            .args(["journal-lines", unit.name])
            .arg(stdout_socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        unit.adopt(process.id());
        let stdin = process.stdin.take();
        Ok(Self { stdin, process })
    }

    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(stdin, "<{}>{line}", priority(line))
    }
}

/// syslog's number for the level word that follows the time stamp of our own log lines.
fn priority(line: &str) -> u8 {
    match line.split_ascii_whitespace().nth(1) {
        Some("ERROR") => 3,
        Some("WARN") => 4,
        Some("DEBUG" | "TRACE") => 7,
        _ => 6,
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        drop(self.stdin.take());
        drop(self.process.wait());
    }
}

/// The scribe's own work: standard input to journald, as systemd connects a unit's output.
pub(crate) fn journal_lines(unit: &str, stdout_socket: &Path) -> anyhow::Result<()> {
    let mut lines = io::stdin().lock().lines();
    // Not before the first line: by then we have been moved into the unit.
    let Some(first) = lines.next() else { return Ok(()) };
    let mut journald = UnixStream::connect(stdout_socket).context("connecting to journald")?;
    let ident = unit.trim_end_matches(".service");
    // identifier, unit, priority, parse "<3>" prefixes, forward to syslog, kmsg, console
    write!(journald, "{ident}\n{unit}\n6\n1\n0\n0\n0\n")?;
    for line in std::iter::once(first).chain(lines) {
        writeln!(journald, "{}", line?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::priority;

    #[test]
    fn the_level_of_a_line_becomes_its_priority() {
        assert_eq!(priority("2026-11-22T22:51:24.907677Z  WARN skep_agent: No journal."), 4);
        assert_eq!(priority("2026-11-22T22:51:24.907677Z ERROR skep_agent: Lost."), 3);
        assert_eq!(priority("thread 'main' panicked"), 6);
    }
}
