//! `cargo xtask run`: server and agent on this machine, until Ctrl-C.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{build, setup, shell};

mod config;
mod journald;
mod process;
mod unit;

use config::Secrets;
use journald::Journal;
use process::{Child, Echo};
use unit::Unit;
pub(crate) use unit::journal_lines;

/// How long the server may take to listen, and the agent to say that it is up.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// How long each may take to stop before it is killed.
const DOWN_WITHIN: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Optimise: slow to build, fast to run.
    #[arg(long)]
    release: bool,
    /// Where config, secrets and data are kept between runs.
    #[arg(long, value_name = "DIR", default_value = ".skep")]
    data: PathBuf,
    /// Start only the server.
    #[arg(long)]
    no_agent: bool,
    /// Once all is up, write a JSON object here with the addresses, secrets and process ids.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// The HTTPS port; 0 takes any free one.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    port: u16,
    /// Take the binaries from this folder and build nothing.
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    // Before anything is started, so that no signal can hit us with children running.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("watching for signals")?;
    if let Some(path) = &args.ready_file {
        remove_stale(path)?;
    }
    let bin_dir = match &args.bin_dir {
        Some(dir) => dir.clone(),
        None => {
            setup::run(setup::For::Run)?;
            build::binaries(args.release)?.bin_dir
        }
    };
    fs::create_dir_all(&args.data).with_context(|| format!("creating {}", args.data.display()))?;
    let data = args.data.canonicalize().context("resolving --data")?;
    let secrets = Secrets::load_or_make(&data)?;
    let mut stack = Stack::start(args, &bin_dir, &data, &secrets)?;
    let result = stack
        .announce(args, &data, &secrets)
        .and_then(|()| stack.watch(|| signals.pending().next().is_some()));
    stack.stop();
    if let Some(path) = &args.ready_file {
        remove_stale(path)?;
    }
    result
}

fn remove_stale(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("removing {}", path.display())),
    }
}

/// What runs, in the order it was started.
struct Stack {
    journal: Option<Journal>,
    server: Child,
    addresses: Value,
    agent: Option<Child>,
    units: Units,
}

/// Where both run, so that they show up as units do.
struct Units {
    server: Unit,
    agent: Unit,
}

impl Stack {
    fn start(args: &Args, bin_dir: &Path, data: &Path, secrets: &Secrets) -> anyhow::Result<Self> {
        let journal = if args.no_agent { None } else { Journal::find_or_start(data) };
        let units = Units {
            server: Unit::make("skep-server.service"),
            agent: Unit::make("skep-agent.service"),
        };
        let stdout_socket = journal.as_ref().and_then(Journal::stdout_socket);
        let ready = data.join("server-ready.json");
        remove_stale(&ready)?;
        let server_bin = bin_dir.join("skep-server");
        let config = config::server(data, secrets, &server_bin, args.port)?;
        let mut server = Child::start(
            "server",
            &server_bin,
            &["run", "--config", &text(&config), "--ready-file", &text(&ready)],
            &units.server,
            Echo::new(&units.server, stdout_socket.as_deref()),
        )?;
        let addresses = wait_for_server(&mut server, &ready)?;
        let agent = if args.no_agent {
            None
        } else {
            let (url, ca_file) = (member(&addresses, "url"), member(&addresses, "ca_file"));
            let directory = journal.as_ref().map(Journal::directory);
            let config = config::agent(data, url, ca_file, directory.as_deref())?;
            let mut agent = Child::start(
                "agent",
                &bin_dir.join("skep-agent"),
                &["run", "--config", &text(&config)],
                &units.agent,
                Echo::new(&units.agent, stdout_socket.as_deref()),
            )?;
            agent.wait_for_line("Agent is up", UP_WITHIN)?;
            Some(agent)
        };
        Ok(Self { journal, server, addresses, agent, units })
    }

