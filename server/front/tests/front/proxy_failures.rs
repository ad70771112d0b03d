//! Servers that are away, slow, or break off, and what a visitor gets then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response as AxumResponse;
use axum::routing::{any, get};
use futures::StreamExt;
use reqwest::Response;
use skep_front::{Balance, HealthConfig, HealthPath, ProxyConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::server::Server;
use crate::upstream::{LONG, SITE, Upstream, proxy, read_head, say, site, until};

async fn front(config: ProxyConfig) -> Server {
    Server::start_with(|it| it.sites = vec![site(config)]).await
}

async fn get_from(server: &Server, path: &str) -> Response {
    server.client.get(server.url(SITE, path)).send().await.unwrap()
}

/// An address where nobody listens.
async fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Always says `text`.
async fn saying(text: &'static str) -> Upstream {
    Upstream::serve(Router::new().fallback(any(move || std::future::ready(text)))).await
}

/// An answer whose end does not come.
const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";

/// Says `text` to a request and holds on to its connection; whether that has ended.
async fn clinging(text: &'static str) -> (Upstream, Arc<AtomicBool>) {
    let ended = Arc::new(AtomicBool::new(false));
    let has_ended = Arc::clone(&ended);
    let upstream = Upstream::talk(move |mut stream, _n| {
        let ended = Arc::clone(&ended);
        async move {
            read_head(&mut stream).await;
            say(&mut stream, text).await;
            // An end, with or without an error, is all that is asked for.
            drop(stream.read_u8().await);
            ended.store(true, Ordering::SeqCst);
        }
    })
    .await;
    (upstream, has_ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_a_502_that_names_nothing() {
    let addr = nobody().await;
    let mut config = proxy(&[&format!("http://{addr}")]);
    config.retries.tries = 1;
    let server = front(config).await;
    let response = get_from(&server, "/").await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert_eq!(response.text().await.unwrap(), "the service cannot be reached\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_a_504_and_loses_its_connection() {
    let (upstream, has_ended) = clinging("").await;
    let mut config = proxy(&[&upstream.url()]);
    config.timeouts.response = Duration::from_millis(100);
    let server = front(config).await;
    assert_eq!(get_from(&server, "/").await.status(), StatusCode::GATEWAY_TIMEOUT);
    until("the connection ends", || has_ended.load(Ordering::SeqCst)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_waited_for() {
    let upstream = Upstream::talk(|mut stream, _n| async move {
        read_head(&mut stream).await;
        for piece in ["HTTP/1.1 200 OK\r\n", "content-length: 4\r\n\r\n", "slo", "w"] {
            tokio::time::sleep(Duration::from_millis(30)).await;
            say(&mut stream, piece).await;
        }
    })
    .await;
    let server = front(proxy(&[&upstream.url()])).await;
    let response = get_from(&server, "/").await;
    assert_eq!(response.text().await.unwrap(), "slow");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let upstream = Upstream::talk(move |mut stream, _n| async move {
            read_head(&mut stream).await;
            let body = if head.starts_with('c') { "half" } else { "4\r\nhalf\r\n" };
            say(&mut stream, &format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}")).await;
        })
        .await;
        let server = front(proxy(&[&upstream.url()])).await;
        // The head may be lost with the body.
        let whole = match server.client.get(server.url(SITE, "/")).send().await {
            Ok(response) => response.bytes().await,
            Err(error) => Err(error),
        };
        assert!(whole.is_err(), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stalls_is_given_up() {
    let (upstream, _has_ended) = clinging(HALF).await;
    let mut config = proxy(&[&upstream.url()]);
    config.timeouts.idle = Duration::from_millis(100);
    let server = front(config).await;
    let body = get_from(&server, "/").await.bytes();
    assert!(tokio::time::timeout(LONG, body).await.expect("it ends").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_instead_of_an_answer_is_a_502() {
    let upstream = Upstream::talk(|mut stream, _n| async move {
        read_head(&mut stream).await;
        say(&mut stream, "SSH-2.0-OpenSSH_9.2\r\n").await;
    })
    .await;
    let server = front(proxy(&[&upstream.url()])).await;
    let response = get_from(&server, "/").await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(response.text().await.unwrap(), "the service gave no usable answer\n");
}

/// Answers one request on each connection, then closes it when the next one comes.
async fn forgetful(n_heads: Arc<AtomicUsize>) -> Upstream {
    Upstream::talk(move |mut stream, _n| {
        let n_heads = Arc::clone(&n_heads);
        async move {
            read_head(&mut stream).await;
            n_heads.fetch_add(1, Ordering::SeqCst);
            say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            if !read_head(&mut stream).await.is_empty() {
                n_heads.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_met_a_dying_connection_is_asked_again() {
    let n_heads = Arc::new(AtomicUsize::new(0));
    let upstream = forgetful(Arc::clone(&n_heads)).await;
    let server = front(proxy(&[&upstream.url()])).await;
    for _ in 0..6 {
        assert_eq!(get_from(&server, "/").await.text().await.unwrap(), "ok");
    }
    assert!(n_heads.load(Ordering::SeqCst) > 6, "no connection was used twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_met_a_dying_connection_is_not() {
    let n_heads = Arc::new(AtomicUsize::new(0));
    let upstream = forgetful(Arc::clone(&n_heads)).await;
    let server = front(proxy(&[&upstream.url()])).await;
    assert_eq!(get_from(&server, "/").await.text().await.unwrap(), "ok");
    let post = server.client.post(server.url(SITE, "/")).send().await.unwrap();
    assert_eq!(post.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(n_heads.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_closed_meanwhile_costs_no_write() {
    let close = Arc::new(Notify::new());
    let told = Arc::clone(&close);
    let upstream = Upstream::talk(move |mut stream, _n| {
        let told = Arc::clone(&told);
        async move {
            let is_read = read_head(&mut stream).await.starts_with("GET");
            let end = if is_read { "" } else { "connection: close\r\n" };
            say(&mut stream, &format!("HTTP/1.1 200 OK\r\n{end}content-length: 2\r\n\r\nok")).await;
            if is_read {
                told.notified().await;
                stream.shutdown().await.unwrap();
                drop(stream.read_u8().await);
            }
        }
    })
    .await;
    let server = front(proxy(&[&upstream.url()])).await;
    for _ in 0..5 {
        assert_eq!(get_from(&server, "/").await.text().await.unwrap(), "ok");
        close.notify_one();
        until("the end arrives here", || is_closed_by(upstream.addr.port())).await;
        let post = server.client.post(server.url(SITE, "/")).send().await.unwrap();
        assert_eq!(post.text().await.unwrap(), "ok");
    }
    assert_eq!(upstream.n_connections(), 10);
}

/// Whether a connection to this port has heard of its end, and not ended yet: the kernel's table
/// has it as 08, CLOSE_WAIT.
fn is_closed_by(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut lines = table.lines().map(|it| it.split_ascii_whitespace().collect::<Vec<_>>());
    lines.any(|it| it[2].ends_with(&format!(":{port:04X}")) && it[3] == "08")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_servers_one_that_is_away_costs_nobody_an_answer() {
    let alive = saying("alive").await;
    for balance in [Balance::LeastConn, Balance::RoundRobin, Balance::Random, Balance::First] {
        let mut config = proxy(&[&format!("http://{}", nobody().await), &alive.url()]);
        config.balance = balance;
        let server = front(config).await;
        for _ in 0..5 {
            let post = server.client.post(server.url(SITE, "/")).body("x").send().await.unwrap();
            assert_eq!(post.text().await.unwrap(), "alive");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_starting_again_is_waited_for() {
    let addr = nobody().await;
    let server = front(proxy(&[&format!("http://{addr}")])).await;
    let url = server.url(SITE, "/");
    let client = server.client.clone();
    let asked = tokio::spawn(async move { client.get(url).send().await.unwrap() });
    until("the first try failed", || server.upstreams().iter().any(|it| it.status.n_failures > 0))
        .await;
    let _late = Upstream::talk_at(addr, |mut stream, _n| async move {
        read_head(&mut stream).await;
        say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
    })
    .await;
    assert_eq!(asked.await.unwrap().text().await.unwrap(), "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_health_check_fails_gets_nothing_until_it_is_well_again() {
    let is_well = Arc::new(AtomicBool::new(true));
    let health = Arc::clone(&is_well);
    let router = Router::new().fallback(any(|| async { "answer" })).route(
        "/health",
        get(move || {
            let well = health.load(Ordering::SeqCst);
            let status =
                if well { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR };
            std::future::ready(status)
        }),
    );
    let upstream = Upstream::serve(router).await;
    let mut config = proxy(&[&upstream.url()]);
    let mut checks = HealthConfig::new(HealthPath::parse("/health").unwrap());
    checks.interval = Duration::from_millis(20);
    checks.failures = 2;
    config.health = Some(checks);
    let server = front(config).await;
    let is_up = |wanted| {
        let server = &server;
        async move {
            until("its state changes", || server.upstreams()[0].status.is_up == wanted).await;
        }
    };
    assert_eq!(get_from(&server, "/").await.text().await.unwrap(), "answer");
    is_well.store(false, Ordering::SeqCst);
    is_up(false).await;
    let refused = get_from(&server, "/").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.text().await.unwrap(), "the service is down; try again later\n");
    is_well.store(true, Ordering::SeqCst);
    is_up(true).await;
    assert_eq!(get_from(&server, "/").await.text().await.unwrap(), "answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_leads_back_to_itself_is_told_so() {
    let addr = nobody().await;
    let server = Server::start_with(|it| {
        it.plain = Some(skep_front::PlainListener {
            addr: skep_front::LoopbackAddr::new(addr).unwrap(),
            require_auth: skep_front::PlainAuth::Required,
        });
        it.sites = vec![site(proxy(&[&format!("http://{addr}")]))];
    })
    .await;
    assert_eq!(get_from(&server, "/").await.status(), StatusCode::LOOP_DETECTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_leaves_ends_the_request_behind_us_too() {
    let (upstream, has_ended) = clinging(HALF).await;
    let server = front(proxy(&[&upstream.url()])).await;
    let mut body = get_from(&server, "/").await.bytes_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "half");
    assert_eq!(server.upstreams()[0].status.n_active, 1);
    drop(body);
    until("the server sees it", || has_ended.load(Ordering::SeqCst)).await;
    until("it counts no more", || server.upstreams()[0].status.n_active == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_above_the_limit_is_a_413_whether_its_length_is_known_or_not() {
    let router = Router::new().fallback(any(|body: Bytes| async move {
        AxumResponse::new(Body::from(body.len().to_string()))
    }));
    let upstream = Upstream::serve(router).await;
    let server = Server::start_with(|it| {
        let mut site = site(proxy(&[&upstream.url()]));
        site.body_max = Some(100_000);
        it.sites = vec![site];
    })
    .await;
    let chunks = |n: usize| {
        let chunks = (0..n).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1000])));
        reqwest::Body::wrap_stream(futures::stream::iter(chunks))
    };
    let post = || server.client.post(server.url(SITE, "/"));
    let text = post().body(vec![b'x'; 100_000]).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "100000");
    let text = post().body(chunks(100)).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "100000");
    for body in [reqwest::Body::from(vec![b'x'; 100_001]), chunks(101)] {
        let refused = post().body(body).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
