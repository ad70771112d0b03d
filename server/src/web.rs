//! The page, built by Vite into `server/web/dist` and carried inside the binary.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};
use skep_front::Encoding;
use skep_home::Home;
use tower_http::compression::CompressionLayer;

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
/// home page comes with what its caller may see, and is packed as it is made.
pub(crate) fn router(home: Arc<Home>) -> Router {
    let home = get(async move |request: Request<Body>| match Dist::get(INDEX) {
        Some(index) => home_page(&home, &request, &index),
        None => not_built(),
    });
    let files = async |request: Request<Body>| {
        let path = request.uri().path().trim_start_matches('/');
        answer(request.method(), path, request.headers(), Dist::get)
    };
    Router::new().route("/", home).layer(CompressionLayer::new()).fallback(files)
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
    let name = if is_view(path) { INDEX } else { path };
    match find(name) {
        Some(found) => file(name, found, headers, find),
        None if name == INDEX => not_built(),
        None => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    }
}

/// A view's path has no extension: `/explore`, not `/favicon.ico`. Names of hosts and units have
/// dots of their own.
fn is_view(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.starts_with(HOST_PREFIX) || !(path.starts_with(HASHED_PREFIX) || name.contains('.'))
}

/// As the client takes it: `dev/pack.ts` of the page leaves packed files beside those that gain by it.
fn file(
    name: &str,
    found: EmbeddedFile,
    headers: &HeaderMap,
    find: impl Fn(&str) -> Option<EmbeddedFile>,
) -> Response {
    let packed = Encoding::accepted(headers)
        .find_map(|it| Some((it.name(), find(&format!("{name}{}", it.suffix()))?.data)));
    let mimetype = found.metadata.mimetype();
    let is_text = mimetype.starts_with("text/");
    let media_type = format!("{mimetype}{}", if is_text { "; charset=utf-8" } else { "" });
    let etag = etag(&found, packed.as_ref().map(|(encoding, _)| *encoding));
    let cache = if name.starts_with(HASHED_PREFIX) { FOR_EVER } else { ASK_AGAIN };
    let common = [
        (CACHE_CONTROL, cache.to_owned()),
        (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (ETAG, etag.clone()),
        (VARY, ACCEPT_ENCODING.to_string()),
    ];
    if is_known(headers, &etag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let (encoding, data) = packed.map_or((None, found.data), |(name, data)| (Some(name), data));
    let encoding = encoding.map(|it| [(CONTENT_ENCODING, it)]);
    let bytes = match data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    (common, [(CONTENT_TYPE, media_type)], encoding, bytes).into_response()
}

/// By content and by how it is packed: a cache must not take one for the other.
fn etag(found: &EmbeddedFile, encoding: Option<&str>) -> String {
    let digest = found.metadata.sha256_hash();
    let digest = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("\"{digest}{}\"", encoding.map(|it| format!("-{it}")).unwrap_or_default())
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|it| it.to_str().ok());
    let mut known = known.flat_map(|it| it.split(',')).map(str::trim);
    known.any(|it| it.strip_prefix("W/").unwrap_or(it) == etag)
}

fn not_built() -> Response {
    let text = "This server was built without its page.\nrun cargo xtask build\n\nThe APIs below /api/v1 and /loki/api/v1 work.\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// What the build leaves, in small; the content is a file's own name.
    fn built(name: &str) -> Option<EmbeddedFile> {
        let names = [
            INDEX,
            "index.html.br",
            "theme.js",
            "assets/index-abc123.js",
            "assets/index-abc123.js.br",
            "assets/index-abc123.js.gz",
        ];
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
    fn a_file_comes_packed_as_its_client_takes_it() {
        let packed = |path, accepted| {
            let headers =
                HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            let response = answer(&Method::GET, path, &headers, built);
            assert_eq!(response.headers()[VARY], "accept-encoding", "{path}");
            assert_eq!(response.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
            let text = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
            (text(CONTENT_ENCODING), text(ETAG).unwrap_or_default().contains('-'))
        };
        let script = "assets/index-abc123.js";
        assert_eq!(packed(script, "gzip, deflate, br"), (Some("br".to_owned()), true));
        assert_eq!(packed(script, "gzip, br;q=0"), (Some("gzip".to_owned()), true));
        assert_eq!(packed(script, "identity"), (None, false));
        // Only what gains by it is there packed.
        assert_eq!(packed("theme.js", "br"), (None, false));
        assert_eq!(packed("explore", "br"), (Some("br".to_owned()), true));
    }

    #[test]
    fn what_is_known_by_another_packing_is_sent() {
        let etag = get("assets/index-abc123.js").headers()[ETAG].clone();
        let headers = HeaderMap::from_iter([
            (IF_NONE_MATCH, etag),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        ]);
        let response = answer(&Method::GET, "assets/index-abc123.js", &headers, built);
        assert_eq!(response.status(), StatusCode::OK);
        let known =
            format!("\"other\", W/{}", response.headers()[ETAG].to_str().unwrap_or_default());
        let mut headers = headers;
        headers.insert(IF_NONE_MATCH, HeaderValue::from_str(&known).expect("an etag"));
        let response = answer(&Method::GET, "assets/index-abc123.js", &headers, built);
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
