//! Listeners and connections: bind, accept within limits, speak TLS and HTTP, drain at the end.

mod linger;
mod proxy_protocol;
pub(crate) mod slots;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::linger::Lingering;
use self::slots::{Slot, Slots};
use crate::access::certificate::AgentCertificate;
use crate::access::credentials::Access;
use crate::certs::Certificates;
use crate::clock::Clock;
use crate::config::{Config, Limits, Networks};
use crate::error::Error;
use crate::files;
use crate::gate::{Connection, Gate, Routers, Transport};
use crate::lifeline::Lifeline;
use crate::listeners::{self, Fresh, Listeners, Role};
use crate::observe::{AccessLog, Figures, HandlerName, Observer, Open, Server, Watched};
use crate::oidc::Oidc;
use crate::redirect::Redirect;
use crate::reload::{self, Orders, Reloads};
use crate::tls;
use crate::vhost::{SiteUpstream, Sites};

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
    access: Arc<Access>,
    observer: Arc<Observer>,
    certificates: Arc<Certificates>,
    oidc: Option<Arc<Oidc>>,
    listeners: Vec<Fresh>,
    bound: Bound,
    reloads: Reloads,
    orders: Orders,
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

/// The servers behind the sites of the moment.
#[derive(Debug, Clone)]
pub struct Upstreams(Arc<ArcSwap<Sites>>);

impl Upstreams {
    pub fn status(&self) -> Vec<SiteUpstream> {
        self.0.load().upstreams()
    }
}

impl Front {
    /// Loads or makes the CA, reads the sessions, opens every listener.
    pub async fn bind(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        files::create_private_dir(&config.data_dir)?;
        let certificates = Arc::new(Certificates::open(&config, Arc::clone(&clock))?);
        let ca_file = certificates.ca().root_path().to_owned();
        let access = Arc::new(Access::new(&config)?);
        let oidc = provider(&config, &certificates)?;
        let sites = Sites::new(
            &config.domain,
            &config.extra_names,
            &config.sites,
            access.site_attempts(),
            None,
        )?;
        let sites = Arc::new(ArcSwap::from_pointee(sites));
        let observer = Observer::new(config.metric_names, Arc::clone(&clock));
        observer.learn_hosts(Sites::names(&config));
        let listeners = listeners::open(&config).await?;
        let bound = listeners::bound(&listeners, &ca_file);
        let (reloads, orders) = reload::channel();
        Ok(Self {
            config,
            clock,
            sites,
            access,
            observer,
            certificates,
            oidc,
            listeners,
            bound,
            reloads,
            orders,
        })
    }

    /// Where certificates come from, for metrics and for a reload.
    pub fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates)
    }

    /// How the servers behind the sites are doing, as long as anybody wants to know.
    pub fn upstreams(&self) -> Upstreams {
        Upstreams(Arc::clone(&self.sites))
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
        Figures::new(Arc::clone(&self.observer), self.certificates(), self.upstreams())
    }

    /// For another configuration while it runs.
    pub fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// Serves until `shutdown`, then lets open requests end within the drain deadline.
    ///
    /// A connection that became a websocket is its handler's to end. Needs tokio's multi-threaded
    /// runtime: logins are written to disk in place.
    pub async fn run(self, routers: Routers, shutdown: CancellationToken) -> Result<(), Error> {
        let ca_pem = self.certificates.ca().root_pem().to_owned();
        let acceptor = tls::acceptor(&self.certificates, self.config.agents)?;
        let settings = Settings::new(&self.config, &self.bound, &self.sites, &ca_pem, acceptor);
        let shared = Arc::new(Shared {
            gate: Gate {
                sites: self.sites,
                routers,
                access: Arc::clone(&self.access),
                oidc: ArcSwapOption::new(self.oidc),
                trusted_proxies: ArcSwap::from_pointee(self.config.trusted_proxies.clone()),
                clock: self.clock,
                certificates: Arc::clone(&self.certificates),
                programs: self.config.agent_programs.clone(),
            },
            observer: self.observer,
            slots: Slots::new(self.config.limits.connections_max),
            settings: ArcSwap::from_pointee(settings),
            connections: TaskTracker::new(),
            shutdown: shutdown.clone(),
        });
        let fresh = tokio::spawn(Arc::clone(&self.certificates).run(shutdown.clone()));
        let (access, until) = (self.access, shutdown.clone());
        let uses = tokio::spawn(async move { access.keep_uses(until).await });
        let accepts = Arc::clone(&shared);
        let start = move |listener, role, stop| {
            tokio::spawn(accept(Arc::clone(&accepts), listener, role, stop))
        };
        let mut running = Running {
            shared,
            certificates: self.certificates,
            listeners: Listeners::new(start, self.listeners, &shutdown),
            ca_file: self.bound.ca_file,
        };
        running.take_orders(self.orders).await;
        let Running { shared, listeners, .. } = running;
        listeners.wait().await;
        if let Err(error) = fresh.await {
            tracing::error!(%error, "The task that renews certificates panicked.");
        }
        if let Err(error) = uses.await {
            tracing::error!(%error, "The task that writes down the uses of tokens panicked.");
        }
        shared.drain().await
    }
}

