//! The real client: HTTP and HTTPS, credentials from files, proxies.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{
    NoProxy, Proxy, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT},
    redirect::Policy,
};

use super::{Client, Fetch, FetchError, Request, Response, tls};
use crate::config::{Authorization, Credential, HttpConfig};

/// As many as a browser follows.
const REDIRECTS_MAX: usize = 10;
/// A connection outlives the wait between two scrapes.
const IDLE: Duration = Duration::from_mins(5);

/// Clients over TCP.
#[derive(Debug, Default)]
pub struct HttpFetch;

impl Fetch for HttpFetch {
    fn client(&self, config: &HttpConfig, takes_gzip: bool) -> Arc<dyn Client> {
        let files = tls::files(&config.tls);
        Arc::new(HttpClient { config: config.clone(), takes_gzip, files, built: Mutex::default() })
    }
}

#[derive(Debug)]
struct HttpClient {
    config: HttpConfig,
    takes_gzip: bool,
    /// Certificates and keys; when one of them changes, another client is built.
    files: Vec<PathBuf>,
    /// With the times of the files then; held for the exchange only.
    built: Mutex<Option<(Stamps, reqwest::Client)>>,
}

type Stamps = Vec<Option<SystemTime>>;

#[async_trait]
impl Client for HttpClient {
    async fn get(&self, request: &Request<'_>) -> Result<Response, FetchError> {
        let transport = |text: String| FetchError::Transport { url: request.url.to_owned(), text };
        let client = self.reqwest().await.map_err(transport)?;
        let mut get = client
            .get(request.url)
            .header(USER_AGENT, concat!("skep-server/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &request.headers {
            get = get.header(*name, value);
        }
        for (name, value) in &self.config.headers {
            get = get
                .header(name, header(&read(value).await.map_err(transport)?).map_err(transport)?);
        }
        if let Some(it) = &self.config.authorization {
            get = get.header(AUTHORIZATION, authorization(it).await.map_err(transport)?);
        }
        let mut response = get.send().await.map_err(|error| transport(chain(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().to_string()));
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let content_type = content_type.to_owned();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| transport(chain(&error)))? {
            let size_bytes = u64::try_from(body.len() + chunk.len()).unwrap_or(u64::MAX);
            if size_bytes > request.body_bytes_max {
                return Err(FetchError::BodySize);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { content_type, body })
    }
}

impl HttpClient {
    /// The client, built anew if a file has changed since.
    async fn reqwest(&self) -> Result<reqwest::Client, String> {
        let mut stamps = Stamps::new();
        for file in &self.files {
            let modified = tokio::fs::metadata(file).await.and_then(|it| it.modified());
            stamps.push(modified.ok());
        }
        let built = self.built.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((then, client)) = built
            && then == stamps
        {
            return Ok(client);
        }
        let (config, takes_gzip) = (self.config.clone(), self.takes_gzip);
        // Certificates are read from the disk.
        let client = tokio::task::spawn_blocking(move || build(&config, takes_gzip))
            .await
            .map_err(|error| error.to_string())??;
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        *built = Some((stamps, client.clone()));
        Ok(client)
    }
}

fn build(config: &HttpConfig, takes_gzip: bool) -> Result<reqwest::Client, String> {
    let redirects =
        if config.follow_redirects { Policy::limited(REDIRECTS_MAX) } else { Policy::none() };
    // Nothing of the environment: what is connected to is what is configured.
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(redirects)
        .pool_idle_timeout(IDLE)
        .gzip(takes_gzip)
        .use_preconfigured_tls(tls::client_config(&config.tls, config.enable_http2)?);
    if !config.enable_http2 {
        builder = builder.http1_only();
    }
    if let Some(it) = &config.proxy {
        let proxy = Proxy::all(&it.url).map_err(|error| chain(&error))?;
        builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&it.no_proxy)));
    }
    builder.build().map_err(|error| chain(&error))
}

async fn authorization(it: &Authorization) -> Result<HeaderValue, String> {
    match it {
        Authorization::Basic { username, password } => {
            let pair = format!("{}:{}", read(username).await?, read(password).await?);
            header(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
        }
        Authorization::Scheme { kind, credentials } => {
            header(&format!("{kind} {}", read(credentials).await?))
        }
    }
}

fn header(text: &str) -> Result<HeaderValue, String> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_secret: reqwest::header::InvalidHeaderValue| {
            "credentials with characters that no header may have".to_owned()
        })?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read(credential: &Credential) -> Result<String, String> {
    match credential {
        Credential::Inline(secret) => Ok(secret.0.clone()),
        Credential::File(path) => match tokio::fs::read_to_string(path).await {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) => Err(format!("unable to read file {}: {error}", path.display())),
        },
    }
}

/// What is behind an error; its own text only repeats the URL.
fn chain(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(it) = source {
        texts.push(it.to_string());
        source = it.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

#[cfg(test)]
mod tests;
