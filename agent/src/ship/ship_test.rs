//! Shipping against a small server in this process that answers as it is told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{Request as HttpRequest, Response, body::Incoming, server::conn::http1, service};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use skep_proto::{
    Clock as _, Labels, LogEntry, MetricKind, Sample, SystemClock, TimestampMs, TimestampNs,
    loki_push::{self, PushRequest},
    names::header::{REMOTE_WRITE_VERSION, SAMPLES_WRITTEN},
    remote_write::{SeriesBatch, WriteRequest, WriteRequestV2, encode_v2},
    snappy,
};
use tokio::{net::TcpListener, sync::watch, time::Instant};

use super::{Delays, Phase, Shipper, client::Client};
use crate::{
    config::{CredentialConfig, RemoteWriteVersion, ServerConfig},
    exposition::Exposition,
    own_metrics::OwnMetrics,
    spool::{Kind, NewRecord, Positions, Spool, SpoolLimits, WhenFull, disk::Directory},
};

/// What the server does with one request.
#[derive(Debug, Clone, Copy)]
enum Reply {
    /// Takes it and says so.
    Take,
    /// As a server of the 1.0 age: says so without the headers of 2.0.
    TakeAsV1,
    /// Refuses it with a status, and `Retry-After: 0` if told.
    Refuse(u16),
    RefuseFor0Seconds(u16),
    /// Closes the connection without a word.
    HangUp,
    /// Takes it, but the answer is lost.
    TakeAndHangUp,
    /// Takes an enrolment, or signs a certificate for who has enrolled.
    Enrol,
    /// Takes an enrolment as a server that gives no certificates.
    EnrolAsOld,
}

/// One request as it came.
#[derive(Debug, Clone)]
struct Got {
    path: String,
    version: Option<String>,
    authorization: Option<String>,
    body: Vec<u8>,
    is_taken: bool,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When it is empty everything is taken.
    script: Mutex<VecDeque<Reply>>,
    got: Mutex<Vec<Got>>,
    n_now: AtomicUsize,
    n_now_max: AtomicUsize,
}

impl Server {
    async fn start(script: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        state.script.lock().unwrap().extend(script);
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&serving);
                tokio::spawn(async move {
                    let service = service::service_fn(|request| respond(&state, request));
                    // A hung up connection is an error here, and meant to be.
                    drop(
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await,
                    );
                });
            }
        });
        Self { address, state }
    }

    fn got(&self) -> Vec<Got> {
        self.state.got.lock().unwrap().clone()
    }

    fn taken(&self) -> Vec<Got> {
        self.got().into_iter().filter(|it| it.is_taken).collect()
    }
}

async fn respond(
    state: &State,
    request: HttpRequest<Incoming>,
) -> Result<Response<String>, Hangup> {
    let n_now = state.n_now.fetch_add(1, Ordering::SeqCst) + 1;
    state.n_now_max.fetch_max(n_now, Ordering::SeqCst);
    let header = |name: &str| request.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
    let mut got = Got {
        path: request.uri().path().to_owned(),
        version: header(REMOTE_WRITE_VERSION),
        authorization: header("authorization"),
        body: Vec::new(),
        is_taken: false,
    };
    got.body = read(request.into_body()).await;
    let reply = state.script.lock().unwrap().pop_front().unwrap_or(Reply::Take);
    got.is_taken = matches!(reply, Reply::Take | Reply::TakeAsV1 | Reply::TakeAndHangUp);
    state.got.lock().unwrap().push(got.clone());
    state.n_now.fetch_sub(1, Ordering::SeqCst);
    let response = Response::builder();
    match reply {
        Reply::Take => {
            Ok(response.status(204).header(SAMPLES_WRITTEN, "1").body(String::new()).unwrap())
        }
        Reply::TakeAsV1 => Ok(response.status(204).body(String::new()).unwrap()),
        Reply::Refuse(status) => {
            Ok(response.status(status).body("because I say so".to_owned()).unwrap())
        }
        Reply::RefuseFor0Seconds(status) => {
            Ok(response.status(status).header("retry-after", "0").body(String::new()).unwrap())
        }
        Reply::Enrol => Ok(response.status(200).body(signed(&got.body)).unwrap()),
        Reply::EnrolAsOld => {
            let text = r#"{"status":"success","data":{"name":"bee-1"}}"#;
            Ok(response.status(200).body(text.to_owned()).unwrap())
        }
        Reply::HangUp | Reply::TakeAndHangUp => Err(Hangup),
    }
}

