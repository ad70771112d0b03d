//! What an attacker writes to a socket, what the front answers, and what the server behind it saw.
//!
//! Brute force, CSRF, tokens of another scope and websockets without a login are in `people.rs`,
//! `access.rs` and `connections.rs`; paths out of a folder in `handlers.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::connections::{connect_http2, connect_to};
use crate::server::Server;
use crate::upstream::{LONG, SITE, Upstream, proxy, read_head, say, site};

/// Everything that reached the server behind the front, byte by byte.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).to_lowercase()
    }

    /// The request lines.
    fn lines(&self) -> Vec<String> {
        let text = self.text();
        text.lines().filter(|it| it.ends_with(" http/1.1")).map(str::to_owned).collect()
    }
}

/// A front with a site whose server notes what it is sent, and answers each request once.
async fn recording() -> (Server, Upstream, Seen) {
    let seen = Seen::default();
    let notes = seen.clone();
    let upstream = Upstream::talk(move |mut stream, _n| {
        let notes = notes.clone();
        async move {
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(n) => {
                        notes.0.lock().unwrap().extend_from_slice(&buffer[..n]);
                        request.extend_from_slice(&buffer[..n]);
                    }
                }
                if is_whole(&request) {
                    request.clear();
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            }
        }
    })
    .await;
    let url = upstream.url();
    let server = Server::start_with(|config| {
        config.sites = vec![site(proxy(&[&url]))];
        config.limits.header_timeout = Duration::from_secs(2);
    })
    .await;
    (server, upstream, seen)
}

/// Of what a careful client sends; the front is one.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |it| it.parse().unwrap())
}

