//! Bodies as they come, in both directions, and connections that change their protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{any, get, post};
use futures::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use skep_front::{Config, Scope, SiteAccess};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::connections::connect_as;
use crate::server::{READER, Server};
use crate::upstream::{LONG, SITE, Upstream, proxy, read_head, say, site, until};

async fn front(upstream: &Upstream) -> Server {
    front_with(upstream, |_config| {}).await
}

async fn front_with(upstream: &Upstream, change: impl FnOnce(&mut Config)) -> Server {
    Server::start_with(|it| {
        it.sites = vec![site(proxy(&[&upstream.url()]))];
        change(it);
    })
    .await
}

/// To the listener without TLS, where bytes are what they look like.
async fn plain(server: &Server) -> TcpStream {
    TcpStream::connect(server.bound.plain.unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_one_by_one_as_they_are_sent() {
    let (events, queue) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let queue = Arc::new(std::sync::Mutex::new(Some(queue)));
    let upstream = Upstream::serve(Router::new().fallback(any(move || {
        let mut queue = queue.lock().unwrap().take().unwrap();
        let events = futures::stream::poll_fn(move |cx| queue.poll_recv(cx));
        std::future::ready(([("content-type", "text/event-stream")], Body::from_stream(events)))
    })))
    .await;
    let server = front(&upstream).await;
    let response = server.client.get(server.url(SITE, "/")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.bytes_stream();
    for n in 0..5 {
        let event = format!("data: {n}\n\n");
        events.send(Ok(event.clone().into())).await.unwrap();
        let arrived = tokio::time::timeout(LONG, body.next()).await.expect("it is not held back");
        assert_eq!(arrived.unwrap().unwrap(), event);
    }
    drop(events);
    assert!(body.next().await.is_none());
}

const UPLOAD_BYTES: usize = 50 << 20;

fn pieces() -> impl Iterator<Item = Bytes> {
    (0..UPLOAD_BYTES / 65_536).map(|n| Bytes::from(vec![n.to_le_bytes()[0]; 65_536]))
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_megabytes_go_up_and_come_down_whole() {
    let up = post(|body: Body| async move {
        let mut hash = Sha256::new();
        let mut body = body.into_data_stream();
        while let Some(piece) = body.next().await {
            hash.update(piece.unwrap());
        }
        format!("{:x}", hash.finalize())
    });
    let down = get(|| async {
        Body::from_stream(futures::stream::iter(pieces().map(Ok::<_, std::io::Error>)))
    });
    let upstream = Upstream::serve(Router::new().route("/up", up).route("/down", down)).await;
    let server = front(&upstream).await;
    let mut hash = Sha256::new();
    pieces().for_each(|it| hash.update(&it));
    let expected = format!("{:x}", hash.finalize());

    let body = futures::stream::iter(pieces().map(Ok::<_, std::io::Error>));
    let request = server.client.post(server.url(SITE, "/up"));
    let sent = request.body(reqwest::Body::wrap_stream(body)).send().await.unwrap();
    assert_eq!(sent.text().await.unwrap(), expected);

    let mut hash = Sha256::new();
    let response = server.client.get(server.url(SITE, "/down")).send().await.unwrap();
    let mut body = response.bytes_stream();
    while let Some(piece) = body.next().await {
        hash.update(piece.unwrap());
    }
    assert_eq!(format!("{:x}", hash.finalize()), expected);
}

/// As much as both kernels' buffers of two connections and ours may hold, with room to spare; a
/// tenth of what is sent.
const HELD_BYTES_MAX: usize = 16 << 20;
const SENT_BYTES: usize = 160 << 20;

/// Writes until nobody takes any more, and tells how much was taken.
async fn stuffed(stream: &mut TcpStream) -> usize {
    let piece = vec![b'x'; 65_536];
    let mut n_taken = 0;
    while n_taken < SENT_BYTES {
        match tokio::time::timeout(Duration::from_millis(500), stream.write(&piece)).await {
            Ok(n) => n_taken += n.unwrap(),
            Err(_full) => break,
        }
    }
    n_taken
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_read_stops_the_visitor_and_not_our_memory() {
    let upstream = Upstream::talk(|mut stream, _n| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let server = front(&upstream).await;
    let mut visitor = plain(&server).await;
    say(
        &mut visitor,
        &format!("POST / HTTP/1.1\r\nhost: {SITE}\r\ncontent-length: {SENT_BYTES}\r\n\r\n"),
    )
    .await;
    let n_taken = stuffed(&mut visitor).await;
    assert!(n_taken < HELD_BYTES_MAX, "{n_taken} bytes were taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_does_not_read_stops_the_server_and_not_our_memory() {
    let n_taken = Arc::new(AtomicUsize::new(0));
    let taken = Arc::clone(&n_taken);
    let upstream = Upstream::talk(move |mut stream, _n| {
        let taken = Arc::clone(&taken);
        async move {
            read_head(&mut stream).await;
            say(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: {SENT_BYTES}\r\n\r\n"))
                .await;
            taken.store(stuffed(&mut stream).await, Ordering::SeqCst);
        }
    })
    .await;
    let server = front(&upstream).await;
    let mut visitor = plain(&server).await;
    say(&mut visitor, &format!("GET / HTTP/1.1\r\nhost: {SITE}\r\n\r\n")).await;
    until("nothing more is taken", || n_taken.load(Ordering::SeqCst) > 0).await;
    let n_taken = n_taken.load(Ordering::SeqCst);
    assert!(n_taken < HELD_BYTES_MAX, "{n_taken} bytes were taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_while_its_answer_is_not_read() {
    // Answers at once, then reads all; a driver that waits for the answer's reader would hang.
    let n_read = Arc::new(AtomicUsize::new(0));
    let read = Arc::clone(&n_read);
    let upstream = Upstream::talk(move |stream, _n| {
        let read = Arc::clone(&read);
        async move {
            let (mut from, mut to) = stream.into_split();
            let reading = tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(n @ 1..) = from.read(&mut buffer).await {
                    read.fetch_add(n, Ordering::SeqCst);
                }
            });
            to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n").await.unwrap();
            let piece = vec![b'x'; 65_536];
            while to.write_all(&piece).await.is_ok() {}
            reading.await.unwrap();
        }
    })
    .await;
    let server = front(&upstream).await;
    let mut visitor = plain(&server).await;
    say(
        &mut visitor,
        &format!("POST / HTTP/1.1\r\nhost: {SITE}\r\ncontent-length: {UPLOAD_BYTES}\r\n\r\n"),
    )
    .await;
    let sent = async {
        for piece in pieces() {
            visitor.write_all(&piece).await.unwrap();
        }
    };
    tokio::time::timeout(LONG, sent).await.expect("the upload goes on");
    until("all of it arrives", || n_read.load(Ordering::SeqCst) >= UPLOAD_BYTES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_server_refuses_beforehand_is_never_sent() {
    let upstream = Upstream::talk(|mut stream, _n| async move {
        let head = read_head(&mut stream).await.to_lowercase();
        assert!(head.contains("expect: 100-continue"), "{head}");
        if head.starts_with("post /fine") {
            say(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
            let mut body = [0; 4];
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"body");
            say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        } else {
            say(&mut stream, "HTTP/1.1 417 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        }
    })
    .await;
    let server = front(&upstream).await;
    let head = |path| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: {SITE}\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
        )
    };
    let mut visitor = plain(&server).await;
    say(&mut visitor, &head("/no")).await;
    let answer = read_head(&mut visitor).await;
    assert!(answer.starts_with("HTTP/1.1 417"), "{answer}");

    let mut visitor = plain(&server).await;
    say(&mut visitor, &head("/fine")).await;
    assert_eq!(read_head(&mut visitor).await, "HTTP/1.1 100 Continue\r\n\r\n");
    say(&mut visitor, "body").await;
    let answer = read_head(&mut visitor).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass() {
    let upstream = Upstream::talk(|mut stream, _n| async move {
        read_head(&mut stream).await;
        say(&mut stream, "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        say(&mut stream, "4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n").await;
    })
    .await;
    let server = front(&upstream).await;
    let mut visitor = plain(&server).await;
    say(
        &mut visitor,
        &format!("GET / HTTP/1.1\r\nhost: {SITE}\r\nte: trailers\r\nconnection: close\r\n\r\n"),
    )
    .await;
    let mut answer = String::new();
    visitor.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_have_none_and_keep_their_connection() {
    let router = Router::new()
        .route("/head", get(|| async { "twelve bytes" }))
        .route("/none", get(|| async { StatusCode::NO_CONTENT }))
        .route("/same", get(|| async { StatusCode::NOT_MODIFIED }));
    let upstream = Upstream::serve(router).await;
    let server = front(&upstream).await;
    for _ in 0..3 {
        let head = server.client.head(server.url(SITE, "/head")).send().await.unwrap();
        assert_eq!(head.headers()["content-length"], "12");
        for (path, status) in [("/none", 204), ("/same", 304)] {
            let got = server.client.get(server.url(SITE, path)).send().await.unwrap();
            assert_eq!(got.status(), status);
            assert!(got.bytes().await.unwrap().is_empty());
        }
    }
    assert_eq!(upstream.n_connections(), 1);
}

fn echoing_socket() -> Router {
    let echo = |socket: WebSocketUpgrade, headers: HeaderMap| async move {
        let user = headers.get("remote-user").map(|it| it.to_str().unwrap().to_owned());
        socket.on_upgrade(|mut socket| async move {
            if let Some(user) = user {
                drop(socket.send(user.into()).await);
            }
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        })
    };
    Router::new().route("/ws", any(echo)).fallback(any(|| async { "no socket" }))
}

async fn websocket(server: &Server) -> WebSocketStream<TcpStream> {
    let url = format!("ws://{SITE}/ws");
    let (socket, response) =
        tokio_tungstenite::client_async(url, plain(server).await).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_talks_through_us_until_either_side_ends_it() {
    let upstream = Upstream::serve(echoing_socket()).await;
    let server = front(&upstream).await;
    let mut socket = websocket(&server).await;
    for n in 0..200 {
        let message = Message::text(format!("{n}").repeat(n));
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    assert_eq!(server.upstreams()[0].status.n_active, 1);
    socket.close(None).await.unwrap();
    while socket.next().await.is_some_and(|it| it.is_ok()) {}
    until("it counts no more", || server.upstreams()[0].status.n_active == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_needs_the_login_that_its_site_asks_for() {
    let upstream = Upstream::serve(echoing_socket()).await;
    let server = front_with(&upstream, |it| {
        it.sites[0].access = SiteAccess::Scope(Scope::Query);
    })
    .await;
    let ask = |token: Option<&str>| {
        let login = token.map_or(String::new(), |it| format!("authorization: Bearer {it}\r\n"));
        format!(
            "GET /ws HTTP/1.1\r\nhost: {SITE}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             {login}sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    let mut stranger = plain(&server).await;
    say(&mut stranger, &ask(None)).await;
    let answer = read_head(&mut stranger).await;
    assert!(!answer.contains("101") && upstream.n_connections() == 0, "{answer}");
    let mut reader = plain(&server).await;
    say(&mut reader, &ask(Some(READER))).await;
    assert!(read_head(&mut reader).await.starts_with("HTTP/1.1 101"));
    let mut name = [0; 8];
    reader.read_exact(&mut name).await.unwrap();
    assert_eq!(&name[2..], b"reader");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_holds_its_place_among_the_connections() {
    let upstream = Upstream::serve(echoing_socket()).await;
    let server = front_with(&upstream, |it| it.limits.connections_max = 1).await;
    let socket = websocket(&server).await;
    let get = format!("GET / HTTP/1.1\r\nhost: {SITE}\r\nconnection: close\r\n\r\n");
    let mut waiting = plain(&server).await;
    say(&mut waiting, &get).await;
    let early = tokio::time::timeout(Duration::from_millis(200), waiting.read_u8()).await;
    assert!(early.is_err(), "answered while the websocket had the only place");
    drop(socket);
    assert!(read_head(&mut waiting).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_told_when_the_front_stops_and_does_not_hold_it_up() {
    let upstream = Upstream::serve(echoing_socket()).await;
    let server = front(&upstream).await;
    let mut socket = websocket(&server).await;
    socket.send(Message::text("x")).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let (_dir, stopped) = tokio::time::timeout(LONG, server.stop()).await.unwrap();
    stopped.unwrap();
    let last = socket.next().await.unwrap().unwrap();
    let Message::Close(Some(frame)) = last else { panic!("{last:?}") };
    assert_eq!(u16::from(frame.code), 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_websocket_is_given_up() {
    let upstream = Upstream::serve(echoing_socket()).await;
    let server = Server::start_with(|it| {
        let mut config = proxy(&[&upstream.url()]);
        config.timeouts.idle = Duration::from_millis(100);
        it.sites = vec![site(config)];
    })
    .await;
    let mut socket = websocket(&server).await;
    let ended = tokio::time::timeout(LONG, socket.next()).await.expect("it ends");
    assert!(ended.is_none_or(|it| it.is_err()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_want_a_websocket_answers_as_usual() {
    let upstream = Upstream::serve(echoing_socket()).await;
    let server = front(&upstream).await;
    let request = server.client.get(server.url(SITE, "/other"));
    let request = request.header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(request.send().await.unwrap().text().await.unwrap(), "no socket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protocol_that_nobody_asked_for_is_no_answer() {
    let upstream = Upstream::talk(|mut stream, _n| async move {
        read_head(&mut stream).await;
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n";
        say(&mut stream, head).await;
        drop(stream.read_u8().await);
    })
    .await;
    let server = front(&upstream).await;
    let request = || server.client.get(server.url(SITE, "/"));
    assert_eq!(request().send().await.unwrap().status(), StatusCode::BAD_GATEWAY);
    let asked = request().header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_cookies_become_one_line_and_the_host_is_told() {
    let upstream = Upstream::serve(crate::upstream::echo_head()).await;
    let server = front(&upstream).await;
    let tls = connect_as(&server, rustls::ALL_VERSIONS, &[b"h2"], SITE).await;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(tls),
    )
    .await
    .unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::get(format!("https://{SITE}/x"))
        .header("cookie", "a=b")
        .header("cookie", "__Host-skep=secret")
        .header("cookie", "c=d")
        .body(Body::empty())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let seen = response.into_body().collect().await.unwrap().to_bytes();
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    for line in ["GET /x", "cookie: a=b; c=d", &format!("host: {SITE}")] {
        assert!(seen.lines().any(|it| it == line), "{line}: {seen}");
    }
    driver.abort();
}
