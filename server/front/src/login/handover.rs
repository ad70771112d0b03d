//! One login for all sites below the domain: a site sends the browser to the apex, which knows the
//! login, and gets it back with a code that is good once, there, and in that browser.
//!
//! ```text
//! site  /album         303, cookie state=S   ──▶  apex /.skep/authorize?host=site&state=H(S)&next=/album
//! apex                 (log in first, if nobody is)
//! apex                 303                    ──▶  site /.skep/callback?code=C
//! site                 303, cookie session   ──▶  site /album
//! ```

use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use serde::Deserialize;

use super::pages::{message, once_more};
use super::{CookieReach, Door, encoded, path_to, safe_next, with_cookie, with_session};
use crate::access::credentials::{Shown, cookie};
use crate::access::handover::Handover;
use crate::config::{SiteAccess, TokenHash};
use crate::gate::see_other;
use crate::vhost::{Site, Sites};

pub(crate) const AUTHORIZE_PATH: &str = "/.skep/authorize";
pub(crate) const CALLBACK_PATH: &str = "/.skep/callback";
/// Tells the browser that asked from every other.
const STATE_COOKIE: &str = "__Host-skep-state";
/// Somebody logs in meanwhile.
const STATE_MAX_AGE_S: u64 = 3600;
const STATE_BYTES: usize = 32;

#[derive(Debug, Deserialize)]
struct AuthorizeQuery {
    host: String,
    state: String,
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
struct CallbackQuery {
    #[serde(default)]
    code: String,
}

/// The origin of the site that a login's `next` goes on to, if it is one that may ask for it.
pub(crate) fn site_of(
    next: &str,
    sites: &Sites,
    scheme: &str,
    port: Option<u16>,
) -> Option<String> {
    let uri: Uri = next.parse().ok()?;
    if uri.path() != AUTHORIZE_PATH {
        return None;
    }
    let Query(query) = Query::<AuthorizeQuery>::try_from_uri(&uri).ok()?;
    asks_for_login(&query.host, sites).then(|| origin(scheme, &query.host, port))
}

/// Whether it is a site below the domain that lets nobody in without a login.
fn asks_for_login(host: &str, sites: &Sites) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let asks = match sites.site(host) {
        Some(Site::Served(served)) => served.access() != SiteAccess::Public,
        _ours_or_none => false,
    };
    asks && sites.is_below_domain(host) && host.bytes().all(is_plain)
}

pub(super) fn origin(scheme: &str, host: &str, port: Option<u16>) -> String {
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    format!("{scheme}://{host}{port}")
}

impl Door<'_> {
    /// At a site: sends a browser that nobody has logged in to the apex.
    pub(crate) fn send_to_apex(&self, parts: &Parts) -> Response {
        // Several tabs ask with one state: the first answer must not spoil the others.
        let known = cookie(&parts.headers, STATE_COOKIE).filter(|it| is_state(it));
        let state = known.map_or_else(new_state, str::to_owned);
        let next = parts.uri.path_and_query().map_or("/", |it| it.as_str());
        let apex = origin(self.scheme, self.sites.domain(), self.host.port);
        let to = format!(
            "{apex}{AUTHORIZE_PATH}?host={}&state={}&next={}",
            encoded(&self.host.name),
            TokenHash::of(&state).to_hex(),
            encoded(&safe_next(next.to_owned()))
        );
        let reach = CookieReach::AndLinks;
        with_cookie(see_other(&to), STATE_COOKIE, &state, STATE_MAX_AGE_S, reach)
    }

    /// At the apex: hands a login over to the site that asks.
    pub(crate) fn authorize(&self, login_path: &str, parts: &Parts) -> Response {
        let query = Query::<AuthorizeQuery>::try_from_uri(&parts.uri).ok().map(|it| it.0);
        let asked = query.and_then(|query| {
            let state = TokenHash::from_hex(&query.state).ok()?;
            asks_for_login(&query.host, self.sites).then_some((query, state))
        });
        let Some((query, state)) = asked else {
            let text = "No site of this server asks for a login with this address.";
            return message(StatusCode::BAD_REQUEST, "Not a login", text, ("/", "To the start"));
        };
        let shown = Shown {
            headers: &parts.headers,
            host: &self.host.name,
            client: self.place.peer,
            certificate: None,
        };
        let Some((session, _account)) = self.access.session(shown, self.now) else {
            return match comes_from_elsewhere(parts) {
                true => once_more(&path_and_query(parts)),
                false => see_other(&path_to(login_path, &parts.uri)),
            };
        };
        let handover = Handover {
            session_sha256: session.sha256().to_owned(),
            host: query.host.clone(),
            state,
            next: safe_next(query.next),
        };
        let code = self.access.handovers.issue(handover, self.now);
        let site = origin(self.scheme, &query.host, self.host.port);
        see_other(&format!("{site}{CALLBACK_PATH}?code={code}"))
    }

    /// Back at the site: takes the code for a login of its own.
    pub(crate) fn callback(&self, parts: &Parts) -> Response {
        let code = Query::<CallbackQuery>::try_from_uri(&parts.uri).map(|it| it.0.code);
        let code = code.unwrap_or_default();
        // Taken whatever comes of it: a code that was shown in the wrong place is burnt.
        let handover = self.access.handovers.take(&code, self.now);
        let state = cookie(&parts.headers, STATE_COOKIE).map(TokenHash::of);
        let is_ours = |it: &Handover| it.host == self.host.name && Some(it.state) == state;
        let login = handover.filter(is_ours).and_then(|handover| {
            let records = &self.access.records;
            let session = records.sessions.by_hash(&handover.session_sha256, self.now)?;
            let account = session.owner(&records.people)?;
            Some((handover, session, account))
        });
        let Some((handover, session, account)) = login else {
            tracing::warn!(peer = %self.place.peer, host = %self.host.name, "Refused a login code: used, expired, or of another browser or site.");
            let text = "This way in was used already, took too long, or began in another browser.";
            return message(StatusCode::FORBIDDEN, "Not logged in", text, ("/", "Try again"));
        };
        let started = tokio::task::block_in_place(|| {
            self.access.records.sessions.start_below(&session, &account, self.place, self.now)
        });
        match started {
            Ok(cookie) => {
                let max_age_s = session.seconds_left(self.now);
                let reach = CookieReach::AndLinks;
                with_session(see_other(&handover.next), &cookie, max_age_s, reach)
            }
            Err(error) => self.not_written(&error, &handover.next),
        }
    }
}

/// Whether a link on another site led here: then the browser keeps our cookie back.
pub(crate) fn comes_from_elsewhere(parts: &Parts) -> bool {
    parts.headers.get("sec-fetch-site").is_some_and(|it| it == "cross-site")
}

pub(crate) fn path_and_query(parts: &Parts) -> String {
    parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string)
}

fn new_state() -> String {
    let mut state = [0u8; STATE_BYTES];
    rand::rng().fill_bytes(&mut state);
    URL_SAFE_NO_PAD.encode(state)
}

fn is_state(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == STATE_BYTES)
}
