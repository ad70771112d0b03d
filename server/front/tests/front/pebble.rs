//! Let's Encrypt's test server with its DNS, on ports of their own, and DNS providers in front of it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, get};
use axum::{Json, Router};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use skep_front::{
    AcmeConfig, Cloudflare, Directory, Dns01, DnsProviderConfig, HostPattern, Proof, Propagation,
    PropagationCheck, Retry, SecretFile,
};
use tempfile::TempDir;

use crate::server::eventually;

/// Changes to how pebble runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// Of certificates; pebble's five years if left out.
    pub validity_seconds: Option<u64>,
    /// Of a hundred requests, so many nonces are refused.
    pub bad_nonces: u32,
    /// A key that an account must be bound to, in base64url, by its id.
    pub external_key: Option<(String, String)>,
}

/// The CA and the DNS it asks; both end with it.
pub(crate) struct Pebble {
    dir: TempDir,
    settings: Settings,
    ports: Ports,
    ca: Option<Child>,
    dns: Child,
    http: reqwest::Client,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    directory: u16,
    management: u16,
    dns: u16,
    dns_management: u16,
    /// Where the CA connects to for TLS-ALPN-01.
    tls: u16,
}

/// A port that nobody listens on at the moment, neither over TCP nor over UDP. It is none of those
/// that the kernel hands out by itself, so no connection takes it before its server does.
fn free_port() -> u16 {
    loop {
        let port = rand::random_range(15_000..32_000);
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let udp = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
        if tcp.is_ok() && udp.is_ok() {
            return port;
        }
    }
}

impl Pebble {
    pub(crate) async fn start(settings: Settings) -> Self {
        let mut pebble = Self::down(settings);
        pebble.up().await;
        pebble
    }

    /// All is there but the CA.
    pub(crate) fn down(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = Ports {
            directory: free_port(),
            management: free_port(),
            dns: free_port(),
            dns_management: free_port(),
            tls: free_port(),
        };
        write_api_certificate(dir.path());
        let dns = spawn(
            Command::new("pebble-challtestsrv")
                .args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""])
                .args(["-dns01", &format!("127.0.0.1:{}", ports.dns)])
                .args(["-management", &format!("127.0.0.1:{}", ports.dns_management)]),
        );
        let root = std::fs::read(dir.path().join("api-ca.pem")).unwrap();
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
            .tls_built_in_root_certs(false)
            .add_root_certificate(reqwest::Certificate::from_pem(&root).unwrap())
            .no_proxy()
            .build()
            .unwrap();
        Self { dir, settings, ports, ca: None, dns, http }
    }

    /// Starts the CA, with a new root and without any account, as pebble always does.
    pub(crate) async fn up(&mut self) {
        let Ports { directory, management, dns, tls, .. } = self.ports;
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let mut pebble = json!({
            "listenAddress": format!("127.0.0.1:{directory}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": path("api.pem"),
            "privateKey": path("api.key"),
            "httpPort": 1,
            "tlsPort": tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": self.settings.external_key.is_some(),
        });
        if let Some((id, key)) = &self.settings.external_key {
            pebble["externalAccountMACKeys"] = json!({id: key});
        }
        if let Some(seconds) = self.settings.validity_seconds {
            pebble["certificateValidityPeriod"] = json!(seconds);
        }
        std::fs::write(path("pebble.json"), json!({"pebble": pebble}).to_string()).unwrap();
        let child = spawn(
            Command::new("pebble")
                .args(["-config", &path("pebble.json"), "-strict"])
                .args(["-dnsserver", &format!("127.0.0.1:{dns}")])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_AUTHZREUSE", "0")
                .env("PEBBLE_WFE_NONCEREJECT", self.settings.bad_nonces.to_string()),
        );
        self.ca = Some(child);
        eventually("pebble answers", async || {
            self.http.get(self.directory()).send().await.is_ok().then_some(())
        })
        .await;
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.ca.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.ports.directory)
    }

    /// Where the front must listen for the CA to find it.
    pub(crate) fn https(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.tls).into()
    }

    /// In PEM.
    pub(crate) async fn root(&self) -> String {
        let url = format!("https://localhost:{}/roots/0", self.ports.management);
        self.http.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Sends the CA elsewhere for a name; without it every name is 127.0.0.1.
    pub(crate) async fn set_address(&self, name: &str, ip: &str) {
        self.manage("add-a", &json!({"host": format!("{name}."), "addresses": [ip]})).await;
    }

    async fn manage(&self, path: &str, body: &Value) {
        self.records().manage(path, body).await;
    }

    /// What the CA's DNS answers.
    pub(crate) fn records(&self) -> Dns {
        Dns { http: self.http.clone(), port: self.ports.dns_management }
    }

    pub(crate) fn acme(&self, names: &[&str], proof: Proof) -> AcmeConfig {
        AcmeConfig {
            directory: Directory::parse(&self.directory()).unwrap(),
            email: Some("me@lan.test".to_owned()),
            names: names.iter().map(|it| HostPattern::parse(it).unwrap()).collect(),
            zones: Vec::new(),
            proof,
            external_account: None,
            ca_file: Some(self.dir.path().join("api-ca.pem")),
            profile: None,
            retry: Retry { first: Duration::from_millis(300), max: Duration::from_millis(600) },
        }
    }

    /// How this DNS is looked at before the CA is told to look.
    pub(crate) fn propagation(&self) -> Propagation {
        Propagation {
            check: PropagationCheck::Resolvers(vec![self.dns()]),
            delay: Duration::ZERO,
            timeout: Duration::from_secs(20),
            interval: Duration::from_millis(50),
        }
    }

    pub(crate) fn dns(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.dns).into()
    }

    /// What the API's certificate leads to.
    pub(crate) fn api_root(&self) -> PathBuf {
        self.dir.path().join("api-ca.pem")
    }

    pub(crate) fn secret_path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        drop((self.dns.kill(), self.dns.wait()));
    }
}

