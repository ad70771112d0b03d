//! Every request is telemetry: counted under Caddy's metric names, and told to the access log.

mod body;
mod pace;
mod record;
mod redact;
mod series;
mod text;
mod upstreams;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, REFERER, USER_AGENT};
use axum::http::{Method, Request, StatusCode, Uri, Version};
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use self::body::Read;
pub(crate) use self::body::Watched;
use self::pace::Pace;
pub use self::record::AccessRecord;
pub(crate) use self::series::HandlerName;
use self::series::{Line, LineKey, Measured, OTHER_HOST, Outcome, Series, SeriesKey};
pub(crate) use self::text::escape;
use crate::certs::{self, Certificates};
use crate::clock::Clock;
use crate::config::MetricNames;
use crate::listen::Upstreams;

/// Takes a record of every request that has ended.
pub trait AccessLog: Send + Sync + std::fmt::Debug {
    /// Never blocks: it is called between two requests of a connection. May be called from many
    /// threads; what it cannot keep it drops and counts.
    fn record(&self, record: AccessRecord);
}

/// What the front counts, for a page of metrics.
#[derive(Debug, Clone)]
pub struct Figures {
    observer: Arc<Observer>,
    certificates: Arc<Certificates>,
    upstreams: Upstreams,
}

impl Figures {
    pub(crate) fn new(
        observer: Arc<Observer>,
        certificates: Arc<Certificates>,
        upstreams: Upstreams,
    ) -> Self {
        Self { observer, certificates, upstreams }
    }

    /// Prometheus' text format.
    pub fn to_text(&self) -> String {
        let certificates = certs::status::to_text(&self.certificates.status());
        let upstreams = upstreams::of(self.observer.names, &self.upstreams.status());
        format!("{}{upstreams}{certificates}", text::of(&self.observer))
    }
}

/// Which listener a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Server {
    Https,
    Plain,
    Redirect,
}

impl Server {
    pub(crate) const ALL: [Self; 3] = [Self::Https, Self::Plain, Self::Redirect];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Plain => "plain",
            Self::Redirect => "redirect",
        }
    }
}

/// Counts requests and connections, and hands records on.
#[derive(Debug)]
pub(crate) struct Observer {
    names: MetricNames,
    clock: Arc<dyn Clock>,
    series: Series,
    log: OnceLock<Arc<dyn AccessLog>>,
    pub connections: Connections,
}

/// Of the listeners.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    accepted: PerServer,
    closed: PerServer,
    pub handshakes: AtomicU64,
    pub handshakes_failed: AtomicU64,
    pub handshakes_late: AtomicU64,
}

/// Counts its connection as open until it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    observer: Arc<Observer>,
    server: Server,
}

impl Open {
    pub(crate) fn new(observer: &Arc<Observer>, server: Server) -> Self {
        observer.connections.accepted.of(server).fetch_add(1, Ordering::Relaxed);
        Self { observer: Arc::clone(observer), server }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.observer.connections.closed.of(self.server).fetch_add(1, Ordering::Relaxed);
    }
}

/// A counter for each listener.
#[derive(Debug, Default)]
struct PerServer {
    https: AtomicU64,
    plain: AtomicU64,
    redirect: AtomicU64,
}

impl PerServer {
    fn of(&self, server: Server) -> &AtomicU64 {
        match server {
            Server::Https => &self.https,
            Server::Plain => &self.plain,
            Server::Redirect => &self.redirect,
        }
    }
}

/// What is kept of a request until it has ended; what is found out on the way is added.
#[derive(Debug)]
pub(crate) struct Note {
    observer: Arc<Observer>,
    server: Server,
    peer: SocketAddr,
    version: Version,
    method: Method,
    uri: Uri,
    host_header: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    /// The head, and the body if its length was announced; as Caddy counts it.
    size: u64,
    started: Instant,
    host: AtomicU16,
    /// Set once the request counts as one in flight, with what answers it.
    line: OnceLock<(LineKey, Arc<Line>)>,
    is_unlogged: AtomicBool,
    is_answered: AtomicBool,
    is_too_slow: AtomicBool,
    is_failed: AtomicBool,
    bytes_read: AtomicU64,
    user: OnceLock<Arc<str>>,
    client_ip: OnceLock<IpAddr>,
    upstream: OnceLock<Arc<str>>,
}

impl Note {
    /// `host` is one of ours: the request counts under the name that it is configured by.
    pub(crate) fn found(&self, host: &str) {
        self.host.store(self.observer.series.host(host), Ordering::Relaxed);
    }

    /// This answers from here on.
    pub(crate) fn handled(&self, handler: HandlerName) {
        self.line.get_or_init(|| {
            let key = self.line_of(handler);
            let line = self.observer.series.line(key);
            line.begin();
            (key, line)
        });
    }

    /// The name of the caller, for the access log.
    pub(crate) fn set_user(&self, name: &Arc<str>) {
        drop(self.user.set(Arc::clone(name)));
    }

    /// Where the request came from before the proxies that are trusted.
    pub(crate) fn set_client_ip(&self, ip: IpAddr) {
        let _first_counts = self.client_ip.set(ip);
    }

    /// Who was asked for the answer.
    pub(crate) fn set_upstream(&self, name: &Arc<str>) {
        drop(self.upstream.set(Arc::clone(name)));
    }

    /// No record of this one is wanted.
    pub(crate) fn leave_out_of_log(&self) {
        self.is_unlogged.store(true, Ordering::Relaxed);
    }

