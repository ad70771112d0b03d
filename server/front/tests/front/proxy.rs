//! What a server behind the front sees of a request, and a visitor of its answer.

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use expect_test::{Expect, expect};
use skep_front::{HostSent, Networks, Scope, SiteAccess};

use crate::server::{PASSWORD, READER, Server};
use crate::upstream::{SITE, Upstream, echo_head, proxy, site};

/// A front whose site leads to a server that tells what it was asked.
async fn echoing(change: impl FnOnce(&mut skep_front::Config)) -> (Server, Upstream) {
    let upstream = Upstream::serve(echo_head()).await;
    let server = Server::start_with(|config| {
        config.sites = vec![site(proxy(&[&upstream.url()]))];
        change(config);
    })
    .await;
    (server, upstream)
}

/// What the server saw, with ports as `<port>`.
async fn seen(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> String {
    let mut request = server.client.get(server.url(SITE, path));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    request = request.headers(map);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.text().await.unwrap().replace(&format!(":{}", server.https().port()), ":<port>")
}

#[track_caller]
fn check(seen: &str, expected: &Expect) {
    expected.assert_eq(seen);
}

/// What it sees of every request.
const USUAL: [&str; 8] = [
    "GET /",
    "accept: */*",
    "accept-encoding: gzip",
    "cdn-loop: skep",
    "host: x.home.lan:<port>",
    "x-forwarded-for: 127.0.0.1",
    "x-forwarded-host: x.home.lan:<port>",
    "x-forwarded-proto: https",
];

/// What of these headers a server sees besides the usual, all of which must be there.
async fn more(server: &Server, headers: &[(&'static str, &str)]) -> String {
    let seen = seen(server, "/", headers).await;
    let (usual, more): (Vec<&str>, Vec<&str>) = seen.lines().partition(|it| USUAL.contains(it));
    assert_eq!(usual, USUAL, "{seen}");
    more.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_on_with_what_we_know_of_the_visitor() {
    let (server, _upstream) = echoing(|_config| {}).await;
    check(
        &seen(&server, "/a%20b?c=d", &[]).await,
        &expect![[r#"
        GET /a%20b?c=d
        accept: */*
        accept-encoding: gzip
        cdn-loop: skep
        host: x.home.lan:<port>
        x-forwarded-for: 127.0.0.1
        x-forwarded-host: x.home.lan:<port>
        x-forwarded-proto: https"#]],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_one_connection_stays_on_it() {
    let (server, _upstream) = echoing(|_config| {}).await;
    let headers = [
        ("connection", "x-secret, keep-alive, host"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eDp5"),
        ("te", "gzip, trailers"),
        ("upgrade", "h2c"),
        ("cookie", "a=b"),
    ];
    assert_eq!(more(&server, &headers).await, "cookie: a=b\nte: trailers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_does_not_say_where_a_request_comes_from() {
    let (server, _upstream) = echoing(|_config| {}).await;
    let headers = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "bank.example"),
        ("x-forwarded-port", "70"),
        ("x_forwarded_for", "10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
    ];
    assert_eq!(more(&server, &headers).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_before_us_is_believed() {
    let (server, _upstream) = echoing(|config| {
        config.trusted_proxies = Networks::parse(["127.0.0.0/8"]).unwrap();
    })
    .await;
    let headers = [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example"),
        ("forwarded", "for=192.0.2.1"),
    ];
    check(
        &seen(&server, "/", &headers).await,
        &expect![[r#"
        GET /
        accept: */*
        accept-encoding: gzip
        cdn-loop: skep
        host: x.home.lan:<port>
        x-forwarded-for: 192.0.2.1, 10.0.0.1, 127.0.0.1
        x-forwarded-host: shop.example
        x-forwarded-proto: http"#]],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn our_cookie_stays_here_and_the_others_go_on() {
    let (server, _upstream) = echoing(|_config| {}).await;
    let headers = [("cookie", "a=b; __Host-skep=secret;c=d"), ("cookie", "e=\"f g\"")];
    assert_eq!(more(&server, &headers).await, "cookie: a=b; c=d; e=\"f g\"");
    assert_eq!(more(&server, &[("cookie", "__Host-skep=secret")]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_with_a_login_learns_the_name_and_nothing_secret() {
    let upstream = Upstream::serve(echo_head()).await;
    let server = Server::start_with(|config| {
        let mut site = site(proxy(&[&upstream.url()]));
        site.access = SiteAccess::Scope(Scope::Query);
        config.sites = vec![site];
    })
    .await;
    let client = || server.client.get(server.url(SITE, "/"));
    let refused = client().header("remote-user", "root").send().await.unwrap();
    assert_ne!(refused.status(), 200);
    let spoofed = || client().header("remote-user", "root").header("remote_user", "root");
    for request in [spoofed().bearer_auth(READER), spoofed().basic_auth("ada", Some(PASSWORD))] {
        let seen = request.send().await.unwrap().text().await.unwrap();
        let told: Vec<_> = seen
            .lines()
            .filter(|it| it.starts_with("remote") || it.starts_with("authorization"))
            .collect();
        assert!(told == ["remote-user: reader"] || told == ["remote-user: ada"], "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_sites_own_passwords_go_on() {
    let (server, _upstream) = echoing(|_config| {}).await;
    let seen = seen(&server, "/", &[("authorization", "Bearer theirs")]).await;
    assert!(seen.contains("authorization: Bearer theirs"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_sent_is_kept_the_upstreams_or_a_name() {
    let upstream = Upstream::serve(echo_head()).await;
    for (host, expected) in [
        (HostSent::Kept, format!("host: {SITE}:<port>")),
        (HostSent::Upstream, format!("host: {}", upstream.addr)),
        (HostSent::parse("nas.lan").unwrap(), "host: nas.lan".to_owned()),
    ] {
        let server = Server::start_with(|config| {
            let mut proxy = proxy(&[&upstream.url()]);
            proxy.host = host;
            config.sites = vec![site(proxy)];
        })
        .await;
        let seen = seen(&server, "/", &[]).await;
        assert!(seen.lines().any(|it| it == expected), "{expected}: {seen}");
        assert!(seen.contains(&format!("x-forwarded-host: {SITE}:<port>")), "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_back_without_what_belongs_to_its_connection() {
    let router = Router::new().route(
        "/",
        get(|| async {
            Response::builder()
                .status(418)
                .header("connection", "x-inner, keep-alive")
                .header("x-inner", "1")
                .header("keep-alive", "timeout=5")
                .header("server", "teapot")
                .header("set-cookie", "a=1")
                .header("set-cookie", "b=2")
                .body(Body::from("short and stout"))
                .unwrap()
        }),
    );
    let upstream = Upstream::serve(router).await;
    let server =
        Server::start_with(|config| config.sites = vec![site(proxy(&[&upstream.url()]))]).await;
    let response = server.client.get(server.url(SITE, "/")).send().await.unwrap();
    assert_eq!(response.status(), 418);
    let headers = response.headers();
    assert!(!headers.contains_key("x-inner") && !headers.contains_key("keep-alive"));
    assert_eq!(headers["server"], "teapot");
    assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(response.text().await.unwrap(), "short and stout");
}
