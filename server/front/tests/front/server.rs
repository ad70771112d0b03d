//! A running front for the tests, and a client that trusts its CA.
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, Request};
use axum::routing::get;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, redirect};
use skep_front::{
    AccessLog, Bound, Certificates, Clock, Config, Domain, Error, Figures, Front, Limits,
    LoopbackAddr, Networks, PasswordHash, PlainAuth, PlainListener, Principal, Reloads, Routers,
    Scope, SiteUpstream, SystemClock, Token, TokenHash, Upstreams, User,
};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PASSWORD: &str = "correct horse";
/// One for all starts: another hash of the same password ends the sessions.
static PASSWORD_HASH: LazyLock<PasswordHash> =
    LazyLock::new(|| PasswordHash::cheap(PASSWORD).unwrap());
pub(crate) const AGENT: &str = "skep_agent";
pub(crate) const READER: &str = "skep_reader";
pub(crate) const ADMIN: &str = "skep_admin";

pub(crate) struct Server {
    pub(crate) dir: TempDir,
    pub(crate) bound: Bound,
    pub(crate) client: Client,
    pub(crate) figures: Figures,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) reloads: Reloads,
    upstreams: Upstreams,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), |_config| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    pub(crate) async fn start_in(dir: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(dir.path());
        change(&mut config);
        Self::start_as(dir, config, Arc::new(SystemClock), |_front| {}).await
    }

    pub(crate) async fn start_logging(
        log: Arc<dyn AccessLog>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        change(&mut config);
        Self::start_as(dir, config, Arc::new(SystemClock), |front| front.log_to(log)).await
    }

    pub(crate) async fn start_by(clock: Arc<dyn Clock>, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        change(&mut config);
        Self::start_as(dir, config, clock, |_front| {}).await
    }

    async fn start_as(
        dir: TempDir,
        config: Config,
        clock: Arc<dyn Clock>,
        prepare: impl FnOnce(&Front),
    ) -> Self {
        let front = Front::bind(config, clock).await.unwrap();
        prepare(&front);
        let figures = front.figures();
        let reloads = front.reloads();
        let upstreams = front.upstreams();
        let bound = front.bound().clone();
        let certificates = front.certificates();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(front.run(routers(), shutdown.clone()));
        let client = client(&bound);
        Self { dir, bound, client, figures, certificates, reloads, upstreams, shutdown, task }
    }

    /// How the servers behind the sites are doing.
    pub(crate) fn upstreams(&self) -> Vec<SiteUpstream> {
        self.upstreams.status()
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.bound.https[0]
    }

    /// Of a name of ours, over TLS.
    pub(crate) fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.https().port())
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url("home.lan", path))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url("home.lan", path))
    }

    /// A browser's login; returns the cookie.
    pub(crate) async fn login(&self) -> String {
        let response = self.send_login("ada", PASSWORD).await;
        assert_eq!(response.status(), 303);
        cookie_of(&response)
    }

    pub(crate) async fn send_login(&self, user: &str, password: &str) -> Response {
        let form = format!("user={user}&password={}&next=%2Fexplore", password.replace(' ', "+"));
        let request = self.post("/login").header("sec-fetch-site", "same-origin");
        request.body(form).send().await.unwrap()
    }

    pub(crate) fn ask_to_stop(&self) {
        self.shutdown.cancel();
    }

    pub(crate) async fn stop(self) -> (TempDir, Result<(), Error>) {
        self.shutdown.cancel();
        drop(self.client);
        (self.dir, self.task.await.unwrap())
    }
}

/// A clock that only the test moves. It begins now, since clients check certificates by the real
/// time.
#[derive(Debug)]
pub(crate) struct ManualClock(Mutex<OffsetDateTime>);

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(OffsetDateTime::now_utc())))
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap()
    }
}

/// What `look` finds, as soon as it finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn cookie_of(response: &Response) -> String {
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

pub(crate) fn config(dir: &Path) -> Config {
    let token = |name: &str, text: &str, scopes: &[Scope]| Token {
        name: name.to_owned(),
        sha256: TokenHash::of(text),
        scopes: scopes.iter().copied().collect(),
    };
    let user = |name: &str, scopes: &[Scope]| User {
        name: name.to_owned(),
        password: PASSWORD_HASH.clone(),
        scopes: scopes.iter().copied().collect(),
        code_secret: None,
    };
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Config {
        domain: Domain::parse("home.lan").unwrap(),
        extra_names: vec!["nas.local".to_owned()],
        host: "lab1".to_owned(),
        https: vec![any],
        http_redirect: Some(any),
        https_port_public: None,
        plain: Some(PlainListener {
            addr: LoopbackAddr::new(any).unwrap(),
            require_auth: PlainAuth::Required,
        }),
        data_dir: dir.join("front"),
        tokens: vec![
            token("agent", AGENT, &[Scope::Ingest]),
            token("reader", READER, &[Scope::Query]),
            token("admin", ADMIN, &[Scope::Admin]),
        ],
        agents: skep_front::AgentCertificates::Off,
        oidc: None,
        trusted_proxies: Networks::default(),
        proxy_protocol: Networks::default(),
        sites: Vec::new(),
        metric_names: skep_front::MetricNames::Skep,
        certificates: skep_front::CertificatesConfig::default(),
        agent_programs: skep_front::AgentPrograms { folder: dir.join("agents"), own: None },
        users: vec![user("ada", &[Scope::Query, Scope::Admin]), user("guest", &[Scope::Query])],
        limits: Limits {
            login_burst: 3,
            login_refill: Duration::from_secs(3600),
            ..Limits::default()
        },
    }
}

pub(crate) fn client(bound: &Bound) -> Client {
    client_with(bound, |builder| builder)
}

pub(crate) fn client_with(
    bound: &Bound,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Client {
    // Err: another test was first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let ca = std::fs::read(&bound.ca_file).unwrap();
    let mut builder = Client::builder()
        .tls_built_in_root_certs(false)
        .add_root_certificate(reqwest::Certificate::from_pem(&ca).unwrap())
        .no_proxy()
        // The tests set Host and Upgrade, which mean nothing in HTTP/2.
        .http1_only()
        .redirect(redirect::Policy::none());
    for host in [
        "home.lan",
        "lan.home.lan",
        "metrics.home.lan",
        "logs.home.lan",
        "x.home.lan",
        "nas.local",
        "photos.home.lan",
        "elsewhere.example",
        "apps.home.lan",
        "a.apps.home.lan",
    ] {
        builder = builder.resolve(host, bound.https[0]);
    }
    change(builder).build().unwrap()
}

/// Each answers with its name, the path and the caller.
fn routers() -> Routers {
    let named = |name: &'static str| {
        Router::new().fallback(
            move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| {
                let caller = request.extensions().get::<Principal>();
                let caller = caller.map_or("nobody", |caller| &*caller.name);
                let text = format!("{name} {} {caller} {}", request.uri().path(), peer.ip());
                std::future::ready(text)
            },
        )
    };
    let tail = get(|socket: WebSocketUpgrade| {
        std::future::ready(socket.on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        }))
    });
    let logs = named("logs").route("/loki/api/v1/tail", tail);
    let never = get(std::future::pending::<&'static str>);
    Routers {
        page: named("page").route("/never", never),
        metrics: named("metrics"),
        logs,
        ..Routers::default()
    }
}
