//! The login of people: a form, a code where one is asked for, and the cookie behind it.

pub(crate) mod handover;
pub(crate) mod oidc;
pub(crate) mod pages;

use std::time::Duration;

use axum::Form;
use axum::body::Body;
use axum::extract::{FromRequest, Query};
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use time::OffsetDateTime;

use self::pages::{CodePage, LoginPage};
use crate::access::credentials::{
    Access, CodeError, Denied, SESSION_COOKIE, SecondStep, session_cookie,
};
use crate::access::people::Account;
use crate::access::sessions::Place;
use crate::gate::see_other;
use crate::vhost::{Host, Sites};

/// A name, a password and a path.
const FORM_BYTES_MAX: usize = 8 * 1024;
/// A form of a few bytes arrives at once, or somebody holds the connection on purpose.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);
/// Explore keeps its queries in the address.
const NEXT_BYTES_MAX: usize = 4 * 1024;
/// Then the password is asked for again.
const WRONG_CODES_MAX: u32 = 5;

#[derive(Debug, Deserialize)]
struct SentForm {
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
    /// Of the second step.
    #[serde(default)]
    step: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
struct NextQuery {
    #[serde(default)]
    next: String,
}

/// Where and for whom a form is shown or read.
#[derive(Debug, Clone)]
pub(crate) struct Door<'a> {
    pub access: &'a Access,
    /// Where its forms go.
    pub path: &'a str,
    pub place: &'a Place<'a>,
    pub cookie: CookieReach,
    pub now: OffsetDateTime,
    pub sites: &'a Sites,
    pub scheme: &'static str,
    /// As the request spelled it.
    pub host: &'a Host,
    /// What another way to log in is called.
    pub provider: Option<String>,
}

/// With which requests a browser sends our cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CookieReach {
    /// Those that a page of ours makes.
    OwnPages,
    /// And when somebody follows a link on another site: what services are used to.
    AndLinks,
}

/// Where to send somebody who must log in before they see `uri`.
pub(crate) fn path_to(login_path: &str, uri: &Uri) -> String {
    let wanted = uri.path_and_query().map_or("/", |path| path.as_str());
    if wanted == "/" {
        login_path.to_owned()
    } else {
        format!("{login_path}?next={}", encoded(wanted))
    }
}

/// The `next` of a login page's address, `/` if there is none we may go to.
pub(crate) fn next_of(uri: &Uri) -> String {
    let next = Query::<NextQuery>::try_from_uri(uri).map(|Query(query)| query.next);
    safe_next(next.unwrap_or_default())
}

impl Door<'_> {
    /// The login page.
    pub(crate) fn form(&self, status: StatusCode, next: &str, error: Option<&str>) -> Response {
        self.form_for("", status, next, error)
    }

    fn form_for(
        &self,
        user: &str,
        status: StatusCode,
        next: &str,
        error: Option<&str>,
    ) -> Response {
        let site = handover::site_of(next, self.sites, self.scheme, self.host.port);
        let begin = oidc::begin_path(next);
        let page = LoginPage {
            action: self.path,
            next,
            user,
            site: site.as_deref(),
            error,
            oidc: self.provider.as_deref().map(|name| (begin.as_str(), name)),
        };
        page.response(status)
    }

    fn code_form(
        &self,
        status: StatusCode,
        next: &str,
        step: &str,
        error: Option<&str>,
    ) -> Response {
        let site = handover::site_of(next, self.sites, self.scheme, self.host.port);
        let page = CodePage { action: self.path, next, step, site: site.as_deref(), error };
        page.response(status)
    }

    /// Checks a sent form: a cookie and the way on, or a form again.
    pub(crate) async fn submit(&self, headers: &HeaderMap, body: Body) -> Response {
        let Some(sent) = read_form(body).await else {
            let text = "The form did not arrive whole; try again.";
            return self.form(StatusCode::BAD_REQUEST, "/", Some(text));
        };
        let next = safe_next(sent.next.clone());
        if !sent.step.is_empty() {
            return self.submit_code(headers, &sent, &next);
        }
        if sent.user.is_empty() && sent.password.is_empty() {
            let text = "Type your user name and password.";
            return self.form(StatusCode::BAD_REQUEST, &next, Some(text));
        }
        let login = self.access.login(&sent.user, &sent.password, self.place.peer, self.now);
        match login.await {
            Err(denied) => self.again(&sent.user, &next, &denied),
            Ok(account) if account.asks_for_code => {
                let step = SecondStep { name: account.name, n_wrong: 0 };
                let step = self.access.second_steps.issue(step, self.now);
                self.code_form(StatusCode::OK, &next, &step, None)
            }
            Ok(account) => self.enter(headers, &account, &next),
        }
    }

    fn submit_code(&self, headers: &HeaderMap, sent: &SentForm, next: &str) -> Response {
        let Some(step) = self.access.second_steps.take(&sent.step, self.now) else {
            let text = "That took too long, or was sent twice. Start again.";
            return self.form(StatusCode::UNAUTHORIZED, next, Some(text));
        };
        let client = self.place.peer;
        let checked = tokio::task::block_in_place(|| {
            self.access.check_code(&step.name, &sent.code, client, self.now)
        });
        match checked {
            Ok(Some(account)) => self.enter(headers, &account, next),
            Ok(None) if step.n_wrong + 1 >= WRONG_CODES_MAX => {
                let text = "Too many wrong codes. Start again.";
                self.form(StatusCode::UNAUTHORIZED, next, Some(text))
            }
            Ok(None) => {
                let step = SecondStep { n_wrong: step.n_wrong + 1, ..step };
                let step = self.access.second_steps.issue(step, self.now);
                let text = "This code is wrong, or was used already. A new one appears every \
                            30 seconds; if none is right, look at the phone's clock.";
                self.code_form(StatusCode::UNAUTHORIZED, next, &step, Some(text))
            }
            Err(CodeError::TooMany(wait)) => {
                let text = format!("Too many wrong codes. Wait {} s.", seconds_up(wait).max(1));
                let step = self.access.second_steps.issue(step, self.now);
                let status = StatusCode::TOO_MANY_REQUESTS;
                let mut response = self.code_form(status, next, &step, Some(&text));
                response.headers_mut().insert(RETRY_AFTER, retry_after(wait));
                response
            }
            Err(CodeError::File(error)) => self.not_written(&error, next),
        }
    }

    fn enter(&self, headers: &HeaderMap, account: &Account, next: &str) -> Response {
        match self.start(headers, account, Duration::MAX) {
            Ok(started) => started.with(see_other(next), self.cookie),
            Err(error) => self.not_written(&error, next),
        }
    }

    /// A new login, never one that the browser brought along.
    fn start(
        &self,
        headers: &HeaderMap,
        account: &Account,
        lifetime: Duration,
    ) -> Result<Started, crate::error::Error> {
        let sessions = &self.access.records.sessions;
        let lifetime = lifetime.min(sessions.lifetime());
        let cookie = tokio::task::block_in_place(|| {
            if let Some(old) = session_cookie(headers) {
                sessions.end(old)?;
            }
            sessions.start(account, self.place, lifetime, self.now)
        })?;
        tracing::info!(user = &*account.name, peer = %self.place.peer, host = self.place.host, "Logged in.");
        Ok(Started { cookie, lifetime })
    }

    /// As this server is called in the browser.
    pub(crate) fn origin(&self) -> String {
        handover::origin(self.scheme, &self.host.name, self.host.port)
    }

    fn too_many(&self, user: &str, next: &str, wait: Duration) -> Response {
        let text = format!(
            "Too many wrong passwords from your address. Wait {} s.",
            seconds_up(wait).max(1)
        );
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut response = self.form_for(user, status, next, Some(&text));
        response.headers_mut().insert(RETRY_AFTER, retry_after(wait));
        response
    }

    fn not_written(&self, error: &crate::error::Error, next: &str) -> Response {
        let error: &dyn std::error::Error = error;
        tracing::error!(error, "Could not keep a login.");
        let text = "The server could not write the login to disk; see its log.";
        self.form(StatusCode::INTERNAL_SERVER_ERROR, next, Some(text))
    }

    fn again(&self, user: &str, next: &str, denied: &Denied) -> Response {
        match denied {
            Denied::TooMany(wait) => self.too_many(user, next, *wait),
            _wrong => {
                let text = "Wrong user name or password.";
                self.form_for(user, StatusCode::UNAUTHORIZED, next, Some(text))
            }
        }
    }
}

