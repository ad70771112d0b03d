//! The page, built by Vite into `server/web/dist` and carried inside the binary.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use skep_home::Home;

use crate::home;

/// Empty when npm has not run, so that `cargo check` needs no Node.js.
#[derive(RustEmbed)]
#[folder = "web/dist/"]
#[allow_missing = true]
struct Dist;

/// Nothing from elsewhere, no inline script, no frame around us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// Vite puts a hash of the content into these names.
const HASHED_PREFIX: &str = "assets/";
/// Below it stand the views of hosts and their units.
const HOST_PREFIX: &str = "host/";
const INDEX: &str = "index.html";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

/// Of one caller: no cache between may give it to another.
const PRIVATE: &str = "private, no-store";

/// Serves the page's files; a path without a file is a view of the page and gets its index. The
/// home page comes with what its caller may see.
pub(crate) fn router(home: Arc<Home>) -> Router {
    Router::new().fallback(move |request: Request<Body>| {
        let path = request.uri().path().trim_start_matches('/');
        let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
        let response = match Dist::get(INDEX).filter(|_| path.is_empty() && is_get) {
            Some(index) => home_page(&home, &request, &index),
            None => answer(request.method(), path, request.headers(), Dist::get),
        };
        std::future::ready(response)
    })
}

fn home_page(home: &Home, request: &Request<Body>, index: &EmbeddedFile) -> Response {
    let view = home.view(home::caller(request.extensions()));
    let page = skep_home::page(&String::from_utf8_lossy(&index.data), &view);
    match page {
        Ok(html) => {
            let headers = [
                (CACHE_CONTROL, PRIVATE),
                (CONTENT_SECURITY_POLICY, POLICY),
                (CONTENT_TYPE, "text/html; charset=utf-8"),
                (VARY, "cookie, authorization"),
            ];
            (headers, html).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "The home page could not be written.");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn answer(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    find: impl Fn(&str) -> Option<EmbeddedFile>,
) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let name = if path.is_empty() { INDEX } else { path };
    match find(name) {
        Some(found) => file(name, found, headers),
        None if is_view(path) => match find(INDEX) {
            Some(index) => file(INDEX, index, headers),
            None => not_built(),
        },
        None => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    }
}

/// A view's path has no extension: `/explore`, not `/favicon.ico`. Names of hosts and units have
/// dots of their own.
fn is_view(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.starts_with(HOST_PREFIX) || !(path.starts_with(HASHED_PREFIX) || name.contains('.'))
}

fn file(name: &str, found: EmbeddedFile, headers: &HeaderMap) -> Response {
    let digest = found.metadata.sha256_hash();
    let etag = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
    let etag = format!("\"{etag}\"");
    let cache = if name.starts_with(HASHED_PREFIX) { FOR_EVER } else { ASK_AGAIN };
    let common = [
        (CACHE_CONTROL, cache.to_owned()),
        (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (ETAG, etag.clone()),
    ];
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let content_type = [(CONTENT_TYPE, found.metadata.mimetype().to_owned())];
    let bytes = match found.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    (common, content_type, bytes).into_response()
}

fn not_built() -> Response {
    let text = "This server was built without its page.\nrun cargo xtask build\n\nThe APIs below /api/v1 and /loki/api/v1 work.\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the build leaves, in small; the content is a file's own name.
    fn built(name: &str) -> Option<EmbeddedFile> {
        let names = [INDEX, "theme.js", "assets/index-abc123.js"];
        let name = *names.iter().find(|known| **known == name)?;
        let metadata =
            rust_embed::Metadata::__rust_embed_new([7; 32], None, None, "text/javascript");
        Some(EmbeddedFile { data: Cow::Borrowed(name.as_bytes()), metadata })
    }

    fn get(path: &str) -> Response {
        answer(&Method::GET, path, &HeaderMap::new(), built)
    }

    #[test]
    fn hashed_files_are_kept_for_ever_and_the_rest_is_asked_for_again() {
        assert_eq!(get("assets/index-abc123.js").headers()[CACHE_CONTROL], FOR_EVER);
        for path in ["", "explore", "host/nas.lan", "host/nas.lan/unit/cron.service", "theme.js"] {
            let response = get(path);
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[CACHE_CONTROL], ASK_AGAIN, "{path}");
            assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY, "{path}");
        }
    }

    #[test]
    fn a_missing_file_is_404_and_not_the_page() {
        for path in ["assets/index-old.js", "favicon.ico", "a/b.css"] {
            assert_eq!(get(path).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn a_file_the_browser_has_is_not_sent_again() {
        let etag = get("").headers()[ETAG].clone();
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, etag)]);
        let response = answer(&Method::GET, "", &headers, built);
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn without_a_built_page_a_person_is_told_what_to_do() {
        let response = answer(&Method::GET, "", &HeaderMap::new(), |_name| None);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn the_page_only_reads() {
        let response = answer(&Method::POST, "", &HeaderMap::new(), built);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
