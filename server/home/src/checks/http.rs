//! Asks an address: is a service there, or what does a document say.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use reqwest::{
    Client, Url,
    header::{ACCEPT, USER_AGENT},
    redirect::Policy,
    tls::TlsInfo,
};
use tokio::time::Instant;

use super::{Finding, tls};
use crate::config::{Expected, JsonSource, Limits, Trust};

const AGENT: &str = concat!("skep-server/", env!("CARGO_PKG_VERSION"));

/// Clients by whom they trust and where they follow; each is made once.
#[derive(Debug)]
pub(super) struct Clients {
    limits: Limits,
    made: Mutex<HashMap<(Trust, Follow), Client>>,
}

/// Which redirects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Follow {
    /// All, as a browser does.
    Everywhere,
    /// Those to the same host and port: a file has named no other.
    SameOrigin,
}

impl Clients {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, made: Mutex::default() }
    }

    /// Certificates are read from the disk.
    fn client(&self, trust: &Trust, follow: Follow) -> Result<Client, String> {
        let key = (trust.clone(), follow);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&key) {
            return Ok(client.clone());
        }
        let client = Client::builder()
            // Nothing of the environment: what is connected to is what is configured.
            .no_proxy()
            .redirect(policy(follow, self.limits.redirects_max))
            // Whether a connection can be made is what a check is for.
            .pool_max_idle_per_host(0)
            .http1_only()
            .tls_info(true)
            .use_preconfigured_tls(tls::client_config(trust, self.limits.file_bytes_max)?)
            .build()
            .map_err(|error| chain(&error))?;
        made.insert(key, client.clone());
        Ok(client)
    }

    pub(super) async fn check(&self, url: &str, trust: &Trust, expected: &Expected) -> Finding {
        let client = match self.client(trust, Follow::Everywhere) {
            Ok(client) => client,
            Err(text) => return Finding::down(text),
        };
        let started = Instant::now();
        let mut response = match client.get(url).header(USER_AGENT, AGENT).send().await {
            Ok(response) => response,
            Err(error) => return Finding::down(chain(&error)),
        };
        let seconds = started.elapsed().as_secs_f64();
        let status = response.status().as_u16();
        let mut finding = if expected.has(status) {
            Finding::up(seconds)
        } else {
            Finding {
                seconds: Some(seconds),
                ..Finding::down(format!("answers with status {status}"))
            }
        };
        finding.status = Some(status);
        let info = response.extensions().get::<TlsInfo>();
        finding.certificate_expires_s = info.and_then(|it| expiry(it.peer_certificate()?));
        // A page that breaks off is no page.
        let mut n_read = 0;
        while n_read < self.limits.check_bytes_max {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    n_read += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                }
                Ok(None) => break,
                Err(error) => {
                    finding.is_up = false;
                    finding.error = Some(format!("the answer broke off: {}", chain(&error)));
                    break;
                }
            }
        }
        finding
    }

    /// The body of a document.
    pub(super) async fn document(&self, source: &JsonSource) -> Result<Vec<u8>, String> {
        let client = self.client(&source.trust, Follow::SameOrigin)?;
        let asked =
            client.get(&source.url).header(USER_AGENT, AGENT).header(ACCEPT, "application/json");
        let mut response = asked.send().await.map_err(|error| chain(&error))?;
        if !response.status().is_success() {
            return Err(format!("answers with status {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
            body.extend_from_slice(&chunk);
            if u64::try_from(body.len()).unwrap_or(u64::MAX) > self.limits.widget_bytes_max {
                let max = self.limits.widget_bytes_max;
                return Err(format!("the answer has more than home.widget_body_max, {max} bytes"));
            }
        }
        Ok(body)
    }
}

impl Expected {
    fn has(&self, status: u16) -> bool {
        match self {
            Self::Usual => matches!(status, 200..=399 | 401 | 403),
            Self::Among(ranges) => ranges.iter().any(|it| it.contains(&status)),
        }
    }
}

fn policy(follow: Follow, redirects_max: usize) -> Policy {
    match follow {
        Follow::Everywhere => Policy::limited(redirects_max),
        Follow::SameOrigin => Policy::custom(move |attempt| {
            let from = attempt.previous().first();
            if from.is_none_or(|it| origin(it) != origin(attempt.url())) {
                return attempt.error("the answer leads to another address, which is not asked");
            }
            if attempt.previous().len() > redirects_max {
                return attempt.error("too many redirects");
            }
            attempt.follow()
        }),
    }
}

fn origin(url: &Url) -> (String, Option<String>, Option<u16>) {
    (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default())
}

/// Seconds since the Unix epoch.
fn expiry(der: &[u8]) -> Option<i64> {
    let (_rest, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// What is behind an error; its own text only repeats the address, which may hold a secret.
fn chain(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(it) = source {
        let text = it.to_string();
        // What part of the client met the error helps nobody.
        let is_told = text.starts_with("client error (") || text == "tcp connect error";
        if !is_told && texts.last() != Some(&text) {
            texts.push(text);
        }
        source = it.source();
    }
    if texts.is_empty() { "no answer".to_owned() } else { texts.join(": ") }
}
