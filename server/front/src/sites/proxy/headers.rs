//! What of a message's head goes on, what is ours to say, and what stays here: pure.

use std::net::IpAddr;

use axum::http::Uri;
use axum::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, Entry, FORWARDED, HOST, HeaderMap,
    HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
    UPGRADE,
};

use crate::access::credentials::SESSION_COOKIE;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REMOTE_USER: HeaderName = HeaderName::from_static("remote-user");
/// Counts how often a request has been through here. RFC 9110's `Via` would do as well, but makes
/// nginx answer without compression.
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const LOOP_NAME: &str = "skep";
/// A few of us may stand behind one another; a site that leads to itself is met again for ever.
const LOOPS_MAX: usize = 4;

/// Of one connection only, whoever sends them: RFC 9110, 7.6.1.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    PROXY_CONNECTION,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Who asks, as a server behind us is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor<'a> {
    pub peer: IpAddr,
    /// A proxy in front of us, whose word on where a request comes from counts.
    pub peer_is_trusted: bool,
    pub scheme: &'static str,
    /// Whom our own login found, and whether by the `Authorization` header.
    pub login: Option<Login<'a>>,
}

/// A caller the site asked to log in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login<'a> {
    pub name: &'a str,
}

/// A request that came back to us too often.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loop;

/// The token of `Upgrade`, if the request asks for another protocol.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(UPGRADE)?;
    let asks = tokens(headers, &CONNECTION).any(|it| it.eq_ignore_ascii_case("upgrade"));
    asks.then(|| value.clone())
}

/// Says whose request it is, instead of what a stranger says; takes out what was for us.
pub(super) fn introduce(headers: &mut HeaderMap, uri: &Uri, visitor: &Visitor<'_>) {
    let host = host(headers, uri);
    forwarded(headers, host.as_ref(), visitor);
    if let Some(host) = host {
        headers.insert(HOST, host);
    }
    cookies(headers);
    if let Some(login) = &visitor.login {
        of_login(headers, login);
    }
}

/// Makes the visitor's head into the one that a server gets.
pub(super) fn request(headers: &mut HeaderMap) -> Result<(), Loop> {
    let wants_trailers = tokens(headers, &TE).any(|it| it.eq_ignore_ascii_case("trailers"));
    one_hop_only(headers);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    count_loops(headers)
}

/// Makes a server's head into the one that a visitor gets.
pub(super) fn response(headers: &mut HeaderMap) {
    one_hop_only(headers);
}

fn one_hop_only(headers: &mut HeaderMap) {
    // A body has been taken out of its coding, which was what told its length.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    if headers.contains_key(CONNECTION) {
        let named = tokens(headers, &CONNECTION).filter_map(|it| it.parse().ok());
        let named: Vec<HeaderName> = named.filter(|it| !is_ours_to_say(it)).collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// A peer must not take away what a message cannot do without, or what we say about it.
fn is_ours_to_say(name: &HeaderName) -> bool {
    [HOST, CONTENT_LENGTH, COOKIE, REMOTE_USER, CDN_LOOP].contains(name)
        || name.as_str().starts_with("x-forwarded-")
}

/// What a comma-separated header says, in all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|it| it.to_str().ok());
    lines.flat_map(|it| it.split(',')).map(str::trim).filter(|it| !it.is_empty())
}

/// HTTP/2 says it in `:authority`.
fn host(headers: &HeaderMap, uri: &Uri) -> Option<HeaderValue> {
    let authority = uri.authority().map(|it| HeaderValue::from_str(it.as_str()));
    match authority {
        Some(Ok(host)) => Some(host),
        _none => headers.get(HOST).cloned(),
    }
}

fn forwarded(headers: &mut HeaderMap, host: Option<&HeaderValue>, visitor: &Visitor<'_>) {
    headers.remove(FORWARDED);
    let peer = visitor.peer.to_canonical().to_string();
    let before = if visitor.peer_is_trusted {
        let before: Vec<&str> = tokens(headers, &FORWARDED_FOR).collect();
        before.join(", ")
    } else {
        remove_where(headers, |name| name.starts_with("x-forwarded-") || name == "x-real-ip");
        String::new()
    };
    let chain = if before.is_empty() { peer } else { format!("{before}, {peer}") };
    if let Ok(chain) = HeaderValue::from_str(&chain) {
        headers.insert(FORWARDED_FOR, chain);
    }
    let entry_or = |headers: &mut HeaderMap, name: HeaderName, value: HeaderValue| {
        if let Entry::Vacant(entry) = headers.entry(name) {
            entry.insert(value);
        }
    };
    entry_or(headers, FORWARDED_PROTO, HeaderValue::from_static(visitor.scheme));
    if let Some(host) = host {
        entry_or(headers, FORWARDED_HOST, host.clone());
    }
}

/// Also under the names that CGI and WSGI take for the same: `X_Forwarded_For`.
fn remove_where(headers: &mut HeaderMap, is_meant: impl Fn(&str) -> bool) {
    let is_meant = |name: &HeaderName| {
        let name = name.as_str();
        if name.contains('_') { is_meant(&name.replace('_', "-")) } else { is_meant(name) }
    };
    let found: Vec<HeaderName> = headers.keys().filter(|it| is_meant(it)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// HTTP/1.1 wants one line of cookies, where HTTP/2 may have sent each alone. Ours stay here.
pub(crate) fn cookies(headers: &mut HeaderMap) {
    let is_ours = |it: &HeaderValue| find(it.as_bytes(), SESSION_COOKIE.as_bytes());
    let mut lines = headers.get_all(COOKIE).iter();
    let is_fine = match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(one), None) => !is_ours(one),
        (Some(_), Some(_)) => false,
    };
    if is_fine {
        return;
    }
    let mut kept = Vec::new();
    for line in headers.get_all(COOKIE) {
        for pair in line.as_bytes().split(|it| *it == b';').map(<[u8]>::trim_ascii) {
            // Every cookie of ours begins so.
            if !pair.is_empty() && !pair.starts_with(SESSION_COOKIE.as_bytes()) {
                if !kept.is_empty() {
                    kept.extend_from_slice(b"; ");
                }
                kept.extend_from_slice(pair);
            }
        }
    }
    headers.remove(COOKIE);
    match HeaderValue::from_bytes(&kept) {
        Ok(value) if !kept.is_empty() => drop(headers.insert(COOKIE, value)),
        _none => {}
    }
}

fn find(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|it| it == part)
}

/// The password or token was for us; the name is what a server may rely on.
fn of_login(headers: &mut HeaderMap, login: &Login<'_>) {
    headers.remove(AUTHORIZATION);
    remove_where(headers, |name| name == REMOTE_USER.as_str());
    if let Ok(name) = HeaderValue::from_str(login.name) {
        headers.insert(REMOTE_USER, name);
    }
}

fn count_loops(headers: &mut HeaderMap) -> Result<(), Loop> {
    let been_here = tokens(headers, &CDN_LOOP).filter(|it| *it == LOOP_NAME).count();
    if been_here >= LOOPS_MAX {
        return Err(Loop);
    }
    headers.append(CDN_LOOP, HeaderValue::from_static(LOOP_NAME));
    Ok(())
}
