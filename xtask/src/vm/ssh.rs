//! The guest's own sshd, on a port of loopback, and a key that it lets in.

use std::{fs, path::PathBuf};

use anyhow::Context as _;

use super::guest::Guest;
use crate::{paths, shell};

/// Of `ssh`, and of `skep-server deploy`.
pub(super) const OPTIONS: &str = "-o Port=2223 -o IdentitiesOnly=yes -o BatchMode=yes \
                                  -o StrictHostKeyChecking=accept-new";
/// In the guest.
pub(super) const KEY: &str = "/root/guest-key";

pub(super) fn start(guest: &dyn Guest) -> anyhow::Result<()> {
    guest
        .sh(&format!(
            "set -eu
        ssh-keygen -q -t ed25519 -N '' -f {KEY}
        install -D -m 600 {KEY}.pub /root/.ssh/authorized_keys
        mkdir -p /etc/ssh/sshd_config.d
        printf 'Port 2223\\nListenAddress 127.0.0.1\\n' >/etc/ssh/sshd_config.d/guest.conf
        systemctl start ssh"
        ))
        .map(drop)
}

/// A copy of the key outside, for whoever wants to try `ssh` and `deploy`.
pub(super) fn key_outside(guest: &dyn Guest) -> anyhow::Result<PathBuf> {
    let file = paths::target().join("vm-packages/guest-key");
    let text = guest.run(&["cat", KEY])?;
    drop(fs::remove_file(&file));
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    shell::quiet(std::process::Command::new("chmod").arg("600").arg(&file))?;
    Ok(file)
}
