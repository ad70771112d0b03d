//! `cargo xtask doctor`: what this machine can do, and what to do about the rest.

use std::{fs, path::Path, process::Command};

use crate::{setup, shell};

struct Finding {
    what: &'static str,
    good: bool,
    detail: String,
}

/// Prints one line a finding; what is missing comes with what to do.
pub(crate) fn run() {
    for finding in [kernel(), capabilities(), journal(), toolchain()].into_iter().flatten() {
        let mark = if finding.good { "ok     " } else { "missing" };
        println!("{mark}  {:<22} {}", finding.what, finding.detail);
    }
    for (what, there, package) in setup::needs() {
        let mark = if there { "ok     " } else { "missing" };
        let detail = if there { String::new() } else { format!("apt-get install {package}") };
        println!("{mark}  {what:<22} {detail}");
    }
}

fn finding(what: &'static str, good: bool, yes: impl Into<String>, no: &str) -> Finding {
    Finding { what, good, detail: if good { yes.into() } else { no.to_owned() } }
}

fn kernel() -> Vec<Finding> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut version = release.trim().split(['.', '-']).map_while(|it| it.parse::<u32>().ok());
    let at_least_5_10 = (version.next(), version.next()) >= (Some(5), Some(10));
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = |kind: &str| {
        mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let at = fields.next()?;
            (fields.next()? == kind).then(|| at.to_owned())
        })
    };
    let (cgroup2, tracefs) = (mounted("cgroup2"), mounted("tracefs"));
    vec![
        finding(
            "kernel",
            at_least_5_10,
            release.trim(),
            "older than 5.10: eBPF ring buffers and BTF are not there; metrics and journal work",
        ),
        finding(
            "kernel BTF",
            Path::new("/sys/kernel/btf/vmlinux").exists(),
            "/sys/kernel/btf/vmlinux",
            "kernel without CONFIG_DEBUG_INFO_BTF: the agent goes on without eBPF",
        ),
        finding(
            "cgroup2",
            cgroup2.is_some(),
            cgroup2.unwrap_or_default(),
            "no cgroup2 mount: per-unit metrics all count for the root",
        ),
        finding(
            "tracefs",
            tracefs.is_some() || shell::is_root(),
            tracefs.unwrap_or_else(|| "not mounted; the agent mounts it as root".to_owned()),
            "mount -t tracefs tracefs /sys/kernel/tracing (as root)",
        ),
    ]
}

/// Numbers of capabilities in `CapEff` of `/proc/self/status`.
const CAPABILITIES: &[(&str, u32)] =
    &[("CAP_BPF", 39), ("CAP_PERFMON", 38), ("CAP_NET_ADMIN", 12), ("CAP_DAC_READ_SEARCH", 2)];

fn capabilities() -> Vec<Finding> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|it| it.strip_prefix("CapEff:"))
        .and_then(|it| u64::from_str_radix(it.trim(), 16).ok())
        .unwrap_or(0);
    CAPABILITIES
        .iter()
        .map(|&(name, bit)| {
            finding(
                name,
                effective >> bit & 1 == 1,
                "",
                "run as root, or give the agent's unit AmbientCapabilities=; without it eBPF is off",
            )
        })
        .collect()
}

fn journal() -> Vec<Finding> {
    let runs = Path::new("/run/systemd/journal/stdout").exists();
    let can_start = shell::is_root() && Path::new("/lib/systemd/systemd-journald").exists();
    let readable =
        ["/var/log/journal", "/run/log/journal"].iter().any(|it| fs::read_dir(it).is_ok());
    vec![
        finding(
            "journald",
            runs || can_start,
            if runs { "runs" } else { "does not run; `cargo xtask run` starts one" },
            "does not run, and cannot be started without root and the package systemd",
        ),
        finding(
            "journal files",
            readable || !runs,
            "",
            "not readable: usermod -aG systemd-journal $USER, then log in anew",
        ),
    ]
}

fn toolchain() -> Vec<Finding> {
    let version = shell::quiet(Command::new("rustc").arg("--version")).unwrap_or_default();
    let sysroot = shell::quiet(Command::new("rustc").args(["--print", "sysroot"]))
        .unwrap_or_default()
        .trim()
        .to_owned();
    let rust_src = Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock").exists();
    let debian = Path::new("/usr/lib/rustlib/bpfel-unknown-none").exists();
    vec![
        finding(
            "rustc",
            !version.is_empty(),
            version.trim(),
            "install Rust from https://rustup.rs",
        ),
        finding(
            "eBPF toolchain",
            rust_src || debian,
            if rust_src { "rust-src" } else { "Debian's rustc-web with libstd-rust-web-dev-bpf" },
            "rustup component add rust-src, or apt-get install rustc-web libstd-rust-web-dev-bpf; \
             without either the agent is built without eBPF (SKEP_EBPF_SKIP=1)",
        ),
    ]
}
