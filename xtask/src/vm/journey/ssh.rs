//! An agent brought by `skep-server deploy` through the guest's own sshd, and what the journal then
//! tells of the logins, asked as docs/services/ssh.md asks.

use anyhow::{Context as _, ensure};

use super::{add_login, arrives, ask, gone, result, until};
use crate::{
    paths,
    vm::{
        guest::Guest,
        ssh::{self, KEY, OPTIONS},
    },
};

const HOST: &str = "bee-3";
/// Who came in, who was refused, who does not exist, and sessions: the page's first queries.
const QUERIES: usize = 4;

/// The server is there already.
pub(super) fn deploy_and_log_in(guest: &dyn Guest) -> anyhow::Result<()> {
    add_login(guest)?;
    ssh::start(guest)?;
    let deploy = |more: &str| {
        guest.sh(&format!(
            "skep-server deploy root@localhost --name {HOST} --url https://localhost:8443 \
             -o IdentityFile={KEY} {OPTIONS} {more} 2>&1"
        ))
    };
    let told = deploy("")?;
    ensure!(told.contains(&format!("enrolled as {HOST}")), "the deploy says {told}");
    arrives(guest, HOST, 0.0)?;
    let stranger = guest.sh(&format!("ssh -i {KEY} {OPTIONS} ghost@localhost true"));
    ensure!(stranger.is_err(), "sshd lets in who does not exist");
    logins_are_found(guest)?;
    let told = deploy("--upgrade")?;
    ensure!(told.contains("the agent runs"), "the upgrade says {told}");
    deploy("--remove")?;
    gone(guest, &["/usr/local/bin/skep-agent", "/etc/skep/agent.toml", "/var/lib/skep-agent"])?;
    let tokens = guest.run(&["skep-server", "token", "list"])?;
    ensure!(!tokens.contains(HOST), "its credential is still good: {tokens}");
    guest.run(&["systemctl", "stop", "ssh"]).map(drop)
}

fn logins_are_found(guest: &dyn Guest) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(paths::root().join("docs/services/ssh.md"))
        .context("reading docs/services/ssh.md")?;
    let queries: Vec<&str> = page
        .split("```logql\n")
        .skip(1)
        .filter_map(|it| it.split("```").next())
        .take(QUERIES)
        .collect();
    ensure!(queries.len() == QUERIES, "docs/services/ssh.md has only {} queries", queries.len());
    for query in queries {
        until(query, || {
            let answer = ask(guest, "/loki/api/v1/query", &[("query", query.trim())])?;
            Ok(!result(&answer)?.is_empty())
        })?;
    }
    Ok(())
}
