//! The login form for people: one page without scripts, and the cookie behind it.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use axum::Form;
use axum::body::Body;
use axum::extract::{FromRequest, Query};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SET_COOKIE,
};
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::access::credentials::{Access, Denied, SESSION_COOKIE, session_cookie};
use crate::gate::see_other;

/// A name, a password and a path.
const FORM_BYTES_MAX: usize = 8 * 1024;
/// A form of a few bytes arrives at once, or somebody holds the connection on purpose.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);
/// Explore keeps its queries in the address.
const NEXT_BYTES_MAX: usize = 4 * 1024;

const STYLE: &str = include_str!("login/login.css");
const PAGE: &str = include_str!("login/login.html");

/// Nothing may run or load but our own style, and the form may go nowhere else.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).ok()
});

#[derive(Debug, Deserialize)]
struct LoginForm {
    user: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
struct NextQuery {
    #[serde(default)]
    next: String,
}

/// Where to send somebody who must log in before they see `uri`.
pub(crate) fn path_to(uri: &Uri) -> String {
    let wanted = uri.path_and_query().map_or("/", |path| path.as_str());
    if wanted == "/" { "/login".to_owned() } else { format!("/login?next={}", encoded(wanted)) }
}

/// The `next` of a login page's address, `/` if there is none we may go to.
pub(crate) fn next_of(uri: &Uri) -> String {
    let next = Query::<NextQuery>::try_from_uri(uri).map(|Query(query)| query.next);
    safe_next(next.unwrap_or_default())
}

/// The login page, with what went wrong the last time.
pub(crate) fn form(status: StatusCode, next: &str, error: Option<&str>) -> Response {
    let error = error.map_or(String::new(), |text| {
        format!("<p class=\"error\" role=\"alert\">{}</p>", escaped(text))
    });
    let html = PAGE
        .replace("{{style}}", STYLE)
        .replace("{{error}}", &error)
        .replace("{{next}}", &escaped(next));
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(policy) = POLICY.as_ref() {
        headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    }
    response
}

/// Checks a sent form: a cookie and the way on, or the form again.
pub(crate) async fn submit(
    access: &Access,
    peer: IpAddr,
    now: OffsetDateTime,
    body: Body,
) -> Response {
    let Some(sent) = read_form(body).await else {
        return form(
            StatusCode::BAD_REQUEST,
            "/",
            Some("The form did not arrive whole; try again."),
        );
    };
    let next = safe_next(sent.next);
    let user = match access.login(&sent.user, &sent.password, peer, now).await {
        Ok(user) => user,
        Err(denied) => return again(&next, &denied),
    };
    let started = tokio::task::block_in_place(|| access.sessions.start(user, now));
    match started {
        Ok(cookie) => {
            let max_age = access.sessions.lifetime().as_secs();
            with_cookie(see_other(&next), &cookie, max_age)
        }
        Err(error) => {
            tracing::error!(%error, "Could not keep a login.");
            let text = "The server could not write the login to disk; see its log.";
            form(StatusCode::INTERNAL_SERVER_ERROR, &next, Some(text))
        }
    }
}

/// Forgets the login of these headers.
pub(crate) fn end(access: &Access, headers: &HeaderMap) -> Response {
    if let Some(cookie) = session_cookie(headers) {
        let ended = tokio::task::block_in_place(|| access.sessions.end(cookie));
        if let Err(error) = ended {
            tracing::error!(%error, "Could not write that a login has ended; it may be back after a restart.");
        }
    }
    with_cookie(see_other("/login"), "", 0)
}

async fn read_form(body: Body) -> Option<LoginForm> {
    let bytes = axum::body::to_bytes(body, FORM_BYTES_MAX);
    let bytes = tokio::time::timeout(FORM_TIMEOUT, bytes).await.ok()?.ok()?;
    let request = Request::post("/login")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(bytes))
        .ok()?;
    let Form(form) = Form::from_request(request, &()).await.ok()?;
    Some(form)
}

fn again(next: &str, denied: &Denied) -> Response {
    match denied {
        Denied::TooMany(wait) => {
            let text = format!("Too many wrong passwords. Wait {} s.", wait.as_secs().max(1));
            let mut response = form(StatusCode::TOO_MANY_REQUESTS, next, Some(&text));
            response.headers_mut().insert(RETRY_AFTER, retry_after(*wait));
            response
        }
        _wrong => form(StatusCode::UNAUTHORIZED, next, Some("Wrong user name or password.")),
    }
}

/// Whole seconds, rounded up.
pub(crate) fn retry_after(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

fn with_cookie(mut response: Response, value: &str, max_age_s: u64) -> Response {
    let cookie = format!(
        "{SESSION_COOKIE}={value}; Path=/; Max-Age={max_age_s}; Secure; HttpOnly; SameSite=Strict"
    );
    match HeaderValue::from_str(&cookie) {
        Ok(cookie) => {
            response.headers_mut().insert(SET_COOKIE, cookie);
            response
        }
        Err(_not_a_header) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A path of ours: a browser reads `//host` and `/\host` as another site.
fn safe_next(next: String) -> String {
    let mut chars = next.chars();
    let is_path = chars.next() == Some('/') && !matches!(chars.next(), Some('/' | '\\'));
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path && plain && next.len() <= NEXT_BYTES_MAX { next } else { "/".to_owned() }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// For a value in a query string.
fn encoded(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_on_after_login_never_leaves_this_site() {
        for bad in ["", "x", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb"]
        {
            assert_eq!(safe_next(bad.to_owned()), "/", "{bad:?}");
        }
        let deep = "/explore?q=up%7Ba%3D%22b%22%7D&t=1h";
        let there = path_to(&deep.parse().unwrap());
        assert_eq!(there, "/login?next=/explore%3Fq%3Dup%257Ba%253D%2522b%2522%257D%26t%3D1h");
        assert_eq!(next_of(&there.parse().unwrap()), deep);
    }

    #[tokio::test]
    async fn the_form_carries_no_markup_of_the_caller() {
        let response = form(StatusCode::OK, "/\"><script>", Some("<b>"));
        let html = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let html = String::from_utf8(html.to_vec()).unwrap();
        assert!(html.contains("value=\"/&quot;&gt;&lt;script&gt;\""), "{html}");
        assert!(html.contains("&lt;b&gt;"), "{html}");
        assert!(!html.contains("{{"), "{html}");
    }
}
