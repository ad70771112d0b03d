//! `skep-agent doctor`: what this host lets the agent see, and what to do about the rest.

use std::{error::Error as _, fmt::Write as _, fs, path::Path};

use crate::{
    check::{self, Finding},
    config::{Config, ConfigError},
    run::LOCK_FILE,
    sources::{
        Roots,
        ebpf::{self, ProgramState},
    },
};

/// The oldest kernel with the ring buffers and type information that kernel programs need.
const KERNEL_MIN: (u32, u32) = (5, 10);

/// Bits of `CapEff` in `/proc/self/status`, and what each is for.
const CAPABILITIES: &[(&str, u32, &str)] = &[
    ("CAP_BPF", 39, "any kernel program"),
    ("CAP_PERFMON", 38, "kernel programs that read the kernel's memory"),
    ("CAP_NET_ADMIN", 12, "kernel programs that see packets, and all of netdev"),
    ("CAP_DAC_READ_SEARCH", 2, "classic tracepoints, and files of other users in /proc"),
    ("CAP_SYS_PTRACE", 19, "what other users' processes hold open"),
];

/// Everything that was looked at, as the user who asks: an agent that runs as another one may be
/// permitted something else.
pub(crate) async fn examine(config: Result<&Config, &ConfigError>) -> Vec<Finding> {
    let roots = config.map(|it| it.roots.clone()).unwrap_or_default();
    let mut findings = host(&roots);
    let programs = match config {
        Ok(config) if !config.is_ebpf_enabled => {
            findings.push(Finding::well("kernel programs", "switched off by ebpf.enabled"));
            Vec::new()
        }
        _ => ebpf::survey(&roots),
    };
    findings.extend(programs.iter().map(program));
    match config {
        Ok(config) => {
            findings.extend(check::journal(config));
            findings.extend(spool(&config.data_dir));
            findings.extend(check::server(config).await);
        }
        Err(error) => findings.push(Finding::bad("configuration", chain(error))),
    }
    findings
}

/// How the agent of this configuration is, in short.
pub(crate) async fn status(config: &Config) -> Vec<Finding> {
    let mut findings = vec![running(&config.data_dir)];
    findings.extend(spool(&config.data_dir));
    findings.extend(check::server(config).await);
    findings
}

/// A running agent holds the lock of its folder.
fn running(data_dir: &Path) -> Finding {
    let lock = fs::File::open(data_dir.join(LOCK_FILE));
    match lock.map(|it| it.try_lock()) {
        Ok(Err(fs::TryLockError::WouldBlock)) => Finding::well("agent", "runs"),
        Ok(Err(fs::TryLockError::Error(error))) | Err(error)
            if error.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Finding::bad("agent", format_args!("{}: {error}; ask as root", data_dir.display()))
        }
        _free => Finding::bad("agent", "does not run; `systemctl status skep-agent` says why"),
    }
}

/// One line a finding, what is missing with what to do.
pub(crate) fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|it| it.subject().len()).max().unwrap_or(0);
    let mut table = String::new();
    for finding in findings {
        let word = if finding.is_well { "ok" } else { "BAD" };
        writeln!(table, "{word:3}  {:width$}  {}", finding.subject(), finding.text())
            .expect("a String never fails");
    }
    table
}