fn spawn(command: &mut Command) -> Child {
    let program = command.get_program().to_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.unwrap_or_else(|error| {
        panic!("{}: {error}; it is in the Debian package `pebble`", program.display())
    })
}

/// Changes the records that the CA's DNS has; names end with a dot.
#[derive(Debug, Clone)]
pub(crate) struct Dns {
    http: reqwest::Client,
    port: u16,
}

impl Dns {
    /// Where it takes changes over HTTP.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// One value more.
    pub(crate) async fn set_txt(&self, name: &str, value: &str) {
        self.manage("set-txt", &json!({"host": name, "value": value})).await;
    }

    /// All values of the name.
    pub(crate) async fn clear_txt(&self, name: &str) {
        self.manage("clear-txt", &json!({"host": name})).await;
    }

    pub(crate) async fn set_cname(&self, name: &str, to: &str) {
        self.manage("set-cname", &json!({"host": name, "target": to})).await;
    }

    async fn manage(&self, path: &str, body: &Value) {
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        let answer = self.http.post(url).json(body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path} {body}");
    }
}

/// For the CA's API, not what the CA signs.
fn write_api_certificate(dir: &Path) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    for (name, text) in
        [("api-ca.pem", ca_pem), ("api.pem", leaf.pem()), ("api.key", key.serialize_pem())]
    {
        std::fs::write(dir.join(name), text).unwrap();
    }
}

/// A small fake of Cloudflare's API over pebble's DNS.
#[derive(Clone)]
pub(crate) struct FakeCloudflare {
    records: Arc<Mutex<HashMap<String, (String, String)>>>,
    /// Values that were there at once, at most.
    n_max: Arc<Mutex<usize>>,
    dns: Dns,
}

const TOKEN: &str = "cf-t0ken";
const ZONE: &str = "lan.test";

