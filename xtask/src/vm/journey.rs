//! What a user's machine goes through, in a guest with its own loopback: everything is asserted, and
//! each stage tells how long it took.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::{
    PASSWORD, Packages, USER,
    container::{Container, Network},
    guest::Guest,
};
use crate::{paths, shell};

mod clients;
mod full;
mod pasted;
mod ssh;

pub(super) use full::travel as full;

const HOST: &str = "bee-1";
/// Collections of the agent under test.
const INTERVAL: &str = "2s";
/// A busy machine skips a collection or two; a restart that loses something loses more.
const GAP_MAX_S: f64 = 12.0;
/// Until what was read is stored, on a busy machine or an emulated one.
const ARRIVES_WITHIN: Duration = Duration::from_secs(180);
/// Bits of CapEff: NET_BIND_SERVICE; BPF, PERFMON, SYS_PTRACE and DAC_READ_SEARCH.
const CAPABILITIES: [(&str, u64); 2] =
    [("skep-server", 1 << 10), ("skep-agent", 1 << 39 | 1 << 38 | 1 << 19 | 1 << 2)];
/// What systemd gives to units with `DynamicUser=`.
const DYNAMIC_USERS: std::ops::RangeInclusive<u32> = 61184..=65519;

/// Goes through all of it.
pub(super) fn travel(packages: &Packages, upgrade: &Packages) -> anyhow::Result<()> {
    let mut guest = Container::start(HOST, Network::Own)?;
    let mut stages = Stages::begin();
    stages.go("boot", || guest.boot())?;
    stages.go("a pasted line", || pasted::on_a_bare_host(&guest, packages))?;
    stages.go("deploy over ssh", || ssh::deploy_and_log_in(&guest))?;
    stages.go("install", || install(&guest, packages))?;
    stages.go("privileges", || privileges(&guest))?;
    stages.go("enrol", || enrol(&guest, INTERVAL))?;
    stages.go("the page and the host", || page_and_host(&guest))?;
    stages.go("the journal", || journal(&guest))?;
    stages.go("kill and start again", || kill_and_start(&mut guest))?;
    stages.go("backup and restore", || backup_and_restore(&guest))?;
    stages.go("a line for the package", || pasted::on_a_host_with_the_package(&guest, INTERVAL))?;
    stages.go("Prometheus and promtool", || clients::ask_and_send(&guest))?;
    stages.go("upgrade", || install_upgrade(&guest, upgrade))?;
    stages.go("remove", || remove(&guest))?;
    stages.go("purge", || purge(&guest))?;
    guest.stop()?;
    stages.tell("a guest's life");
    Ok(())
}

/// How long each stage took, for a person.
struct Stages {
    all: Instant,
    times: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "times its stages for a person")]
impl Stages {
    fn begin() -> Self {
        Self { all: Instant::now(), times: Vec::new() }
    }

    fn go(
        &mut self,
        name: &str,
        mut done: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        done().with_context(|| format!("in the guest: {name}"))?;
        self.times.push(format!("{name} {}", shell::human(started.elapsed())));
        Ok(())
    }

    fn tell(&self, what: &str) {
        let all = shell::human(self.all.elapsed());
        eprintln!("{what} passed in {all} ({})", self.times.join(", "));
    }
}

/// As a user would; both units are up when it returns, but for what the agent has to be told.
pub(super) fn install(guest: &dyn Guest, packages: &Packages) -> anyhow::Result<()> {
    install_packages(guest, &[&packages.server, &packages.agent])?;
    is_installed(guest)
}

fn is_installed(guest: &dyn Guest) -> anyhow::Result<()> {
    // The server's start waits until it serves.
    guest.run(&["systemctl", "is-active", "skep-server"])?;
    guest.run(&["systemctl", "is-enabled", "skep-server", "skep-agent"])?;
    let health = guest
        .sh("curl -sS --fail --cacert /var/lib/skep/ca/root.pem https://localhost:8443/-/ready")?;
    ensure!(health.contains("is Ready"), "the server says {health:?}");
    Ok(())
}

fn install_packages(guest: &dyn Guest, files: &[&PathBuf]) -> anyhow::Result<()> {
    files.iter().try_for_each(|it| guest.copy(it))?;
    guest.sh("apt-get install --yes /root/skep-*.deb && rm /root/skep-*.deb").map(drop)
}

