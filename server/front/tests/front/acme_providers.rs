//! Whole orders at a real CA through each way to set a DNS record that is not Cloudflare's.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use skep_front::{AcmeDns, Dns01, DnsProviderConfig, Exec, Proof, SecretFile, Webhook};

use crate::acme::{front, wait_served};
use crate::pebble::{Dns, Pebble, Settings};

const NAME: &str = "nas.lan.test";
const RECORD: &str = "_acme-challenge.nas.lan.test.";

/// Gets a certificate for a name by this provider.
async fn check(pebble: &Pebble, provider: DnsProviderConfig) {
    let proof = Proof::Dns01(Box::new(Dns01 { provider, propagation: pebble.propagation() }));
    let server = front(pebble, |config| {
        config.certificates.acme = vec![pebble.acme(&[NAME], proof)];
    })
    .await;
    let root = pebble.root().await;
    wait_served(&server, &root, NAME).await;
    server.stop().await.1.unwrap();
}

/// A service that changes pebble's DNS as it is told, and notes the paths it was asked.
#[derive(Clone)]
struct Service {
    dns: Dns,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Returns its URL, too.
    async fn start(pebble: &Pebble, router: Router<Self>) -> (Self, String) {
        let service = Self { dns: pebble.records(), asked: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = router.with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (service, url)
    }

    fn note(&self, what: &str) {
        self.asked.lock().unwrap().push(what.to_owned());
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_webhook() {
    let pebble = Pebble::start(Settings::default()).await;
    let present = |State(it): State<Service>, Json(body): Json<Value>| async move {
        it.note("present");
        it.dns.set_txt(body["fqdn"].as_str().unwrap(), body["value"].as_str().unwrap()).await;
    };
    let cleanup = |State(it): State<Service>, Json(body): Json<Value>| async move {
        it.dns.clear_txt(body["fqdn"].as_str().unwrap()).await;
        it.note("cleanup");
    };
    let router =
        Router::new().route("/dns/present", post(present)).route("/dns/cleanup", post(cleanup));
    let (service, url) = Service::start(&pebble, router).await;
    let url = format!("{url}/dns").parse().unwrap();
    check(
        &pebble,
        DnsProviderConfig::Webhook(Webhook { url, username: None, password_file: None }),
    )
    .await;
    assert_eq!(service.asked(), ["present", "cleanup"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_acme_dns_to_which_a_cname_leads() {
    let pebble = Pebble::start(Settings::default()).await;
    let elsewhere = "s1.acme-dns.test.";
    pebble.records().set_cname(RECORD, elsewhere).await;
    let update = |State(it): State<Service>, headers: HeaderMap, Json(body): Json<Value>| async move {
        if headers.get("x-api-user").is_none_or(|it| it != "u")
            || headers.get("x-api-key").is_none_or(|it| it != "p")
            || body["subdomain"] != "s1"
        {
            return StatusCode::UNAUTHORIZED;
        }
        it.note("update");
        it.dns.set_txt("s1.acme-dns.test.", body["txt"].as_str().unwrap()).await;
        StatusCode::OK
    };
    let (service, url) =
        Service::start(&pebble, Router::new().route("/update", post(update))).await;
    let account = json!({"username": "u", "password": "p", "subdomain": "s1",
                         "fulldomain": elsewhere, "allowfrom": []});
    let file = pebble.secret("acme-dns.json", &json!({NAME: account}).to_string());
    let credentials_file = SecretFile::open(&file).unwrap();
    let url = url.parse().unwrap();
    check(&pebble, DnsProviderConfig::AcmeDns(AcmeDns { url, credentials_file })).await;
    assert_eq!(service.asked(), ["update"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_program() {
    let pebble = Pebble::start(Settings::default()).await;
    let calls = pebble.secret_path("calls");
    let script = format!(
        r#"#!/bin/bash
set -e
case $1 in
present) path=set-txt body="{{\"host\": \"$2\", \"value\": \"$3\"}}" ;;
cleanup) path=clear-txt body="{{\"host\": \"$2\"}}" ;;
esac
exec 3<>/dev/tcp/127.0.0.1/{port}
printf 'POST /%s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s' "$path" ${{#body}} "$body" >&3
read -r answer <&3
[[ $answer == *" 200 "* ]]
echo "$1 $2" >> {calls}
"#,
        port = pebble.records().port(),
        calls = calls.display(),
    );
    let program = pebble.secret("dns-hook", &script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let exec = Exec { program, timeout: Duration::from_secs(30) };
    check(&pebble, DnsProviderConfig::Exec(exec)).await;
    let called = std::fs::read_to_string(calls).unwrap();
    assert_eq!(called, format!("present {RECORD}\ncleanup {RECORD}\n"));
}
