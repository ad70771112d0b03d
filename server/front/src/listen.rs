//! Listeners and connections: bind, accept within limits, speak TLS and HTTP, drain at the end.

mod proxy_protocol;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::credentials::Access;
use crate::certs::Certificates;
use crate::clock::Clock;
use crate::config::{Config, Limits, Networks, PlainAuth};
use crate::error::Error;
use crate::files;
use crate::gate::{Connection, Gate, Routers, Transport};
use crate::observe::{AccessLog, Figures, HandlerName, Observer, Open, Server, Watched};
use crate::redirect::Redirect;
use crate::tls;
use crate::vhost::Sites;

/// Out of file descriptors, for one: accepting again at once would only burn the core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// An HTTP/2 peer that answers no ping within the header timeout is gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// hyper's least buffer for an HTTP/1.1 head.
const HTTP1_BUFFER_MIN: usize = 8192;

/// A front that listens, but does not answer yet.
#[derive(Debug)]
pub struct Front {
    config: Config,
    clock: Arc<dyn Clock>,
    /// The sites of the moment; a reload puts others in their place.
    sites: Arc<ArcSwap<Sites>>,
    access: Access,
    observer: Arc<Observer>,
    certificates: Arc<Certificates>,
    listeners: Vec<(TcpListener, Role)>,
    bound: Bound,
}

/// Where the front can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub https: Vec<SocketAddr>,
    pub http_redirect: Option<SocketAddr>,
    pub plain: Option<SocketAddr>,
    /// The root that clients must trust, in PEM.
    pub ca_file: PathBuf,
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Https,
    Redirect,
    Plain(PlainAuth),
}

impl Role {
    fn server(self) -> Server {
        match self {
            Self::Https => Server::Https,
            Self::Redirect => Server::Redirect,
            Self::Plain(_) => Server::Plain,
        }
    }
}

impl Front {
    /// Loads or makes the CA, reads the sessions, opens every listener.
    pub async fn bind(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        files::create_private_dir(&config.data_dir)?;
        let certificates = Arc::new(Certificates::open(&config, Arc::clone(&clock))?);
        let ca_file = certificates.ca().root_path().to_owned();
        let access = Access::new(&config)?;
        let sites = Sites::new(config.domain.clone(), &config.extra_names, &config.sites)?;
        let sites = Arc::new(ArcSwap::from_pointee(sites));
        let observer = Observer::new(config.metric_names, Arc::clone(&clock));
        observer.learn_hosts(Sites::names(&config));
        let mut listeners = Vec::new();
        let mut bound = Bound { https: Vec::new(), http_redirect: None, plain: None, ca_file };
        for addr in &config.https {
            bound.https.push(listen(&mut listeners, *addr, Role::Https).await?);
        }
        if let Some(addr) = config.http_redirect {
            bound.http_redirect = Some(listen(&mut listeners, addr, Role::Redirect).await?);
        }
        if let Some(plain) = config.plain {
            let role = Role::Plain(plain.require_auth);
            bound.plain = Some(listen(&mut listeners, plain.addr.addr(), role).await?);
        }
        Ok(Self { config, clock, sites, access, observer, certificates, listeners, bound })
    }

