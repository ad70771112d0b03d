//! The line that `skep-server enrol` prints, pasted into a shell of the guest: on a host that has
//! nothing yet, and on one that has the agent's package.

use anyhow::ensure;

use super::{HOST, add_login, arrives, gone, install_packages, now, privileges_of};
use crate::vm::{Packages, guest::Guest};

/// Another host than the guest is later on.
const VISITOR: &str = "bee-2";
const PROGRAM: &str = "/usr/local/bin/skep-agent";
const UNIT: &str = "/etc/systemd/system/skep-agent.service";
/// What the line's script is run by.
const SCRIPT: &str = "sh \"$d/i\"";

/// The server's package brings all that another host needs; and it goes again.
pub(super) fn on_a_bare_host(guest: &dyn Guest, packages: &Packages) -> anyhow::Result<()> {
    install_packages(guest, &[&packages.server])?;
    add_login(guest)?;
    let line = line(guest, VISITOR)?;
    let told = guest.sh(&line)?;
    let is_enrolled = format!("this host is enrolled as {VISITOR}");
    ensure!(told.contains(&is_enrolled), "the pasted line says {told}");
    guest.run(&["systemctl", "is-enabled", "skep-agent"])?;
    let unit = guest.run(&["systemctl", "show", "-P", "FragmentPath", "skep-agent"])?;
    ensure!(unit.trim() == UNIT, "the unit that runs is {unit}");
    let running = guest.sh("readlink /proc/$(systemctl show -P MainPID skep-agent)/exe")?;
    ensure!(running.trim() == PROGRAM, "what runs is {running}");
    privileges_of(guest, "skep-agent")?;
    gone(guest, &["/etc/skep/enrolment-token"])?;
    arrives(guest, VISITOR, 0.0)?;

    let again = guest.sh(&line)?;
    let rewritten: Vec<&str> = again.lines().filter(|it| it.contains("wrote")).collect();
    // The token, which went after the first time.
    ensure!(rewritten.len() == 1 && again.contains(&is_enrolled), "pasted again it says {again}");
    let upgraded = guest.sh(&line.replace(SCRIPT, &format!("{SCRIPT} --upgrade")))?;
    ensure!(upgraded.contains("the agent runs"), "the upgrade says {upgraded}");

    guest.sh(&line.replace(SCRIPT, &format!("{SCRIPT} --remove")))?;
    ensure!(guest.run(&["systemctl", "cat", "skep-agent"]).is_err(), "the unit is still known");
    gone(
        guest,
        &[PROGRAM, UNIT, "/etc/skep/agent.toml", "/etc/skep/ca.pem", "/var/lib/skep-agent"],
    )?;
    guest.run(&["skep-server", "token", "revoke", VISITOR]).map(drop)
}

/// Program and unit stay the package's; what its token let in goes on under a credential.
pub(super) fn on_a_host_with_the_package(guest: &dyn Guest, interval: &str) -> anyhow::Result<()> {
    let begun_at = now(guest)?;
    guest.run(&["skep-server", "token", "revoke", HOST])?;
    let told = guest.sh(&line(guest, HOST)?)?;
    ensure!(told.contains("the program is from a package"), "the pasted line says {told}");
    gone(guest, &[PROGRAM, UNIT])?;
    guest.run(&["test", "-e", "/etc/skep/agent.toml.old"])?;
    guest.sh(&format!(
        "sed -i '/^host = /a interval = \"{interval}\"' /etc/skep/agent.toml
        systemctl restart skep-agent"
    ))?;
    arrives(guest, HOST, begun_at)
}

fn line(guest: &dyn Guest, host: &str) -> anyhow::Result<String> {
    let printed = guest.run(&["skep-server", "enrol", host, "--url", "https://localhost:8443"])?;
    ensure!(printed.contains(SCRIPT) && printed.lines().count() == 1, "no line is {printed:?}");
    Ok(printed.trim().to_owned())
}
