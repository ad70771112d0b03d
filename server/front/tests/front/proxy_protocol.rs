//! A load balancer before the front that says whose connection it passes on.

use std::time::Duration;

use skep_front::{Networks, SiteConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::handlers::{HOST, respond, route, site};
use crate::server::Server;

async fn serve(senders: &str) -> Server {
    let allow = Networks::parse(["192.0.2.0/24"]).unwrap();
    let config = SiteConfig { allow, ..site(vec![route("/*", respond("hello"))]) };
    Server::start_with(|it| {
        it.sites = vec![config];
        it.proxy_protocol = Networks::parse([senders]).unwrap();
        it.limits.handshake_timeout = Duration::from_millis(500);
    })
    .await
}

/// The first line of the answer to a request after `header`; nothing if the connection is cut.
async fn ask(server: &Server, header: &[u8]) -> String {
    let mut tcp = TcpStream::connect(server.https()).await.unwrap();
    tcp.write_all(header).await.unwrap();
    let Ok(mut tls) = crate::connections::tls(server, HOST, tcp).await else {
        return String::new();
    };
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    drop(tls.read_to_end(&mut answer).await);
    String::from_utf8(answer).unwrap().lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_that_a_trusted_sender_names_is_who_is_asked_for() {
    let server = serve("127.0.0.0/8").await;
    let listed = b"PROXY TCP4 192.0.2.7 127.0.0.1 5000 443\r\n";
    assert_eq!(ask(&server, listed).await, "HTTP/1.1 200 OK");
    let other = b"PROXY TCP4 198.51.100.7 127.0.0.1 5000 443\r\n";
    assert_eq!(ask(&server, other).await, "HTTP/1.1 403 Forbidden");
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    binary.extend([192, 0, 2, 7, 127, 0, 0, 1, 0x13, 0x88, 1, 0xbb]);
    assert_eq!(ask(&server, &binary).await, "HTTP/1.1 200 OK");
    assert_eq!(ask(&server, b"PROXY UNKNOWN\r\n").await, "HTTP/1.1 403 Forbidden");
    // The redirect's port takes it, too.
    let mut plain = TcpStream::connect(server.bound.http_redirect.unwrap()).await.unwrap();
    let request = format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    plain.write_all(&[listed, request.as_bytes()].concat()).await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_sender_that_sends_no_header_or_half_of_one_is_cut_off() {
    let server = serve("127.0.0.0/8").await;
    assert_eq!(ask(&server, b"").await, "");
    assert_eq!(ask(&server, b"PROXY TCP4 nonsense\r\n").await, "");
    let mut slow = TcpStream::connect(server.https()).await.unwrap();
    slow.write_all(b"PROXY TCP4 192.").await.unwrap();
    let mut nothing = [0; 1];
    assert!(matches!(slow.read(&mut nothing).await, Ok(0) | Err(_)), "waited for the rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_can_name_a_client() {
    let server = serve("10.0.0.0/8").await;
    let forged = b"PROXY TCP4 192.0.2.7 127.0.0.1 5000 443\r\n";
    assert_eq!(ask(&server, forged).await, "", "no TLS client begins so");
    assert_eq!(ask(&server, b"").await, "HTTP/1.1 403 Forbidden");
}
