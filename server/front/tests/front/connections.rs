//! Protocols, limits on what a peer can hold, and the end of a server.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::server::{READER, Server};

async fn connect(
    server: &Server,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> TlsStream<TcpStream> {
    connect_as(server, versions, alpn, "home.lan").await
}

/// HTTP/1.1 over TLS, for requests that no client would send.
pub(crate) async fn connect_to(server: &Server, host: &'static str) -> TlsStream<TcpStream> {
    connect_as(server, rustls::ALL_VERSIONS, &[b"http/1.1"], host).await
}

/// A TLS connection that HTTP/2 is agreed on for.
pub(crate) async fn connect_http2(server: &Server, host: &'static str) -> TlsStream<TcpStream> {
    connect_as(server, rustls::ALL_VERSIONS, &[b"h2"], host).await
}

pub(crate) async fn connect_as(
    server: &Server,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&[u8]],
    host: &'static str,
) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(server.https()).await.unwrap();
    handshake(server, versions, alpn, host, tcp).await.unwrap()
}

/// TLS over a connection on which something was sent already.
pub(crate) async fn tls(
    server: &Server,
    host: &'static str,
    tcp: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    handshake(server, rustls::ALL_VERSIONS, &[b"http/1.1"], host, tcp).await
}

async fn handshake(
    server: &Server,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&[u8]],
    host: &'static str,
    tcp: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&server.bound.ca_file).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(host).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_tls_versions_and_both_http_versions_are_spoken() {
    let server = Server::start().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let tls = connect(&server, &[version], &[b"h2", b"http/1.1"]).await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let tls = connect(&server, &[version], &[b"http/1.1"]).await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_the_authority_chooses_the_site_and_another_one_gets_421() {
    let server = Server::start().await;
    let tls = connect(&server, rustls::ALL_VERSIONS, &[b"h2"]).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    for (host, expected) in [("home.lan", 200), ("metrics.home.lan", 421), ("evil.example", 421)] {
        let request = Request::get(server.url(host, "/api/v1/query"))
            .header("authorization", format!("Bearer {READER}"))
            .body(Body::empty())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), expected, "{host}");
    }
    driver.abort();
}

/// The head of the answer to a websocket's request, and the stream after it.
async fn open_websocket(server: &Server, authorization: &str) -> (String, TlsStream<TcpStream>) {
    let mut tls = connect(server, rustls::ALL_VERSIONS, &[b"http/1.1"]).await;
    let request = format!(
        "GET /loki/api/v1/tail HTTP/1.1\r\nhost: home.lan\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: c2tlcCBza2VwIHNrZXAhIQ==\r\n{authorization}\r\n"
    );
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tls.read_u8().await.unwrap());
    }
    (String::from_utf8(head).unwrap(), tls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_for_who_may_read_and_for_nobody_else() {
    let server = Server::start().await;
    let bearer = format!("authorization: Bearer {READER}\r\n");
    let (head, mut tls) = open_websocket(&server, &bearer).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    // A text frame of two bytes, masked with zeros; the echo comes unmasked.
    tls.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let mut echo = [0u8; 4];
    tls.read_exact(&mut echo).await.unwrap();
    assert_eq!(echo, [0x81, 2, b'h', b'i']);

    let (head, _tls) = open_websocket(&server, "").await;
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
}

/// What a peer sees that sends `bytes` and then waits.
async fn talk(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.bound.plain.unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_dawdles_over_its_request_is_cut_off() {
    let server = Server::start_with(|config| {
        config.limits.header_timeout = Duration::from_millis(200);
        config.limits.handshake_timeout = Duration::from_millis(200);
    })
    .await;
    let answer = talk(&server, b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await;
    assert!(!answer.contains(" 200 "), "{answer}");

    for addr in [server.https(), server.bound.plain.unwrap(), server.bound.http_redirect.unwrap()] {
        let mut silent = TcpStream::connect(addr).await.unwrap();
        let mut nothing = [0u8; 16];
        assert!(matches!(silent.read(&mut nothing).await, Ok(0) | Err(_)), "{addr}");
    }
    for protocol in [&b"h2"[..], b"http/1.1"] {
        let mut silent = connect(&server, rustls::ALL_VERSIONS, &[protocol]).await;
        let mut greeting = Vec::new();
        // An end, with or without an error, is all that is asked for.
        drop(silent.read_to_end(&mut greeting).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_head_without_end_is_refused() {
    let server = Server::start().await;
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let answer = talk(&server, long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_two_servers_could_read_differently_is_refused() {
    let server = Server::start().await;
    for head in [
        "POST /login HTTP/1.1\r\nhost: localhost\r\nhost: home.lan\r\n",
        "POST /login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ncontent-length: 5\r\n",
        "GET / HTTP/1.1\r\n",
        "GET http://home.lan/ HTTP/1.1\r\nhost: localhost\r\n",
        "GET / HTTP/1.1\r\nhost : localhost\r\n",
    ] {
        let answer = talk(&server, format!("{head}connection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_wait_for_a_free_place() {
    let server = Server::start_with(|config| config.limits.connections_max = 1).await;
    let plain = server.bound.plain.unwrap();
    let holder = TcpStream::connect(plain).await.unwrap();
    let mut waiting = TcpStream::connect(plain).await.unwrap();
    waiting
        .write_all(b"GET /-/healthy HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    let read = waiting.read_to_string(&mut answer);
    let early = tokio::time::timeout(Duration::from_millis(200), read).await;
    assert!(early.is_err(), "answered while the only place was taken");
    drop(holder);
    waiting.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_end_at_shutdown_and_a_busy_one_at_the_deadline() {
    let server = Server::start().await;
    assert_eq!(server.get("/-/healthy").send().await.unwrap().status(), 200);
    let (dir, stopped) = server.stop().await;
    stopped.unwrap();

    let server = Server::start_in(dir, |config| {
        config.limits.drain_deadline = Duration::from_millis(200);
    })
    .await;
    let mut busy = TcpStream::connect(server.bound.plain.unwrap()).await.unwrap();
    // The login form waits for a body that never comes.
    busy.write_all(b"POST /login HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n").await.unwrap();
    let mut go_on = [0u8; 12];
    busy.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100");
    let (_dir, stopped) = server.stop().await;
    let error = stopped.unwrap_err().to_string();
    assert!(error.starts_with("stopped 1 connections"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_shutdown_no_new_connection_is_answered() {
    let server = Server::start().await;
    let addr = server.https();
    server.ask_to_stop();
    let (_dir, stopped) = server.stop().await;
    stopped.unwrap();
    assert!(TcpStream::connect(addr).await.is_err());
}
