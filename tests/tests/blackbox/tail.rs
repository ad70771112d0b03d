//! Live tail: a real WebSocket client over TLS.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use serde_json::Value;
use skep_proto::{Clock as _, Labels, LogEntry, SystemClock, TimestampNs};
use skep_tests::{Client, Server};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message, client::IntoClientRequest as _, http::HeaderValue, protocol::CloseFrame,
    },
};

/// For anything that must happen, on a busy machine too.
const LONG: Duration = Duration::from_secs(60);

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn connect(server: &Server, auth: &str, path: &str) -> anyhow::Result<Socket> {
    connect_as(server, &[("Authorization", auth)], path).await
}

/// Over TLS, as an HTTP/1.1 upgrade.
async fn connect_as(
    server: &Server,
    headers: &[(&'static str, &str)],
    path: &str,
) -> anyhow::Result<Socket> {
    drop(crypto::ring::default_provider().install_default());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.ca_file())?)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let url = server.url();
    let authority = url.strip_prefix("https://").context("no https")?.trim_end_matches('/');
    let (host, _port) = authority.rsplit_once(':').context("no port")?;
    let port = authority.rsplit(':').next().context("no port")?;
    let tcp = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
    let name = ServerName::try_from(host.to_owned())?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let mut request = format!("wss://{authority}{path}").into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value)?);
    }
    Ok(client_async(request, tls).await?.0)
}

fn bearer(server: &Server) -> String {
    format!("Bearer {}", server.token())
}

/// The status and text a client gets instead of a WebSocket.
async fn refused(server: &Server, auth: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let Err(error) = connect(server, auth, path).await else { bail!("{path} was upgraded") };
    match error.downcast::<Error>()? {
        Error::Http(response) => {
            let text = response.body().as_deref().unwrap_or_default();
            Ok((response.status().as_u16(), String::from_utf8_lossy(text).into_owned()))
        }
        other => Err(other.into()),
    }
}

/// The next text or closing frame.
async fn next(socket: &mut Socket) -> anyhow::Result<Message> {
    loop {
        let message = timeout(LONG, socket.next()).await.context("no frame")?;
        match message.context("the connection ended")?? {
            Message::Ping(_) | Message::Pong(_) => {}
            other => return Ok(other),
        }
    }
}

async fn frame(socket: &mut Socket) -> anyhow::Result<Value> {
    let message = next(socket).await?;
    Ok(serde_json::from_str(message.to_text()?)?)
}

async fn closed(socket: &mut Socket) -> anyhow::Result<CloseFrame> {
    match next(socket).await? {
        Message::Close(Some(frame)) => Ok(frame),
        other => bail!("{other:?}"),
    }
}

/// Lines of a frame.
fn lines(frame: &Value) -> Vec<String> {
    let streams = frame["streams"].as_array().into_iter().flatten();
    let values = streams.flat_map(|it| it["values"].as_array().into_iter().flatten());
    values.filter_map(|it| Some(it[1].as_str()?.to_owned())).collect()
}

fn entry(text: &str) -> LogEntry {
    LogEntry { ts: SystemClock.now(), line: text.to_owned(), metadata: Vec::new() }
}

fn labels(app: &str) -> Labels {
    Labels::from_pairs([("app", app)]).unwrap_or_default()
}

async fn push(client: &Client, app: &str, entries: Vec<LogEntry>) -> anyhow::Result<()> {
    let status = client.push(&[(labels(app), entries)]).await?;
    ensure!(status.is_success(), "push: {status}");
    Ok(())
}