impl FakeCloudflare {
    /// Returns how to use it, too.
    pub(crate) async fn start(pebble: &Pebble) -> (Self, Proof) {
        let fake = Self { records: Arc::default(), n_max: Arc::default(), dns: pebble.records() };
        let records = "/client/v4/zones/{zone}/dns_records";
        let router = Router::new()
            .route("/client/v4/zones", get(zones))
            .route(records, get(list).post(create))
            .route(&format!("{records}/{{id}}"), delete(remove))
            .with_state(fake.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/client/v4", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let token_file = SecretFile::open(&pebble.secret("cloudflare", TOKEN)).unwrap();
        let provider = Cloudflare { token_file, api_base: base.parse().unwrap() };
        let provider = DnsProviderConfig::Cloudflare(provider);
        (fake, Proof::Dns01(Box::new(Dns01 { provider, propagation: pebble.propagation() })))
    }

    pub(crate) fn records(&self) -> Vec<(String, String)> {
        self.records.lock().unwrap().values().cloned().collect()
    }

    pub(crate) fn n_max(&self) -> usize {
        *self.n_max.lock().unwrap()
    }

    /// pebble's DNS can only clear all of a name: what is left is set again.
    async fn sync(&self, name: &str) {
        let values: Vec<String> = {
            let records = self.records.lock().unwrap();
            let mut n_max = self.n_max.lock().unwrap();
            *n_max = records.len().max(*n_max);
            records.values().filter(|it| it.0 == name).map(|it| it.1.clone()).collect()
        };
        let host = format!("{name}.");
        self.dns.clear_txt(&host).await;
        for value in values {
            self.dns.set_txt(&host, &value).await;
        }
    }
}

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

#[expect(clippy::needless_pass_by_value, reason = "made for it where it is called")]
fn result(value: Value) -> Answer {
    Ok(Json(json!({"success": true, "errors": [], "messages": [], "result": value})))
}

fn check_token(headers: &HeaderMap) -> Result<(), (StatusCode, Json<Value>)> {
    if headers.get("authorization").is_some_and(|it| it == &format!("Bearer {TOKEN}")) {
        return Ok(());
    }
    let errors = json!([{"code": 9109, "message": "Invalid access token"}]);
    let body = json!({"success": false, "errors": errors, "messages": [], "result": null});
    Err((StatusCode::FORBIDDEN, Json(body)))
}

type Parameters = Query<HashMap<String, String>>;

async fn zones(Query(query): Parameters, headers: HeaderMap) -> Answer {
    check_token(&headers)?;
    let is_ours = query.get("name").is_none_or(|it| it == ZONE);
    result(if is_ours { json!([{"id": "zone1", "name": ZONE}]) } else { json!([]) })
}

async fn list(
    State(fake): State<FakeCloudflare>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Answer {
    check_token(&headers)?;
    let records = fake.records.lock().unwrap();
    let found = records.iter().filter(|(_, it)| query.get("name").is_none_or(|name| *name == it.0));
    let shown = found.map(|(id, (name, value))| {
        json!({"id": id, "type": "TXT", "name": name, "content": format!("\"{value}\"")})
    });
    result(shown.collect())
}

async fn create(
    State(fake): State<FakeCloudflare>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Answer {
    check_token(&headers)?;
    assert_eq!(body["type"], "TXT");
    let text = |key: &str| body[key].as_str().unwrap().to_owned();
    let (name, content) = (text("name"), text("content"));
    let value = content.trim_matches('"').to_owned();
    let id = format!("record-{value}");
    fake.records.lock().unwrap().insert(id.clone(), (name.clone(), value));
    fake.sync(&name).await;
    result(json!({"id": id, "name": name}))
}

async fn remove(
    State(fake): State<FakeCloudflare>,
    UrlPath((zone, id)): UrlPath<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    check_token(&headers)?;
    assert_eq!(zone, "zone1");
    let removed = fake.records.lock().unwrap().remove(&id);
    if let Some((name, _value)) = removed {
        fake.sync(&name).await;
    }
    result(json!({"id": id}))
}
