//! Ways to a server: TLS with and without trust, HTTP/2, Unix sockets; and which of several is asked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::any;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use skep_front::{Balance, ProxyConfig, Trust, UpstreamTls};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::server::Server;
use crate::upstream::{SITE, Upstream, proxy, site};

async fn front(config: ProxyConfig) -> Server {
    Server::start_with(|it| it.sites = vec![site(config)]).await
}

async fn ask(server: &Server) -> (StatusCode, String) {
    let response = server.client.get(server.url(SITE, "/")).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

/// Says which version of HTTP it was asked in, and for which host.
fn version() -> Router {
    Router::new().fallback(any(|request: Request| {
        let host = request.uri().host().map(str::to_owned);
        let host = host.or_else(|| Some(request.headers()["host"].to_str().unwrap().to_owned()));
        let host = host.unwrap().split(':').next().unwrap().to_owned();
        std::future::ready(format!("{:?} {host}", request.version()))
    }))
}

/// A server with a certificate of its own for `nas.lan`, which it writes to `certificate`.
async fn secure(certificate: &Path, alpn: &[&[u8]]) -> (SocketAddr, AbortOnDropHandle<()>) {
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["nas.lan".to_owned()]).unwrap();
    let own = own.self_signed(&key).unwrap();
    std::fs::write(certificate, own.pem()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        loop {
            let (stream, _peer) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            open.spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream).await;
                }
            });
        }
    });
    (addr, AbortOnDropHandle::new(task))
}

async fn serve<IO>(stream: IO)
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let http = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
    let service = hyper_util::service::TowerToHyperService::new(version());
    drop(http.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await);
}

fn trusting(addr: SocketAddr, trust: Trust, name: Option<&str>) -> ProxyConfig {
    let mut config = proxy(&[&format!("https://{addr}")]);
    let server_name = name.map(|it| UpstreamTls::name(it).unwrap());
    config.tls = UpstreamTls { trust, server_name };
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_certificate_must_be_trusted_and_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = dir.path().join("nas.pem");
    let (addr, _task) = secure(&certificate, &[b"http/1.1"]).await;
    let file = || Trust::File(certificate.clone());
    let good = (StatusCode::OK, format!("HTTP/1.1 {SITE}"));
    let bad = (StatusCode::BAD_GATEWAY, "the service cannot be reached\n".to_owned());
    for (trust, name, expected) in [
        (file(), Some("nas.lan"), &good),
        (file(), Some("other.lan"), &bad),
        (file(), None, &bad),
        (Trust::System, Some("nas.lan"), &bad),
        (Trust::Anyone, None, &good),
    ] {
        let case = format!("{trust:?} {name:?}");
        let mut config = trusting(addr, trust, name);
        config.retries.tries = 1;
        assert_eq!(&ask(&front(config).await).await, expected, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_where_the_server_knows_it() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = dir.path().join("nas.pem");
    let (addr, _task) = secure(&certificate, &[b"h2", b"http/1.1"]).await;
    let server = front(trusting(addr, Trust::File(certificate), Some("nas.lan"))).await;
    for _ in 0..3 {
        assert_eq!(ask(&server).await, (StatusCode::OK, format!("HTTP/2.0 {SITE}")));
    }
    let upstream = Upstream::serve(version()).await;
    let server = front(proxy(&[&format!("h2c://{}", upstream.addr)])).await;
    for _ in 0..3 {
        assert_eq!(ask(&server).await, (StatusCode::OK, format!("HTTP/2.0 {SITE}")));
    }
    assert_eq!(upstream.n_connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_file_that_is_none_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let config = crate::server::config(dir.path());
    let missing =
        trusting("127.0.0.1:1".parse().unwrap(), Trust::File("/nowhere.pem".into()), None);
    let config = skep_front::Config { sites: vec![site(missing)], ..config };
    let clock = Arc::new(skep_front::SystemClock);
    let error = skep_front::Front::bind(config, clock).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere.pem"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_listen_on_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("service.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let _task = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let (stream, _peer) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    }));
    let server = front(proxy(&[&format!("unix:{}", path.display())])).await;
    for _ in 0..2 {
        assert_eq!(ask(&server).await, (StatusCode::OK, format!("HTTP/1.1 {SITE}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_spread_as_configured() {
    let named = |name: &'static str| {
        Upstream::serve(Router::new().fallback(any(move || std::future::ready(name))))
    };
    let (a, b) = (named("a").await, named("b").await);
    for (balance, is_right) in [
        (
            Balance::RoundRobin,
            (|asked: &str| asked == "ababab" || asked == "bababa") as fn(&str) -> bool,
        ),
        (Balance::LeastConn, |asked| asked == "ababab" || asked == "bababa"),
        (Balance::First, |asked| asked == "aaaaaa"),
        (Balance::IpHash, |asked| asked == "aaaaaa" || asked == "bbbbbb"),
        (Balance::Random, |asked| asked.len() == 6),
    ] {
        let mut config = proxy(&[&a.url(), &b.url()]);
        config.balance = balance;
        let server = front(config).await;
        let mut asked = String::new();
        for _ in 0..6 {
            asked.push_str(&ask(&server).await.1);
        }
        assert!(is_right(&asked), "{balance:?}: {asked}");
    }
}
