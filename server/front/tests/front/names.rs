//! Virtual hosts, the redirect listener and the CA.

use axum::http::StatusCode;
use skep_front::{Action, HostPattern, PathPattern, Respond, Route, Scope, SiteAccess, SiteConfig};

use crate::server::{READER, Server};

#[tokio::test(flavor = "multi_thread")]
async fn each_name_leads_to_its_router_over_tls_with_the_pinned_ca() {
    let server = Server::start().await;
    for (host, path, expected) in [
        ("home.lan", "/", "page / reader 127.0.0.1"),
        ("lan.home.lan", "/api/v1/query", "metrics /api/v1/query reader 127.0.0.1"),
        ("metrics.home.lan", "/", "metrics / reader 127.0.0.1"),
        ("logs.home.lan", "/loki/api/v1/labels", "logs /loki/api/v1/labels reader 127.0.0.1"),
        ("localhost", "/loki/api/v1/labels", "logs /loki/api/v1/labels reader 127.0.0.1"),
        ("127.0.0.1", "/", "page / reader 127.0.0.1"),
        ("nas.local", "/", "page / reader 127.0.0.1"),
    ] {
        let request = server.client.get(server.url(host, path)).bearer_auth(READER);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{host}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.text().await.unwrap(), expected, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_of_the_users_answers_on_its_names_and_asks_for_a_login_if_told_to() {
    let site = |host: &str, access| {
        let action = Action::Respond(Respond { status: StatusCode::OK, body: "hello".to_owned() });
        let route = Route::new(PathPattern::parse("/hello/*").unwrap(), action);
        let hosts = vec![HostPattern::parse(host).unwrap()];
        SiteConfig { access, ..SiteConfig::new(hosts, vec![route]) }
    };
    let sites = vec![
        site("photos.home.lan", SiteAccess::Public),
        site("*.apps.home.lan", SiteAccess::Scope(Scope::Query)),
    ];
    let server = Server::start_with(|config| config.sites = sites).await;
    let status = async |host: &str, path: &str, token: &str| {
        let request = server.client.get(server.url(host, path)).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("photos.home.lan", "/hello", "of the service").await, 200);
    assert_eq!(status("photos.home.lan", "/other", "of the service").await, 404);
    assert_eq!(status("a.apps.home.lan", "/hello/you", "unknown").await, 401);
    assert_eq!(status("a.apps.home.lan", "/hello/you", READER).await, 200);
    assert_eq!(status("apps.home.lan", "/hello", READER).await, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_and_a_host_of_another_connection_get_421() {
    let server = Server::start().await;
    for (url_host, header) in
        [("x.home.lan", None), ("home.lan", Some("metrics.home.lan")), ("localhost", Some("evil"))]
    {
        let mut request = server.client.get(server.url(url_host, "/")).bearer_auth(READER);
        if let Some(host) = header {
            request = request.header("host", host);
        }
        assert_eq!(request.send().await.unwrap().status(), 421, "{url_host} {header:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_sent_to_https_of_the_same_name_and_nowhere_else() {
    let server = Server::start().await;
    let url = format!("http://{}/explore?q=1", server.bound.http_redirect.unwrap());
    let to = |host: &'static str| server.client.post(&url).header("host", host).send();
    let response = to("metrics.home.lan:80").await.unwrap();
    assert_eq!(response.status(), 308);
    let expected = server.url("metrics.home.lan", "/explore?q=1");
    assert_eq!(response.headers()["location"], expected.as_str());
    let evil = to("evil.example").await.unwrap();
    assert_eq!(evil.status(), 421);
    assert!(!evil.headers().contains_key("location"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_certificate_is_open_on_every_listener() {
    let server = Server::start().await;
    let root = std::fs::read_to_string(&server.bound.ca_file).unwrap();
    for url in [
        server.url("home.lan", "/ca.pem"),
        format!("http://{}/ca.pem", server.bound.http_redirect.unwrap()),
        format!("http://{}/ca.pem", server.bound.plain.unwrap()),
    ] {
        let response = server.client.get(&url).send().await.unwrap();
        assert_eq!(response.status(), 200, "{url}");
        assert_eq!(response.text().await.unwrap(), root, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_ca_so_that_devices_go_on_trusting_it() {
    let server = Server::start().await;
    let old_client_root = std::fs::read(&server.bound.ca_file).unwrap();
    let (dir, stopped) = server.stop().await;
    stopped.unwrap();
    let server = Server::start_in(dir, |_config| {}).await;
    assert_eq!(std::fs::read(&server.bound.ca_file).unwrap(), old_client_root);
    let response = server.get("/-/healthy").send().await.unwrap();
    assert_eq!(response.status(), 200);
}
