//! Certificates from a real ACME server, and what is served while there are none.

use std::path::Path;
use std::sync::Arc;

use instant_acme::{Account, AccountCredentials};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use skep_front::{
    CertificateSource, CertificateStatus, Config, Domain, ExternalAccount, Proof, SecretFile,
    SystemClock, try_orders,
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pebble::{FakeCloudflare, Pebble, Settings};
use crate::server::{Server, eventually};

/// A front of lan.test where pebble looks for it.
pub(crate) async fn front(pebble: &Pebble, change: impl FnOnce(&mut Config)) -> Server {
    front_in(tempfile::tempdir().unwrap(), pebble, change).await
}

async fn front_in(dir: TempDir, pebble: &Pebble, change: impl FnOnce(&mut Config)) -> Server {
    Server::start_in(dir, |config| {
        config.https = vec![pebble.https()];
        config.domain = Domain::parse("lan.test").unwrap();
        change(config);
    })
    .await
}

/// The certificate that a client gets that asks for `name` and trusts nobody but `root`.
async fn served(server: &Server, root: &str, name: &str) -> Option<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(server.https()).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.ok()?;
    Some(tls.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
}

pub(crate) async fn wait_served(
    server: &Server,
    root: &str,
    name: &str,
) -> CertificateDer<'static> {
    let status = || format!("{name} is served from the CA: {:?}", server.certificates.status());
    eventually(&status(), async || served(server, root, name).await).await
}

fn local_root(server: &Server) -> String {
    std::fs::read_to_string(&server.bound.ca_file).unwrap()
}

fn status(server: &Server, name: &str) -> CertificateStatus {
    let mut all = server.certificates.status().into_iter();
    let is_it = |it: &CertificateStatus| {
        it.source == CertificateSource::Acme && it.names.iter().any(|it| it == name)
    };
    all.find(is_it).unwrap()
}

async fn wait_failed(server: &Server, name: &str) -> String {
    eventually("an order has failed", async || status(server, name).last_error).await
}