    /// Tells person and scripts where everything is.
    fn announce(&self, args: &Args, data: &Path, secrets: &Secrets) -> anyhow::Result<()> {
        let address = |key| member(&self.addresses, key).to_owned();
        let (url, ca_file) = (address("url"), address("ca_file"));
        eprintln!(
            "\n  Skep is up.\n\n  page      {url}\n  login     {user} / {password}\n  token     {token}\n  \
             local CA  {ca_file}   (also at {url}/ca.pem)\n  data      {data}\n",
            user = secrets.user,
            password = secrets.password,
            token = secrets.token,
            data = data.display(),
        );
        eprintln!(
            "  curl --cacert {ca_file} -H 'Authorization: Bearer {token}' {url}/api/v1/query \\\n    \
             --data-urlencode 'query=sum by (mode) (rate(node_cpu_seconds_total[1m]))'\n  \
             curl --cacert {ca_file} -H 'Authorization: Bearer {token}' -G {url}/loki/api/v1/query_range \\\n    \
             --data-urlencode 'query={{job=\"systemd-journal\"}}' --data-urlencode 'limit=5'\n\n  \
             Ctrl-C stops everything.\n",
            token = secrets.token,
        );
        let Some(path) = &args.ready_file else { return Ok(()) };
        let ready = json!({
            "url": url,
            "http_url": address("http_url"),
            "token": secrets.token,
            "user": secrets.user,
            "password": secrets.password,
            "ca_file": ca_file,
            "data_dir": address("data_dir"),
            "server_pid": self.server.pid(),
            "agent_pid": self.agent.as_ref().map(Child::pid),
            "journal_dir": self.journal.as_ref().map(|it| text(&it.directory())),
            "journal_syslog_socket": self.journal.as_ref().and_then(Journal::syslog_socket),
            "journal_stdout_socket": self.journal.as_ref().and_then(Journal::stdout_socket),
        });
        // Renamed into place: whoever waits for it never reads half of it.
        let partial = path.with_extension("partial");
        fs::write(&partial, format!("{ready:#}\n"))
            .and_then(|()| fs::rename(&partial, path))
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Returns when told to stop; an error if one of the two ends by itself.
    fn watch(&mut self, mut stop: impl FnMut() -> bool) -> anyhow::Result<()> {
        while !stop() {
            std::thread::sleep(Duration::from_millis(50));
            if let Some(status) = self.server.ended()? {
                bail!("the server ended by itself with {status}; its last lines say why");
            }
            if let Some(agent) = &mut self.agent
                && let Some(status) = agent.ended()?
            {
                bail!("the agent ended by itself with {status}; its last lines say why");
            }
        }
        Ok(())
    }

    /// In reverse: the agent first, so that it can still deliver.
    fn stop(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.stop(DOWN_WITHIN);
        }
        self.server.stop(DOWN_WITHIN);
        if let Some(journal) = &mut self.journal {
            journal.stop();
        }
        self.units.server.remove();
        self.units.agent.remove();
        eprintln!("  Skep has stopped.");
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for a process of its own")]
fn wait_for_server(server: &mut Child, ready: &Path) -> anyhow::Result<Value> {
    let started = Instant::now();
    loop {
        if let Ok(text) = fs::read_to_string(ready) {
            return serde_json::from_str(&text)
                .with_context(|| format!("reading {}", ready.display()));
        }
        if let Some(status) = server.ended()? {
            bail!("the server ended with {status} before it was up; its last lines say why");
        }
        if started.elapsed() > UP_WITHIN {
            server.stop(Duration::ZERO);
            bail!("the server was not up within {}", shell::human(UP_WITHIN));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A string that the server told about itself.
fn member<'a>(addresses: &'a Value, key: &str) -> &'a str {
    addresses.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_default_data_folder_is_ignored_by_git() {
        let ignored = std::fs::read_to_string(crate::paths::root().join(".gitignore")).unwrap();
        assert!(ignored.lines().any(|it| it == "/.skep"));
    }
}
