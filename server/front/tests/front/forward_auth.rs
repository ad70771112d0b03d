//! A foreign login: a server like Authelia is asked about each request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use skep_front::{Action, ForwardAuth, Guard, HeaderRules, Route, RouteGuard, SiteConfig};

use crate::handlers::{HOST, SHORT, raw, respond, route, silent_server, site};
use crate::server::Server;
use crate::upstream::{Upstream, echo_head, proxy};

/// Lets in who has the cookie; keeps what it was asked.
struct Auth {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Auth {
    async fn start() -> Self {
        let (addr, listener) = silent_server().await;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let router = Router::new().fallback(move |request: Request| {
            let what = format!("{} {}", request.method(), request.uri());
            let headers = request.headers().clone();
            let response = answer(&headers);
            kept.lock().unwrap().push((what, headers));
            std::future::ready(response)
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, asked }
    }

    fn url(&self) -> String {
        format!("http://{}/api/authz/forward-auth?rd=x", self.addr)
    }

    fn last(&self) -> (String, HeaderMap) {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

fn answer(headers: &HeaderMap) -> Response {
    match headers.get("cookie").map(|it| it.to_str().unwrap()) {
        Some("authelia_session=ada") => [("remote-user", "ada")].into_response(),
        Some("authelia_session=guest") => StatusCode::NO_CONTENT.into_response(),
        Some(_other) => (StatusCode::FORBIDDEN, "not you").into_response(),
        None => {
            let host = headers["x-forwarded-host"].to_str().unwrap();
            let to = format!("https://auth.home.lan/?rd=https://{host}");
            let headers = [("location", to), ("set-cookie", "authelia_session=new".to_owned())];
            (StatusCode::FOUND, headers, "go and log in").into_response()
        }
    }
}

fn guard(url: &str, copied: &[&str]) -> Guard {
    let copied: Vec<String> = copied.iter().map(|it| (*it).to_owned()).collect();
    let mut forward_auth = ForwardAuth::new(url, &copied).unwrap();
    forward_auth.timeout = SHORT;
    Guard { forward_auth: Some(forward_auth), ..Guard::default() }
}

async fn serve(guard: Guard) -> Server {
    let open = Route { guard: RouteGuard::Open, ..route("/api/*", respond("open")) };
    let config = site(vec![open, route("/*", respond("inside"))]);
    let config = SiteConfig { guard, ..config };
    Server::start_with(|it| it.sites = vec![config]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_auth_server_hears_what_was_asked_and_decides() {
    let auth = Auth::start().await;
    let server = serve(guard(&auth.url(), &["Remote-User"])).await;
    let request = server
        .client
        .post(server.url(HOST, "/photos?id=1"))
        .header("cookie", "authelia_session=ada")
        // Nothing of this may reach the auth server as it is.
        .header("x-forwarded-for", "10.9.9.9")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-uri", "/public")
        .header("x-forwarded-method", "OPTIONS")
        .header("x-forwarded-proto", "gopher")
        .body("a picture");
    assert_eq!(request.send().await.unwrap().text().await.unwrap(), "inside");
    let (what, headers) = auth.last();
    assert_eq!(what, "GET /api/authz/forward-auth?rd=x");
    let port = server.https().port();
    for (name, value) in [
        ("x-forwarded-method", "POST"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", &format!("{HOST}:{port}")),
        ("x-forwarded-uri", "/photos?id=1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("host", &auth.addr.to_string()),
        ("cookie", "authelia_session=ada"),
    ] {
        assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
    }
    assert!(!headers.contains_key("content-length") && !headers.contains_key("transfer-encoding"));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_no_and_its_way_to_the_login_reach_the_browser_as_they_are() {
    let auth = Auth::start().await;
    let server = serve(guard(&auth.url(), &[])).await;
    let url = server.url(HOST, "/x");
    let login = server.client.get(&url).send().await.unwrap();
    assert_eq!(login.status(), 302);
    let location = login.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.starts_with("https://auth.home.lan/?rd=https://x.home.lan"), "{location}");
    assert_eq!(login.headers()["set-cookie"], "authelia_session=new");
    assert_eq!(login.text().await.unwrap(), "go and log in");
    let no = server.client.get(&url).header("cookie", "authelia_session=eve").send().await.unwrap();
    assert_eq!((no.status().as_u16(), no.text().await.unwrap().as_str()), (403, "not you"));
    let n_asked = auth.asked.lock().unwrap().len();
    let open = server.client.get(server.url(HOST, "/api/x")).send().await.unwrap();
    assert_eq!(open.text().await.unwrap(), "open");
    assert_eq!(auth.asked.lock().unwrap().len(), n_asked, "an open route asks nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_hears_who_somebody_is_from_the_auth_server_only() {
    let (auth, upstream) = (Auth::start().await, Upstream::serve(echo_head()).await);
    let behind = || Action::Proxy(Box::new(proxy(&[&upstream.url()])));
    let open = Route { guard: RouteGuard::Open, ..route("/api/*", behind()) };
    let mut rules = HeaderRules::default();
    rules.set("X-From", "front").unwrap();
    let config = SiteConfig {
        guard: guard(&auth.url(), &["Remote-User", "Remote-User>X-Name", "Remote-Groups"]),
        request_headers: rules,
        ..site(vec![open, route("/*", behind())])
    };
    let server = Server::start_with(|it| it.sites = vec![config]).await;
    let ask = async |path: &str, headers: &str| raw(&server, &format!("GET {path}"), headers).await;

    let seen = ask("/", "cookie: authelia_session=ada\r\n").await;
    assert!(seen.contains("\nremote-user: ada") && seen.contains("\nx-name: ada"), "{seen}");

    let forged = "remote-user: root\r\nRemote-Groups: admins\r\nremote_user: root\r\n\
                  Remote_Groups: admins\r\nx-name: root\r\n";
    let seen = ask("/", &format!("cookie: authelia_session=ada\r\n{forged}")).await;
    assert!(seen.contains("\nremote-user: ada") && seen.contains("\nx-name: ada"), "{seen}");
    assert!(!seen.contains("root") && !seen.contains("admins"), "{seen}");
    // The auth server lets this one in, but names nobody.
    let seen = ask("/", &format!("cookie: authelia_session=guest\r\n{forged}")).await;
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
    assert!(!seen.contains("root") && !seen.contains("admins"), "{seen}");
    // Where nobody is asked, nobody is somebody either.
    let seen = ask("/api/x", forged).await;
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
    assert!(!seen.contains("root") && !seen.contains("admins"), "{seen}");
    // Nor can a client have the headers taken away again.
    let nominated = "cookie: authelia_session=ada\r\nconnection: x-name, x-from, remote-user\r\n";
    let seen = ask("/", nominated).await;
    assert!(seen.contains("\nremote-user: ada") && seen.contains("\nx-name: ada"), "{seen}");
    assert!(seen.contains("\nx-from: front"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auth_server_that_is_away_or_silent_lets_nobody_in() {
    let (addr, listener) = silent_server().await;
    let server = serve(guard(&format!("http://{addr}/"), &[])).await;
    let status = async || server.client.get(server.url(HOST, "/")).send().await.unwrap().status();
    assert_eq!(status().await, 504, "it takes the connection and says nothing");
    drop(listener);
    assert_eq!(status().await, 502, "nobody listens there");
}