    /// Where certificates come from, for metrics and for a reload.
    pub fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates)
    }

    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Where records of requests go; without this, nowhere.
    pub fn log_to(&self, log: Arc<dyn AccessLog>) {
        self.observer.log_to(log);
    }

    /// What the front counts.
    pub fn figures(&self) -> Figures {
        Figures::new(Arc::clone(&self.observer))
    }

    /// Serves until `shutdown`, then lets open requests end within the drain deadline.
    ///
    /// A connection that became a websocket is its handler's to end. Needs tokio's multi-threaded
    /// runtime: logins are written to disk in place.
    pub async fn run(self, routers: Routers, shutdown: CancellationToken) -> Result<(), Error> {
        let https_port = self.config.https_port_public;
        let https_port = https_port.or(self.bound.https.first().map(SocketAddr::port));
        let ca_pem = self.certificates.ca().root_pem().to_owned();
        let tls = tls::server_config(Arc::clone(&self.certificates) as _)?;
        let shared = Arc::new(Shared {
            redirect: Redirect::new(Arc::clone(&self.sites), https_port, ca_pem.clone()),
            gate: Gate {
                sites: self.sites,
                routers,
                access: self.access,
                trusted_proxies: self.config.trusted_proxies.clone(),
                clock: self.clock,
                ca_pem,
            },
            observer: self.observer,
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            http1: http_builder(&self.config.limits).http1_only(),
            http2: http_builder(&self.config.limits).http2_only(),
            slots: Arc::new(Semaphore::new(self.config.limits.connections_max)),
            proxy_senders: self.config.proxy_protocol,
            limits: self.config.limits,
            connections: TaskTracker::new(),
            shutdown: shutdown.clone(),
        });
        let loops = TaskTracker::new();
        for (listener, role) in self.listeners {
            loops.spawn(accept(Arc::clone(&shared), listener, role));
        }
        loops.spawn(self.certificates.run(shutdown));
        loops.close();
        loops.wait().await;
        shared.drain().await
    }
}