/// A front at work: what a reload changes.
struct Running<S> {
    shared: Arc<Shared>,
    certificates: Arc<Certificates>,
    listeners: Listeners<S>,
    ca_file: PathBuf,
}

impl<S: Fn(TcpListener, Role, CancellationToken) -> JoinHandle<()>> Running<S> {
    /// Until the shutdown.
    async fn take_orders(&mut self, mut orders: Orders) {
        let shutdown = self.shared.shutdown.clone();
        loop {
            let order = tokio::select! {
                () = shutdown.cancelled() => return,
                order = orders.next() => order,
            };
            let applied = self.apply(&order.config).await;
            // Nobody waits any more: it counts all the same.
            drop(order.done.send(applied));
        }
    }

    /// Builds everything first; what cannot fail any more comes last.
    async fn apply(&mut self, config: &Config) -> Result<Bound, Error> {
        let sites = Sites::new(
            &config.domain,
            &config.extra_names,
            &config.sites,
            self.shared.gate.access.site_attempts(),
            Some(&**self.shared.gate.sites.load()),
        )?;
        let live = self.certificates.prepare(config)?;
        let oidc = provider(config, &self.certificates)?;
        let acceptor = tls::acceptor(&self.certificates, config.agents)?;
        let fresh = self.listeners.prepare(config).await?;
        self.certificates.apply(live);
        let gate = &self.shared.gate;
        self.shared.observer.learn_hosts(Sites::names(config));
        gate.sites.store(Arc::new(sites));
        gate.trusted_proxies.store(Arc::new(config.trusted_proxies.clone()));
        gate.access.replace(config);
        gate.oidc.store(oidc);
        self.shared.slots.resize(config.limits.connections_max);
        self.listeners.commit(fresh, config).await;
        let bound = self.listeners.bound(&self.ca_file);
        let settings =
            Settings::new(config, &bound, &gate.sites, self.certificates.ca().root_pem(), acceptor);
        self.shared.settings.store(Arc::new(settings));
        Ok(bound)
    }
}

/// The login provider that a configuration names; it is not asked yet.
fn provider(config: &Config, certificates: &Certificates) -> Result<Option<Arc<Oidc>>, Error> {
    let made = config.oidc.clone().map(|it| Oidc::new(it, certificates.ca().root_pem()));
    Ok(made.transpose().map_err(Error::Oidc)?.map(Arc::new))
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
    /// Of the moment; a connection keeps those it began with.
    settings: ArcSwap<Settings>,
    observer: Arc<Observer>,
    slots: Arc<Slots>,
    connections: TaskTracker,
    shutdown: CancellationToken,
}

/// What a reload puts in place as a whole.
struct Settings {
    redirect: Redirect,
    acceptor: TlsAcceptor,
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
    /// Their connections begin with a PROXY header.
    proxy_senders: Networks,
    limits: Limits,
}

impl Settings {
    fn new(
        config: &Config,
        bound: &Bound,
        sites: &Arc<ArcSwap<Sites>>,
        ca_pem: &str,
        acceptor: TlsAcceptor,
    ) -> Self {
        let https_port = config.https_port_public;
        let https_port = https_port.or(bound.https.first().map(SocketAddr::port));
        Self {
            redirect: Redirect::new(Arc::clone(sites), https_port, ca_pem.to_owned()),
            acceptor,
            http1: http_builder(&config.limits).http1_only(),
            http2: http_builder(&config.limits).http2_only(),
            proxy_senders: config.proxy_protocol.clone(),
            limits: config.limits.clone(),
        }
    }
}

