//! An open file as an answer.

use std::io::{Seek, SeekFrom};
use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, LAST_MODIFIED, VARY,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::conditions::{Part, Version, part};
use super::open::{Content, OpenFile};

/// Of one read of a large file.
const CHUNK_BYTES: usize = 64 * 1024;

pub(super) fn file(file: OpenFile, parts: &Parts) -> Response {
    let version = Version { etag: etag(&file), modified: file.modified, len: file.len };
    let mut headers = headers_of(&file, &version);
    let (status, first, n_bytes) = match part(&parts.headers, &version) {
        Part::Whole => (StatusCode::OK, 0, file.len),
        Part::Range { first, last } => {
            let value = format!("bytes {first}-{last}/{}", file.len);
            insert(&mut headers, CONTENT_RANGE, &value);
            (StatusCode::PARTIAL_CONTENT, first, last - first + 1)
        }
        Part::NotModified => {
            headers.remove(CONTENT_TYPE);
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        Part::PreconditionFailed => return StatusCode::PRECONDITION_FAILED.into_response(),
        Part::NotSatisfiable => {
            let mut headers = HeaderMap::new();
            insert(&mut headers, CONTENT_RANGE, &format!("bytes */{}", file.len));
            return (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response();
        }
    };
    insert(&mut headers, CONTENT_LENGTH, &n_bytes.to_string());
    let body = if parts.method == Method::HEAD {
        Ok(Body::empty())
    } else {
        body_of(file.content, first, n_bytes)
    };
    match body {
        Ok(body) => (status, headers, body).into_response(),
        Err(error) => {
            tracing::warn!(%error, "A file could not be read.");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn body_of(content: Content, first: u64, n_bytes: u64) -> std::io::Result<Body> {
    match content {
        Content::Bytes(bytes) => {
            let skip = usize::try_from(first).unwrap_or(usize::MAX);
            let take = usize::try_from(n_bytes).unwrap_or(usize::MAX);
            let bytes: Vec<u8> = bytes.into_iter().skip(skip).take(take).collect();
            Ok(Body::from(bytes))
        }
        Content::File(mut file) => {
            file.seek(SeekFrom::Start(first))?;
            let reader = tokio::fs::File::from_std(file).take(n_bytes);
            Ok(Body::from_stream(ReaderStream::with_capacity(reader, CHUNK_BYTES)))
        }
    }
}

fn headers_of(file: &OpenFile, version: &Version) -> HeaderMap {
    let mut headers = HeaderMap::new();
    insert(&mut headers, CONTENT_TYPE, &media_type(&file.name));
    insert(&mut headers, ETAG, &version.etag);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(modified) = file.modified.filter(|it| *it >= UNIX_EPOCH) {
        insert(&mut headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
    if let Some(encoding) = file.encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    }
    if file.varies {
        headers.insert(VARY, HeaderValue::from(ACCEPT_ENCODING));
    }
    headers
}

fn insert(headers: &mut HeaderMap, name: axum::http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// By time, to the nanosecond, and size: another content has another one.
fn etag(file: &OpenFile) -> String {
    let age = file.modified.and_then(|it| it.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let encoding = file.encoding.map(|it| format!("-{}", it.name())).unwrap_or_default();
    format!("\"{:x}-{:x}{encoding}\"", age.as_nanos(), file.len)
}

fn media_type(name: &str) -> String {
    let guess = mime_guess::from_path(name).first_or_octet_stream();
    let has_charset = guess.type_() == "text" || guess.subtype() == "javascript";
    if has_charset { format!("{}; charset=utf-8", guess.essence_str()) } else { guess.to_string() }
}
