//! Reverse proxy: hands a request to one of several servers, and its answer back as it comes.

mod balance;
mod connect;
mod connection;
mod failure;
pub(super) mod headers;
mod health;
mod patience;
mod reach;
mod relay;
mod tunnel;
mod upload;
mod upstream;

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CONNECTION, EXPECT, HOST, UPGRADE};
use axum::http::uri::{Authority, Scheme as UriScheme};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use axum::response::Response;
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use self::connect::{Connector, Versions};
use self::connection::{Connection, Http1, SendError};
use self::failure::Failure;
use self::headers::{Login, Visitor};
use self::health::Checker;
use self::relay::Relay;
use self::tunnel::Tunnel;
use self::upload::{Upload, Watch};
use self::upstream::{Active, Upstream};
use super::Visit;
use crate::access::Via;
use crate::config::{Balance, HealthConfig, HostSent, ProxyConfig, ProxyTimeouts, Retries, Scheme};
use crate::error::Error;

pub use self::reach::{Unreached, unreached};
pub use self::upstream::UpstreamStatus;

/// Where the only server is not there, it may be starting again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// A proxying route, with its connections and what it knows of its servers.
#[derive(Debug)]
pub(crate) struct Proxy {
    upstreams: Vec<Arc<Upstream>>,
    balance: Balance,
    host: HostSent,
    health: Option<HealthConfig>,
    timeouts: ProxyTimeouts,
    retries: Retries,
    connector: Arc<Connector>,
    tickets: AtomicU64,
    /// Ends the health checks.
    _checks: Option<DropGuard>,
}

/// What is said to a server; of the head, only `Host` and the form of the URL differ between tries.
struct Asking {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Option<Body>,
    /// The visitor waits for a 100 before it sends the body.
    waits: bool,
    watch: Option<Arc<Watch>>,
}

/// An answer's head with its body, and what it comes over.
struct Answer {
    response: Response<Incoming>,
    connection: Option<Http1>,
    active: Active,
}

impl Proxy {
    /// Starts the health checks, if there are any.
    /// What those of `before` know of the same servers stays known.
    pub(crate) fn new(config: &ProxyConfig, before: &[&Self]) -> Result<Self, Error> {
        let timeouts = config.timeouts;
        let connector = Connector::new(config.upstreams(), &config.tls, timeouts.connect)?;
        let connector = Arc::new(connector);
        let upstreams = config.upstreams().iter().map(|url| {
            let mut upstream = Upstream::new(url, timeouts.pool_idle);
            let mut known = before.iter().flat_map(|it| it.upstreams.iter().map(move |u| (it, u)));
            if let Some((before, known)) = known.find(|(_, it)| it.url == *url) {
                upstream.recall(known);
                // Asked otherwise, it may answer otherwise.
                if before.health == config.health && before.host == config.host {
                    upstream.set_up(known.is_up());
                }
            }
            Arc::new(upstream)
        });
        let upstreams: Vec<Arc<Upstream>> = upstreams.collect();
        let checks = config.health.clone().and_then(|health| {
            let host = config.host.clone();
            Checker { config: health, connector: Arc::clone(&connector), host }.start(&upstreams)
        });
        Ok(Self {
            upstreams,
            balance: config.balance,
            host: config.host.clone(),
            health: config.health.clone(),
            timeouts,
            retries: config.retries,
            connector,
            // Several servers started together must not all begin with the same one.
            tickets: AtomicU64::new(rand::random()),
            _checks: checks,
        })
    }