/// A certificate for the key of a request, by an authority of its own, good for a day.
fn signed(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let csr = body["csr"].as_str().unwrap();
    let csr = rcgen::CertificateSigningRequestParams::from_pem(csr).unwrap();
    let (params, key) = (rcgen::CertificateParams::default(), rcgen::KeyPair::generate().unwrap());
    let certificate = csr.signed_by(&rcgen::Issuer::new(params, key)).unwrap().pem();
    let ends = SystemClock.now().0 / 1_000_000_000 + 86_400;
    let data = serde_json::json!({
        "name": "bee-1",
        "certificate": certificate,
        "not_after_unix_s": ends,
    });
    serde_json::json!({"status": "success", "data": data}).to_string()
}

#[derive(Debug, thiserror::Error)]
#[error("hung up as told")]
struct Hangup;

async fn read(mut body: Incoming) -> Vec<u8> {
    use hyper::body::Body as _;
    let mut bytes = Vec::new();
    while let Some(frame) =
        std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await
    {
        if let Ok(data) = frame.unwrap().into_data() {
            bytes.extend(data);
        }
    }
    bytes
}

/// A spool with a shipper on it.
struct Line {
    dir: tempfile::TempDir,
    spool: Arc<Spool>,
    own: Arc<OwnMetrics>,
}

const DELAYS: Delays = Delays { min: Duration::from_millis(1), max: Duration::from_millis(5) };

impl Line {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spool = open(dir.path());
        Self { dir, spool, own: Arc::new(OwnMetrics::default()) }
    }

    fn put(&self, batch: NewRecord) {
        self.spool.append(batch, WhenFull::Refuse).unwrap();
    }

    fn shipper(&self, server: &Server, version: RemoteWriteVersion) -> Shipper {
        let token_file = self.dir.path().join("token");
        if !token_file.exists() {
            std::fs::write(&token_file, "first\n").unwrap();
        }
        self.shipper_with(server, version, CredentialConfig::TokenFile(token_file))
    }

    fn shipper_with(
        &self,
        server: &Server,
        version: RemoteWriteVersion,
        credential: CredentialConfig,
    ) -> Shipper {
        let url = format!("http://{}", server.address);
        let config = ServerConfig { url, credential, ca_file: None };
        let (spool, own) = (Arc::clone(&self.spool), Arc::clone(&self.own));
        let client = Client::new(&config, Arc::new(SystemClock)).unwrap();
        Shipper::new("test", spool, client, own, version, DELAYS)
    }

    /// Delivers until nothing waits any more.
    async fn deliver_all(&self, server: &Server, version: RemoteWriteVersion) {
        self.deliver_all_by(self.shipper(server, version)).await;
    }

    async fn deliver_all_by(&self, shipper: Shipper) {
        let (phase_tx, phase) = watch::channel(Phase::Run);
        let task = tokio::spawn(shipper.run(phase));
        let empty = async {
            while self.spool.waiting().n_batches > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(30), empty).await;
        assert!(in_time.is_ok(), "still waiting: {:?}", self.spool.waiting());
        phase_tx.send_replace(Phase::Drain(Instant::now() + Duration::from_secs(5)));
        task.await.unwrap();
    }

    fn own_text(&self) -> String {
        let mut out = Exposition::default();
        self.own.collect(&[("test", &self.spool)], &mut out);
        out.to_text()
    }
}

fn open(dir: &Path) -> Arc<Spool> {
    let directory = Directory::open(&dir.join("spool")).unwrap();
    let limits = SpoolLimits { bytes_max: 1 << 30, age_max: Duration::from_secs(1 << 30) };
    Arc::new(Spool::open(Box::new(directory), limits, Arc::new(SystemClock)).unwrap())
}

fn logs(id: usize) -> NewRecord {
    let labels = Labels::from_pairs([("host", "a")]).unwrap();
    let line = format!("line {id}");
    let ts = TimestampNs(i64::try_from(id).unwrap());
    let body = loki_push::encode(&[(labels, vec![LogEntry { ts, line, metadata: Vec::new() }])]);
    NewRecord {
        kind: Kind::LokiPush,
        n_items: 1,
        positions: Positions::journal(format!("c{id}")),
        body,
    }
}

fn metrics(id: usize) -> NewRecord {
    let series = SeriesBatch {
        labels: Labels::from_pairs([("__name__", "up"), ("id", &id.to_string())]).unwrap(),
        samples: vec![Sample { ts: TimestampMs(15_000), value: 1.0 }],
        kind: MetricKind::Gauge,
        help: "Whether it is up.".into(),
    };
    let body = encode_v2(&[series]);
    NewRecord { kind: Kind::RemoteWriteV2, n_items: 1, positions: Positions::default(), body }
}