    /// Whether its connection brings one request after the other.
    pub(crate) fn is_http1(&self) -> bool {
        matches!(self.version, Version::HTTP_10 | Version::HTTP_11)
    }

    /// Whether its body was given up.
    pub(crate) fn is_too_slow(&self) -> bool {
        self.is_too_slow.load(Ordering::Relaxed)
    }

    fn line_of(&self, handler: HandlerName) -> LineKey {
        LineKey { server: self.server, handler, host: self.host.load(Ordering::Relaxed) }
    }

    /// The answer is ours because what should have given one did not.
    pub(crate) fn set_failed(&self) {
        self.is_failed.store(true, Ordering::Relaxed);
    }
}

/// A request under way, with what counts it; dropped once its response has ended or nobody waits
/// for it any more.
#[derive(Debug)]
pub(crate) struct Watch {
    note: Arc<Note>,
    /// And when it was known.
    status: Option<(StatusCode, Instant)>,
    bytes_sent: u64,
}

/// As nginx calls a client that did not wait for the answer; Caddy does so too.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl Observer {
    pub(crate) fn new(names: MetricNames, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            names,
            clock,
            series: Series::default(),
            log: OnceLock::new(),
            connections: Connections::default(),
        })
    }

    /// Where records go; the first call counts.
    pub(crate) fn log_to(&self, log: Arc<dyn AccessLog>) {
        drop(self.log.set(log));
    }

    /// Names that requests may be counted under; what was learnt once keeps its figures.
    pub(crate) fn learn_hosts(&self, hosts: impl IntoIterator<Item = String>) {
        self.series.learn_hosts(hosts);
    }

    /// Begins with a request; its body is counted from here on, and given up should a reader wait
    /// longer than `body_timeout` for the next piece.
    pub(crate) fn watch(
        self: &Arc<Self>,
        server: Server,
        peer: SocketAddr,
        request: Request<Incoming>,
        body_timeout: Duration,
    ) -> (Watch, Request<Body>) {
        let headers = request.headers();
        let note = Arc::new(Note {
            observer: Arc::clone(self),
            server,
            peer,
            version: request.version(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            host_header: headers.get(HOST).cloned(),
            user_agent: headers.get(USER_AGENT).cloned(),
            referer: headers.get(REFERER).cloned(),
            size: size_of_head(request.method(), request.uri(), headers),
            started: Instant::now(),
            host: AtomicU16::new(OTHER_HOST),
            line: OnceLock::new(),
            is_unlogged: AtomicBool::new(false),
            is_answered: AtomicBool::new(false),
            is_too_slow: AtomicBool::new(false),
            is_failed: AtomicBool::new(false),
            bytes_read: AtomicU64::new(0),
            user: OnceLock::new(),
            client_ip: OnceLock::new(),
            upstream: OnceLock::new(),
        });
        let request = request.map(|body| {
            if body.is_end_stream() {
                Body::empty()
            } else {
                Body::new(Read { body, note: Arc::clone(&note), pace: Pace::new(body_timeout) })
            }
        });
        (Watch { note, status: None, bytes_sent: 0 }, request)
    }

    fn ended(&self, watch: &Watch) {
        let note = &*watch.note;
        let took = note.started.elapsed();
        let (status, first_byte) = match watch.status {
            Some((status, at)) => (status.as_u16(), at.duration_since(note.started)),
            None => (CLIENT_CLOSED_REQUEST, took),
        };
        let outcome = match note.is_failed.load(Ordering::Relaxed) {
            false if status != CLIENT_CLOSED_REQUEST => Outcome::Answered,
            _failed => Outcome::Failed,
        };
        let key = match note.line.get() {
            Some((key, line)) => {
                line.end(outcome);
                *key
            }
            None => {
                let key = note.line_of(HandlerName::Refused);
                self.series.line(key).refuse();
                key
            }
        };
        self.series.of(SeriesKey::new(key, &note.method, status)).measure(&Measured {
            took,
            first_byte,
            bytes_asked: note.size,
            bytes_sent: watch.bytes_sent,
        });
        if let Some(log) = self.log.get()
            && !note.is_unlogged.load(Ordering::Relaxed)
        {
            log.record(AccessRecord {
                at: self.clock.now(),
                took,
                status,
                bytes_sent: watch.bytes_sent,
                handler: key.handler.as_str(),
                site: self.series.host_name(key.host),
                note: Arc::clone(&watch.note),
            });
        }
    }
}

/// As Caddy reckons `request_size_bytes`, but for line ends and the like.
fn size_of_head(method: &Method, uri: &Uri, headers: &HeaderMap) -> u64 {
    let path = uri.path_and_query().map_or(0, |it| it.as_str().len());
    let line = path + uri.authority().map_or(0, |it| it.as_str().len()) + method.as_str().len();
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let head = line + "HTTP/1.1".len() + fields.sum::<usize>();
    let body = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    u64::try_from(head).unwrap_or(u64::MAX).saturating_add(body.unwrap_or(0))
}

impl Watch {
    pub(crate) fn note(&self) -> &Note {
        &self.note
    }

    /// The response as it goes out, counted to its end.
    pub(crate) fn finish(mut self, response: Response) -> Response<Watched> {
        self.status = Some((response.status(), Instant::now()));
        self.note.is_answered.store(true, Ordering::Relaxed);
        response.map(|body| Watched { body, watch: self })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.note.observer.ended(self);
    }
}

#[cfg(test)]
mod tests;
