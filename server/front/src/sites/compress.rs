//! Compresses answers for who takes it, where it pays.

use std::convert::Infallible;

use axum::body::{Body, HttpBody};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG,
};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::Response;
use tower::ServiceExt;
use tower_http::compression::Compression;
use tower_http::compression::predicate::Predicate;

/// Below it the head of the answer costs more than the body; as in Caddy.
const BYTES_MIN: u64 = 512;

/// Beginnings of media types that are text inside; those of Caddy's `encode`.
const TYPES: [&str; 26] = [
    "text/",
    "application/atom+xml",
    "application/eot",
    "application/font",
    "application/geo+json",
    "application/graphql+json",
    "application/javascript",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/opentype",
    "application/otf",
    "application/rss+xml",
    "application/truetype",
    "application/ttf",
    "application/vnd.api+json",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/xhtml+xml",
    "application/xml",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
    "image/vnd.microsoft.icon",
    "image/x-icon",
];

/// What a client takes, kept while its request is on its way.
#[derive(Debug)]
pub(super) struct Accepted(Option<HeaderValue>);

impl Accepted {
    pub(super) fn by(headers: &HeaderMap) -> Self {
        Self(headers.get(ACCEPT_ENCODING).cloned())
    }

    /// The answer as zstd, brotli or gzip, or as it is.
    pub(super) async fn compressed(self, response: Response) -> Response {
        if !is_worth_it(&response) {
            return response;
        }
        let mut request = Request::new(());
        if let Some(accepted) = self.0 {
            request.headers_mut().insert(ACCEPT_ENCODING, accepted);
        }
        let mut response = Some(response);
        let answer = tower::service_fn(move |_request: Request<()>| {
            let response = response.take().unwrap_or_default();
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let compression = Compression::new(answer).compress_when(Always);
        match compression.oneshot(request).await {
            Ok(response) => {
                let mut response = response.map(Body::new);
                if response.headers().contains_key(CONTENT_ENCODING) {
                    weaken_etag(response.headers_mut());
                }
                response
            }
            Err(never) => match never {},
        }
    }
}

/// The choice is made before.
#[derive(Debug, Clone, Copy)]
struct Always;

impl Predicate for Always {
    fn should_compress<B: HttpBody>(&self, _response: &axum::http::Response<B>) -> bool {
        true
    }
}

fn is_worth_it(response: &Response) -> bool {
    let headers = response.headers();
    let text = |name| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let media_type = text(CONTENT_TYPE).to_ascii_lowercase();
    // Events must pass as they are sent, and the size of one tells what is in it.
    let is_text = TYPES.iter().any(|it| media_type.starts_with(it))
        && !media_type.starts_with("text/event-stream");
    let has_body = !response.status().is_informational()
        && response.status() != StatusCode::NO_CONTENT
        && response.status() != StatusCode::PARTIAL_CONTENT;
    let size = response.body().size_hint();
    is_text
        && has_body
        && size.exact().is_none_or(|it| it >= BYTES_MIN)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && !text(CACHE_CONTROL).contains("no-transform")
}

/// The same content, no longer the same bytes.
fn weaken_etag(headers: &mut HeaderMap) {
    let Some(etag) = headers.get(ETAG).and_then(|it| it.to_str().ok()) else { return };
    if !etag.starts_with("W/")
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{etag}"))
    {
        headers.insert(ETAG, weak);
    }
}
