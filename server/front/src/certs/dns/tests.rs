//! The providers that speak HTTP, against servers that note what they are asked.

use std::sync::Mutex;

use axum::Router;
use axum::extract::Request;
use base64::Engine;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::config::{AcmeDns, SecretFile, Webhook};

/// Path, headers as given, body.
type Asked = Arc<Mutex<Vec<(String, axum::http::HeaderMap, Value)>>>;

async fn server(status: u16) -> (reqwest::Url, Asked) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let asked = Asked::default();
    let notes = Arc::clone(&asked);
    let router = Router::new().fallback(move |request: Request| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap();
        notes.lock().unwrap().push((parts.uri.path().to_owned(), parts.headers, body));
        (axum::http::StatusCode::from_u16(status).unwrap(), "no such\n zone")
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/dns/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url.parse().unwrap(), asked)
}

fn secret(dir: &TempDir, text: &str) -> SecretFile {
    let path = dir.path().join("secret");
    std::fs::write(&path, text).unwrap();
    SecretFile::open(&path).unwrap()
}

fn made(config: &DnsProviderConfig) -> Arc<dyn DnsProvider> {
    let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock);
    provider(config, &Roots::system(), &clock).unwrap()
}

fn record() -> TxtRecord {
    TxtRecord::for_challenge("nas.lan.test", "v4lue".to_owned())
}

#[tokio::test]
async fn a_webhook_is_asked_as_lego_asks_it() {
    let dir = tempfile::tempdir().unwrap();
    let (url, asked) = server(200).await;
    let webhook = made(&DnsProviderConfig::Webhook(Webhook {
        url,
        username: Some("skep".to_owned()),
        password_file: Some(secret(&dir, "hunter2\n")),
    }));
    webhook.present(&record()).await.unwrap();
    webhook.clean_up(&record()).await.unwrap();
    let asked = asked.lock().unwrap();
    let expected = json!({"fqdn": "_acme-challenge.nas.lan.test.", "value": "v4lue"});
    let paths: Vec<_> = asked.iter().map(|(path, _, body)| (path.as_str(), body)).collect();
    assert_eq!(paths, [("/dns/present", &expected), ("/dns/cleanup", &expected)]);
    let basic = base64::engine::general_purpose::STANDARD.encode("skep:hunter2");
    assert_eq!(asked[0].1["authorization"], format!("Basic {basic}"));
}

#[tokio::test]
async fn acme_dns_is_told_the_account_of_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let account = json!({"username": "u", "password": "p", "subdomain": "s", "fulldomain": "s.x"});
    for credentials in [account.clone(), json!({"nas.lan.test": account})] {
        let (url, asked) = server(200).await;
        let credentials_file = secret(&dir, &credentials.to_string());
        let acme_dns = made(&DnsProviderConfig::AcmeDns(AcmeDns { url, credentials_file }));
        acme_dns.present(&record()).await.unwrap();
        let asked = asked.lock().unwrap();
        let (path, headers, body) = &asked[0];
        assert_eq!(
            (path.as_str(), body),
            ("/dns/update", &json!({"subdomain": "s", "txt": "v4lue"}))
        );
        assert_eq!(
            (&headers["x-api-user"], &headers["x-api-key"]),
            (&"u".parse().unwrap(), &"p".parse().unwrap())
        );
    }
    let (url, _asked) = server(200).await;
    let credentials_file = secret(&dir, &json!({"other.lan": account}).to_string());
    let acme_dns = made(&DnsProviderConfig::AcmeDns(AcmeDns { url, credentials_file }));
    let error = acme_dns.present(&record()).await.unwrap_err();
    assert!(matches!(error, DnsError::NoCredentials { .. }), "{error}");
}

#[tokio::test]
async fn a_refusal_is_told_in_one_line_with_its_status() {
    let (url, _asked) = server(404).await;
    let webhook = Webhook { url, username: None, password_file: None };
    let error = made(&DnsProviderConfig::Webhook(webhook)).present(&record()).await.unwrap_err();
    assert!(error.to_string().ends_with("/dns/present answered 404: no such zone"), "{error}");
}