/// A login that has begun, and that the browser does not know of yet.
struct Started {
    cookie: String,
    lifetime: Duration,
}

impl Started {
    fn with(&self, response: Response, reach: CookieReach) -> Response {
        with_session(response, &self.cookie, self.lifetime.as_secs(), reach)
    }
}

/// Forgets the login of these headers, with all it has opened.
pub(crate) fn end(access: &Access, headers: &HeaderMap, then: &str) -> Response {
    if let Some(cookie) = session_cookie(headers) {
        let ended = tokio::task::block_in_place(|| access.records.sessions.end(cookie));
        if let Err(error) = ended {
            tracing::error!(%error, "Could not write that a login has ended; it may be back after a restart.");
        }
    }
    with_session(see_other(then), "", 0, CookieReach::OwnPages)
}

async fn read_form(body: Body) -> Option<SentForm> {
    let bytes = axum::body::to_bytes(body, FORM_BYTES_MAX);
    let bytes = tokio::time::timeout(FORM_TIMEOUT, bytes).await.ok()?.ok()?;
    let request = Request::post("/login")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(bytes))
        .ok()?;
    let Form(form) = Form::from_request(request, &()).await.ok()?;
    Some(form)
}

/// Whole seconds, rounded up.
pub(crate) fn retry_after(wait: Duration) -> HeaderValue {
    HeaderValue::from(seconds_up(wait))
}

fn seconds_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

pub(crate) fn with_session(
    response: Response,
    value: &str,
    max_age_s: u64,
    reach: CookieReach,
) -> Response {
    with_cookie(response, SESSION_COOKIE, value, max_age_s, reach)
}

pub(crate) fn with_cookie(
    mut response: Response,
    name: &str,
    value: &str,
    max_age_s: u64,
    reach: CookieReach,
) -> Response {
    let same_site = match reach {
        CookieReach::OwnPages => "Strict",
        CookieReach::AndLinks => "Lax",
    };
    let cookie = format!(
        "{name}={value}; Path=/; Max-Age={max_age_s}; Secure; HttpOnly; SameSite={same_site}"
    );
    match HeaderValue::from_str(&cookie) {
        Ok(cookie) => {
            response.headers_mut().append(SET_COOKIE, cookie);
            response
        }
        Err(_not_a_header) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A path of ours: a browser reads `//host` and `/\host` as another site.
pub(crate) fn safe_next(next: String) -> String {
    let mut chars = next.chars();
    let is_path = chars.next() == Some('/') && !matches!(chars.next(), Some('/' | '\\'));
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path && plain && next.len() <= NEXT_BYTES_MAX { next } else { "/".to_owned() }
}

/// For a value in a query string.
pub(crate) fn encoded(text: &str) -> String {
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
        let there = path_to("/login", &deep.parse().unwrap());
        assert_eq!(there, "/login?next=/explore%3Fq%3Dup%257Ba%253D%2522b%2522%257D%26t%3D1h");
        assert_eq!(next_of(&there.parse().unwrap()), deep);
    }
}