/// What the kernel has and permits.
fn host(roots: &Roots) -> Vec<Finding> {
    let release = read(&roots.proc.join("sys/kernel/osrelease"));
    let mut findings = vec![kernel(release.trim())];
    let btf = roots.sys.join("kernel/btf/vmlinux");
    findings.push(if btf.exists() {
        Finding::well("BTF", btf.display())
    } else {
        Finding::bad(
            "BTF",
            format_args!(
                "{} is missing: without CONFIG_DEBUG_INFO_BTF in the kernel, and in a container \
                 the host's /sys, no kernel program runs",
                btf.display()
            ),
        )
    });
    let mounts = read(&roots.proc.join("self/mounts"));
    findings.push(match mounted(&mounts, "cgroup2") {
        Some(at) => Finding::well("cgroup2", at),
        None => Finding::bad("cgroup2", "not mounted: what units do cannot be told apart"),
    });
    let status = read(&roots.proc.join("self/status"));
    let held = effective(&status);
    findings.push(match mounted(&mounts, "tracefs") {
        Some(at) => Finding::well("tracefs", at),
        None if held & 1 << 21 != 0 => {
            Finding::well("tracefs", "not mounted; the agent will do it")
        }
        None => Finding::bad(
            "tracefs",
            "not mounted: run `mount -t tracefs tracefs /sys/kernel/tracing` as root",
        ),
    });
    findings.extend(CAPABILITIES.iter().map(|&(name, bit, gives)| {
        if held >> bit & 1 == 1 {
            Finding::well(name, format_args!("for {gives}"))
        } else {
            Finding::bad(
                name,
                format_args!("missing for {gives}; add it to the unit's AmbientCapabilities="),
            )
        }
    }));
    findings
}

fn kernel(release: &str) -> Finding {
    let mut numbers = release.split(['.', '-']).map_while(|it| it.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= KERNEL_MIN => {
            Finding::well("kernel", release)
        }
        _ => Finding::bad(
            "kernel",
            format_args!("{release} is older than 5.10; metrics of /proc and the journal work"),
        ),
    }
}

fn effective(status: &str) -> u64 {
    let bits = status.lines().find_map(|it| it.strip_prefix("CapEff:"));
    bits.and_then(|it| u64::from_str_radix(it.trim(), 16).ok()).unwrap_or(0)
}

fn mounted<'a>(mounts: &'a str, kind: &str) -> Option<&'a str> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let at = fields.next()?;
        (fields.next()? == kind).then_some(at)
    })
}

fn program(state: &ProgramState) -> Finding {
    let subject = format!("program {}", state.name);
    match &state.hook {
        Ok(hook) => Finding::well(subject, format_args!("{hook}: {}", state.gives)),
        Err(why) => Finding::bad(subject, format_args!("{why}; so no {}", state.gives)),
    }
}

/// How much waits in the spools, also while an agent works on them.
fn spool(data_dir: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (subject, kind) in [("spool, metrics", "metrics"), ("spool, logs", "logs")] {
        let dir = data_dir.join("spool").join(kind);
        findings.push(match fs::read_dir(&dir) {
            Ok(entries) => {
                let sizes: Vec<u64> =
                    entries.flatten().filter_map(|it| Some(it.metadata().ok()?.len())).collect();
                let (n_bytes, n_files) = (sizes.iter().sum::<u64>(), sizes.len());
                let text = format_args!("{n_bytes} bytes in {n_files} files of {}", dir.display());
                Finding::well(subject, text)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Finding::well(subject, format_args!("{} is not there yet", dir.display()))
            }
            Err(error) => Finding::bad(subject, format_args!("{}: {error}", dir.display())),
        });
    }
    findings
}