fn line(got: &Got) -> String {
    let plain = snappy::decompress(&got.body, 1 << 20).unwrap();
    PushRequest::decode(plain.as_slice()).unwrap().streams[0].entries[0].line.clone()
}

/// The label `id` of a request in either version.
fn id(got: &Got) -> String {
    let plain = snappy::decompress(&got.body, 1 << 20).unwrap();
    if got.version.as_deref() == Some("0.1.0") {
        let request = WriteRequest::decode(plain.as_slice()).unwrap();
        return request.timeseries[0].labels[1].value.clone();
    }
    let request = WriteRequestV2::decode(plain.as_slice()).unwrap();
    let symbol_ref = request.timeseries[0].labels_refs[3];
    request.symbols[usize::try_from(symbol_ref).unwrap()].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_in_every_way_gets_each_batch_once_and_in_order() {
    let server = Server::start(&[
        Reply::Refuse(500),
        Reply::Take,
        Reply::HangUp,
        Reply::HangUp,
        Reply::RefuseFor0Seconds(429),
        Reply::RefuseFor0Seconds(503),
        Reply::RefuseFor0Seconds(507),
        Reply::Take,
        Reply::Refuse(404),
        Reply::Refuse(502),
        Reply::Refuse(408),
        Reply::Take,
        Reply::Refuse(401),
    ])
    .await;
    let line_of = Line::new();
    for id in 0..20 {
        line_of.put(logs(id));
    }
    line_of.deliver_all(&server, RemoteWriteVersion::Auto).await;

    let lines: Vec<String> = server.taken().iter().map(line).collect();
    let expected: Vec<String> = (0..20).map(|id| format!("line {id}")).collect();
    assert_eq!(lines, expected);
    assert_eq!(server.state.n_now_max.load(Ordering::SeqCst), 1, "one request at a time");
    assert!(server.got().iter().all(|it| it.path == "/loki/api/v1/push"));
    assert_eq!(open(line_of.dir.path()).resume().get("journal"), Some("c19"));
    let own = line_of.own_text();
    assert!(own.contains("skep_agent_ship_requests_total{code=\"204\",kind=\"test\"} 20"), "{own}");
    assert!(
        own.contains("skep_agent_ship_requests_total{code=\"error\",kind=\"test\"} 2"),
        "{own}"
    );
    assert!(own.contains("skep_agent_ship_requests_total{code=\"429\",kind=\"test\"} 1"), "{own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_was_lost_comes_again_with_the_same_content() {
    let server = Server::start(&[Reply::TakeAndHangUp]).await;
    let line_of = Line::new();
    line_of.put(logs(1));
    line_of.put(logs(2));
    line_of.deliver_all(&server, RemoteWriteVersion::Auto).await;
    let taken = server.taken();
    assert_eq!(taken.iter().map(line).collect::<Vec<_>>(), ["line 1", "line 1", "line 2"]);
    assert_eq!(taken[0].body, taken[1].body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_set_aside_with_the_servers_words() {
    let server = Server::start(&[Reply::Take, Reply::Refuse(400)]).await;
    let line_of = Line::new();
    for id in 0..4 {
        line_of.put(logs(id));
    }
    line_of.deliver_all(&server, RemoteWriteVersion::Auto).await;
    let taken: Vec<String> = server.taken().iter().map(line).collect();
    assert_eq!(taken, ["line 0", "line 2", "line 3"]);
    let kept = line_of.dir.path().join("spool/rejected-00000000000000000002");
    let words = std::fs::read_to_string(kept.with_extension("txt")).unwrap();
    assert_eq!(words, "400 because I say so");
    assert_eq!(std::fs::read(kept.with_extension("body")).unwrap(), logs(1).body);
    let own = line_of.own_text();
    assert!(own.contains("skep_agent_ship_rejected_total{kind=\"test\"} 1"), "{own}");
}

#[track_caller]
fn check_downgraded(server: &Server) {
    let got: Vec<(String, Option<String>)> =
        server.got().iter().map(|it| (id(it), it.version.clone())).collect();
    let expected = [("0", "2.0.0"), ("0", "0.1.0"), ("1", "0.1.0"), ("2", "0.1.0")]
        .map(|(id, version)| (id.to_owned(), Some(version.to_owned())));
    assert_eq!(got, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_version_2_gets_version_1_from_then_on() {
    let server = Server::start(&[Reply::Refuse(415)]).await;
    let line_of = Line::new();
    for id in 0..3 {
        line_of.put(metrics(id));
    }
    line_of.deliver_all(&server, RemoteWriteVersion::Auto).await;
    check_downgraded(&server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_version_2_for_an_empty_version_1_is_found_out() {
    let server = Server::start(&[Reply::TakeAsV1; 4]).await;
    let line_of = Line::new();
    for id in 0..3 {
        line_of.put(metrics(id));
    }
    line_of.deliver_all(&server, RemoteWriteVersion::Auto).await;
    check_downgraded(&server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_version_is_kept_to() {
    for (version, header) in [(RemoteWriteVersion::V1, "0.1.0"), (RemoteWriteVersion::V2, "2.0.0")]
    {
        let server = Server::start(&[Reply::Refuse(415), Reply::TakeAsV1]).await;
        let line_of = Line::new();
        line_of.put(metrics(7));
        line_of.deliver_all(&server, version).await;
        let got = server.got();
        assert_eq!(got.len(), 2);
        assert!(got.iter().all(|it| id(it) == "7" && it.version.as_deref() == Some(header)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_exchanged_is_read_again() {
    let server = Server::start(&[Reply::Take, Reply::Refuse(401)]).await;
    let line_of = Line::new();
    line_of.put(logs(0));
    line_of.put(logs(1));
    let shipper = line_of.shipper(&server, RemoteWriteVersion::Auto);
    std::fs::write(line_of.dir.path().join("token"), "second\n").unwrap();
    let (phase_tx, phase) = watch::channel(Phase::Run);
    let task = tokio::spawn(shipper.run(phase));
    let all_came = async {
        while server.got().len() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all_came).await.unwrap();
    phase_tx.send_replace(Phase::Drain(Instant::now() + Duration::from_secs(5)));
    task.await.unwrap();
    let tokens: Vec<Option<String>> = server.got().into_iter().map(|it| it.authorization).collect();
    let expected = ["Bearer first", "Bearer first", "Bearer second"].map(|it| Some(it.to_owned()));
    assert_eq!(tokens, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_enrols_before_it_delivers_and_loses_nothing_while_it_cannot() {
    let server = Server::start(&[
        Reply::HangUp,
        Reply::Refuse(503),
        Reply::EnrolAsOld,
        // The first certificate is asked for by itself.
        Reply::Refuse(404),
        Reply::Take,
        // Revoked: there is another token by then.
        Reply::Refuse(401),
        Reply::Enrol,
    ])
    .await;
    let line_of = Line::new();
    line_of.put(logs(0));
    line_of.put(logs(1));
    let token_file = line_of.dir.path().join("enrolment");
    std::fs::write(&token_file, "skep_once").unwrap();
    let credential_file = line_of.dir.path().join("credential");
    let credential =
        CredentialConfig::Enrolment { token_file: token_file.clone(), credential_file };
    let version = RemoteWriteVersion::Auto;
    let first = line_of.shipper_with(&server, version, credential);
    first.client.prepare().await.unwrap_err();
    first.client.prepare().await.unwrap_err();
    first.client.prepare().await.unwrap();
    std::fs::write(&token_file, "skep_again").unwrap();
    line_of.deliver_all_by(first).await;

    let got = server.got();
    let asked: Vec<&str> = got.iter().map(|it| it.path.as_str()).collect();
    let (enrol, push) = ("/-/skep/v1/enrol", "/loki/api/v1/push");
    let certificate = "/-/skep/v1/certificate";
    assert_eq!(asked, [enrol, enrol, enrol, certificate, push, push, enrol, push]);
    let bodies = got.iter().map(|it| serde_json::from_slice::<serde_json::Value>(&it.body));
    let hashes: Vec<_> =
        bodies.take(3).map(|it| it.unwrap()["credential_sha256"].clone()).collect();
    assert!(hashes[0] == hashes[1] && hashes[1] == hashes[2], "the same is asked again");
    assert_eq!(got[3].authorization, got[4].authorization);
    assert_eq!(got[4].authorization, got[5].authorization);
    assert_ne!(got[5].authorization, got[7].authorization);
    assert!(got.iter().filter(|it| it.path == enrol).all(|it| it.authorization.is_none()));
    assert_eq!(server.taken().iter().map(line).collect::<Vec<_>>(), ["line 0", "line 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_agent_delivers_what_it_can_and_keeps_the_rest() {
    let server = Server::start(&[Reply::Take, Reply::Take, Reply::Refuse(500)]).await;
    let line_of = Line::new();
    for id in 0..5 {
        line_of.put(logs(id));
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    let (_phase_tx, phase) = watch::channel(Phase::Drain(deadline));
    line_of.shipper(&server, RemoteWriteVersion::Auto).run(phase).await;
    assert!(Instant::now() < deadline, "a server that is away is not waited for");
    assert_eq!(server.taken().len(), 2);
    let Line { dir, spool, .. } = line_of;
    drop(spool);
    assert_eq!(open(dir.path()).waiting().n_batches, 3);
}
