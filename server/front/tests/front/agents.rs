//! Agents that show a certificate of the local CA, and everybody else who does not.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use reqwest::{Client, Identity};
use serde_json::{Value, json};
use skep_front::{AgentCertificates, Clock as _, Records, SystemClock, TokenHash};

use crate::server::{AGENT, READER, Server, client_with, config};

const HOUR: Duration = Duration::from_secs(3600);
const CREDENTIAL: &str = "the agent's own";

/// An agent with a key of its own.
struct Agent {
    key: KeyPair,
}

impl Agent {
    fn new() -> Self {
        Self { key: KeyPair::generate().unwrap() }
    }

    fn csr(&self) -> String {
        let params = CertificateParams::new(Vec::new()).unwrap();
        params.serialize_request(&self.key).unwrap().pem().unwrap()
    }

    /// A client that shows a certificate for the key.
    fn client(&self, server: &Server, certificate: &str) -> Client {
        let pem = format!("{certificate}\n{}", self.key.serialize_pem());
        let identity = Identity::from_pem(pem.as_bytes()).unwrap();
        client_with(&server.bound, |it| it.identity(identity))
    }
}

async fn start(agents: AgentCertificates) -> Server {
    Server::start_with(|config| config.agents = agents).await
}

fn records(server: &Server) -> Records {
    Records::open(&config(server.dir.path())).unwrap()
}

async fn enrol(server: &Server, agent: Option<&Agent>) -> Value {
    let token = records(server).new_enrolment("bee-1", HOUR, SystemClock.now()).unwrap();
    let sha256 = TokenHash::of(CREDENTIAL).to_hex();
    let csr = agent.map(Agent::csr);
    let body = json!({"token": token, "credential_sha256": sha256, "csr": csr}).to_string();
    let answer = server.post("/-/skep/v1/enrol").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json::<Value>().await.unwrap()["data"].clone()
}

async fn push(server: &Server, client: &Client, token: Option<&str>) -> (u16, String) {
    let request = client.post(server.url("home.lan", "/api/v1/write"));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_its_certificate_is_let_in_until_it_is_revoked() {
    for mode in [AgentCertificates::Optional, AgentCertificates::Required] {
        let server = start(mode).await;
        let agent = Agent::new();
        let enrolled = enrol(&server, Some(&agent)).await;
        let ends = enrolled["not_after_unix_s"].as_i64().unwrap();
        assert!(ends > SystemClock.now().unix_timestamp() + 80 * 86_400, "{ends}");
        let client = agent.client(&server, enrolled["certificate"].as_str().unwrap());
        for token in [None, Some(CREDENTIAL)] {
            let (status, text) = push(&server, &client, token).await;
            assert_eq!((status, text.as_str()), (200, "metrics /api/v1/write bee-1 127.0.0.1"));
        }
        let query = client.get(server.url("home.lan", "/api/v1/query")).send().await.unwrap();
        assert_eq!(query.status(), 403, "it may push, and nothing else");
        assert!(
            records(&server).tokens().iter().any(|it| it.name == "bee-1" && it.has_certificate)
        );

        records(&server).revoke("bee-1").unwrap();
        let (status, text) = push(&server, &client, None).await;
        assert_eq!(status, 401);
        assert!(text.contains("does not count any more; it was revoked"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_required_an_agents_credential_alone_is_not_enough() {
    let server = start(AgentCertificates::Required).await;
    enrol(&server, None).await;
    let (status, text) = push(&server, &server.client, Some(CREDENTIAL)).await;
    assert_eq!(status, 401);
    assert!(text.contains("agents must show their certificate here"), "{text}");
    // Browsers, Grafana and tokens made by people are none of its business.
    assert_eq!(push(&server, &server.client, Some(AGENT)).await.0, 200);
    let query = server.get("/api/v1/query").bearer_auth(READER).send().await.unwrap();
    assert_eq!(query.status(), 200);
    let cookie = server.login().await;
    let home = server.get("/").header("cookie", cookie).send().await.unwrap();
    assert_eq!(home.status(), 200);

    // It gets its first one with the credential, and is in.
    let agent = Agent::new();
    let certificate = certify(&server, &server.client, &agent).await.unwrap();
    let client = agent.client(&server, &certificate);
    assert_eq!(push(&server, &client, Some(CREDENTIAL)).await.0, 200);

    // From another configuration on, the credential is enough again.
    let mut next = config(server.dir.path());
    next.https = vec![server.https()];
    server.reloads.apply(next).await.unwrap();
    assert_eq!(push(&server, &server.client, Some(CREDENTIAL)).await.0, 200);
}

/// The certificate that is asked for with the credential, or the status and what is said.
async fn certify(server: &Server, client: &Client, agent: &Agent) -> Result<String, (u16, String)> {
    let body = json!({"csr": agent.csr()}).to_string();
    let url = server.url("home.lan", "/-/skep/v1/certificate");
    let answer = client.post(url).bearer_auth(CREDENTIAL).body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    let data: Value = answer.json().await.unwrap();
    match data["data"]["certificate"].as_str() {
        Some(certificate) => Ok(certificate.to_owned()),
        None => Err((status, data["error"].as_str().unwrap().to_owned())),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_credential_gets_no_certificate_for_another_key() {
    let server = start(AgentCertificates::Required).await;
    let (agent, thief) = (Agent::new(), Agent::new());
    let enrolled = enrol(&server, Some(&agent)).await;
    let (status, text) = certify(&server, &server.client, &thief).await.unwrap_err();
    assert_eq!(status, 409);
    assert!(text.contains("has a certificate for another key"), "{text}");
    // The agent itself renews, for the same key or, with its certificate, for a new one.
    certify(&server, &server.client, &agent).await.unwrap();
    let client = agent.client(&server, enrolled["certificate"].as_str().unwrap());
    let next = Agent::new();
    let certificate = certify(&server, &client, &next).await.unwrap();
    let renewed = next.client(&server, &certificate);
    assert_eq!(push(&server, &renewed, None).await.0, 200);
    assert_eq!(push(&server, &client, None).await.0, 401, "the old key is void");
    // Nobody but an agent gets one.
    for token in [READER, AGENT, "nonsense"] {
        let body = json!({"csr": thief.csr()}).to_string();
        let request = server.post("/-/skep/v1/certificate").bearer_auth(token).body(body);
        let status = request.send().await.unwrap().status().as_u16();
        assert!([401, 404].contains(&status), "{token}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_breaks_off_the_handshake() {
    let server = start(AgentCertificates::Optional).await;
    let agent = Agent::new();
    enrol(&server, Some(&agent)).await;
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Even one that calls itself as ours does.
    params.distinguished_name.push(rcgen::DnType::CommonName, "Skep local CA lab1");
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(params, key);
    let mut leaf = CertificateParams::new(Vec::new()).unwrap();
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "bee-1");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let forged = leaf.signed_by(&agent.key, &issuer).unwrap().pem();
    let client = agent.client(&server, &forged);
    let url = server.url("home.lan", "/api/v1/write");
    assert!(client.post(url).bearer_auth(CREDENTIAL).send().await.is_err());
    assert_eq!(push(&server, &server.client, Some(CREDENTIAL)).await.0, 200);
}