async fn listen(
    listeners: &mut Vec<(TcpListener, Role)>,
    addr: SocketAddr,
    role: Role,
) -> Result<SocketAddr, Error> {
    let failed = |source| Error::Bind { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    listeners.push((listener, role));
    Ok(bound)
}

/// As TLS negotiated it; without TLS, always the first.
#[derive(Debug, Clone, Copy)]
enum Version {
    Http1,
    Http2,
}

impl Version {
    fn of_alpn(protocol: Option<&[u8]>) -> Self {
        if protocol == Some(tls::ALPN_HTTP2) { Self::Http2 } else { Self::Http1 }
    }
}

/// What all connections use.
struct Shared {
    gate: Gate,
    redirect: Redirect,
    observer: Arc<Observer>,
    acceptor: TlsAcceptor,
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
    /// Their connections begin with a PROXY header.
    proxy_senders: Networks,
    limits: Limits,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    shutdown: CancellationToken,
}

impl Shared {
    async fn drain(&self) -> Result<(), Error> {
        self.connections.close();
        let drained = tokio::time::timeout(self.limits.drain_deadline, self.connections.wait());
        let n_busy = || self.connections.len();
        drained.await.map_err(|_deadline| Error::DrainDeadline { n_cut: n_busy() })
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, role: Role) {
    loop {
        // A place is asked for once there is somebody to give it to: idle listeners hold none.
        let next = async {
            let accepted = listener.accept().await;
            (accepted, Arc::clone(&shared.slots).acquire_owned().await)
        };
        let (accepted, slot) = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            next = next => next,
        };
        match (accepted, slot) {
            (Ok((stream, peer)), Ok(slot)) => {
                let connection = serve(Arc::clone(&shared), stream, peer, role, slot);
                shared.connections.spawn(connection);
            }
            (_, Err(_closed)) => return,
            (Err(error), Ok(_slot)) => {
                tracing::warn!(%error, "Could not accept a connection.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection from its first byte to its last; the slot is free again after that.
async fn serve(
    shared: Arc<Shared>,
    mut stream: TcpStream,
    peer: SocketAddr,
    role: Role,
    slot: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "Could not set TCP_NODELAY.");
    }
    let _open = Open::new(&shared.observer, role.server());
    let Some(peer) = client(&shared, &mut stream, peer, role).await else { return };
    match role {
        Role::Redirect => redirect(shared, stream, peer).await,
        Role::Plain(auth) => {
            gate(shared, stream, Version::Http1, peer, Transport::Plain(auth)).await;
        }
        Role::Https => {
            if let Some(mut tls) = handshake(&shared, stream, peer).await {
                let session = tls.get_ref().1;
                if session.alpn_protocol() == Some(tls::ALPN_CHALLENGE) {
                    // A CA has seen what it came for.
                    drop(tls.shutdown().await);
                    return;
                }
                let sni = session.server_name().map(str::to_ascii_lowercase);
                let version = Version::of_alpn(session.alpn_protocol());
                gate(shared, tls, version, peer, Transport::Tls { sni }).await;
            }
        }
    }
    drop(slot);
}

/// The peer, or whom it passes on by the PROXY protocol; `None` if it should say so and does not.
async fn client(
    shared: &Shared,
    stream: &mut TcpStream,
    peer: SocketAddr,
    role: Role,
) -> Option<SocketAddr> {
    let is_sender = match role {
        // Tools on this machine know no such header.
        Role::Plain(_) => false,
        Role::Https | Role::Redirect => shared.proxy_senders.contains(peer.ip()),
    };
    if !is_sender {
        return Some(peer);
    }
    let limit = shared.limits.handshake_timeout;
    match proxy_protocol::client_of(stream, peer, limit).await {
        Ok(client) => Some(client),
        Err(error) => {
            tracing::warn!(%error, %peer, "A connection of a load balancer was cut.");
            None
        }
    }
}

async fn handshake(
    shared: &Shared,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<TlsStream<TcpStream>> {
    let counts = &shared.observer.connections;
    let accepted = shared.acceptor.accept(stream);
    match tokio::time::timeout(shared.limits.handshake_timeout, accepted).await {
        Ok(Ok(tls)) => {
            counts.handshakes.fetch_add(1, Ordering::Relaxed);
            Some(tls)
        }
        Ok(Err(error)) => {
            counts.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, %peer, "A TLS handshake failed.");
            None
        }
        Err(_elapsed) => {
            counts.handshakes_late.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, "A TLS handshake took too long.");
            None
        }
    }
}

async fn redirect(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let answers = Arc::clone(&shared);
    speak(&shared, stream, Version::Http1, peer, move |request| {
        let (watch, request) = answers.observer.watch(Server::Redirect, peer, request);
        watch.note().handled(HandlerName::Front);
        std::future::ready(Ok(watch.finish(answers.redirect.answer(&request))))
    })
    .await;
}

async fn gate<IO>(
    shared: Arc<Shared>,
    stream: IO,
    version: Version,
    peer: SocketAddr,
    transport: Transport,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answers = Arc::clone(&shared);
    let server = match transport {
        Transport::Tls { .. } => Server::Https,
        Transport::Plain(_) => Server::Plain,
    };
    let connection = Arc::new(Connection { peer, transport });
    speak(&shared, stream, version, peer, move |request| {
        let (answers, connection) = (Arc::clone(&answers), Arc::clone(&connection));
        async move {
            let (watch, request) = answers.observer.watch(server, peer, request);
            let response = answers.gate.answer(&connection, watch.note(), request).await;
            Ok(watch.finish(response))
        }
    })
    .await;
}

/// HTTP over any stream, until the peer leaves or the server does.
async fn speak<IO, F, Fut>(
    shared: &Shared,
    stream: IO,
    version: Version,
    peer: SocketAddr,
    answer: F,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Fut,
    Fut: Future<Output = Result<Response<Watched>, Infallible>> + Send + 'static,
{
    let asked = CancellationToken::new();
    let service = service_fn(|request: Request<Incoming>| {
        asked.cancel();
        answer(request)
    });
    let http = match version {
        Version::Http1 => &shared.http1,
        Version::Http2 => &shared.http2,
    };
    let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silence(shared.limits.header_timeout, &asked) => {
            return tracing::debug!(%peer, "A connection asked for nothing.");
        }
        () = shared.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "A connection broke off.");
    }
}

/// Ends if the first request does not come in time: hyper's own timeouts only start with the first
/// bytes of HTTP/1.1 or after the preface of HTTP/2.
async fn silence(limit: Duration, asked: &CancellationToken) {
    if tokio::time::timeout(limit, asked.cancelled()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

fn http_builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let head_max = usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(head_max.max(HTTP1_BUFFER_MIN));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(limits.header_bytes_max)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(limits.header_timeout);
    builder
}
