//! Checks against real little servers.

use std::{path::PathBuf, sync::Arc};

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::config::{Expected, Format, FormatKind, JsonField, Trust};

const WITHIN: Duration = Duration::from_secs(5);

fn http(url: String) -> Check {
    Check {
        target: Target::Http(url),
        interval: Duration::from_mins(1),
        timeout: WITHIN,
        expected: Expected::Usual,
        trust: Trust::System,
    }
}

async fn found(check: Check) -> Finding {
    ask(&Arc::new(Clients::new(Limits::default())), &Work::Check(check)).await
}

/// Answers every connection with the same bytes, then closes it; none: never.
async fn serve(answer: Option<String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _peer)) = listener.accept().await {
            let Some(answer) = &answer else {
                silent.push(stream);
                continue;
            };
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                // Who asked may be gone.
                drop(stream.write_all(answer.as_bytes()).await);
            }
        }
    });
    port
}

fn answer(status: &str, head: &str, body: &str) -> Option<String> {
    let n_bytes = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-length: {n_bytes}\r\nconnection: close\r\n{head}\r\n{body}"
    ))
}

#[tokio::test]
async fn a_service_that_answers_is_up_with_its_time_and_status() {
    let port = serve(answer("200 OK", "", "hello")).await;
    let finding = found(http(format!("http://127.0.0.1:{port}/"))).await;
    assert!(finding.is_up, "{finding:?}");
    assert_eq!(finding.status, Some(200));
    assert!(finding.seconds.is_some_and(|it| it > 0.0 && it < 5.0));
}

#[tokio::test]
async fn who_asks_for_a_login_is_there_and_who_fails_is_not() {
    for (status, is_up) in [
        ("401 Unauthorized", true),
        ("403 Forbidden", true),
        ("404 Not Found", false),
        ("500 Oh", false),
    ] {
        let port = serve(answer(status, "", "")).await;
        let finding = found(http(format!("http://127.0.0.1:{port}/"))).await;
        assert_eq!(finding.is_up, is_up, "{status}: {finding:?}");
    }
}

#[tokio::test]
async fn only_the_expected_status_is_up_if_one_is_named() {
    let port = serve(answer("200 OK", "", "")).await;
    let expected = Expected::Among(vec![204..=204]);
    let finding = found(Check { expected, ..http(format!("http://127.0.0.1:{port}/")) }).await;
    assert_eq!(finding.error.as_deref(), Some("answers with status 200"));
    assert!(!finding.is_up && finding.seconds.is_some());
}

#[tokio::test]
async fn redirects_are_followed_and_never_for_ever() {
    let last = serve(answer("200 OK", "", "")).await;
    let head = format!("location: http://127.0.0.1:{last}/\r\n");
    let first = serve(answer("302 Found", &head, "")).await;
    assert!(found(http(format!("http://127.0.0.1:{first}/"))).await.is_up);
    let circle = serve(answer("302 Found", "location: /again\r\n", "")).await;
    let finding = found(http(format!("http://127.0.0.1:{circle}/"))).await;
    assert_eq!(finding.error.as_deref(), Some("too many redirects"));
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_are_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let finding = found(http(format!("http://127.0.0.1:{port}/"))).await;
    assert!(finding.error.is_some_and(|it| it.contains("Connection refused")));
    let silent = serve(None).await;
    let timeout = Duration::from_millis(100);
    let finding = found(Check { timeout, ..http(format!("http://127.0.0.1:{silent}/")) }).await;
    assert_eq!(finding.error.as_deref(), Some("no answer in 100ms"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_none_and_an_endless_one_is_not_read() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf".to_owned();
    let port = serve(Some(cut)).await;
    let finding = found(http(format!("http://127.0.0.1:{port}/"))).await;
    assert!(
        !finding.is_up && finding.error.is_some_and(|it| it.starts_with("the answer broke off"))
    );
    let body = "x".repeat(200_000);
    let port =
        serve(Some(format!("HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n{body}"))).await;
    assert!(found(http(format!("http://127.0.0.1:{port}/"))).await.is_up);
}

#[tokio::test]
async fn a_port_that_opens_is_up() {
    let port = serve(None).await;
    let tcp = |port| Check {
        target: Target::Tcp { host: "127.0.0.1".to_owned(), port },
        ..http(String::new())
    };
    assert!(found(tcp(port)).await.is_up);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap().port();
    drop(listener);
    assert!(!found(tcp(closed)).await.is_up);
}

#[tokio::test]
async fn a_ping_comes_back_or_says_what_forbids_it() {
    let ping =
        Check { target: Target::Ping { host: "127.0.0.1".to_owned() }, ..http(String::new()) };
    let finding = found(ping).await;
    let is_forbidden = finding.error.as_ref().is_some_and(|it| it.contains("ping_group_range"));
    assert!(finding.is_up || is_forbidden, "{finding:?}");
}

/// A server of TLS with a certificate of its own making, and the file with that certificate.
async fn serve_tls(dir: &std::path::Path, not_after_year: i32) -> (u16, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(not_after_year, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let file = dir.join("ca.pem");
    std::fs::write(&file, certificate.pem()).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _peer)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                let answer = answer("200 OK", "", "").unwrap();
                // Who asked may be gone.
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        }
    });
    (port, file)
}