impl Shared {
    async fn drain(&self) -> Result<(), Error> {
        self.connections.close();
        let deadline = self.settings.load().limits.drain_deadline;
        let drained = tokio::time::timeout(deadline, self.connections.wait());
        let n_busy = || self.connections.len();
        drained.await.map_err(|_deadline| Error::DrainDeadline { n_cut: n_busy() })
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, role: Role, stop: CancellationToken) {
    loop {
        // A place is asked for once there is somebody to give it to: idle listeners hold none.
        let next = async {
            let accepted = listener.accept().await;
            (accepted, shared.slots.take().await)
        };
        let (accepted, slot) = tokio::select! {
            () = stop.cancelled() => return,
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

/// One connection from its first byte to its last; the slot is free again after that, or when what
/// it became has ended.
async fn serve(
    shared: Arc<Shared>,
    mut stream: TcpStream,
    peer: SocketAddr,
    role: Role,
    slot: Slot,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "Could not set TCP_NODELAY.");
    }
    let _open = Open::new(&shared.observer, role.server());
    let Some(peer) = client(&shared, &mut stream, peer, role).await else { return };
    let lifeline = Lifeline::new(slot, shared.connections.clone(), shared.shutdown.clone());
    let connection = |transport| Connection { peer, transport, lifeline: lifeline.clone() };
    match role {
        Role::Redirect => redirect(shared, stream, peer).await,
        Role::Plain(auth) => {
            gate(shared, stream, Version::Http1, connection(Transport::Plain(auth))).await;
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
                let leaf = session.peer_certificates().and_then(<[_]>::first);
                let agent = leaf.and_then(AgentCertificate::parse);
                let version = Version::of_alpn(session.alpn_protocol());
                gate(shared, tls, version, connection(Transport::Tls { sni, agent })).await;
            }
        }
    }
}

/// The peer, or whom it passes on by the PROXY protocol; `None` if it should say so and does not.
async fn client(
    shared: &Shared,
    stream: &mut TcpStream,
    peer: SocketAddr,
    role: Role,
) -> Option<SocketAddr> {
    let settings = shared.settings.load_full();
    let is_sender = match role {
        // Tools on this machine know no such header.
        Role::Plain(_) => false,
        Role::Https | Role::Redirect => settings.proxy_senders.contains(peer.ip()),
    };
    if !is_sender {
        return Some(peer);
    }
    let limit = settings.limits.handshake_timeout;
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
    let settings = shared.settings.load_full();
    let accepted = settings.acceptor.accept(stream);
    let limit = settings.limits.handshake_timeout;
    match tokio::time::timeout(limit, accepted).await {
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
        let settings = answers.settings.load();
        let limit = settings.limits.body_timeout;
        let (watch, request) = answers.observer.watch(Server::Redirect, peer, request, limit);
        watch.note().handled(HandlerName::Front);
        std::future::ready(Ok(watch.finish(settings.redirect.answer(&request))))
    })
    .await;
}

async fn gate<IO>(shared: Arc<Shared>, stream: IO, version: Version, connection: Connection)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answers = Arc::clone(&shared);
    let server = match connection.transport {
        Transport::Tls { .. } => Server::Https,
        Transport::Plain(_) => Server::Plain,
    };
    let peer = connection.peer;
    let connection = Arc::new(connection);
    speak(&shared, stream, version, peer, move |request| {
        let (answers, connection) = (Arc::clone(&answers), Arc::clone(&connection));
        async move {
            let limit = answers.settings.load().limits.body_timeout;
            let (watch, request) = answers.observer.watch(server, peer, request, limit);
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
    let settings = shared.settings.load_full();
    let asked = CancellationToken::new();
    let service = service_fn(|request: Request<Incoming>| {
        asked.cancel();
        answer(request)
    });
    let http = match version {
        Version::Http1 => &settings.http1,
        Version::Http2 => &settings.http2,
    };
    let connection =
        http.serve_connection_with_upgrades(TokioIo::new(Lingering::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silence(settings.limits.header_timeout, &asked) => {
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
