//! Another configuration for a front that runs.

use std::time::Duration;

use axum::http::StatusCode;
use skep_front::{
    Action, BasicUser, HealthConfig, HealthPath, HostPattern, PasswordHash, PathPattern, Respond,
    Route, SiteConfig,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{PASSWORD, READER, Server, client, config};
use crate::upstream::{Upstream, proxy, read_head, say, site as proxying, until};

fn site(host: &str, body: &str) -> SiteConfig {
    let action = Action::Respond(Respond { status: StatusCode::OK, body: body.to_owned() });
    let routes = vec![Route::new(PathPattern::ALL, action)];
    SiteConfig::new(vec![HostPattern::parse(host).unwrap()], routes)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_counts_from_the_next_request_on() {
    let server = Server::start_with(|it| it.sites = vec![site("photos.home.lan", "old")]).await;
    let ask = async || {
        let answer = server.client.get(server.url("photos.home.lan", "/")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ask().await, (200, "old".to_owned()));
    let mut next = config(server.dir.path());
    next.https = vec![server.https()];
    next.sites = vec![site("photos.home.lan", "new")];
    server.reloads.apply(next.clone()).await.unwrap();
    // The same connection, kept alive by the client.
    assert_eq!(ask().await, (200, "new".to_owned()));
    next.sites = Vec::new();
    server.reloads.apply(next).await.unwrap();
    assert_eq!(ask().await.0, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_bad_reload_everything_is_as_it_was() {
    let server = Server::start_with(|it| it.sites = vec![site("photos.home.lan", "old")]).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut twice = config(server.dir.path());
    twice.https = vec![server.https()];
    twice.sites = vec![site("photos.home.lan", "new"), site("photos.home.lan", "twice")];
    let error = server.reloads.apply(twice).await.unwrap_err().to_string();
    assert!(error.contains("\"photos.home.lan\" is there twice"), "{error}");
    let mut taken_port = config(server.dir.path());
    taken_port.sites = vec![site("photos.home.lan", "new")];
    taken_port.https = vec![taken.local_addr().unwrap()];
    let error = server.reloads.apply(taken_port).await.unwrap_err().to_string();
    assert!(error.contains("cannot listen on"), "{error}");
    let answer = server.client.get(server.url("photos.home.lan", "/")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_moves_and_its_open_connections_go_on() {
    let server = Server::start().await;
    let mut open = TcpStream::connect(server.bound.plain.unwrap()).await.unwrap();
    let request = b"GET /-/healthy HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut buffer = [0; 4096];
    open.write_all(request).await.unwrap();
    assert!(open.read(&mut buffer).await.unwrap() > 0);

    let mut next = config(server.dir.path());
    next.plain = None;
    next.https.push("[::1]:0".parse().unwrap());
    let bound = server.reloads.apply(next).await.unwrap();
    assert_eq!(bound.plain, None);
    assert_eq!((bound.https.len(), bound.https[0]), (2, server.https()));
    assert!(TcpStream::connect(bound.https[1]).await.is_ok(), "the new listener is open");
    let refused = TcpStream::connect(server.bound.plain.unwrap()).await;
    assert!(refused.is_err(), "the old listener is closed");
    open.write_all(request).await.unwrap();
    let n_bytes = open.read(&mut buffer).await.unwrap();
    assert!(buffer[..n_bytes].starts_with(b"HTTP/1.1 200"), "an open connection goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_port_on_all_addresses_replaces_it_on_one() {
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        free.local_addr().unwrap().port()
    };
    let one = format!("127.0.0.1:{port}").parse().unwrap();
    let all = format!("0.0.0.0:{port}").parse().unwrap();
    let server = Server::start_with(|it| it.https = vec![one]).await;
    let mut next = config(server.dir.path());
    next.https = vec![all];
    assert_eq!(server.reloads.apply(next.clone()).await.unwrap().https, [all]);
    let fresh = client(&server.bound);
    let ask = fresh.get(server.url("home.lan", "/")).bearer_auth(READER);
    assert_eq!(ask.timeout(Duration::from_secs(10)).send().await.unwrap().status(), 200);

    // Something is wrong with another listener: the one that was in the way is there again.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    next.https = vec![one, taken.local_addr().unwrap()];
    server.reloads.apply(next).await.unwrap_err();
    let fresh = client(&server.bound);
    let ask = fresh.get(server.url("home.lan", "/")).bearer_auth(READER);
    assert_eq!(ask.timeout(Duration::from_secs(10)).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_logins_and_connections_count_from_the_reload_on() {
    let server = Server::start_with(|it| it.limits.login_burst = 1).await;
    let mut next = config(server.dir.path());
    next.https = vec![server.https()];
    next.limits.session_lifetime = Duration::from_secs(77);
    next.limits.login_burst = 2;
    next.limits.connections_max = 1;
    server.reloads.apply(next.clone()).await.unwrap();
    let login = server.send_login("ada", PASSWORD).await;
    let cookie = login.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("Max-Age=77;"), "{cookie}");
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(server.send_login("ada", "wrong").await.status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 429]);

    // The client's connection is open, and there may be no other.
    let healthy = || client(&server.bound).get(server.url("home.lan", "/-/healthy")).send();
    let second = tokio::spawn(healthy());
    let answer = server.get("/-/healthy").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!second.is_finished());
    next.limits.connections_max = 2;
    server.reloads.apply(next).await.unwrap();
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_site_has_a_certificate_of_its_name() {
    let server = Server::start().await;
    let mut next = config(server.dir.path());
    next.https = vec![server.https()];
    next.sites = vec![site("photos.elsewhere.lan", "hello")];
    server.reloads.apply(next).await.unwrap();
    let ca = std::fs::read(&server.bound.ca_file).unwrap();
    let client = reqwest::Client::builder()
        .tls_built_in_root_certs(false)
        .add_root_certificate(reqwest::Certificate::from_pem(&ca).unwrap())
        .resolve("photos.elsewhere.lan", server.https())
        .build()
        .unwrap();
    let answer = client.get(server.url("photos.elsewhere.lan", "/")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_tried_too_many_passwords_waits_after_a_reload_too() {
    let mut site = site("photos.home.lan", "pictures");
    let password = PasswordHash::cheap("right").unwrap();
    let user = BasicUser { name: "bob".to_owned(), password };
    site.guard.basic_auth = vec![user];
    let mut next = config(std::path::Path::new(""));
    let server = Server::start_with(|it| {
        it.sites = vec![site.clone()];
        next = it.clone();
    })
    .await;
    let guess = async || {
        let url = server.url("photos.home.lan", "/");
        let request = server.client.get(url).basic_auth("bob", Some("wrong"));
        request.send().await.unwrap().status().as_u16()
    };
    for _ in 0..next.limits.login_burst {
        assert_eq!(guess().await, 401);
    }
    assert_eq!(guess().await, 429);
    next.https = vec![server.https()];
    server.reloads.apply(next).await.unwrap();
    assert_eq!(guess().await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_down_is_down_after_a_reload_too() {
    // The first question is answered badly, later ones never: nothing can be found out twice.
    let upstream = Upstream::talk(|mut stream, n| async move {
        read_head(&mut stream).await;
        if n == 0 {
            say(&mut stream, "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
        drop(stream.read_u8().await);
    })
    .await;
    let mut proxied = proxy(&[&upstream.url()]);
    let mut health = HealthConfig::new(HealthPath::parse("/health").unwrap());
    health.timeout = Duration::from_secs(3600);
    proxied.health = Some(health);
    let mut next = config(std::path::Path::new(""));
    let server = Server::start_with(|it| {
        it.sites = vec![proxying(proxied.clone())];
        next = it.clone();
    })
    .await;
    let is_up = || server.upstreams()[0].status.is_up;
    let metric = || {
        let text = server.figures.to_text();
        let name = "skep_reverse_proxy_upstreams_healthy";
        let line = text.lines().find(|it| it.starts_with(&format!("{name}{{"))).unwrap();
        let labels = format!("{name}{{site=\"x.home.lan\",upstream=\"{}\"}} ", upstream.url());
        line.strip_prefix(&labels).unwrap_or_else(|| panic!("{line}")).to_owned()
    };
    until("the check fails", || !is_up()).await;
    assert_eq!(metric(), "0");
    next.https = vec![server.https()];
    server.reloads.apply(next.clone()).await.unwrap();
    assert!(!is_up());
    assert_eq!(metric(), "0");
    // Nobody asks any more.
    proxied.health = None;
    next.sites = vec![proxying(proxied)];
    server.reloads.apply(next).await.unwrap();
    assert!(is_up());
    assert_eq!(metric(), "1");
}
