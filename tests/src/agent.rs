//! The agent under test.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use crate::{Process, Server, bin_dir};

const UP_WITHIN: Duration = Duration::from_secs(30);
const DOWN_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Agent {
    config: PathBuf,
    process: Process,
}

impl Agent {
    pub const HOST: &'static str = "bee-1";

    /// An agent with an empty spool below `dir` that sends to `server`; a journal where a folder
    /// is given.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(
        dir: &Path,
        server: &Server,
        journal: Option<&Path>,
        settings: &str,
    ) -> anyhow::Result<Self> {
        Self::start_every("1s", dir, server, journal, settings).await
    }

    /// As [`Agent::start`], with a collection each `interval`.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start_every(
        interval: &str,
        dir: &Path,
        server: &Server,
        journal: Option<&Path>,
        settings: &str,
    ) -> anyhow::Result<Self> {
        let journal = match journal {
            Some(directory) => format!("directory = {:?}", directory.display().to_string()),
            None => "enabled = false".to_owned(),
        };
        let token_file = dir.join("token");
        fs::write(&token_file, server.token())?;
        let text = format!(
            "host = {host:?}\n\
             data_dir = {data:?}\n\
             interval = {interval:?}\n\
             [server]\n\
             url = {url:?}\n\
             token_file = {token:?}\n\
             ca_file = {ca:?}\n\
             [journal]\n\
             {journal}\n\
             {settings}\n",
            host = Self::HOST,
            data = dir.join("agent").display().to_string(),
            url = server.url(),
            token = token_file.display().to_string(),
            ca = server.ca_file().display().to_string(),
        );
        let config = dir.join("agent.toml");
        fs::write(&config, text)?;
        let process = start(&config).await?;
        Ok(Self { config, process })
    }

    /// SIGKILL, then the same command again.
    ///
    /// # Errors
    /// It does not come up again.
    pub async fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill().await?;
        self.process = start(&self.config).await?;
        Ok(())
    }

    /// # Errors
    /// It did not end well.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.stop(DOWN_WITHIN).await
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

async fn start(config: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(bin_dir().join("skep-agent"));
    command.arg("run").arg("--config").arg(config);
    let mut process = Process::start("skep-agent", &mut command)?;
    process.wait_for_line("Agent is up", UP_WITHIN).await?;
    Ok(process)
}