/// The units are what they say, seen from the kernel.
fn privileges(guest: &dyn Guest) -> anyhow::Result<()> {
    // Until it has a token it comes and goes: one that stays is asked.
    enrol(guest, INTERVAL)?;
    CAPABILITIES.iter().try_for_each(|(unit, _)| privileges_of(guest, unit))
}

fn privileges_of(guest: &dyn Guest, unit: &str) -> anyhow::Result<()> {
    let known = CAPABILITIES.iter().find(|(name, _)| *name == unit);
    let (_, capabilities) = *known.with_context(|| format!("nothing is said of {unit}"))?;
    let status = guest.sh(&format!("cat /proc/$(systemctl show -P MainPID {unit})/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|it| it.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let user: u32 = field("Uid:").parse().with_context(|| format!("{unit}: {status}"))?;
    ensure!(DYNAMIC_USERS.contains(&user), "{unit} runs as user {user}");
    for set in ["CapEff:", "CapBnd:", "CapAmb:"] {
        let held = u64::from_str_radix(&field(set), 16).unwrap_or(u64::MAX);
        ensure!(held == capabilities, "{unit} has {set} {held:#x}, not {capabilities:#x}");
    }
    ensure!(field("NoNewPrivs:") == "1", "{unit} may get new privileges");
    ensure!(field("Seccomp:") == "2", "{unit} may use any system call");
    let analysis = guest.run(&["systemd-analyze", "security", "--no-pager", unit])?;
    exposure(unit, &analysis)?;
    let pulse = guest
        .sh(&format!("systemctl show -P WatchdogUSec -P WatchdogTimestampMonotonic {unit}"))?;
    ensure!(
        pulse.contains("2min") && pulse.lines().all(|it| it != "0"),
        "{unit} has no watchdog: {pulse}"
    );
    Ok(())
}

/// systemd thinks no worse of it than the guide says; its versions differ a little.
fn exposure(unit: &str, analysis: &str) -> anyhow::Result<()> {
    let line = analysis.lines().find(|it| it.contains("Overall exposure")).unwrap_or_default();
    let figure = line.split(": ").nth(1).and_then(|it| it.split(' ').next()).unwrap_or_default();
    let figure: f64 = figure.parse().with_context(|| format!("systemd-analyze says {line:?}"))?;
    let guide = std::fs::read_to_string(paths::root().join("docs/guide/install.md"))
        .context("reading docs/guide/install.md")?;
    let row = guide.lines().find_map(|it| it.strip_prefix(&format!("| `{unit}` | ")));
    let told = row.and_then(|it| it.trim_end_matches(" |").parse::<f64>().ok());
    let told = told.with_context(|| format!("docs/guide/install.md has no figure for {unit}"))?;
    ensure!(figure <= told, "{unit} is exposed by {figure}, docs/guide/install.md says {told}");
    Ok(())
}

/// Gives a person a login. Twice does no harm.
fn add_login(guest: &dyn Guest) -> anyhow::Result<()> {
    let known = guest.run(&["skep-server", "user", "list"])?;
    if known.lines().any(|it| it.starts_with(USER)) {
        return Ok(());
    }
    guest.sh(&format!("echo {PASSWORD} | skep-server user add {USER} --role admin")).map(drop)
}

/// Gives the agent a token and the server's CA by hand, and a person a login. Twice does no harm.
pub(super) fn enrol(guest: &dyn Guest, interval: &str) -> anyhow::Result<()> {
    add_login(guest)?;
    guest.sh(&format!(
        "set -eu
        [ -e /etc/skep/ca.pem ] && exit
        umask 077
        skep-server token new {HOST} --scopes ingest >/etc/skep/agent-token
        install -m 644 /var/lib/skep/ca/root.pem /etc/skep/ca.pem
        sed -i '/^# host/a interval = \"{interval}\"' /etc/skep/agent.toml
        systemctl restart skep-agent"
    ))?;
    Ok(())
}

fn page_and_host(guest: &dyn Guest) -> anyhow::Result<()> {
    let page = guest.sh(&get("/", &[]))?;
    ensure!(page.contains("<title>"), "the page is {page:?}");
    for query in [
        format!("node_uname_info{{instance=\"{HOST}\"}}"),
        "unit_cpu_seconds_total{unit=\"skep-server.service\"} > 0".to_owned(),
        "unit_cpu_seconds_total{unit=\"skep-agent.service\"} > 0".to_owned(),
        "skep_store_series{job=\"skep-server\"}".to_owned(),
    ] {
        until(&query, || Ok(!result(&instant(guest, &query)?)?.is_empty()))?;
    }
    // As it is told to do after the agent was given its token; it runs meanwhile.
    guest.run(&["skep-agent", "check"])?;
    let is_able = std::path::Path::new("/sys/kernel/btf/vmlinux").exists()
        && std::env::var_os("SKEP_EBPF_SKIP").is_none();
    if is_able {
        let running = "ebpf_program_loaded{program=\"exec\"} == 1";
        until(running, || Ok(!result(&instant(guest, running)?)?.is_empty()))?;
    }
    Ok(())
}

/// A line that a program logs is found.
fn journal(guest: &dyn Guest) -> anyhow::Result<()> {
    guest.run(&["logger", "--tag", "vm-test", "line 0 of the guest"])?;
    until("a line of logger's", || Ok(!shipped_lines(guest)?.is_empty()))?;
    let query = format!("{{host=\"{HOST}\",unit=\"skep-agent.service\"}}");
    until(&query, || Ok(!lines(guest, &query)?.is_empty()))
}

/// Nothing but the downtime is missing: no line at all, and no sample from before or after.
fn kill_and_start(guest: &mut dyn Guest) -> anyhow::Result<()> {
    chatter(guest, "line")?;
    until("lines while they come", || Ok(shipped_lines(guest)?.len() > 50))?;
    let killed_at = now(guest)?;
    guest.kill()?;
    guest.boot()?;
    until("the agent to be up", || {
        Ok(guest.run(&["systemctl", "is-active", "skep-server", "skep-agent"]).is_ok())
    })?;
    let up_at = now(guest)?;
    guest.run(&["logger", "--tag", "vm-test", "the line after"])?;
    guest.run(&["journalctl", "--sync"])?;
    let in_journal =
        guest.run(&["journalctl", "--quiet", "--output=cat", "--identifier=vm-test"])?;
    let mut expected: Vec<&str> = in_journal.lines().collect();
    ensure!(expected.len() > 50, "the guest's journal kept only {} lines", expected.len());
    expected.sort_unstable();
    let mut shipped = Vec::new();
    let all_there = until("every line of the journal", || {
        shipped = shipped_lines(guest)?;
        shipped.sort_unstable();
        Ok(shipped.len() >= expected.len())
    });
    ensure!(
        shipped == expected,
        "the journal has {} lines, the server {}, not the same ones",
        expected.len(),
        shipped.len()
    );
    all_there?;
    until("samples after the start", || {
        let times = sample_times(guest)?;
        Ok(times.last().is_some_and(|it| *it > up_at + 2.0))
    })?;
    no_gap_but(&sample_times(guest)?, killed_at, up_at)
}

/// A copy made under load has everything that was stored before, and the logins.
fn backup_and_restore(guest: &dyn Guest) -> anyhow::Result<()> {
    guest.run(&["skep-agent", "status"])?;
    guest.run(&["skep-server", "doctor"])?;
    let status = guest.run(&["skep-server", "status"])?;
    ensure!(status.contains("log streams"), "the server's status is {status:?}");
    chatter(guest, "load")?;
    until("load", || Ok(shipped_lines(guest)?.iter().any(|it| it == "load 20")))?;
    let before = shipped_lines(guest)?;
    let backup = guest.run(&["skep-server", "backup", "/root/backups"])?;
    guest
        .sh("systemctl stop load skep-server && find /var/lib/private/skep -mindepth 1 -delete")?;
    let refused = guest.run(&["skep-server", "restore", "/root/backups"]);
    ensure!(refused.is_err(), "a folder that is no backup was restored");
    guest.run(&["skep-server", "restore", backup.trim()])?;
    guest.run(&["systemctl", "start", "skep-server"])?;
    let after = shipped_lines(guest)?;
    let missing = before.iter().filter(|it| !after.contains(it)).count();
    ensure!(missing == 0, "{missing} of {} lines are not in the backup", before.len());
    guest.run(&["logger", "--tag", "vm-test", "after the restore"])?;
    until("a line after the restore", || {
        Ok(shipped_lines(guest)?.iter().any(|it| it == "after the restore"))
    })
}

/// A unit that logs twenty lines a second, numbered after its name.
fn chatter(guest: &dyn Guest, name: &str) -> anyhow::Result<()> {
    let script = format!(
        "i=0; while :; do i=$((i + 1)); logger --tag vm-test \"{name} $i\"; sleep 0.05; done"
    );
    let unit = format!("--unit={name}");
    guest.run(&["systemd-run", "--quiet", &unit, "sh", "-c", &script]).map(drop)
}

/// Samples follow each other, but for one gap around the downtime.
fn no_gap_but(times: &[f64], killed_at: f64, up_at: f64) -> anyhow::Result<()> {
    ensure!(times.first().is_some_and(|it| *it < killed_at), "no sample is older than the kill");
    for pair in times.windows(2) {
        let &[before, after] = pair else { continue };
        let is_downtime = before <= killed_at && after > killed_at;
        if is_downtime {
            let (lost, late) = (killed_at - before, after - up_at);
            ensure!(lost < GAP_MAX_S, "samples of the {lost:.1} s before the kill are lost");
            ensure!(late < GAP_MAX_S, "the first sample came {late:.1} s after the start");
        } else {
            let gap = after - before;
            ensure!(
                gap < GAP_MAX_S,
                "{gap:.1} s without a sample, {:.1} s from the kill",
                before - killed_at
            );
        }
    }
    Ok(())
}

/// Configuration and data stay, and the new one runs.
fn install_upgrade(guest: &dyn Guest, upgrade: &Packages) -> anyhow::Result<()> {
    let before = sample_times(guest)?;
    let first = before.first().context("there are no samples before the upgrade")?;
    let pids = "systemctl show -P MainPID skep-server skep-agent";
    let old = guest.sh(pids)?;
    install_packages(guest, &[&upgrade.server, &upgrade.agent])?;
    guest.run(&["systemctl", "is-active", "skep-server", "skep-agent"])?;
    ensure!(guest.sh(pids)? != old, "an upgrade left the old programs running");
    for unit in ["skep-server", "skep-agent"] {
        let version = guest.run(&["dpkg-query", "--show", "--showformat=${Version}", unit])?;
        ensure!(version == upgrade.version, "{unit} is {version} after an upgrade");
    }
    let config = guest.sh("cat /etc/skep/agent.toml")?;
    ensure!(config.contains(INTERVAL), "an upgrade took the configuration's changes away");
    let last = before.last().copied().unwrap_or_default();
    until("samples after the upgrade", || {
        let times = sample_times(guest)?;
        Ok(times.first() == Some(first) && times.last().is_some_and(|it| *it > last + 4.0))
    })
}

fn remove(guest: &dyn Guest) -> anyhow::Result<()> {
    guest.sh("apt-get remove --yes skep-agent skep-server")?;
    for unit in ["skep-server", "skep-agent"] {
        ensure!(guest.run(&["systemctl", "is-active", unit]).is_err(), "{unit} runs on");
    }
    gone(guest, &["/usr/bin/skep-server", "/usr/bin/skep-agent"])?;
    let kept = [
        "/var/lib/skep/ca/root.key",
        "/var/lib/skep-agent/spool",
        "/etc/skep/server.toml",
        "/etc/skep/agent.toml",
    ];
    kept.iter().try_for_each(|it| guest.run(&["test", "-e", it]).map(drop))
}

fn purge(guest: &dyn Guest) -> anyhow::Result<()> {
    guest.sh("apt-get purge --yes skep-agent skep-server")?;
    is_purged(guest)
}

fn is_purged(guest: &dyn Guest) -> anyhow::Result<()> {
    gone(
        guest,
        &[
            "/var/lib/skep",
            "/var/lib/private/skep",
            "/var/lib/skep-agent",
            "/var/lib/private/skep-agent",
            "/var/log/private/skep",
            "/etc/skep/server.toml",
            "/etc/skep/agent.toml",
            "/etc/systemd/system/multi-user.target.wants/skep-server.service",
        ],
    )
}

fn gone(guest: &dyn Guest, files: &[&str]) -> anyhow::Result<()> {
    for file in files {
        // A link that leads nowhere is still something.
        let there = guest.run(&["find", file, "-maxdepth", "0"]);
        ensure!(there.is_err(), "{file} is left");
    }
    Ok(())
}

/// Metrics of its units that are newer than `after`, and its journal.
fn arrives(guest: &dyn Guest, host: &str, after: f64) -> anyhow::Result<()> {
    let query = format!(
        "timestamp(unit_cpu_seconds_total{{instance=\"{host}\",unit=\"skep-agent.service\"}}) > {after}"
    );
    until(&query, || Ok(!result(&instant(guest, &query)?)?.is_empty()))?;
    let said = format!("{host} speaks at {after}");
    guest.run(&["logger", "--tag", "paste-test", &said])?;
    let query = format!("{{host=\"{host}\"}} |= `{said}`");
    until(&query, || Ok(lines(guest, &query)?.len() == 1))
}

/// When samples were taken, oldest first, in seconds.
fn sample_times(guest: &dyn Guest) -> anyhow::Result<Vec<f64>> {
    let answer = instant(guest, &format!("node_boot_time_seconds{{instance=\"{HOST}\"}}[1h]"))?;
    let samples =
        result(&answer)?.first().and_then(|it| it.get("values")).and_then(Value::as_array);
    let times = samples.into_iter().flatten().filter_map(|it| it.get(0).and_then(Value::as_f64));
    Ok(times.collect())
}

fn shipped_lines(guest: &dyn Guest) -> anyhow::Result<Vec<String>> {
    lines(guest, &format!("{{host=\"{HOST}\"}} | SYSLOG_IDENTIFIER=\"vm-test\""))
}

fn lines(guest: &dyn Guest, query: &str) -> anyhow::Result<Vec<String>> {
    let answer = ask(guest, "/loki/api/v1/query_range", &[("query", query), ("limit", "5000")])?;
    let values =
        result(&answer)?.iter().filter_map(|it| it.get("values").and_then(Value::as_array));
    let lines = values.flatten().filter_map(|it| it.get(1).and_then(Value::as_str));
    Ok(lines.map(str::to_owned).collect())
}

fn instant(guest: &dyn Guest, query: &str) -> anyhow::Result<Value> {
    ask(guest, "/api/v1/query", &[("query", query)])
}

fn ask(guest: &dyn Guest, path: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
    let answer = guest.sh(&get(path, form))?;
    serde_json::from_str(&answer).with_context(|| format!("{path} answered {answer:?}"))
}

fn get(path: &str, form: &[(&str, &str)]) -> String {
    let form: String =
        form.iter().map(|(key, value)| format!(" --data-urlencode '{key}={value}'")).collect();
    format!(
        "curl -sS --fail-with-body --cacert /var/lib/skep/ca/root.pem --user '{USER}:{PASSWORD}' \
         --get 'https://localhost:8443{path}'{form}"
    )
}

fn result(answer: &Value) -> anyhow::Result<&Vec<Value>> {
    let result = answer.pointer("/data/result").and_then(Value::as_array);
    result.with_context(|| format!("an answer without a result: {answer}"))
}

/// The guest's clock, which is this machine's.
fn now(guest: &dyn Guest) -> anyhow::Result<f64> {
    let text = guest.run(&["date", "+%s.%N"])?;
    text.trim().parse().with_context(|| format!("{text:?} is no time"))
}

#[expect(clippy::disallowed_methods, reason = "a deadline for a guest of our own")]
fn until(what: &str, mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + ARRIVES_WITHIN;
    loop {
        let tried = is_so();
        if matches!(tried, Ok(true)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            tried?;
            bail!("not within {}: {what}", shell::human(ARRIVES_WITHIN));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_downtime_may_be_without_samples() {
        let (killed_at, up_at) = (100.0, 130.0);
        let check =
            |times: &[f64]| no_gap_but(times, killed_at, up_at).map_err(|it| it.to_string());
        assert_eq!(check(&[96.0, 98.0, 132.0, 134.0]), Ok(()));
        for (times, fault) in [
            (&[60.0, 98.0, 132.0][..], "without a sample"),
            (&[70.0, 132.0][..], "before the kill are lost"),
            (&[98.0, 170.0][..], "after the start"),
            (&[132.0, 134.0][..], "older than the kill"),
        ] {
            let said = check(times).unwrap_err();
            assert!(said.contains(fault), "{said}");
        }
    }
}
