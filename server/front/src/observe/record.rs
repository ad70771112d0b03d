//! One request as the access log tells it, in the shape of Caddy's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::header::HeaderValue;
use axum::http::{Uri, Version};
use serde::Serialize;
use time::OffsetDateTime;

use super::{Note, redact};

/// A request that has ended.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    /// When it ended.
    pub at: OffsetDateTime,
    pub took: Duration,
    /// 499 if the client did not wait for the answer.
    pub status: u16,
    /// Of the body.
    pub bytes_sent: u64,
    /// What answered.
    pub handler: &'static str,
    /// The name in the configuration that was asked for; `_other` if it is none of ours.
    pub site: Arc<str>,
    pub(super) note: Arc<Note>,
}

/// Longer texts of clients are cut.
const TEXT_BYTES_MAX: usize = 4096;

impl AccessRecord {
    pub fn method(&self) -> &str {
        self.note.method.as_str()
    }

    /// Which listener it came to.
    pub fn server(&self) -> &'static str {
        self.note.server.as_str()
    }

    /// Who sent it, by name; empty if nobody was asked.
    pub fn user(&self) -> &str {
        self.note.user.get().map_or("", |it| it)
    }

    /// Who was asked for the answer.
    pub fn upstream(&self) -> Option<&str> {
        self.note.upstream.get().map(|it| &**it)
    }

    /// Where it came from before the proxies that are trusted.
    pub fn client_ip(&self) -> std::net::IpAddr {
        self.note.client_ip.get().copied().unwrap_or_else(|| self.note.peer.ip().to_canonical())
    }

    /// As in Caddy's log: what the server could not do is an error.
    pub fn level(&self) -> &'static str {
        if self.status >= 500 { "error" } else { "info" }
    }

    /// A line of Caddy's access log, without line end. Secrets in the address are left out.
    pub fn to_json(&self) -> String {
        let note = &*self.note;
        let nanoseconds = self.at.unix_timestamp_nanos();
        let line = JsonLine {
            level: self.level(),
            ts: seconds(nanoseconds),
            logger: "http.log.access",
            msg: "handled request",
            request: JsonRequest {
                remote_ip: note.peer.ip().to_canonical().to_string(),
                remote_port: note.peer.port().to_string(),
                client_ip: self.client_ip().to_string(),
                proto: proto(note.version),
                method: note.method.as_str(),
                host: text(
                    note.uri
                        .authority()
                        .map(|it| it.as_str().as_bytes())
                        .or_else(|| note.host_header.as_ref().map(HeaderValue::as_bytes)),
                ),
                uri: &address(&note.uri),
                headers: JsonHeaders {
                    user_agent: header(note.user_agent.as_ref()),
                    referer: header(note.referer.as_ref()).map(|[it]| [redact::url(&it)]),
                },
            },
            bytes_read: note.bytes_read.load(Ordering::Relaxed),
            user_id: self.user(),
            duration: self.took.as_secs_f64(),
            size: self.bytes_sent,
            status: self.status,
        };
        serde_json::to_string(&line).expect("texts and numbers are always JSON")
    }
}

fn seconds(nanoseconds: i128) -> f64 {
    let us = i64::try_from(nanoseconds / 1000).unwrap_or(i64::MAX);
    // A double has microseconds until the year 2255.
    #[expect(clippy::cast_precision_loss, reason = "Caddy's own precision")]
    let us = us as f64;
    us / 1e6
}

/// The path and what follows it, as it was asked for.
fn address(uri: &Uri) -> String {
    let text = uri.path_and_query().map_or("", |it| it.as_str());
    redact::url(cut(text))
}

fn proto(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_10 => "HTTP/1.0",
        _other => "HTTP/1.1",
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn text(bytes: Option<&[u8]>) -> String {
    cut(&String::from_utf8_lossy(bytes.unwrap_or_default())).to_owned()
}

fn header(value: Option<&HeaderValue>) -> Option<[String; 1]> {
    value.map(|it| [text(Some(it.as_bytes()))])
}

#[derive(Serialize)]
struct JsonLine<'a> {
    level: &'static str,
    ts: f64,
    logger: &'static str,
    msg: &'static str,
    request: JsonRequest<'a>,
    bytes_read: u64,
    user_id: &'a str,
    duration: f64,
    size: u64,
    status: u16,
}

#[derive(Serialize)]
struct JsonRequest<'a> {
    remote_ip: String,
    remote_port: String,
    client_ip: String,
    proto: &'static str,
    method: &'a str,
    host: String,
    uri: &'a str,
    headers: JsonHeaders,
}

#[derive(Serialize)]
struct JsonHeaders {
    #[serde(rename = "User-Agent", skip_serializing_if = "Option::is_none")]
    user_agent: Option<[String; 1]>,
    #[serde(rename = "Referer", skip_serializing_if = "Option::is_none")]
    referer: Option<[String; 1]>,
}
