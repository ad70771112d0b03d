//! What only a machine with a kernel of its own shows: its kernel programs and lines, figures that
//! need control groups' controllers, and what is left after a power cut.

use std::path::Path;

use anyhow::ensure;

use super::{
    HOST, Stages, enrol, instant, is_installed, is_purged, journal, lines, page_and_host,
    privileges, result, sample_times, shipped_lines, until,
};
use crate::vm::{Packages, guest::Guest, machine::Machine};

/// `share` is the folder of the packages.
pub(crate) fn travel(packages: &Packages, share: &Path) -> anyhow::Result<()> {
    let mut guest = Machine::make(HOST, share, None)?;
    let mut stages = Stages::begin();
    stages.go("boot", || guest.boot())?;
    stages.go("install", || install(&guest, packages))?;
    stages.go("privileges", || privileges(&guest))?;
    stages.go("enrol", || enrol(&guest, "10s"))?;
    stages.go("the page and the host", || page_and_host(&guest))?;
    stages.go("its own kernel", || own_kernel(&guest))?;
    stages.go("the journal", || journal(&guest))?;
    stages.go("a power cut", || power_cut(&mut guest))?;
    stages.go("purge", || purge(&guest))?;
    guest.stop()?;
    stages.tell("a machine's life");
    Ok(())
}

/// By dpkg alone: apt looks through every byte five times, and the index of all manual pages is
/// made anew, which takes minutes where it is emulated.
fn install(guest: &dyn Guest, packages: &Packages) -> anyhow::Result<()> {
    guest.copy(&packages.server)?;
    guest.copy(&packages.agent)?;
    guest.sh("dpkg --no-triggers --install /root/skep-*.deb && rm /root/skep-*.deb")?;
    is_installed(guest)
}

fn purge(guest: &dyn Guest) -> anyhow::Result<()> {
    guest.sh("dpkg --no-triggers --purge skep-agent skep-server")?;
    is_purged(guest)
}

fn own_kernel(guest: &dyn Guest) -> anyhow::Result<()> {
    let release = guest.run(&["uname", "-r"])?;
    let uname = format!("node_uname_info{{instance=\"{HOST}\",release=\"{}\"}}", release.trim());
    for query in [
        uname.as_str(),
        "unit_memory_current_bytes{unit=\"skep-server.service\"} > 0",
        "unit_cpu_seconds_total{unit=\"skep-agent.service\"} > 0",
        // Nobody else's: this kernel has no others.
        "ebpf_program_loaded{program=\"oom\"} == 1",
    ] {
        until(query, || Ok(!result(&instant(guest, query)?)?.is_empty()))?;
    }
    guest.sh("echo 'skep: a line of the kernel' >/dev/kmsg")?;
    let query = format!("{{host=\"{HOST}\"}} |= `a line of the kernel` | transport=\"kernel\"");
    until(&query, || Ok(lines(guest, &query)?.len() == 1))
}

/// All that was answered before is there after; what a disk loses that was not told to sync, the
/// server has synced.
fn power_cut(guest: &mut dyn Guest) -> anyhow::Result<()> {
    guest.sh("for i in $(seq 100); do logger --tag vm-test \"line $i\"; done")?;
    until("lines", || Ok(shipped_lines(guest)?.len() > 100))?;
    let (lines_before, samples_before) = (shipped_lines(guest)?, sample_times(guest)?);
    guest.kill()?;
    guest.boot()?;
    until("both to be up", || {
        Ok(guest.run(&["systemctl", "is-active", "skep-server", "skep-agent"]).is_ok())
    })?;
    guest.run(&["logger", "--tag", "vm-test", "the line after"])?;
    until("the line after", || Ok(shipped_lines(guest)?.iter().any(|it| it == "the line after")))?;
    let lines_after = shipped_lines(guest)?;
    let lost = lines_before.iter().filter(|it| !lines_after.contains(it)).count();
    ensure!(lost == 0, "{lost} of {} lines were lost", lines_before.len());
    until("samples after", || Ok(sample_times(guest)?.last() > samples_before.last()))?;
    let samples_after = sample_times(guest)?;
    let lost = samples_before.iter().filter(|it| !samples_after.contains(it)).count();
    ensure!(lost == 0, "{lost} of {} samples were lost", samples_before.len());
    Ok(())
}
