//! The HTTP client: addresses, headers, the pinned authority, the certificate.

use std::{error::Error as _, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use skep_proto::{
    Clock, loki_push,
    names::header::{REMOTE_WRITE_VERSION, SAMPLES_WRITTEN},
    remote_write,
};
use tokio::sync::Mutex;
use tracing::warn;

use super::{
    answer::Answer,
    certificate,
    credential::{Credential, EnrolError, Enrolment},
};
use crate::{config::ServerConfig, spool::Kind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The server answers once a batch is durable: far longer than that takes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a server's words is worth keeping: a certificate is less than 2 KiB.
const TEXT_BYTES_MAX: usize = 4 << 10;
const METRICS_PATH: &str = "/api/v1/write";
const LOGS_PATH: &str = "/loki/api/v1/push";

/// A request body and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
}

/// All clones show the same credential and certificate.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Without a slash at its end.
    url: String,
    authorities: Vec<reqwest::Certificate>,
    clock: Arc<dyn Clock>,
    /// Held while the server is asked for a credential, so that it is asked once.
    pass: Arc<Mutex<Pass>>,
}

/// What the server is shown.
#[derive(Debug)]
struct Pass {
    credential: Credential,
    /// Shows `identity`.
    http: reqwest::Client,
    identity: Option<String>,
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
    pub(crate) fn new(config: &ServerConfig, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        // Another crate may have set it first; it is the same one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let authorities = config.ca_file.as_deref().map_or(Ok(Vec::new()), authorities)?;
        let http = http(&authorities, None).context("setting up the HTTP client")?;
        let credential = Credential::open(&config.credential)?;
        let mut pass = Pass { credential, http, identity: None };
        pass.show(&authorities, now_unix_s(&*clock));
        let pass = Arc::new(Mutex::new(pass));
        Ok(Self { url: config.url.clone(), authorities, clock, pass })
    }

    /// Gets what this server lets agents in by: a credential for an enrolment token that has not
    /// been used, and a certificate before the old one ends.
    pub(crate) async fn prepare(&self) -> Result<(), ClientError> {
        let mut pass = self.pass.lock().await;
        if let Some(enrolment) = pass.credential.wanted()? {
            let post = self.post(&pass.http, Enrolment::PATH).json(&enrolment.body);
            let answer = read_answer(post.send().await?).await?;
            pass.credential.answered(&self.url, enrolment, &answer, self.now_unix_s())?;
        }
        pass.show(&self.authorities, self.now_unix_s());
        if let Some(body) = pass.credential.certificate_wanted(self.now_unix_s())? {
            let post = self.post(&pass.http, certificate::PATH).json(&body);
            let answer = match authorized(post, &pass.credential).send().await {
                Ok(response) => read_answer(response).await,
                Err(error) => Err(error),
            };
            if answer.as_ref().is_err_and(may_be_over_certificate) {
                pass.credential.certificate_doubted(self.now_unix_s());
            } else {
                let answer = answer.map_err(|it| format!("{:#}", anyhow::Error::new(it)));
                pass.credential.certified(answer, self.now_unix_s())?;
            }
            pass.show(&self.authorities, self.now_unix_s());
        }
        Ok(())
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
        let http = self.pass.lock().await.http.clone();
        let mut post =
            self.post(&http, path).header(CONTENT_TYPE, content_type).body(request.body.clone());
        // Loki's protobuf is snappy by definition, and its own clients send no such header.
        if let Some(version) = version {
            post = post.header(REMOTE_WRITE_VERSION, version).header(CONTENT_ENCODING, "snappy");
        }
        let post = authorized(post, &self.pass.lock().await.credential);
        let answer = match post.send().await {
            Ok(response) => read_answer(response).await,
            Err(error) => Err(error),
        };
        if answer.as_ref().is_err_and(may_be_over_certificate) {
            self.pass.lock().await.credential.certificate_doubted(self.now_unix_s());
        }
        answer
    }

    fn post(&self, http: &reqwest::Client, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.url);
        http.post(url).header(USER_AGENT, concat!("skep-agent/", env!("CARGO_PKG_VERSION")))
    }

    /// The server does not take the credential; returns what to do about it, for people.
    pub(crate) async fn refused(&self) -> String {
        let mut pass = self.pass.lock().await;
        pass.credential.refused(self.now_unix_s());
        // A connection on which no certificate was asked for never shows one.
        pass.connect_anew(&self.authorities);
        pass.credential.advice()
    }

    /// How the agent stands with the server, as far as this host knows.
    pub(crate) async fn standing(&self) -> Result<String, String> {
        self.pass.lock().await.credential.standing()
    }

    fn now_unix_s(&self) -> i64 {
        now_unix_s(&*self.clock)
    }
}

impl Pass {
    /// Shows the certificate that there is now, or none.
    fn show(&mut self, authorities: &[reqwest::Certificate], now_unix_s: i64) {
        let identity = self.credential.identity(now_unix_s);
        if identity != self.identity {
            self.identity = identity;
            self.connect_anew(authorities);
        }
    }

    fn connect_anew(&mut self, authorities: &[reqwest::Certificate]) {
        match http(authorities, self.identity.as_deref()) {
            Ok(http) => self.http = http,
            // The credential may be enough; what the server says to it is told.
            Err(error) => {
                warn!(error = format!("{error:#}"), "Could not use the agent's certificate.");
            }
        }
    }
}

fn http(
    authorities: &[reqwest::Certificate],
    identity: Option<&str>,
) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        // Nobody but those that were named, whatever another crate has reqwest know.
        .tls_built_in_root_certs(false);
    for authority in authorities {
        builder = builder.add_root_certificate(authority.clone());
    }
    if let Some(pem) = identity {
        builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes())?);
    }
    Ok(builder.build()?)
}

fn authorized(post: reqwest::RequestBuilder, credential: &Credential) -> reqwest::RequestBuilder {
    match credential.authorization() {
        Some(authorization) => post.header(AUTHORIZATION, authorization.clone()),
        None => post,
    }
}

/// Whether the other end may have broken off over the certificate it was shown: it has ended, or the
/// server has another authority now. TLS 1.3 says so after the handshake, when the alert is lost to
/// whoever waits for an answer: any connection that was made and then lost counts.
fn may_be_over_certificate(error: &reqwest::Error) -> bool {
    if !error.is_connect() {
        return !error.is_timeout();
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner.and_then(|it| it.downcast_ref::<rustls::Error>());
        if matches!(tls, Some(rustls::Error::AlertReceived(_))) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn now_unix_s(clock: &dyn Clock) -> i64 {
    clock.now().0.div_euclid(1_000_000_000)
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