    pub(crate) fn status(&self) -> impl Iterator<Item = UpstreamStatus> + '_ {
        self.upstreams.iter().map(|it| it.status())
    }

    pub(crate) async fn answer(&self, visit: &Visit<'_>, request: Request<Body>) -> Response {
        match self.forward(visit, request).await {
            Ok(response) => response,
            Err(failure) => {
                visit.note.set_failed();
                failure.response()
            }
        }
    }

    async fn forward(
        &self,
        visit: &Visit<'_>,
        mut request: Request<Body>,
    ) -> Result<Response, Failure> {
        let wanted = match request.version() {
            Version::HTTP_10 | Version::HTTP_11 => headers::upgrade(request.headers()),
            _newer => None,
        };
        let visitor = wanted.is_some().then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        headers::request(&mut parts.headers).map_err(|headers::Loop| Failure::Loop)?;
        if let Some(protocol) = &wanted {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            parts.headers.insert(UPGRADE, protocol.clone());
        }
        let has_body = !body.is_end_stream();
        let waits = has_body && parts.headers.contains_key(EXPECT);
        if !waits {
            parts.headers.remove(EXPECT);
        }
        let mut asking = Asking {
            method: parts.method,
            uri: origin_form(&parts.uri),
            headers: parts.headers,
            body: has_body.then_some(body),
            waits,
            watch: has_body.then(|| Arc::new(Watch::new())),
        };
        let versions = if wanted.is_some() { Versions::Http1 } else { Versions::Any };
        let answer = self.ask(visit, &mut asking, versions).await?;
        match (answer.response.status(), wanted, visitor) {
            (StatusCode::SWITCHING_PROTOCOLS, Some(protocol), Some(visitor)) => {
                self.tunnel(visit, answer, &protocol, visitor)
            }
            (StatusCode::SWITCHING_PROTOCOLS, _, _) => Err(Failure::OtherProtocol),
            _usual => Ok(self.relay(answer)),
        }
    }

    /// Tries servers until one answers, or tries or time are used up.
    async fn ask(
        &self,
        visit: &Visit<'_>,
        asking: &mut Asking,
        versions: Versions,
    ) -> Result<Answer, Failure> {
        let began = Instant::now();
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let mut tried: Vec<usize> = Vec::new();
        let mut n_tries = 0;
        loop {
            let place = match self.choose(visit, ticket, &tried) {
                Some(place) => place,
                None if tried.is_empty() => return Err(Failure::AllDown),
                None => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    tried.clear();
                    self.choose(visit, ticket, &tried).ok_or(Failure::AllDown)?
                }
            };
            let Some(upstream) = self.upstreams.get(place) else { return Err(Failure::AllDown) };
            n_tries += 1;
            let (failure, may_retry) = match self.try_one(upstream, asking, versions).await {
                Ok(answer) => {
                    visit.note.set_upstream(&upstream.name);
                    upstream.forgive();
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            if failure.is_upstreams() {
                self.note(upstream, &failure);
            }
            if !may_retry || n_tries >= self.retries.tries || began.elapsed() > self.retries.within
            {
                visit.note.set_upstream(&upstream.name);
                return Err(failure);
            }
            if matches!(failure, Failure::Connect(_)) {
                tried.push(place);
            }
        }
    }

    fn choose(&self, visit: &Visit<'_>, ticket: u64, tried: &[usize]) -> Option<usize> {
        if let ([only], []) = (self.upstreams.as_slice(), tried) {
            return only.is_up().then_some(0);
        }
        let upstreams = self.upstreams.iter().enumerate();
        let standings: Vec<_> =
            upstreams.map(|(place, it)| it.standing(tried.contains(&place))).collect();
        balance::choose(self.balance, &standings, ticket, visit.client)
    }

    fn note(&self, upstream: &Arc<Upstream>, failure: &Failure) {
        upstream.note_failure();
        let url = &upstream.url;
        let error = with_causes(failure);
        // One line a change, not one a request.
        if matches!(failure, Failure::Connect(_)) && upstream.shun(self.retries.shun) {
            tracing::warn!(upstream = %url, error, "An upstream cannot be reached.");
        } else {
            tracing::debug!(upstream = %url, error, "An upstream did not answer.");
        }
    }

    /// One try; if it fails, whether another one does no harm.
    async fn try_one(
        &self,
        upstream: &Arc<Upstream>,
        asking: &mut Asking,
        versions: Versions,
    ) -> Result<Answer, (Failure, bool)> {
        let active = upstream.begin();
        let pooled = if versions == Versions::Any { upstream.take() } else { None };
        let is_pooled = pooled.is_some();
        let connection = match pooled {
            Some(connection) => connection,
            // Nothing was sent yet, so that anything may be sent to another.
            None => self.connect(upstream, versions).await.map_err(|it| (it, true))?,
        };
        // A server may close an idle connection while a request is on its way to it.
        let may_repeat = is_pooled && asking.body.is_none() && asking.method.is_idempotent();
        let request = self.request(upstream, asking, &connection, may_repeat);
        let watch = asking.watch.clone();
        let (sent, connection) = match connection {
            Connection::Http1(mut http1) => {
                let sent = self.in_time(http1.send(request), watch.as_deref()).await;
                (sent, Some(http1))
            }
            Connection::Http2(mut http2) => {
                (self.in_time(http2.send(request), watch.as_deref()).await, None)
            }
        };
        if let Some(fault) = watch.as_ref().and_then(|it| it.fault()) {
            return Err((Failure::Upload(fault), false));
        }
        match sent {
            Some(Ok(response)) => Ok(Answer { response, connection, active }),
            Some(Err(SendError { source, unsent })) => {
                if is_pooled {
                    upstream.forget_idle();
                }
                let was_unsent = unsent.is_some();
                if let Some(request) = unsent {
                    asking.take_back(*request);
                }
                Err((Failure::Broken(source), is_pooled && (was_unsent || may_repeat)))
            }
            None => Err((Failure::NoAnswer, false)),
        }
    }

    async fn connect(
        &self,
        upstream: &Arc<Upstream>,
        versions: Versions,
    ) -> Result<Connection, Failure> {
        let connected = self.connector.connect(&upstream.url, versions).await;
        let (stream, version) = connected.map_err(Failure::Connect)?;
        if versions == Versions::Http1 {
            let http1 = connection::upgradeable(stream).await.map_err(Failure::Broken)?;
            return Ok(Connection::Http1(http1));
        }
        let connection = Connection::handshake(stream, version).await.map_err(Failure::Broken)?;
        if let Connection::Http2(http2) = &connection {
            upstream.share(http2);
        }
        Ok(connection)
    }

    /// What goes out over a connection; a copy, if it may have to be said again.
    fn request(
        &self,
        upstream: &Upstream,
        asking: &mut Asking,
        connection: &Connection,
        may_repeat: bool,
    ) -> Request<Upload> {
        let mut request = Request::new(Upload::Empty);
        *request.method_mut() = asking.method.clone();
        *request.uri_mut() = asking.uri.clone();
        *request.headers_mut() =
            if may_repeat { asking.headers.clone() } else { std::mem::take(&mut asking.headers) };
        match &self.host {
            HostSent::Kept => {}
            HostSent::Upstream => drop(request.headers_mut().insert(HOST, upstream.host.clone())),
            HostSent::Named(name) => drop(request.headers_mut().insert(HOST, name.clone())),
        }
        if let (Some(body), Some(watch)) = (asking.body.take(), &asking.watch) {
            let mut upload = Upload::streamed(body, self.timeouts.idle, watch);
            if asking.waits && matches!(connection, Connection::Http1(_)) {
                wait_for_100(&mut request, &mut upload);
            }
            *request.body_mut() = upload;
        }
        if let Connection::Http2(_) = connection {
            let scheme = if upstream.url.scheme == Scheme::Https { "https" } else { "http" };
            let host = request.headers_mut().remove(HOST);
            let host = host.unwrap_or_else(|| upstream.host.clone());
            *request.uri_mut() = absolute(request.uri(), scheme, &host);
            *request.version_mut() = Version::HTTP_2;
        }
        request
    }

    /// None if the answer does not come; a body that still goes out prolongs the wait.
    async fn in_time<T>(
        &self,
        answer: impl Future<Output = T>,
        watch: Option<&Watch>,
    ) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        let mut deadline = Instant::now() + self.timeouts.response;
        loop {
            match tokio::time::timeout_at(deadline, answer.as_mut()).await {
                Ok(answer) => return Some(answer),
                Err(_elapsed) => {
                    let moved_at = watch.map(Watch::moved_at)?;
                    deadline = moved_at + self.timeouts.response;
                    if deadline <= Instant::now() {
                        return None;
                    }
                }
            }
        }
    }

    fn relay(&self, answer: Answer) -> Response {
        let Answer { response, connection, active } = answer;
        let (mut parts, body) = response.into_parts();
        headers::response(&mut parts.headers);
        parts.version = Version::default();
        let relay = Relay::new(body, connection, active, self.timeouts.idle);
        Response::from_parts(parts, Body::new(relay))
    }

    fn tunnel(
        &self,
        visit: &Visit<'_>,
        answer: Answer,
        asked: &HeaderValue,
        visitor: hyper::upgrade::OnUpgrade,
    ) -> Result<Response, Failure> {
        let Answer { mut response, connection, active } = answer;
        let agreed = headers::upgrade(response.headers()).ok_or(Failure::OtherProtocol)?;
        if !agreed.as_bytes().eq_ignore_ascii_case(asked.as_bytes()) {
            return Err(Failure::OtherProtocol);
        }
        let connection = connection.ok_or(Failure::OtherProtocol)?;
        let server = hyper::upgrade::on(&mut response);
        let idle = self.timeouts.idle;
        let tunnel = Tunnel { visitor, server, protocol: agreed.clone(), connection, active, idle };
        visit.connection.lifeline.outlive(|shutdown| tunnel.run(shutdown));
        let (mut parts, _no_body) = response.into_parts();
        headers::response(&mut parts.headers);
        parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        parts.headers.insert(UPGRADE, agreed);
        Ok(Response::from_parts(parts, Body::empty()))
    }
}