/// The answer, until the front closes or says nothing more for a while.
async fn answer<S: AsyncRead + Unpin>(mut stream: S) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(n)) = timeout(Duration::from_millis(700), stream.read(&mut buffer)).await {
        if n == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn send(server: &Server, bytes: &str) -> String {
    let mut stream = connect_to(server, SITE).await;
    // It may be refused, and the connection closed, before all of it is sent.
    drop(stream.write_all(bytes.as_bytes()).await);
    drop(stream.flush().await);
    answer(stream).await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("closed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_end_is_unclear_never_reaches_a_server() {
    let (server, _upstream, seen) = recording().await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: x.home.lan\r\n\r\n";
    for (what, head, body) in [
        ("TE.TE", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
        ("not the last", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("unknown coding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("space before the colon", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        ("folded", "X: a\r\n Transfer-Encoding: chunked\r\n", ""),
        ("folded coding", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
        ("two lengths", "Content-Length: 0\r\nContent-Length: 44\r\n", hidden),
        ("a list of lengths", "Content-Length: 0, 44\r\n", hidden),
        ("a sign", "Content-Length: +0\r\n", hidden),
        ("negative", "Content-Length: -1\r\n", hidden),
        ("hexadecimal", "Content-Length: 0x0\r\n", hidden),
        ("too large a number", "Content-Length: 99999999999999999999\r\n", hidden),
        ("no number", "Content-Length: \r\n", hidden),
        ("a null byte", "X: a\0b\r\n", ""),
        ("a bare CR", "X: a\rY: b\r\n", ""),
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: x.home.lan\r\n{head}\r\n{body}");
        let answer = send(&server, &bytes).await;
        assert_eq!(status(&answer), "400", "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
        assert!(seen.lines().is_empty(), "{what}: {}", seen.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_one_end_for_the_front_and_the_server() {
    for (what, head, body) in [
        ("an extension", "Transfer-Encoding: chunked\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        ("the same length twice", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        ("space around", "Content-Length:   5  \r\n", "hello"),
    ] {
        let (server, _upstream, seen) = recording().await;
        let bytes = format!("POST / HTTP/1.1\r\nHost: x.home.lan\r\n{head}\r\n{body}");
        let answer = send(&server, &bytes).await;
        let text = seen.text();
        match status(&answer) {
            "200" => {
                assert_eq!(seen.lines(), ["post / http/1.1"], "{what}: {text}");
                assert_eq!(text.matches("hello").count(), 1, "{what}: {text}");
                let n_ends = ["content-length:", "transfer-encoding:"];
                let n_ends: usize = n_ends.iter().map(|it| text.matches(it).count()).sum();
                assert_eq!(n_ends, 1, "{what}: {text}");
                assert!(!text.contains("a=b"), "{what}: {text}");
            }
            other => assert_eq!((other, seen.lines().len()), ("400", 0), "{what}: {text}"),
        }
    }
}

/// RFC 9112, 6.1: the length means nothing then, and the connection ends after the answer.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_length_and_chunks_the_chunks_count_and_nothing_follows_on_the_connection() {
    let hidden = "GET /hidden HTTP/1.1\r\nHost: x.home.lan\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for length in [4, 5, 15, 60] {
        let length = format!("Content-Length: {length}\r\n");
        for head in [format!("{length}{chunked}"), format!("{chunked}{length}")] {
            let (server, _upstream, seen) = recording().await;
            let body = format!("5\r\nhello\r\n0\r\n\r\n{hidden}");
            let bytes = format!("POST / HTTP/1.1\r\nHost: x.home.lan\r\n{head}\r\n{body}");
            let answer = send(&server, &bytes).await;
            assert_eq!(status(&answer), "200", "{head}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head}: {answer}");
            assert!(answer.to_lowercase().contains("connection: close"), "{head}: {answer}");
            let text = seen.text();
            assert_eq!(seen.lines(), ["post / http/1.1"], "{head}: {text}");
            assert!(!text.contains("content-length:"), "{head}: {text}");
        }
    }
}

/// The other way round: what a server hides behind its answer is nobody else's answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_a_length_and_chunks_ends_the_connection_to_the_server() {
    let hidden = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhidden";
    let chunked = "transfer-encoding: chunked\r\n";
    let length = "content-length: 4\r\n";
    for head in [format!("{length}{chunked}"), format!("{chunked}{length}")] {
        let upstream = Upstream::talk(move |mut stream, _n| {
            let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n5\r\nhello\r\n0\r\n\r\n{hidden}");
            async move {
                read_head(&mut stream).await;
                say(&mut stream, &text).await;
                drop(stream.read_u8().await);
            }
        })
        .await;
        let server =
            Server::start_with(|config| config.sites = vec![site(proxy(&[&upstream.url()]))]).await;
        for n in 1..=3 {
            let answer = server.client.get(server.url(SITE, "/")).send().await.unwrap();
            assert!(!answer.headers().contains_key("content-length"));
            assert_eq!(answer.text().await.unwrap(), "hello");
            assert_eq!(upstream.n_connections(), n, "a connection was used again");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_chunk_ends_the_connection_and_hides_no_request() {
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloGET /hidden HTTP/1.1\r\nHost: x.home.lan\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    ] {
        let (server, _upstream, seen) = recording().await;
        let head = "POST / HTTP/1.1\r\nHost: x.home.lan\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = send(&server, &format!("{head}{body}")).await;
        assert_ne!(status(&answer), "200", "{body:?}: {answer}");
        let lines = seen.lines();
        assert!(lines.iter().all(|it| it == "post / http/1.1"), "{body:?}: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_two_hosts_reaches_none() {
    let (server, _upstream, seen) = recording().await;
    for (line, host, expected) in [
        ("GET / HTTP/1.1", "Host: x.home.lan\r\nHost: home.lan\r\n", "400"),
        ("GET / HTTP/1.1", "Host: x.home.lan\r\nHost: x.home.lan\r\n", "400"),
        ("GET http://home.lan/ HTTP/1.1", "Host: x.home.lan\r\n", "400"),
        ("GET http://x.home.lan/ HTTP/1.1", "Host: home.lan\r\n", "400"),
        ("GET / HTTP/1.1", "Host: x.home.lan@home.lan\r\n", "400"),
        ("GET / HTTP/1.1", "Host: home.lan@x.home.lan\r\n", "400"),
        ("GET / HTTP/1.1", "Host: x.home.lan/../home.lan\r\n", "400"),
        ("GET / HTTP/1.1", "Host: x.home.lan:443:80\r\n", "400"),
        ("GET / HTTP/1.1", "Host: x.home.lan, home.lan\r\n", "400"),
        ("GET / HTTP/1.1", "Host: \r\n", "400"),
        ("GET / HTTP/1.1", "", "400"),
        ("GET / HTTP/1.1", "Host: x.home.lan..\r\n", "421"),
        // Another name than the TLS connection was made for, and one that is nobody's.
        ("GET / HTTP/1.1", "Host: home.lan\r\n", "421"),
        ("GET / HTTP/1.1", "Host: evil.example\r\n", "421"),
        ("GET / HTTP/1.1", "Host: 127.0.0.1\r\n", "421"),
    ] {
        let answer = send(&server, &format!("{line}\r\n{host}\r\n")).await;
        assert_eq!(status(&answer), expected, "{line} {host:?}: {answer}");
        assert!(seen.lines().is_empty(), "{line} {host:?}: {}", seen.text());
    }
    for host in ["X.HOME.LAN", "x.home.lan.", "x.home.lan:8443"] {
        let answer = send(&server, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(status(&answer), "200", "{host}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_echoed_becomes_a_header() {
    let (server, _upstream, seen) = recording().await;
    let plain = server.bound.http_redirect.unwrap();
    for target in ["/%0d%0aSet-Cookie:%20a=b", "/?q=%0d%0aSet-Cookie:%20a=b"] {
        let mut stream = TcpStream::connect(plain).await.unwrap();
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: home.lan\r\n\r\n");
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let answer = answer(stream).await;
        assert_eq!(status(&answer), "308", "{answer}");
        assert!(!answer.to_lowercase().contains("\nset-cookie"), "{answer}");
    }
    let login = server.get("/login?next=%2F%0d%0aSet-Cookie:%20a=b").send().await.unwrap();
    assert!(!login.headers().contains_key("set-cookie"));
    let answer = send(&server, "GET /%0d%0aX-Evil:1 HTTP/1.1\r\nHost: x.home.lan\r\n\r\n").await;
    assert!(["200", "400"].contains(&status(&answer)), "{answer}");
    assert!(!seen.text().contains("\nx-evil"), "{}", seen.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_is_cut_off_and_others_are_answered_meanwhile() {
    let (server, _upstream, seen) = recording().await;
    let mut slow = connect_to(&server, SITE).await;
    let drip = async {
        slow.write_all(b"GET / HTTP/1.1\r\nHost: x.home.lan\r\n").await.unwrap();
        let mut buffer = [0; 512];
        loop {
            if slow.write_all(b"x: y\r\n").await.is_err() || slow.flush().await.is_err() {
                return;
            }
            let wait = Duration::from_millis(100);
            // The front speaks first only to say that it is over.
            if timeout(wait, slow.read(&mut buffer)).await.is_ok() {
                return;
            }
        }
    };
    let (cut, other) = tokio::join!(
        timeout(LONG, drip),
        send(&server, "GET /other HTTP/1.1\r\nHost: x.home.lan\r\nConnection: close\r\n\r\n")
    );
    cut.expect("the front cuts it off");
    assert_eq!(status(&other), "200");
    assert_eq!(seen.lines(), ["get /other http/1.1"]);
}

/// A server that answers with the length of a body that it has read to its end.
async fn reading() -> Upstream {
    let router = axum::Router::new()
        .fallback(|body: axum::body::Bytes| async move { body.len().to_string() })
        .layer(axum::extract::DefaultBodyLimit::disable());
    Upstream::serve(router).await
}

/// A front that waits a second for each 16 KiB of a body, and a connection to its site.
async fn impatient(upstream: &Upstream) -> (Server, TlsStream<TcpStream>) {
    let server = Server::start_with(|config| {
        config.sites = vec![site(proxy(&[&upstream.url()]))];
        config.limits.body_timeout = Duration::from_secs(1);
    })
    .await;
    let stream = connect_to(&server, SITE).await;
    (server, stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_a_408_and_the_end_of_its_connection() {
    let upstream = reading().await;
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let (_server, mut slow) = impatient(&upstream).await;
        let head = format!("POST / HTTP/1.1\r\nHost: {SITE}\r\n{framing}\r\n\r\n");
        slow.write_all(head.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(slow);
        let drip = async {
            let piece = if framing.starts_with('C') { "x" } else { "1\r\nx\r\n" };
            while writer.write_all(piece.as_bytes()).await.is_ok() {
                drop(writer.flush().await);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let mut answer = String::new();
        let cut = tokio::select! {
            () = drip => panic!("nothing was answered: {framing}"),
            read = timeout(LONG, reader.read_to_string(&mut answer)) => read,
        };
        cut.expect("the front cuts it off").expect("in order");
        assert_eq!(status(&answer), "408", "{framing}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_may_take_longer_than_its_pieces() {
    let upstream = reading().await;
    let (_server, mut stream) = impatient(&upstream).await;
    let (n_pieces, piece) = (25, vec![b'x'; 128 << 10]);
    let length = n_pieces * piece.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {SITE}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..n_pieces {
        stream.write_all(&piece).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let answer = answer(stream).await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.ends_with(&length.to_string()), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_answered_already_may_talk_as_slowly_as_they_like() {
    let upstream = Upstream::talk(|mut stream, _n| async move {
        read_head(&mut stream).await;
        say(&mut stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello").await;
        let mut rest = Vec::new();
        while !rest.ends_with(b"late\r\n0\r\n\r\n") {
            rest.push(stream.read_u8().await.unwrap());
        }
        say(&mut stream, " and bye").await;
    })
    .await;
    let (_server, mut stream) = impatient(&upstream).await;
    let head = format!("POST / HTTP/1.1\r\nHost: {SITE}\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("hello") {
        said.push(stream.read_u8().await.unwrap());
    }
    // Longer than the front waits for a body that nobody has answered.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stream.write_all(b"4\r\nlate\r\n0\r\n\r\n").await.unwrap();
    let rest = answer(stream).await;
    assert!(rest.contains(" and bye"), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_too_large_or_of_too_many_fields_are_refused() {
    let (server, _upstream, seen) = recording().await;
    let large = format!("X: {}\r\n", "a".repeat(64 << 10));
    let many: String = (0..2000).map(|n| format!("X-{n}: a\r\n")).collect();
    for fields in [large, many] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: x.home.lan\r\n{fields}\r\n");
        assert_eq!(status(&send(&server, &bytes).await), "431");
    }
    let target = format!("/{}", "a".repeat(70_000));
    let bytes = format!("GET {target} HTTP/1.1\r\nHost: x.home.lan\r\n\r\n");
    let answer = send(&server, &bytes).await;
    assert!(["414", "431"].contains(&status(&answer)), "{answer}");
    assert!(seen.lines().is_empty(), "{}", seen.text());
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM_AND_HEADERS: u8 = 5;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header field in HPACK, spelled out.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        out.push(u8::try_from(text.len()).unwrap());
        out.extend(text.as_bytes());
    }
    out
}

/// `GET` or `POST` for `/` of the site, and more.
fn head(method: &str, authority: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo =
        [(":method", method), (":scheme", "https"), (":path", "/"), (":authority", authority)];
    pseudo.iter().chain(fields).flat_map(|(name, value)| field(name, value)).collect()
}

/// Whether a frame of this kind is in what came back.
fn has_frame(mut bytes: &[u8], kind: u8) -> bool {
    while let [a, b, c, this, ..] = bytes {
        if *this == kind {
            return true;
        }
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    false
}

/// Sends frames after the preface; what comes back until the front closes, or falls silent.
async fn http2(server: &Server, frames: &[Vec<u8>]) -> (Vec<u8>, bool) {
    let mut stream = connect_http2(server, SITE).await;
    let mut sent = stream.write_all(PREFACE).await;
    for frame in [frame(SETTINGS, 0, 0, &[])].iter().chain(frames) {
        if sent.is_err() {
            break;
        }
        sent = stream.write_all(frame).await;
    }
    drop(stream.flush().await);
    let mut back = Vec::new();
    let mut buffer = [0; 16384];
    loop {
        match timeout(Duration::from_millis(1500), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return (back, true),
            Ok(Ok(n)) => back.extend_from_slice(&buffer[..n]),
            Err(_silent) => return (back, false),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_fields_that_would_end_a_request_in_http1_are_refused() {
    let (server, _upstream, seen) = recording().await;
    for (authority, fields) in [
        (SITE, ("transfer-encoding", "chunked")),
        (SITE, ("connection", "keep-alive")),
        (SITE, ("x", "a\r\ntransfer-encoding: chunked")),
        (SITE, ("x", "a\nb")),
        (SITE, ("x\r\ny", "a")),
        (SITE, ("X-Upper", "a")),
        (SITE, ("host", "home.lan")),
        (SITE, ("content-length", "5")),
        ("x.home.lan\r\nx: y", ("a", "b")),
        ("home.lan@x.home.lan", ("a", "b")),
    ] {
        let head = head("POST", authority, &[fields]);
        let (back, _closed) =
            http2(&server, &[frame(HEADERS, END_STREAM_AND_HEADERS, 1, &head)]).await;
        assert!(!back.is_empty(), "the front speaks HTTP/2");
        assert!(seen.lines().is_empty(), "{authority:?} {fields:?}: {}", seen.text());
    }
    let good = head("GET", SITE, &[("a", "b")]);
    http2(&server, &[frame(HEADERS, END_STREAM_AND_HEADERS, 1, &good)]).await;
    assert_eq!(seen.lines(), ["get / http/1.1"], "the same without an attack");
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_http2_end_their_connection_and_nobody_elses() {
    let (server, _upstream, seen) = recording().await;
    let reset = (0..5000_u32).flat_map(|n| {
        let (stream, head) = (2 * n + 1, head("GET", SITE, &[]));
        [
            frame(HEADERS, END_STREAM_AND_HEADERS, stream, &head),
            frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ]
    });
    let (back, is_closed) = http2(&server, &reset.collect::<Vec<_>>()).await;
    assert!(is_closed && has_frame(&back, GOAWAY), "rapid reset");

    let endless = field("x", &"a".repeat(100)).repeat(100);
    let begin = [frame(HEADERS, 1, 1, &head("GET", SITE, &[]))];
    let more = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &endless), 2000);
    let flood: Vec<_> = begin.into_iter().chain(more).collect();
    let (_back, is_closed) = http2(&server, &flood).await;
    assert!(is_closed, "endless CONTINUATION");

    let empty = std::iter::repeat_n(frame(SETTINGS, 0, 0, &[]), 20_000).collect::<Vec<_>>();
    http2(&server, &empty).await;
    let answer = send(&server, "GET /after HTTP/1.1\r\nHost: x.home.lan\r\n\r\n").await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(seen.lines().len() < 300, "{} requests came through", seen.lines().len());
}
