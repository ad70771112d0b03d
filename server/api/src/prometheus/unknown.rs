//! Paths that lead nowhere, answered as Go's HTTP server does.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, Method, StatusCode, Uri,
    header::{CONTENT_TYPE, LOCATION},
};

/// Below it a slash too many is forgiven; a location that begins so never leads to another host.
const API_PREFIX: &str = "/api/";

/// A path with a slash too many is sent to the one without; any other is not found.
pub(super) async fn unknown(method: Method, url: Uri) -> Response {
    let path = without_double_slashes(url.path());
    let short = path.strip_suffix('/').unwrap_or(&path);
    let status = match method {
        _ if path != url.path() => StatusCode::TEMPORARY_REDIRECT,
        Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    let query = url.query().map(|it| format!("?{it}")).unwrap_or_default();
    match HeaderValue::try_from(format!("{short}{query}")) {
        Ok(location) if short != url.path() && short.starts_with(API_PREFIX) => {
            let content_type = HeaderValue::from_static("text/html; charset=utf-8");
            (status, [(CONTENT_TYPE, content_type), (LOCATION, location)]).into_response()
        }
        _ => {
            let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
            (StatusCode::NOT_FOUND, headers, "404 page not found\n").into_response()
        }
    }
}

fn without_double_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for it in path.chars() {
        if it != '/' || !out.ends_with('/') {
            out.push(it);
        }
    }
    out
}
