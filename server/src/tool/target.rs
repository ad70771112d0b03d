//! What is asked: a server over HTTP, or the same API over a store opened here.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use axum::{Router, body::Body};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use http::{Method, Request, StatusCode, header::CONTENT_TYPE};
use skep_api::{Api, ApiConfig};
use skep_proto::SystemClock;
use skep_query::{Engine, Limits};
use skep_store::{Store, StoreConfig};
use tower::ServiceExt as _;

use super::Where;
use crate::{catalog::StoreCatalog, config::Config, data_version};

/// A question over a whole store may take its time.
const TIMEOUT: Duration = Duration::from_hours(1);
/// Of an answer that says what is wrong.
const FAULT_BYTES_MAX: usize = 64 << 10;

pub(crate) enum Target {
    Server { http: reqwest::Client, url: String, token: Option<String> },
    Here { router: Router, store: Arc<Store> },
}

/// Bytes as they come or go.
pub(crate) type Chunks = BoxStream<'static, anyhow::Result<Bytes>>;

impl Target {
    pub(crate) async fn open(at: &Where) -> anyhow::Result<Self> {
        let (config, limits) = match (&at.data_dir, &at.config) {
            (Some(dir), _) => {
                anyhow::ensure!(dir.is_dir(), "there is no folder {}", dir.display());
                (StoreConfig::new(dir), Limits::default())
            }
            (None, Some(path)) => {
                let config = Config::load(path)?;
                (config.store, config.query)
            }
            (None, None) => return Self::server(at),
        };
        let dir = config.dir.clone();
        data_version::check(&dir)?;
        let opening = tokio::task::spawn_blocking(|| Store::open(config, Arc::new(SystemClock)));
        let store = opening
            .await
            .context("opening the store panicked")?
            .with_context(|| format!("opening the store in {}", dir.display()))?;
        let limits = Limits { timeout: limits.timeout.max(TIMEOUT), ..limits };
        let engine = Engine::new(Arc::new(StoreCatalog(Arc::clone(&store))), limits)
            .context("starting the query engine")?;
        let api = ApiConfig::default();
        let api = Api::new(engine, Arc::clone(&store), Arc::new(SystemClock), api);
        let router = skep_api::prometheus_router(&api)
            .merge(skep_api::loki_router(&api))
            .merge(skep_api::ops_router(&api));
        Ok(Self::Here { router, store })
    }

    fn server(at: &Where) -> anyhow::Result<Self> {
        // Fails if it was done before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        if at.url.starts_with("https:") {
            let pem = std::fs::read(&at.ca_file).with_context(|| {
                format!(
                    "cannot read the root certificate {}; --ca-file names another, --url http://… \
                     needs none",
                    at.ca_file.display()
                )
            })?;
            let root = reqwest::Certificate::from_pem(&pem)
                .with_context(|| format!("{} is no certificate", at.ca_file.display()))?;
            builder = builder.tls_built_in_root_certs(false).add_root_certificate(root);
        }
        let token = match &at.token_file {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the token {}", path.display()))?
                    .trim()
                    .to_owned(),
            ),
            None => std::env::var("SKEP_TOKEN").ok(),
        };
        let url = at.url.trim_end_matches('/').to_owned();
        Ok(Self::Server { http: builder.build()?, url, token })
    }

    /// The body of a good answer.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Chunks,
    ) -> anyhow::Result<Chunks> {
        let (status, mut answer): (StatusCode, Chunks) = match self {
            Self::Server { http, url, token } => {
                let mut request = http
                    .request(method, format!("{url}{path}"))
                    .header(CONTENT_TYPE, content_type)
                    .body(reqwest::Body::wrap_stream(body.map_err(std::io::Error::other)));
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                let response = request.send().await.with_context(|| format!("asking {url}"))?;
                let status = response.status();
                (status, response.bytes_stream().map_err(anyhow::Error::from).boxed())
            }
            Self::Here { router, .. } => {
                let body = Body::from_stream(body.map_err(std::io::Error::other));
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header(CONTENT_TYPE, content_type)
                    .body(body)?;
                let response = router.clone().oneshot(request).await?;
                let (parts, body) = response.into_parts();
                (parts.status, body.into_data_stream().map_err(anyhow::Error::from).boxed())
            }
        };
        if status.is_success() {
            return Ok(answer);
        }
        let mut fault = Vec::new();
        while let Some(Ok(bytes)) = answer.next().await {
            fault.extend_from_slice(&bytes);
            if fault.len() > FAULT_BYTES_MAX {
                break;
            }
        }
        bail!("{}: {}", status, fault_in(&String::from_utf8_lossy(&fault)))
    }

    /// The whole answer to a small request.
    pub(crate) async fn ask_text(
        &self,
        path: &str,
        content_type: &str,
        body: String,
    ) -> anyhow::Result<String> {
        self.ask_whole(Method::POST, path, content_type, body).await
    }

    /// As [`Self::ask_text`], by any method.
    pub(crate) async fn ask_whole(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: String,
    ) -> anyhow::Result<String> {
        let body = futures::stream::iter([Ok(Bytes::from(body))]).boxed();
        let mut answer = self.ask(method, path, content_type, body).await?;
        let mut text = Vec::new();
        while let Some(bytes) = answer.next().await {
            text.extend_from_slice(&bytes?);
        }
        Ok(String::from_utf8(text)?)
    }

    /// Writes to parts what was imported.
    pub(crate) async fn close(self) {
        if let Self::Here { store, .. } = self {
            store.close().await;
        }
    }
}

/// The message inside Prometheus' JSON, or the text as it is.
fn fault_in(text: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let message = json.as_ref().and_then(|it| it.get("error")).and_then(|it| it.as_str());
    message.unwrap_or(text.trim()).to_owned()
}
