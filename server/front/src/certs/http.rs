//! HTTP to what certificates and logins need: ACME directories, the APIs of DNS providers, login
//! providers.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use http_body_util::{BodyExt, Limited};
use instant_acme::{BodyWrapper, BytesResponse};
use reqwest::{Client, RequestBuilder, Response};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use skep_trust::SystemRoots;

/// For one request with its answer; the longest that a CA lets wait for a nonce is far below.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A chain is some 10 KiB, a page of DNS records less than that.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How much of an unexpected answer an error quotes.
const QUOTE_CHARS_MAX: usize = 300;

/// Whom TLS servers must be vouched for by.
#[derive(Debug, Clone)]
pub(crate) struct Roots(Arc<RootCertStore>);

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot read the root certificates in {path:?}")]
    Roots { path: String, source: rustls::pki_types::pem::Error },
    #[error("there is no certificate in {path:?}; it must be PEM")]
    NoRoots { path: String },
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("cannot set up HTTP")]
    Client(#[source] reqwest::Error),
    #[error("no answer from {url}")]
    NoAnswer { url: String, source: Box<dyn std::error::Error + Send + Sync> },
}

impl Roots {
    /// Those of the machine.
    pub(crate) fn system() -> Self {
        let SystemRoots { roots, errors } = skep_trust::system_roots();
        for error in errors {
            tracing::debug!(%error, "Could not read a root certificate of this machine.");
        }
        Self(Arc::new(roots))
    }

    /// And this one, in PEM.
    pub(crate) fn and(self, pem: &str) -> Self {
        let mut roots = RootCertStore::clone(&self.0);
        roots.add_parsable_certificates(CertificateDer::from_pem_slice(pem.as_bytes()));
        Self(Arc::new(roots))
    }

    /// Those in a file, and no others.
    pub(crate) fn of_file(path: &Path) -> Result<Self, HttpError> {
        let name = || path.display().to_string();
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|source| HttpError::Roots { path: name(), source })?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        if roots.is_empty() {
            Err(HttpError::NoRoots { path: name() })
        } else {
            Ok(Self(Arc::new(roots)))
        }
    }
}

/// No redirects and no proxy of the environment: secrets go where the configuration says.
pub(crate) fn client(roots: &Roots) -> Result<Client, HttpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(Arc::clone(&roots.0))
        .with_no_client_auth();
    Client::builder()
        .use_preconfigured_tls(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("skep/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(HttpError::Client)
}

/// An answer in full.
pub(crate) struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// For an error; long pages are cut.
    pub(crate) fn quote(&self) -> String {
        quote(&self.text)
    }
}

/// Text of another program in one line of bounded length.
pub(crate) fn quote(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(QUOTE_CHARS_MAX).collect()
}

pub(crate) async fn send(request: RequestBuilder, url: &str) -> Result<Answer, HttpError> {
    let no_answer = |source| HttpError::NoAnswer { url: url.to_owned(), source };
    let response: Response = request.send().await.map_err(|error| no_answer(error.into()))?;
    let status = response.status().as_u16();
    let body: reqwest::Body = axum::http::Response::from(response).into_body();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(no_answer)?;
    Ok(Answer { status, text: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
}

/// The client as `instant_acme` wants it.
pub(crate) struct AcmeHttp(pub Client);

impl instant_acme::HttpClient for AcmeHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let url = parts.uri.to_string();
            let other = |source: Box<dyn std::error::Error + Send + Sync>| {
                instant_acme::Error::Other(Box::new(HttpError::NoAnswer {
                    url: url.clone(),
                    source,
                }))
            };
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let request = Request::from_parts(parts, body);
            let request = reqwest::Request::try_from(request).map_err(|it| other(it.into()))?;
            let response = client.execute(request).await.map_err(|it| other(it.into()))?;
            let response = axum::http::Response::<reqwest::Body>::from(response);
            Ok(BytesResponse::from(response.map(|body| Limited::new(body, ANSWER_BYTES_MAX))))
        })
    }
}
