//! The HTTP client: addresses, headers, the pinned authority.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use skep_proto::{
    loki_push,
    names::header::{REMOTE_WRITE_VERSION, SAMPLES_WRITTEN},
    remote_write,
};
use tokio::sync::Mutex;

use super::{
    answer::Answer,
    credential::{Credential, EnrolError, Enrolment},
};
use crate::{config::ServerConfig, spool::Kind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The server answers once a batch is durable: far longer than that takes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a server's error text is worth keeping.
const TEXT_BYTES_MAX: usize = 2 << 10;
const METRICS_PATH: &str = "/api/v1/write";
const LOGS_PATH: &str = "/loki/api/v1/push";

/// A request body and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
}

/// All clones show the same credential.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// Without a slash at its end.
    url: String,
    /// Held while the server is asked for one, so that it is asked once.
    credential: Arc<Mutex<Credential>>,
}

/// Why the agent could not get a credential of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    #[error("asking the server to enrol this agent")]
    Http(#[from] reqwest::Error),
}

impl Client {
    /// # Errors
    /// A file of authorities that cannot be read or holds none; as [`Credential::open`].
    pub(crate) fn new(config: &ServerConfig) -> anyhow::Result<Self> {
        // Another crate may have set it first; it is the same one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &config.ca_file {
            for authority in authorities(path)? {
                builder = builder.add_root_certificate(authority);
            }
        }
        let http = builder.build().context("setting up the HTTP client")?;
        let credential = Arc::new(Mutex::new(Credential::open(&config.credential)?));
        Ok(Self { http, url: config.url.clone(), credential })
    }

    /// Trades an enrolment token that has not been used for a credential of the agent's own.
    pub(crate) async fn enrol(&self) -> Result<(), ClientError> {
        let mut credential = self.credential.lock().await;
        let Some(enrolment) = credential.wanted()? else { return Ok(()) };
        let post = self.post(Enrolment::PATH).json(&enrolment.body);
        let answer = read_answer(post.send().await?).await?;
        Ok(credential.answered(&self.url, enrolment, &answer)?)
    }

    /// An answer of any status is `Ok`.
    pub(crate) async fn send(&self, request: &Request) -> reqwest::Result<Answer> {
        let (path, content_type, version) = match request.kind {
            Kind::RemoteWriteV1 => {
                (METRICS_PATH, remote_write::CONTENT_TYPE_V1, Some(remote_write::VERSION_V1))
            }
            Kind::RemoteWriteV2 => {
                (METRICS_PATH, remote_write::CONTENT_TYPE_V2, Some(remote_write::VERSION_V2))
            }
            Kind::LokiPush => (LOGS_PATH, loki_push::CONTENT_TYPE, None),
        };
        let mut post =
            self.post(path).header(CONTENT_TYPE, content_type).body(request.body.clone());
        // Loki's protobuf is snappy by definition, and its own clients send no such header.
        if let Some(version) = version {
            post = post.header(REMOTE_WRITE_VERSION, version).header(CONTENT_ENCODING, "snappy");
        }
        let authorization = self.credential.lock().await.authorization().cloned();
        if let Some(authorization) = authorization {
            post = post.header(AUTHORIZATION, authorization);
        }
        read_answer(post.send().await?).await
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.http.post(url).header(USER_AGENT, concat!("skep-agent/", env!("CARGO_PKG_VERSION")))
    }

    /// The server does not take the credential; returns what to do about it, for people.
    pub(crate) async fn refused(&self) -> String {
        let mut credential = self.credential.lock().await;
        credential.refused();
        credential.advice()
    }

    /// How the agent stands with the server, as far as this host knows.
    pub(crate) async fn standing(&self) -> Result<String, String> {
        self.credential.lock().await.standing()
    }
}

async fn read_answer(mut response: reqwest::Response) -> reqwest::Result<Answer> {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|it| it.to_str().ok()).map(str::to_owned);
    let speaks_v2 = response.headers().contains_key(SAMPLES_WRITTEN);
    let mut text = Vec::new();
    while text.len() < TEXT_BYTES_MAX {
        // The status counts; the text is for people.
        let Ok(Some(chunk)) = response.chunk().await else { break };
        text.extend(chunk.iter().take(TEXT_BYTES_MAX - text.len()));
    }
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    Ok(Answer { status, retry_after, speaks_v2, text })
}

fn authorities(path: &Path) -> anyhow::Result<Vec<reqwest::Certificate>> {
    let pem = std::fs::read(path)
        .with_context(|| format!("reading server.ca_file {}", path.display()))?;
    let authorities = reqwest::Certificate::from_pem_bundle(&pem)
        .with_context(|| format!("server.ca_file {}", path.display()))?;
    if authorities.is_empty() {
        anyhow::bail!("server.ca_file {} holds no certificate in PEM form", path.display());
    }
    Ok(authorities)
}
