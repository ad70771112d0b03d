//! `skep-agent check`: what of a valid configuration works on this host, one line a finding.

use std::{borrow::Cow, fmt, path::Path, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use rustix::fs::Access;
use skep_proto::{SystemClock, loki_push, remote_write};

use crate::{
    config::Config,
    ship::client::{Client, Request},
    sources::{journal::can_read_journal, read},
    spool::Kind,
};

/// What was looked at and how it is.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) is_well: bool,
    subject: Cow<'static, str>,
    text: String,
}

/// Sends the server an empty request of each kind; changes nothing else.
pub(crate) async fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        Finding::of("data_dir", config.data_dir.display(), usable(&config.data_dir)),
        Finding::of(
            "roots.proc",
            config.roots.proc.display(),
            read(&config.roots.proc.join("stat")).map(drop).map_err(Into::into),
        ),
    ];
    findings.extend(journal(config));
    findings.extend(server(config).await);
    findings
}

/// Whether the folder is one to write into, or could be made; it may be a running agent's.
fn usable(data_dir: &Path) -> anyhow::Result<()> {
    let there = data_dir.ancestors().find(|it| it.exists()).unwrap_or(Path::new("."));
    anyhow::ensure!(there.is_dir(), "{} is no folder", there.display());
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK)
        .with_context(|| format!("{} cannot be written", there.display()))
}

/// Whether the journal can be read, if it is to be.
pub(crate) fn journal(config: &Config) -> Option<Finding> {
    if !config.journal.is_enabled {
        return None;
    }
    let subject =
        config.journal.select.directory.as_ref().map_or_else(
            || "the host's own".to_owned(),
            |directory| directory.display().to_string(),
        );
    let readable = can_read_journal(&config.journal.select);
    Some(Finding::of("journal", subject, readable))
}

/// Whether the server takes an empty request of each kind.
pub(crate) async fn server(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let client = match Client::new(&config.server, Arc::new(SystemClock)) {
        Ok(client) => client,
        Err(error) => {
            findings.push(Finding::of("server", &config.server.url, Err(error)));
            return findings;
        }
    };
    findings.push(match client.standing().await {
        Ok(standing) => Finding::well("credential", standing),
        Err(problem) => Finding::bad("credential", problem),
    });
    for (subject, kind, body) in [
        ("server, metrics", Kind::RemoteWriteV2, remote_write::encode_v2(&[])),
        ("server, logs", Kind::LokiPush, loki_push::encode(&[])),
    ] {
        let answer = client.send(&Request { kind, body: Bytes::from(body) }).await;
        let verdict = match answer {
            // 415: 1.0 only, which is fine; 4xx on nothing at all: it is there and listens.
            Ok(answer) if matches!(answer.status, 200..=299 | 400 | 415 | 422) => Ok(()),
            Ok(answer) if matches!(answer.status, 401 | 403) => {
                Err(anyhow::anyhow!("{answer}; {}", client.refused().await))
            }
            Ok(answer) => Err(anyhow::anyhow!("{answer}")),
            Err(error) => Err(error.into()),
        };
        findings.push(Finding::of(subject, &config.server.url, verdict));
    }
    findings
}

impl Finding {
    fn of(subject: &'static str, value: impl fmt::Display, result: anyhow::Result<()>) -> Self {
        match result {
            Ok(()) => Self::well(subject, value),
            Err(error) => Self::bad(subject, format_args!("{value}: {error:#}")),
        }
    }

    pub(crate) fn well(subject: impl Into<Cow<'static, str>>, text: impl fmt::Display) -> Self {
        Self { is_well: true, subject: subject.into(), text: text.to_string() }
    }

    pub(crate) fn bad(subject: impl Into<Cow<'static, str>>, text: impl fmt::Display) -> Self {
        Self { is_well: false, subject: subject.into(), text: text.to_string() }
    }

    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_well { "ok" } else { "BAD" };
        writeln!(out, "{word:3} {}: {}", self.subject, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_looked_at_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("skep/agent");
        usable(&data_dir).unwrap();
        assert!(!dir.path().join("skep").exists(), "it was made");
        let _running = crate::run::lock(&data_dir).unwrap();
        usable(&data_dir).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let said = usable(&dir.path().join("file/agent")).unwrap_err().to_string();
        assert!(said.contains("is no folder"), "{said}");
    }
}
