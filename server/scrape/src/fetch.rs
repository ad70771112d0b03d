//! How bytes are got from a target: what the scraper asks for, and what it is told.

mod http;
mod tls;

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::HttpConfig;

pub use http::HttpFetch;

/// Makes clients; the scraper makes no connection but through one.
pub trait Fetch: Send + Sync + std::fmt::Debug {
    /// A client with these settings. It connects when it is asked, and says then what is wrong
    /// with the settings' files.
    fn client(&self, config: &HttpConfig, takes_gzip: bool) -> Arc<dyn Client>;
}

/// Gets URLs, over and over.
#[async_trait]
pub trait Client: Send + Sync + std::fmt::Debug {
    /// The body of an answer with status 200. The caller bounds the time by dropping the future.
    ///
    /// # Errors
    /// No answer, another one, or a body that is too large.
    async fn get(&self, request: &Request<'_>) -> Result<Response, FetchError>;
}

/// One GET.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub url: &'a str,
    pub headers: Vec<(&'static str, String)>,
    /// Of the body as it is unpacked.
    pub body_bytes_max: u64,
}

#[derive(Debug, Clone)]
pub struct Response {
    /// Empty if there was none.
    pub content_type: String,
    pub body: Vec<u8>,
}

/// Why there is no body, in Prometheus' words where they are its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("server returned HTTP status {0}")]
    Status(String),
    #[error("body size limit exceeded")]
    BodySize,
    #[error("Get {url:?}: {text}")]
    Transport { url: String, text: String },
}