/// Lines are pushed before, while and after the tail begins; each comes once, in order.
#[tokio::test]
async fn every_line_comes_once_and_in_order_from_history_to_now() -> anyhow::Result<()> {
    const N_LINES: usize = 600;
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    let start = SystemClock.now().0;
    push(&client, "web", (0..50).map(|it| entry(&it.to_string())).collect()).await?;
    let writer = tokio::spawn({
        let client = client.clone();
        async move {
            for at in (50..N_LINES).step_by(5) {
                let batch = (at..at + 5).map(|it| entry(&it.to_string())).collect();
                push(&client, "web", batch).await?;
                push(&client, "other", vec![entry("not asked for")]).await?;
            }
            anyhow::Ok(())
        }
    });
    let query = "%7Bapp=%22web%22%7D";
    let path = format!("/loki/api/v1/tail?query={query}&start={start}&limit=5000");
    let mut socket = connect(&server, &bearer(&server), &path).await?;
    let mut found = Vec::new();
    while found.len() < N_LINES {
        let frame = frame(&mut socket).await?;
        assert_eq!(frame["dropped_entries"], Value::Null, "{frame}");
        assert_eq!(frame["streams"][0]["stream"]["app"], "web", "{frame}");
        found.extend(lines(&frame));
    }
    writer.await??;
    let expected: Vec<String> = (0..N_LINES).map(|it| it.to_string()).collect();
    assert_eq!(found, expected);
    socket.close(None).await?;
    Ok(())
}

#[tokio::test]
async fn a_tail_filters_tells_labels_apart_and_waits_as_told() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    let auth = bearer(&server);
    let headers = [
        ("Authorization", auth.as_str()),
        ("X-Loki-Response-Encoding-Flags", "categorize-labels"),
        ("X-Scope-OrgID", "somebody"),
    ];
    let query = "%7Bapp=%22web%22%7D+%7C=+%60yes%60+%7C+logfmt+%7C+n%3E1";
    let path = format!("/loki/api/v1/tail?query={query}&delay_for=1&limit=10");
    let mut socket = connect_as(&server, &headers, &path).await?;
    let sent = SystemClock.now();
    // The later line comes first over the wire; the tail puts them in order.
    let line = |ms: i64, text: &str| LogEntry {
        ts: TimestampNs(sent.0 + ms * 1_000_000),
        line: text.to_owned(),
        metadata: vec![("pid".to_owned(), "7".to_owned())],
    };
    push(&client, "web", vec![line(2, "yes n=3"), line(1, "yes n=2")]).await?;
    push(&client, "web", vec![line(0, "yes n=1"), line(0, "no n=5")]).await?;
    let mut frames = vec![frame(&mut socket).await?];
    while frames.iter().map(|it| lines(it).len()).sum::<usize>() < 2 {
        frames.push(frame(&mut socket).await?);
    }
    assert!(SystemClock.now().0 - sent.0 >= 1_000_000_000, "it did not wait");
    assert_eq!(frames.iter().flat_map(lines).collect::<Vec<_>>(), ["yes n=2", "yes n=3"]);
    let first = &frames[0];
    assert_eq!(first["encodingFlags"], serde_json::json!(["categorize-labels"]));
    let value = &first["streams"][0]["values"][0];
    assert_eq!(value[0], (sent.0 + 1_000_000).to_string());
    assert_eq!(value[2]["structuredMetadata"]["pid"], "7", "{value}");
    assert_eq!(value[2]["parsed"], serde_json::json!({"n": "2"}), "{value}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_tailed_is_refused_in_lokis_words() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server =
        Server::start(dir.path(), "[query]\ntails_max = 1\ntail_duration = \"4s\"").await?;
    let auth = bearer(&server);
    let tail = |query: &str| format!("/loki/api/v1/tail?query={query}");
    let good = tail("%7Bapp=%22web%22%7D");
    assert_eq!(refused(&server, "Bearer nobody", &good).await?.0, 401);
    let (status, text) = refused(&server, &auth, &tail("%7B")).await?;
    assert_eq!(status, 400);
    assert!(text.starts_with("parse error at line 1, col 2: syntax error"), "{text}");
    let (status, text) = refused(&server, &auth, &format!("{good}&delay_for=6")).await?;
    assert_eq!((status, text.trim()), (400, "delay_for can't be greater than 5"));
    // As in Loki, the rest is told once the connection is a WebSocket.
    let rate = tail("rate(%7Bapp=%22web%22%7D[1m])");
    let metric = closed(&mut connect(&server, &auth, &rate).await?).await?;
    assert_eq!(u16::from(metric.code), 1011);
    assert_eq!(metric.reason.as_str(), "only log selector is supported");
    let mut first = connect(&server, &auth, &good).await?;
    // It is open once something comes over it.
    timeout(LONG, first.next()).await?.context("closed")??;
    let second = closed(&mut connect(&server, &auth, &good).await?).await?;
    let expected = "max concurrent tail requests limit exceeded, count > limit (2 > 1)";
    assert_eq!(second.reason.as_str(), expected);
    assert_eq!(closed(&mut first).await?.reason.as_str(), "reached tail max duration limit");
    Ok(())
}

