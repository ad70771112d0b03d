//! Which certificate a client sees without any CA but ours: own files, local leaves, nobody's challenge.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use skep_front::{CertificateFiles, HostPattern, SiteConfig};
use skep_trust::Anyone;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::server::{ADMIN, READER, Server, eventually};

async fn connect(
    server: &Server,
    name: &str,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone::new(provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
    let tcp = TcpStream::connect(server.https()).await?;
    // An address is no name: such a client sends none.
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// The DNS names and the number of addresses in the certificate for `name`.
async fn names(server: &Server, name: &str) -> (Vec<String>, usize) {
    let tls = connect(server, name, &[]).await.unwrap();
    let der = &tls.get_ref().1.peer_certificates().unwrap()[0];
    let (_rest, leaf) = X509Certificate::from_der(der).unwrap();
    let all = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    let dns = all.iter().filter_map(|it| match it {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _other => None,
    });
    let dns: Vec<String> = dns.collect();
    let n_addresses = all.len() - dns.len();
    (dns, n_addresses)
}

/// Writes a self-signed pair, each file in one step.
fn write(dir: &Path, names: &[&str]) -> CertificateFiles {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
    let leaf = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    CertificateFiles {
        cert_file: replace(dir, "own.pem", &leaf.pem()),
        key_file: replace(dir, "own.key", &key.serialize_pem()),
    }
}

fn replace(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(dir.join("next"), text).unwrap();
    std::fs::rename(dir.join("next"), &path).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_has_a_leaf_of_its_own_and_a_client_without_a_name_the_machines() {
    let server = Server::start_with(|config| {
        let hosts = ["photos.example.org", "*.apps.home.lan"];
        let hosts = hosts.map(|it| HostPattern::parse(it).unwrap()).to_vec();
        config.sites = vec![SiteConfig::new(hosts, Vec::new())];
    })
    .await;
    for (name, expected) in [
        ("home.lan", "home.lan"),
        ("METRICS.home.lan", "metrics.home.lan"),
        ("nas.local", "nas.local"),
        ("photos.example.org", "photos.example.org"),
        ("a.apps.home.lan", "*.apps.home.lan"),
    ] {
        assert_eq!(names(&server, name).await, (vec![expected.to_owned()], 0), "{name}");
    }
    let machine = ["localhost", "home.lan", "*.home.lan", "nas.local"].map(str::to_owned).to_vec();
    for name in ["127.0.0.1", "localhost", "evil.example"] {
        assert_eq!(names(&server, name).await, (machine.clone(), 2), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_files_come_first_and_are_read_again_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let files = write(dir.path(), &["photos.home.lan", "10.0.0.7"]);
    let server = Server::start_with(|config| config.certificates.files = vec![files]).await;
    let first = (vec!["photos.home.lan".to_owned()], 1);
    assert_eq!(names(&server, "photos.home.lan").await, first);
    // Who connects to an address gets the certificate that has some.
    assert_eq!(names(&server, "127.0.0.1").await, first);
    assert_eq!(names(&server, "home.lan").await.0, ["home.lan"]);

    replace(dir.path(), "own.key", "no key at all");
    eventually("the bad file is noticed", async || {
        server.certificates.status().into_iter().find_map(|it| it.last_error)
    })
    .await;
    assert_eq!(names(&server, "photos.home.lan").await, first);
    let text = server.figures.to_text();
    assert!(
        text.contains("certificate_failures_total{name=\"photos.home.lan\",source=\"file\"} 1"),
        "{text}"
    );

    write(dir.path(), &["photos.home.lan", "*.home.lan"]);
    eventually("the new file is served", async || {
        (names(&server, "photos.home.lan").await.0.len() == 2).then_some(())
    })
    .await;
    assert_eq!(names(&server, "any.home.lan").await.0.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_key_of_another_certificate_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = crate::server::config(dir.path());
    config.certificates.files = vec![write(dir.path(), &["nas.lan"])];
    replace(dir.path(), "own.key", &KeyPair::generate().unwrap().serialize_pem());
    let error = skep_front::stored_certificates(&config).unwrap_err();
    assert!(error.to_string().contains("own.key"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_for_a_challenge_that_is_not_open_fails_and_no_request_follows_one() {
    let server = Server::start().await;
    assert!(connect(&server, "home.lan", &[b"acme-tls/1"]).await.is_err());
    // With another protocol beside it, it is no CA's; the connection ends all the same.
    let mut tls = connect(&server, "home.lan", &[b"acme-tls/1", b"nothing"]).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let mut rest = Vec::new();
    assert_eq!(tls.read_to_end(&mut rest).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_shown_to_admins_alone() {
    let server = Server::start().await;
    let path = "/-/skep/v1/certificates";
    for (token, status) in [(READER, 403), ("nonsense", 401)] {
        let refused = server.get(path).bearer_auth(token).send().await.unwrap();
        assert_eq!(refused.status(), status);
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["status"], "error");
    }
    let answer = server.get(path).bearer_auth(ADMIN).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    // The request itself had the local CA sign one.
    let names = |it: &Value| it["names"].as_array().unwrap().iter().any(|it| it == "home.lan");
    let all = body["data"].as_array().unwrap();
    let found = all.iter().find(|it| names(it)).unwrap_or_else(|| panic!("{body}"));
    assert_eq!(found["source"], "local");
    assert!(found["not_after_unix_s"].as_i64().unwrap() > 1_700_000_000, "{found}");
    assert_eq!(found["last_error"], Value::Null);
}