/// The folder of the only CA.
fn ca_dir(dir: &Path) -> std::path::PathBuf {
    let acme = dir.join("front/acme");
    let mut dirs = std::fs::read_dir(&acme).unwrap().map(|it| it.unwrap().path());
    dirs.find(|it| it.is_dir() && !it.ends_with("challenges")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_comes_by_dns_and_a_name_by_tls_alpn() {
    let pebble = Pebble::start(Settings::default()).await;
    let (cloudflare, dns) = FakeCloudflare::start(&pebble).await;
    let server = front(&pebble, |config| {
        config.certificates.acme = vec![
            pebble.acme(&["lan.test", "*.lan.test"], dns),
            pebble.acme(&["www.sub.lan.test"], Proof::TlsAlpn01),
        ];
    })
    .await;
    let root = pebble.root().await;
    let wildcard = wait_served(&server, &root, "nas.lan.test").await;
    assert_eq!(wait_served(&server, &root, "lan.test").await, wildcard);
    assert_ne!(wait_served(&server, &root, "www.sub.lan.test").await, wildcard);
    // A name and its wildcard are proved by two values of one record, and nothing stays behind.
    assert_eq!(cloudflare.n_max(), 2);
    assert_eq!(cloudflare.records(), []);
    // Another name has the local CA's.
    assert!(served(&server, &root, "localhost").await.is_none());
    assert!(served(&server, &local_root(&server), "localhost").await.is_some());
    // Both had the same account made for them.
    assert!(status(&server, "lan.test").last_error.is_none());
    let (dir, stopped) = server.stop().await;
    stopped.unwrap();
    let mut files: Vec<String> = std::fs::read_dir(ca_dir(dir.path()))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [
            "account.json",
            "lan.test.json",
            "lan.test.pem",
            "www.sub.lan.test.json",
            "www.sub.lan.test.pem"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_the_certificate_without_asking_the_ca() {
    let mut pebble = Pebble::start(Settings::default()).await;
    let acme = pebble.acme(&["www.lan.test"], Proof::TlsAlpn01);
    let server = front(&pebble, |config| config.certificates.acme = vec![acme.clone()]).await;
    let root = pebble.root().await;
    let first = wait_served(&server, &root, "www.lan.test").await;
    let (dir, stopped) = server.stop().await;
    stopped.unwrap();
    pebble.stop();
    let server = front_in(dir, &pebble, |config| config.certificates.acme = vec![acme]).await;
    assert_eq!(served(&server, &root, "www.lan.test").await, Some(first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_in_time_and_the_old_one_served_until_then() {
    let settings = Settings { validity_seconds: Some(30), ..Settings::default() };
    let pebble = Pebble::start(settings).await;
    let acme = pebble.acme(&["www.lan.test"], Proof::TlsAlpn01);
    let server = front(&pebble, |config| config.certificates.acme = vec![acme]).await;
    let root = pebble.root().await;
    let first = wait_served(&server, &root, "www.lan.test").await;
    eventually("another certificate is served", async || {
        // At every moment there is one that has not expired.
        let now = served(&server, &root, "www.lan.test").await.expect("a certificate");
        (now != first).then_some(())
    })
    .await;
    assert!(status(&server, "www.lan.test").n_renewals_total >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_ca_is_down_the_old_certificate_stays_and_afterwards_it_is_renewed() {
    let settings = Settings { validity_seconds: Some(30), ..Settings::default() };
    let mut pebble = Pebble::down(settings);
    let acme = pebble.acme(&["www.lan.test"], Proof::TlsAlpn01);
    let server = front(&pebble, |config| config.certificates.acme = vec![acme]).await;
    let error = wait_failed(&server, "www.lan.test").await;
    assert!(error.contains("Connection refused"), "{error}");
    assert!(served(&server, &local_root(&server), "www.lan.test").await.is_some());

    pebble.up().await;
    let root = pebble.root().await;
    let first = wait_served(&server, &root, "www.lan.test").await;
    assert!(status(&server, "www.lan.test").last_error.is_none());
    pebble.stop();
    // A third of the life before its end, the renewal fails.
    wait_failed(&server, "www.lan.test").await;
    assert_eq!(served(&server, &root, "www.lan.test").await, Some(first));

    // It comes back and knows no account any more.
    pebble.up().await;
    wait_served(&server, &pebble.root().await, "www.lan.test").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_account_is_replaced() {
    let pebble = Pebble::start(Settings::default()).await;
    let acme = pebble.acme(&["www.lan.test"], Proof::TlsAlpn01);
    let server = front(&pebble, |config| config.certificates.acme = vec![acme]).await;
    let root = pebble.root().await;
    wait_served(&server, &root, "www.lan.test").await;
    let (dir, stopped) = server.stop().await;
    stopped.unwrap();

    let path = ca_dir(dir.path()).join("account.json");
    let stored: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let credentials: AccountCredentials =
        serde_json::from_value(stored["credentials"].clone()).unwrap();
    let builder = Account::builder_with_root(pebble.api_root()).unwrap();
    builder.from_credentials(credentials).await.unwrap().deactivate().await.unwrap();

    let both = pebble.acme(&["www.lan.test", "nas.lan.test"], Proof::TlsAlpn01);
    let server = front_in(dir, &pebble, |config| config.certificates.acme = vec![both]).await;
    wait_served(&server, &root, "nas.lan.test").await;
    let now: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_ne!(now["credentials"]["id"], stored["credentials"]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_proved_fails_alone_and_says_why() {
    let pebble = Pebble::start(Settings::default()).await;
    // Nobody listens there.
    pebble.set_address("bad.lan.test", "127.0.0.3").await;
    let acme = pebble.acme(&["bad.lan.test", "good.lan.test"], Proof::TlsAlpn01);
    let server = front(&pebble, |config| config.certificates.acme = vec![acme]).await;
    let error = wait_failed(&server, "bad.lan.test").await;
    assert!(error.contains("could not verify bad.lan.test by TLS-ALPN-01"), "{error}");
    assert!(error.contains("127.0.0.3"), "{error}");
    wait_served(&server, &pebble.root().await, "good.lan.test").await;
    assert!(status(&server, "good.lan.test").last_error.is_none());
    let bad = status(&server, "bad.lan.test");
    assert!(bad.not_after.is_none() && bad.next_attempt.is_some() && bad.n_failures_total > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_refuses_three_nonces_of_ten_gives_certificates_all_the_same() {
    let settings = Settings { bad_nonces: 30, ..Settings::default() };
    let pebble = Pebble::start(settings).await;
    let names = ["a.lan.test", "b.lan.test", "c.lan.test", "d.lan.test", "e.lan.test"];
    let (cloudflare, dns) = FakeCloudflare::start(&pebble).await;
    let server =
        front(&pebble, |config| config.certificates.acme = vec![pebble.acme(&names, dns)]).await;
    let root = pebble.root().await;
    for name in names {
        wait_served(&server, &root, name).await;
        assert_eq!(status(&server, name).n_failures_total, 0, "{name}");
    }
    assert_eq!(cloudflare.records(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_bound_to_an_external_one_where_the_ca_asks_for_it() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let settings = Settings {
        external_key: Some(("kid-1".to_owned(), key.to_owned())),
        ..Settings::default()
    };
    let pebble = Pebble::start(settings).await;
    let without = pebble.acme(&["www.lan.test"], Proof::TlsAlpn01);
    let mut with = pebble.acme(&["www.lan.test"], Proof::TlsAlpn01);
    with.external_account = Some(ExternalAccount {
        kid: "kid-1".to_owned(),
        hmac_key_file: SecretFile::open_base64(&pebble.secret("eab", key)).unwrap(),
    });
    let server = front(&pebble, |config| config.certificates.acme = vec![without]).await;
    let error = wait_failed(&server, "www.lan.test").await;
    assert!(error.contains("externalAccountRequired"), "{error}");

    let (dir, stopped) = server.stop().await;
    stopped.unwrap();
    let server = front_in(dir, &pebble, |config| config.certificates.acme = vec![with]).await;
    wait_served(&server, &pebble.root().await, "www.lan.test").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_told_in_the_providers_words_and_the_right_one_taken_when_it_comes() {
    let pebble = Pebble::start(Settings::default()).await;
    let (_cloudflare, dns) = FakeCloudflare::start(&pebble).await;
    let right = std::fs::read_to_string(pebble.secret_path("cloudflare")).unwrap();
    pebble.secret("cloudflare", "wr0ng");
    let acme = pebble.acme(&["*.lan.test"], dns);
    let server = front(&pebble, |config| config.certificates.acme = vec![acme]).await;
    let error = wait_failed(&server, "*.lan.test").await;
    assert!(error.contains("Invalid access token (9109)"), "{error}");
    pebble.secret("cloudflare", &right);
    wait_served(&server, &pebble.root().await, "nas.lan.test").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_in_the_middle_of_an_order_takes_its_records_away() {
    let pebble = Pebble::start(Settings::default()).await;
    let (cloudflare, mut dns) = FakeCloudflare::start(&pebble).await;
    if let Proof::Dns01(it) = &mut dns {
        it.propagation.delay = std::time::Duration::from_secs(600);
    }
    let acme = pebble.acme(&["*.lan.test"], dns);
    let server = front(&pebble, |config| config.certificates.acme = vec![acme]).await;
    eventually("the record is set", async || (cloudflare.records().len() == 1).then_some(())).await;
    let (_dir, stopped) = server.stop().await;
    stopped.unwrap();
    assert_eq!(cloudflare.records(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_what_it_does_not_change_and_a_bad_one_keeps_everything() {
    let pebble = Pebble::start(Settings::default()).await;
    let first = pebble.acme(&["www.lan.test"], Proof::TlsAlpn01);
    let server = front(&pebble, |config| config.certificates.acme = vec![first.clone()]).await;
    let root = pebble.root().await;
    let kept = wait_served(&server, &root, "www.lan.test").await;

    let mut config = crate::server::config(server.dir.path());
    let mut bad = first.clone();
    bad.ca_file = Some("/nowhere/ca.pem".into());
    config.certificates.acme = vec![bad];
    let error = server.certificates.prepare(&config).unwrap_err();
    assert!(error.to_string().contains(&pebble.directory()), "{error}");
    config.certificates.acme = vec![pebble.acme(&["*.lan.test"], Proof::TlsAlpn01)];
    assert!(server.certificates.prepare(&config).is_err());
    assert_eq!(served(&server, &root, "www.lan.test").await, Some(kept.clone()));

    config.certificates.acme =
        vec![pebble.acme(&["www.lan.test", "nas.lan.test"], Proof::TlsAlpn01)];
    server.certificates.apply(server.certificates.prepare(&config).unwrap());
    wait_served(&server, &root, "nas.lan.test").await;
    assert_eq!(served(&server, &root, "www.lan.test").await, Some(kept));

    config.certificates.acme = vec![pebble.acme(&["nas.lan.test"], Proof::TlsAlpn01)];
    server.certificates.apply(server.certificates.prepare(&config).unwrap());
    assert!(served(&server, &root, "www.lan.test").await.is_none());
    assert!(served(&server, &root, "nas.lan.test").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_goes_through_the_whole_order_and_keeps_nothing() {
    let pebble = Pebble::start(Settings::default()).await;
    let (cloudflare, dns) = FakeCloudflare::start(&pebble).await;
    let orders = vec![
        pebble.acme(&["*.lan.test"], dns),
        pebble.acme(&["www.sub.lan.test"], Proof::TlsAlpn01),
    ];
    // The server that runs answers for the one, and asks for no certificate itself.
    let server = front(&pebble, |_config| {}).await;
    let mut config = crate::server::config(server.dir.path());
    config.certificates.acme = orders;
    let trials = try_orders(&config, &[], None, Arc::new(SystemClock)).await.unwrap();
    assert_eq!(trials.len(), 2);
    for trial in trials {
        trial.outcome.unwrap();
    }
    assert_eq!(cloudflare.records(), []);
    let left = walk(&server.dir.path().join("front/acme"));
    assert!(left.is_empty(), "{left:?}");

    pebble.set_address("www.sub.lan.test", "127.0.0.3").await;
    let wanted = ["www.sub.lan.test"].map(|it| skep_front::HostPattern::parse(it).unwrap());
    let trials = try_orders(&config, &wanted, None, Arc::new(SystemClock)).await.unwrap();
    assert_eq!(trials.len(), 1);
    assert!(trials[0].outcome.is_err());
    let other = ["x.example.org"].map(|it| skep_front::HostPattern::parse(it).unwrap());
    assert!(try_orders(&config, &other, None, Arc::new(SystemClock)).await.is_err());
}

/// All files below.
fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}
