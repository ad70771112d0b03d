//! What tests and people do with a guest, whether it is a container or a machine.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use crate::shell;

/// Makes a root of this machine's own a new one, from within it, with `$host` set. What this
/// machine has enabled is not started there, packages may start what they bring, and nothing of a
/// Skep of this machine's is there.
pub(super) const FRESH: &str = r#"
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
echo "$host" >etc/hostname
printf '127.0.0.1 localhost %s\n::1 localhost\n' "$host" >etc/hosts
rm -rf var/log/journal etc/systemd/system/*.wants etc/rc?.d/S* usr/sbin/policy-rc.d
rm -rf etc/skep var/lib/skep var/lib/skep-agent var/lib/private/skep var/lib/private/skep-agent
mkdir -p var/log/journal
: >etc/fstab
for unit in systemd-networkd systemd-resolved systemd-timesyncd; do
	ln -sf /dev/null "etc/systemd/system/$unit.service"
done
"#;

pub(crate) trait Guest {
    /// Returns once systemd says that all is started.
    fn boot(&mut self) -> anyhow::Result<()>;

    /// Ends it as a power cut does. What was written to its files is there at the next boot.
    fn kill(&mut self) -> anyhow::Result<()>;

    /// Orderly, then the root goes.
    fn stop(&mut self) -> anyhow::Result<()>;

    /// A program that its root runs in it.
    fn command(&self, words: &[&str]) -> anyhow::Result<Command>;

    /// Brings a file to /root.
    fn copy(&self, file: &Path) -> anyhow::Result<()>;

    /// For a person to paste.
    fn shell_command(&self) -> String;

    /// Runs a program as the guest's root; its standard output.
    fn run(&self, words: &[&str]) -> anyhow::Result<String> {
        shell::quiet(&mut self.command(words)?)
    }

    fn sh(&self, script: &str) -> anyhow::Result<String> {
        self.run(&["sh", "-c", script])
    }

    /// A file for the guest's root alone.
    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let mut writer = self
            .command(&["sh", "-c", "umask 077; cat >\"$1\"", "sh", file])?
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("writing {file} in the guest"))?;
        if let Some(mut stdin) = writer.stdin.take() {
            stdin.write_all(text.as_bytes()).with_context(|| format!("writing {file}"))?;
        }
        let status = writer.wait().with_context(|| format!("writing {file} in the guest"))?;
        ensure!(status.success(), "writing {file} in the guest failed with {status}");
        Ok(())
    }

    /// Units that fail are told, which may not matter.
    #[expect(clippy::disallowed_methods, reason = "a deadline for a guest of our own")]
    fn wait_until_up(&self, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            // Before its bus is there, systemctl has nobody to ask.
            let state = self.run(&["systemctl", "is-system-running", "--wait"]);
            let state = state.unwrap_or_else(|error| error.to_string());
            if state.contains("running") && !state.contains("failed with") {
                return Ok(());
            }
            if state.contains("degraded") {
                let failed =
                    self.sh("systemctl --failed --no-legend; journalctl -b -p err -o cat")?;
                eprintln!("some of the guest's units failed, which may not matter:\n{failed}");
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the guest was not up within {}: {state}", shell::human(within));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