/// An error and what it comes from.
fn chain(error: &ConfigError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Empty where it cannot be read: what it would say is then missing.
fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// A host of these files below `proc` and `sys`.
    fn roots(dir: &Path, files: &[(&str, &str)]) -> Roots {
        for (file, text) in files {
            let file = dir.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        Roots { proc: dir.join("proc"), sys: dir.join("sys"), ..Roots::default() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "`expect!` makes a value")]
    fn check_host(files: &[(&str, &str)], expected: Expect) {
        let dir = tempfile::tempdir().unwrap();
        let text = table(&host(&roots(dir.path(), files)));
        expected.assert_eq(&text.replace(&dir.path().display().to_string(), ""));
    }

    #[test]
    fn a_host_with_everything_is_well() {
        check_host(
            &[
                ("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n"),
                ("proc/self/mounts", "c /sys/fs/cgroup cgroup2 rw 0 0\nt /t tracefs rw 0 0\n"),
                ("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n"),
                ("sys/kernel/btf/vmlinux", ""),
            ],
            expect![[r"
                ok   kernel               6.1.0-56-amd64
                ok   BTF                  /sys/kernel/btf/vmlinux
                ok   cgroup2              /sys/fs/cgroup
                ok   tracefs              /t
                ok   CAP_BPF              for any kernel program
                ok   CAP_PERFMON          for kernel programs that read the kernel's memory
                ok   CAP_NET_ADMIN        for kernel programs that see packets, and all of netdev
                ok   CAP_DAC_READ_SEARCH  for classic tracepoints, and files of other users in /proc
                ok   CAP_SYS_PTRACE       for what other users' processes hold open
            "]],
        );
    }

    #[test]
    fn what_is_missing_comes_with_what_to_do() {
        check_host(
            &[
                ("proc/sys/kernel/osrelease", "4.19.0\n"),
                ("proc/self/mounts", "proc /proc proc rw 0 0\n"),
                ("proc/self/status", "CapEff:\t0000000000001000\n"),
            ],
            expect![[r"
                BAD  kernel               4.19.0 is older than 5.10; metrics of /proc and the journal work
                BAD  BTF                  /sys/kernel/btf/vmlinux is missing: without CONFIG_DEBUG_INFO_BTF in the kernel, and in a container the host's /sys, no kernel program runs
                BAD  cgroup2              not mounted: what units do cannot be told apart
                BAD  tracefs              not mounted: run `mount -t tracefs tracefs /sys/kernel/tracing` as root
                BAD  CAP_BPF              missing for any kernel program; add it to the unit's AmbientCapabilities=
                BAD  CAP_PERFMON          missing for kernel programs that read the kernel's memory; add it to the unit's AmbientCapabilities=
                ok   CAP_NET_ADMIN        for kernel programs that see packets, and all of netdev
                BAD  CAP_DAC_READ_SEARCH  missing for classic tracepoints, and files of other users in /proc; add it to the unit's AmbientCapabilities=
                BAD  CAP_SYS_PTRACE       missing for what other users' processes hold open; add it to the unit's AmbientCapabilities=
            "]],
        );
    }

    #[test]
    fn programs_tell_their_hook_or_what_is_lost_without_them() {
        let state = |name, hook: Result<&str, &str>| ProgramState {
            name,
            gives: "OOM kills",
            hook: hook.map(str::to_owned).map_err(str::to_owned),
        };
        let states = [
            state("oom", Ok("tp_btf mark_victim")),
            state("exec", Err("this kernel has no field for TASK_MM")),
        ];
        expect![[r"
            ok   program oom   tp_btf mark_victim: OOM kills
            BAD  program exec  this kernel has no field for TASK_MM; so no OOM kills
        "]]
        .assert_eq(&table(&states.iter().map(program).collect::<Vec<_>>()));
    }

    #[test]
    fn an_agent_that_runs_holds_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!running(dir.path()).is_well);
        let lock = crate::run::lock(dir.path()).unwrap();
        assert!(running(dir.path()).is_well);
        drop(lock);
        assert!(!running(dir.path()).is_well);
    }

    #[test]
    fn the_spools_tell_how_much_waits() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = dir.path().join("spool/metrics");
        fs::create_dir_all(&metrics).unwrap();
        fs::write(metrics.join("a"), [0; 700]).unwrap();
        fs::write(metrics.join("b"), [0; 34]).unwrap();
        let text = table(&spool(dir.path()));
        expect![[r"
            ok   spool, metrics  734 bytes in 2 files of /spool/metrics
            ok   spool, logs     /spool/logs is not there yet
        "]]
        .assert_eq(&text.replace(&dir.path().display().to_string(), ""));
    }
}