impl Asking {
    /// A request that came back whole.
    fn take_back(&mut self, request: Request<Upload>) {
        let (parts, upload) = request.into_parts();
        self.headers = parts.headers;
        if self.watch.is_some() {
            self.body = Some(upload.into_body());
        }
        // HTTP/2 has it in the URL.
        if let (false, Some(authority)) = (self.headers.contains_key(HOST), parts.uri.authority())
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            self.headers.insert(HOST, host);
        }
    }
}

/// Tells a server whose request it is, and takes out what is not for it.
pub(super) fn introduce(visit: &Visit<'_>, request: &mut Request<Body>) {
    let uri = request.uri().clone();
    headers::introduce(request.headers_mut(), &uri, &visitor_of(visit));
}

fn visitor_of<'a>(visit: &'a Visit<'_>) -> Visitor<'a> {
    // Without a login on the plain listener nobody's credentials were looked at.
    let principal = visit.principal.as_ref().filter(|it| it.via != Via::Loopback);
    Visitor {
        peer: visit.connection.peer.ip(),
        peer_is_trusted: visit.peer_is_trusted,
        scheme: visit.connection.transport.scheme(),
        login: principal.map(|it| Login { name: &it.name }),
    }
}

fn origin_form(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        // `OPTIONS *` has no path.
        Some(path) => Uri::from(path.clone()),
        None => Uri::from_static("/"),
    }
}

/// With scheme and host, as HTTP/2 wants it; as it is, should they not make a URL.
fn absolute(uri: &Uri, scheme: &str, host: &HeaderValue) -> Uri {
    let mut parts = uri.clone().into_parts();
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return uri.clone() };
    parts.scheme = Some(if scheme == "https" { UriScheme::HTTPS } else { UriScheme::HTTP });
    parts.authority = Some(authority);
    Uri::from_parts(parts).unwrap_or_else(|_invalid| uri.clone())
}

/// The body waits for the server's word, as the visitor waits for ours.
fn wait_for_100(request: &mut Request<Upload>, upload: &mut Upload) {
    let go_on = Arc::new(Notify::new());
    upload.wait_for(Arc::clone(&go_on));
    hyper::ext::on_informational(request, move |informational| {
        if informational.status() == StatusCode::CONTINUE {
            go_on.notify_one();
        }
    });
}

/// An error with its causes, for the log.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
