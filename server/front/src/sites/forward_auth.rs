//! Asks another server about each request, as Caddy's `forward_auth` and Traefik's do.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderName, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::proxy;
use super::values::Values;
use crate::client_ip::X_FORWARDED_FOR;
use crate::config::{CopiedHeader, ForwardAuth};
use crate::error::Error;

/// An auth server, and the connections to it.
#[derive(Debug)]
pub(super) struct AuthServer {
    config: ForwardAuth,
    client: reqwest::Client,
}

const X_FORWARDED_METHOD: &str = "x-forwarded-method";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const X_FORWARDED_HOST: &str = "x-forwarded-host";
const X_FORWARDED_URI: &str = "x-forwarded-uri";

/// They belong to the connection or to the body, which the auth server does not get.
const NOT_PASSED_ON: [HeaderName; 11] = [
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

impl AuthServer {
    pub(super) fn new(config: &ForwardAuth) -> Result<Self, Error> {
        let tls = client_tls(&config.authorities)?;
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            .connect_timeout(config.timeout)
            .read_timeout(config.timeout)
            .build()
            .map_err(Error::AuthClient)?;
        Ok(Self { config: config.clone(), client })
    }

    pub(super) fn copied_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.config.copy_headers.iter().map(|it| &it.to)
    }

    /// What the client gets instead of an answer of the service, if the auth server is against it.
    pub(super) async fn refusal(
        &self,
        values: &Values<'_>,
        headers: &mut HeaderMap,
    ) -> Option<Response> {
        let site = &values.visit.host.name;
        let question = question(values, headers);
        let asked = self.client.get(&self.config.url).headers(question).send();
        let answer = match tokio::time::timeout(self.config.timeout, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if !error.is_timeout() => {
                tracing::warn!(site, error = %causes(&error), "The auth server cannot be asked.");
                return Some(failed(
                    StatusCode::BAD_GATEWAY,
                    "the login service cannot be reached\n",
                ));
            }
            _late => {
                tracing::warn!(
                    site,
                    url = self.config.url,
                    "The auth server does not answer in time."
                );
                return Some(failed(
                    StatusCode::GATEWAY_TIMEOUT,
                    "the login service does not answer\n",
                ));
            }
        };
        if !answer.status().is_success() {
            return Some(passed_on(answer));
        }
        for CopiedHeader { from, to } in &self.config.copy_headers {
            headers.remove(to);
            for value in answer.headers().get_all(from) {
                headers.append(to, value.clone());
            }
        }
        None
    }
}

/// The request's headers, and what it was, in words that the client cannot have chosen.
fn question(values: &Values<'_>, headers: &HeaderMap) -> HeaderMap {
    let Values { visit, method, uri } = values;
    let mut question = headers.clone();
    for name in nominated(headers).iter().chain(&NOT_PASSED_ON) {
        question.remove(name);
    }
    // What is for us is nobody else's business.
    proxy::headers::cookies(&mut question);
    if visit.principal.is_some() {
        question.remove(AUTHORIZATION);
    }
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    let host = match visit.host.port {
        Some(port) => format!("{}:{port}", visit.host.name),
        None => visit.host.name.clone(),
    };
    for (name, value) in [
        (X_FORWARDED_METHOD, method.as_str()),
        (X_FORWARDED_PROTO, visit.connection.transport.scheme()),
        (X_FORWARDED_HOST, &host),
        (X_FORWARDED_URI, path),
        (X_FORWARDED_FOR, &visit.client.to_string()),
    ] {
        question.remove(name);
        if let Ok(value) = HeaderValue::from_str(value) {
            question.insert(name, value);
        }
    }
    question
}

/// Headers that `Connection` says are for the next hop only.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|it| it.to_str().ok());
    values.flat_map(|it| it.split(',')).filter_map(|it| it.trim().parse().ok()).collect()
}

/// A way to the login page, or a no: the client gets it as it is.
fn passed_on(answer: reqwest::Response) -> Response {
    let status = answer.status();
    let mut headers = answer.headers().clone();
    for name in nominated(&headers).iter().chain(&NOT_PASSED_ON) {
        if *name != CONTENT_TYPE {
            headers.remove(name);
        }
    }
    let mut response = Body::from_stream(answer.bytes_stream()).into_response();
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn failed(status: StatusCode, text: &'static str) -> Response {
    (status, text).into_response()
}

/// reqwest's own text leaves out why.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(it) = cause {
        text.push_str(&format!(": {it}"));
        cause = it.source();
    }
    text
}

/// The given authorities, else those of the system.
fn client_tls(authorities: &[CertificateDer<'static>]) -> Result<rustls::ClientConfig, Error> {
    let roots = if authorities.is_empty() {
        skep_trust::system_roots().roots
    } else {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().cloned());
        roots
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
