//! What is measured: our server, or one that it would replace, started for the run.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use skep_tests::{Deadline, Process, Server, free_port};
use tokio::process::Command;

use crate::measure::forget_files;

const UP_WITHIN: Duration = Duration::from_secs(60);
const DOWN_WITHIN: Duration = Duration::from_secs(120);
const OURS: &str = "[store]\nretention = \"off\"";

/// Servers that can be run beside ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// `victoria-metrics`, as Debian packages it.
    VictoriaMetrics,
    /// `prometheus`, as Debian packages it, as a remote-write receiver.
    Prometheus,
}

/// A running server and how to talk to it over plain HTTP.
pub(crate) enum Target {
    Ours(Box<Server>),
    Peer { peer: Peer, process: Box<Process>, url: String, dir: PathBuf },
}

impl Target {
    /// With an empty store below `dir`; `settings` is added to our server's config.
    pub(crate) async fn ours(dir: &Path, settings: &str) -> anyhow::Result<Self> {
        let server = Server::start(dir, &format!("{OURS}\n{settings}")).await?;
        Ok(Self::Ours(Box::new(server)))
    }

    pub(crate) async fn peer(peer: Peer, dir: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let data = dir.join("data");
        let data = data.display();
        let mut command = Command::new(peer.program());
        command.current_dir(dir);
        match peer {
            Peer::VictoriaMetrics => command.args([
                format!("-httpListenAddr={listen}"),
                format!("-storageDataPath={data}"),
                "-retentionPeriod=100y".to_owned(),
                "-search.latencyOffset=0s".to_owned(),
            ]),
            Peer::Prometheus => {
                std::fs::write(dir.join("prometheus.yml"), "")?;
                command.args([
                    "--config.file=prometheus.yml".to_owned(),
                    format!("--storage.tsdb.path={data}"),
                    "--web.enable-remote-write-receiver".to_owned(),
                    format!("--web.listen-address={listen}"),
                ])
            }
        };
        let process = Process::start(peer.program(), &mut command)
            .with_context(|| format!("`apt-get install {}` brings it on Debian", peer.program()))?;
        let url = format!("http://{listen}");
        Deadline::within(UP_WITHIN)
            .until("the peer's first answer", || async {
                let up = reqwest::get(format!("{url}/api/v1/query?query=1")).await;
                Ok(up.is_ok_and(|it| it.status().is_success()).then_some(()))
            })
            .await
            .with_context(|| process.log())?;
        Ok(Self::Peer { peer, process: Box::new(process), url, dir: dir.to_owned() })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ours(_) => "skep-server",
            Self::Peer { peer, .. } => peer.program(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Ours(server) => server.pid(),
            Self::Peer { process, .. } => process.pid(),
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Ours(server) => server.plain_url().trim_end_matches('/').to_owned(),
            Self::Peer { url, .. } => url.clone(),
        }
    }

    /// Has everything in memory written out, as far as the server can be told to.
    pub(crate) async fn flush(&self) -> anyhow::Result<()> {
        let request = match self {
            Self::Ours(_) => reqwest::Client::new().post(format!("{}/-/flush", self.url())),
            Self::Peer { peer: Peer::VictoriaMetrics, url, .. } => {
                reqwest::Client::new().get(format!("{url}/internal/force_flush"))
            }
            // It writes its blocks every two hours, and nothing makes it do so earlier.
            Self::Peer { peer: Peer::Prometheus, .. } => return Ok(()),
        };
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "flush: {}", answer.status());
        Ok(())
    }

    /// Stops it and starts it again, on the same data, none of which the kernel keeps in memory.
    pub(crate) async fn restart_cold(&mut self, data: &Path) -> anyhow::Result<()> {
        self.stop().await?;
        forget_files(data)?;
        match self {
            Self::Ours(server) => server.restart().await?,
            Self::Peer { peer, dir, .. } => *self = Self::peer(*peer, &dir.clone()).await?,
        }
        Ok(())
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Ours(server) => server.kill().await,
            Self::Peer { process, .. } => process.kill().await,
        }
    }

    /// After [`Self::kill`], on the same data; only ours.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        let Self::Ours(server) = self else { bail!("a peer is not started again") };
        server.restart().await
    }

    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Ours(server) => server.stop().await,
            Self::Peer { process, .. } => process.stop(DOWN_WITHIN).await,
        }
    }
}

impl Peer {
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::VictoriaMetrics => "victoria-metrics",
            Self::Prometheus => "prometheus",
        }
    }
}
