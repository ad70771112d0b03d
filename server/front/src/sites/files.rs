//! Serves files below a folder, and nothing beside it.

mod answer;
mod browse;
mod conditions;
mod open;

use axum::body::Body;
use axum::http::header::{ACCEPT, ALLOW, HeaderValue, LOCATION};
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};

use self::open::Found;
use super::path;
use crate::config::{Browse, FilesConfig};
use crate::encoding::Encoding;

const METHODS: &str = "GET, HEAD";

pub(super) async fn answer(config: &FilesConfig, request: Request<Body>) -> Response {
    let (parts, _body) = request.into_parts();
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        let allow = [(ALLOW, HeaderValue::from_static(METHODS))];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, "files can only be read\n").into_response();
    }
    let Some(wanted) = Wanted::of(config, &parts) else { return not_found() };
    let looked_up = {
        let (config, wanted) = (config.clone(), wanted.clone());
        tokio::task::spawn_blocking(move || open::look_up(&config, &wanted)).await
    };
    match looked_up {
        Ok(Ok(Found::File(file))) => answer::file(file, &parts),
        // Relative, so that it is right below any prefix and never another host.
        Ok(Ok(Found::FolderWithoutSlash)) => to_folder(&parts),
        Ok(Ok(Found::Folder(entries))) => browse::answer(&wanted, &entries, wants_json(&parts)),
        Ok(Ok(Found::Nothing)) => not_found(),
        Ok(Ok(Found::Forbidden)) => (StatusCode::FORBIDDEN, "not for reading\n").into_response(),
        Ok(Err(error)) => {
            tracing::warn!(%error, root = %config.root().display(), path = wanted.path, "A file could not be served.");
            (StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read\n").into_response()
        }
        Err(_panicked) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What a request asks of a folder.
#[derive(Debug, Clone)]
struct Wanted {
    /// Decoded, without the first and the last slash; every segment is a plain name.
    path: String,
    has_slash: bool,
    /// Ways to pack that the client takes, the best first.
    encodings: Vec<Encoding>,
}

impl Wanted {
    /// `None` for a path that no file can have: refused here, whatever the kernel would say.
    fn of(config: &FilesConfig, parts: &Parts) -> Option<Self> {
        let decoded = path::decoded(parts.uri.path())?;
        let inner = decoded.strip_prefix('/')?;
        let (inner, has_slash) = match inner.strip_suffix('/') {
            Some(inner) => (inner, true),
            None => (inner, inner.is_empty()),
        };
        let is_plain = |it: &str| !matches!(it, "" | "." | "..") && !it.contains('\\');
        if !inner.is_empty() && !inner.split('/').all(is_plain) {
            return None;
        }
        let is_hidden = |it: &str| it.starts_with('.') && it != ".well-known";
        if config.hidden == crate::config::Hidden::Refused && inner.split('/').any(is_hidden) {
            return None;
        }
        let encodings = Encoding::accepted(&parts.headers).collect();
        Some(Self { path: inner.to_owned(), has_slash, encodings })
    }
}

fn wants_json(parts: &Parts) -> bool {
    let accept = parts.headers.get(ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    accept.to_ascii_lowercase().contains("application/json")
}

fn to_folder(parts: &Parts) -> Response {
    let name = parts.uri.path().rsplit('/').next().unwrap_or_default();
    let query = parts.uri.query().map(|it| format!("?{it}")).unwrap_or_default();
    match HeaderValue::from_str(&format!("./{name}/{query}")) {
        Ok(to) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, to)]).into_response(),
        Err(_not_a_header) => not_found(),
    }
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "there is no such file\n").into_response()
}

impl Browse {
    fn is_on(self) -> bool {
        self == Self::List
    }
}
