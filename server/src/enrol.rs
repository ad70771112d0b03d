//! `skep-server enrol`: lets a host in that has no agent yet, by one line to paste there.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod reach;

use std::time::Duration;

use clap::Args;
use skep_front::{Clock as _, Fetcher, Installer, Records, ServerTrust, SystemClock};

use crate::{
    access::{Which, duration},
    config::Config,
};

/// Prints one line to paste into a shell of the host: it installs the agent from this server and
/// enrols it. `skep-server enrol HOST | ssh root@HOST sh` does it without pasting.
#[derive(Args)]
pub(crate) struct Enrol {
    /// What the host is called here: label `instance`, and the name of its credential.
    host: String,
    /// How long the line is good for; an older one for the same host is void.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    expires: Duration,
    /// For a host that has GNU wget instead of curl.
    #[arg(long)]
    wget: bool,
    /// Print only the token, for a host that something else installs the agent on: it goes into the
    /// file that `server.enrolment_token_file` of agent.toml names.
    #[arg(long, conflicts_with_all = ["wget", "url"])]
    token: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Which server, and how hosts reach it.
#[derive(Args)]
pub(crate) struct ServerArguments {
    #[command(flatten)]
    which: Which,
    /// The address that the host shall use, if it is not front.domain with its port.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// A server that answers, with its files.
pub(crate) struct Enroller {
    pub(crate) config: Config,
    records: Records,
    url: String,
    trust: ServerTrust,
}

impl Enrol {
    /// # Errors
    /// The server does not answer by a name that hosts can use, or has no program for them; the
    /// name is taken.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        if self.token {
            let (_config, records) = self.server.which.open()?;
            println!("{}", records.new_enrolment(&self.host, self.expires, SystemClock.now())?);
            return Ok(());
        }
        let enroller = self.server.open()?;
        let programs = &enroller.config.front.agent_programs;
        if programs.find(std::env::consts::ARCH).is_none() {
            eprintln!(
                "note: this server has no agent to hand out for {}; {} is where it belongs",
                std::env::consts::ARCH,
                programs.folder.join(format!("skep-agent-{}", std::env::consts::ARCH)).display()
            );
        }
        let installer = enroller.installer(&self.host, self.expires)?;
        let fetcher = if self.wget { Fetcher::Wget } else { Fetcher::Curl };
        let tool = if self.wget { "GNU wget" } else { "curl (--wget is for GNU wget)" };
        eprintln!(
            "Run this on {} within {}, as root or with sudo. It needs {tool} and systemd:\n",
            self.host,
            humantime::format_duration(self.expires)
        );
        println!("{}", installer.line(fetcher));
        eprintln!(
            "\nIt is good once. `skep-server token revoke {}` ends it, and the agent.",
            self.host
        );
        Ok(())
    }
}

impl ServerArguments {
    /// # Errors
    /// A bad configuration, or a server that does not answer by a name that hosts can use.
    pub(crate) fn open(&self) -> anyhow::Result<Enroller> {
        let (config, records) = self.which.open()?;
        let (url, trust) = reach::find(&config, self.url.as_deref())?;
        Ok(Enroller { config, records, url, trust })
    }
}

impl Enroller {
    /// # Errors
    /// The name is no name, or taken.
    pub(crate) fn installer(&self, host: &str, expires: Duration) -> anyhow::Result<Installer> {
        let token = self.records.new_enrolment(host, expires, SystemClock.now())?;
        Ok(Installer::new(host, &self.url, &token, self.trust.clone())?)
    }

    /// For what needs no enrolment.
    ///
    /// # Errors
    /// The name is no name.
    pub(crate) fn installer_without_token(&self, host: &str) -> anyhow::Result<Installer> {
        Ok(Installer::new(host, &self.url, "", self.trust.clone())?)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// # Errors
    /// There is no such credential; the files cannot be written.
    pub(crate) fn revoke(&self, host: &str) -> anyhow::Result<()> {
        Ok(self.records.revoke(host)?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::Cli;

    #[test]
    fn the_guides_commands_are_taken() {
        let guide = include_str!("../../docs/guide/enrol.md");
        let commands = guide.lines().filter(|it| it.starts_with("skep-server "));
        let commands: Vec<&str> = commands.filter_map(|it| it.split(" | ").next()).collect();
        assert_eq!(commands.len(), 8);
        for command in commands {
            let parsed = Cli::try_parse_from(command.split(' '));
            assert!(parsed.is_ok(), "{command}: {:?}", parsed.err());
        }
    }
}