#[tokio::test]
async fn a_slow_client_is_told_what_it_missed_and_holds_up_nobody() -> anyhow::Result<()> {
    const N_LINES: usize = 400;
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "[query]\ntail_buffer = \"1MiB\"").await?;
    let client = server.client()?;
    let path = "/loki/api/v1/tail?query=%7Bapp=%22web%22%7D";
    let mut socket = connect(&server, &bearer(&server), path).await?;
    timeout(LONG, socket.next()).await?.context("closed")??;
    // More than the kernel and both queues take while nobody reads.
    let text = "x".repeat(100_000);
    for at in (0..N_LINES).step_by(10) {
        let batch = (at..at + 10).map(|it| entry(&format!("{it} {text}"))).collect();
        push(&client, "web", batch).await?;
    }
    let (mut n_lines, mut n_missed) = (0, 0);
    let mut seen = BTreeSet::new();
    while n_lines + n_missed < N_LINES {
        let frame = frame(&mut socket).await?;
        for line in lines(&frame) {
            n_lines += 1;
            seen.insert(line.split(' ').next().unwrap_or_default().to_owned());
        }
        for missed in frame["dropped_entries"].as_array().into_iter().flatten() {
            n_missed += 1;
            assert_eq!(missed["labels"]["app"], "web", "{missed}");
            assert!(missed["timestamp"].as_str().context("no time")?.parse::<i64>().is_ok());
        }
    }
    assert!(n_missed > 0, "all {n_lines} lines fitted");
    assert_eq!(seen.len(), n_lines);
    push(&client, "web", vec![entry("after the gap")]).await?;
    assert_eq!(lines(&frame(&mut socket).await?), ["after the gap"]);
    Ok(())
}

#[tokio::test]
async fn the_end_of_the_server_is_told() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), "").await?;
    let login = {
        // HTTP basic authentication of the user.
        let pair = format!("{}:{}", Server::USER, Server::PASSWORD);
        format!("Basic {}", base64(pair.as_bytes()))
    };
    let path = "/api/prom/tail?query=%7Bapp=%22web%22%7D";
    let mut socket = connect(&server, &login, path).await?;
    timeout(LONG, socket.next()).await?.context("closed")??;
    push(&server.client()?, "web", vec![entry("a \"line\"")]).await?;
    let told = frame(&mut socket).await?;
    let stream = &told["streams"][0];
    assert_eq!(stream["entries"][0]["line"], "a \"line\"", "{told}");
    let text = stream["labels"].as_str().context("no labels")?;
    assert!(text.starts_with("{app=\"web\""), "{text}");
    let (stopped, ending) = tokio::join!(server.stop(), closed(&mut socket));
    stopped?;
    let ending = ending?;
    assert_eq!((u16::from(ending.code), ending.reason.as_str()), (1001, "the server is stopping"));
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let mut bits = 0u32;
        (0..3).for_each(|at| bits = bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4usize {
            let digit = DIGITS.get((bits >> (18 - 6 * at)) as usize & 63).copied().unwrap_or(b'=');
            out.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
