//! Servers behind the front, well-behaved and otherwise, and a front that leads to them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use skep_front::{Action, HostPattern, PathPattern, ProxyConfig, Route, SiteConfig, UpstreamUrl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// The name that the tests' site has.
pub(crate) const SITE: &str = "x.home.lan";
/// Nothing takes this long but what hangs.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A server that ends with the test.
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    n_connections: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Upstream {
    /// HTTP/1.1 and, unasked, HTTP/2.
    pub(crate) async fn serve(router: Router) -> Self {
        Self::talk(move |stream, _n| {
            let router = hyper_util::service::TowerToHyperService::new(router.clone());
            async move {
                let http = hyper_util::server::conn::auto::Builder::new(
                    hyper_util::rt::TokioExecutor::new(),
                );
                let io = hyper_util::rt::TokioIo::new(stream);
                drop(http.serve_connection_with_upgrades(io, router).await);
            }
        })
        .await
    }

    /// Answers each connection, counted from 0, in its own words.
    pub(crate) async fn talk<F, Fut>(answer: F) -> Self
    where
        F: Fn(TcpStream, usize) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::talk_at("127.0.0.1:0".parse().unwrap(), answer).await
    }

    pub(crate) async fn talk_at<F, Fut>(addr: SocketAddr, answer: F) -> Self
    where
        F: Fn(TcpStream, usize) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let n_connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&n_connections);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (stream, _peer) = listener.accept().await.unwrap();
                open.spawn(answer(stream, counter.fetch_add(1, Ordering::SeqCst)));
            }
        });
        Self { addr, n_connections, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn n_connections(&self) -> usize {
        self.n_connections.load(Ordering::SeqCst)
    }
}

/// Answers with what it was asked: request line, then headers in order of their names, as lines.
pub(crate) fn echo_head() -> Router {
    Router::new().fallback(|request: Request| {
        let mut lines = vec![format!("{} {}", request.method(), request.uri())];
        let mut headers: Vec<_> = request.headers().iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in headers {
            lines.push(format!("{name}: {}", value.to_str().unwrap()));
        }
        std::future::ready(Response::new(Body::from(lines.join("\n"))))
    })
}

/// The head of a request, up to and with the empty line.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_ended) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

pub(crate) async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

pub(crate) fn proxy(urls: &[&str]) -> ProxyConfig {
    ProxyConfig::new(urls.iter().map(|it| UpstreamUrl::parse(it).unwrap()).collect()).unwrap()
}

pub(crate) fn site(config: ProxyConfig) -> SiteConfig {
    let action = Action::Proxy(Box::new(config));
    SiteConfig::new(
        vec![HostPattern::parse(SITE).unwrap()],
        vec![Route::new(PathPattern::ALL, action)],
    )
}

/// Until it holds, or the test has waited too long.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(LONG, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}