#[tokio::test]
async fn a_private_authority_is_trusted_if_told_and_a_strange_one_never() {
    let dir = tempfile::tempdir().unwrap();
    let (port, file) = serve_tls(dir.path(), 2099).await;
    let check = |trust| Check { trust, ..http(format!("https://localhost:{port}/")) };
    let strange = found(check(Trust::System)).await;
    assert!(strange.error.is_some_and(|it| it.contains("certificate")));
    let known = found(check(Trust::Also(file))).await;
    assert!(known.is_up, "{known:?}");
    assert_eq!(known.certificate_expires_s, Some(4_070_908_800));
    assert!(found(check(Trust::Anything)).await.is_up);
    let missing = found(check(Trust::Also(dir.path().join("gone.pem")))).await;
    assert!(missing.error.is_some_and(|it| it.contains("gone.pem: cannot be read")));
}

#[tokio::test]
async fn an_expired_certificate_is_down_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (port, file) = serve_tls(dir.path(), 2021).await;
    let check = Check { trust: Trust::Also(file), ..http(format!("https://localhost:{port}/")) };
    assert!(found(check).await.error.is_some_and(|it| it.contains("expired")));
}

fn document_at(port: u16) -> JsonSource {
    let format =
        Format { kind: FormatKind::Text, scale: 1.0, prefix: String::new(), suffix: String::new() };
    let path = widget::Path::parse("a.b").unwrap();
    JsonSource {
        url: format!("http://127.0.0.1:{port}/"),
        interval: WITHIN,
        timeout: WITHIN,
        trust: Trust::System,
        fields: vec![JsonField { label: "B".to_owned(), path, format }],
    }
}

#[tokio::test]
async fn a_document_is_read_within_its_bounds_and_from_its_address_alone() {
    let shown = |port, limits| async move {
        let finding = ask(&Clients::new(limits), &Work::Document(document_at(port))).await;
        finding.error.map_or_else(|| finding.shown[0].text.clone(), |it| format!("error: {it}"))
    };
    let good = serve(answer("200 OK", "", r#"{"a": {"b": "yes"}}"#)).await;
    assert_eq!(shown(good, Limits::default()).await, "yes");
    let small = Limits { widget_bytes_max: 5, ..Limits::default() };
    assert!(shown(good, small).await.contains("more than home.widget_body_max, 5 bytes"));
    let head = format!("location: http://localhost:{good}/\r\n");
    let elsewhere = serve(answer("302 Found", &head, "")).await;
    assert_eq!(
        shown(elsewhere, Limits::default()).await,
        "error: the answer leads to another address, which is not asked"
    );
    let missing = serve(answer("404 Not Found", "", "")).await;
    assert_eq!(shown(missing, Limits::default()).await, "error: answers with status 404");
}
