//! One login for all sites below the domain, and what its codes are not good for.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use skep_front::{
    Action, Clock, HostPattern, PathPattern, Respond, Route, Scope, SiteAccess, SiteConfig,
};

use crate::browser::{Browser, target};
use crate::server::{ManualClock, PASSWORD, READER, Server};

const SESSION: &str = "__Host-skep";

pub(crate) fn site(host: &str, scope: Scope) -> SiteConfig {
    let action = Action::Respond(Respond { status: StatusCode::OK, body: host.to_owned() });
    let hosts = vec![HostPattern::parse(host).unwrap()];
    let routes = vec![Route::new(PathPattern::ALL, action)];
    SiteConfig { access: SiteAccess::Scope(scope), ..SiteConfig::new(hosts, routes) }
}

fn sites() -> Vec<SiteConfig> {
    vec![
        site("photos.home.lan", Scope::Query),
        site("x.home.lan", Scope::Admin),
        site("elsewhere.example", Scope::Query),
    ]
}

async fn start() -> Server {
    Server::start_with(|config| config.sites = sites()).await
}

async fn log_in(server: &Server, browser: &mut Browser, user: &str) {
    let form = format!("user={user}&password={}", PASSWORD.replace(' ', "+"));
    let response = browser.post(&server.url("home.lan", "/login"), &form).await;
    assert_eq!(response.status(), 303);
}

/// The address that a browser comes back to a site with, once logged in.
async fn callback(server: &Server, browser: &mut Browser, host: &str) -> String {
    let asked = server.url(host, "/album?x=1");
    let to_apex = target(&asked, &browser.get(&asked).await).unwrap();
    assert!(to_apex.starts_with(&server.url("home.lan", "/.skep/authorize?host=")), "{to_apex}");
    target(&to_apex, &browser.get(&to_apex).await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_at_the_apex_opens_every_site_below_it_and_ends_for_all_of_them() {
    let server = start().await;
    let mut browser = Browser::new(&server.client);
    let url = server.url("photos.home.lan", "/album?x=1");
    let login = browser.open(&url).await;
    assert_eq!(login.url().path(), "/login");
    let login_url = login.url().to_string();
    let policy = login.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let origin = server.url("photos.home.lan", "");
    assert!(policy.contains(&format!("form-action 'self' {origin};")), "{policy}");
    let text = login.text().await.unwrap();
    assert!(text.contains("photos.home.lan"), "{text}");

    let next = login_url.split_once("next=").unwrap().1;
    let form = format!("user=ada&password={}&next={next}", PASSWORD.replace(' ', "+"));
    let sent = browser.post(&login_url, &form).await;
    let there = browser.open(&target(&login_url, &sent).unwrap()).await;
    assert_eq!(there.url().as_str(), url);
    assert_eq!(there.text().await.unwrap(), "photos.home.lan");
    // No form for the second site.
    let second = browser.open(&server.url("x.home.lan", "/")).await;
    assert_eq!(second.text().await.unwrap(), "x.home.lan");
    assert_ne!(browser.cookie("photos.home.lan", SESSION), browser.cookie("x.home.lan", SESSION));

    let out = server.url("photos.home.lan", "/.skep/logout");
    assert_eq!(browser.get(&out).await.status(), 200);
    assert_eq!(browser.get(&url).await.status(), 200);
    assert_eq!(browser.post(&out, "").await.status(), 303);
    for host in ["home.lan", "x.home.lan", "photos.home.lan"] {
        assert_eq!(browser.get(&server.url(host, "/")).await.status(), 303, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_code_is_good_once_on_its_site_and_in_its_browser() {
    let server = start().await;
    let mut browser = Browser::new(&server.client);
    log_in(&server, &mut browser, "ada").await;

    let back = callback(&server, &mut browser, "photos.home.lan").await;
    // Stolen from the address bar: another browser has no state cookie, or one of its own.
    let mut thief = Browser::new(&server.client);
    assert_eq!(thief.get(&back).await.status(), 403);
    assert!(thief.cookie("photos.home.lan", SESSION).is_none());
    // It was shown in the wrong place, so it is burnt.
    assert_eq!(browser.get(&back).await.status(), 403);

    let back = callback(&server, &mut browser, "photos.home.lan").await;
    let mut thief = Browser::new(&server.client);
    thief.get(&server.url("photos.home.lan", "/")).await;
    assert_eq!(thief.get(&back).await.status(), 403);

    let back = callback(&server, &mut browser, "photos.home.lan").await;
    let elsewhere = back.replace("photos.home.lan", "x.home.lan");
    browser.get(&server.url("x.home.lan", "/")).await;
    assert_eq!(browser.get(&elsewhere).await.status(), 403);

    let back = callback(&server, &mut browser, "photos.home.lan").await;
    let good = browser.get(&back).await;
    assert_eq!(good.headers()["location"], "/album?x=1");
    let cookie = good.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("SameSite=Lax") && cookie.contains("HttpOnly"), "{cookie}");
    assert_eq!(browser.get(&back).await.status(), 403, "replayed");
    assert_eq!(browser.get(&server.url("photos.home.lan", "/")).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_code_expires_within_a_minute() {
    let clock = ManualClock::new();
    let server =
        Server::start_by(Arc::clone(&clock) as Arc<dyn Clock>, |config| config.sites = sites())
            .await;
    let mut browser = Browser::new(&server.client);
    log_in(&server, &mut browser, "ada").await;
    let back = callback(&server, &mut browser, "photos.home.lan").await;
    clock.advance(Duration::from_secs(60));
    assert_eq!(browser.get(&back).await.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_handed_over_to_no_other_place() {
    let server = start().await;
    let mut browser = Browser::new(&server.client);
    log_in(&server, &mut browser, "ada").await;
    let state = "0".repeat(64);
    for host in [
        "evil.example",
        "home.lan",
        "metrics.home.lan",
        "elsewhere.example",
        "photos.home.lan%40evil.example",
        "evil.example%2F.photos.home.lan",
        "photos.home.lan%3A1",
        "",
    ] {
        let path = format!("/.skep/authorize?host={host}&state={state}&next=/");
        let response = browser.get(&server.url("home.lan", &path)).await;
        assert_eq!(response.status(), 400, "{host}");
        assert!(!response.headers().contains_key("location"), "{host}");
    }
    let path = "/.skep/authorize?host=photos.home.lan&state=short&next=/";
    assert_eq!(browser.get(&server.url("home.lan", path)).await.status(), 400);
    // Whatever the wish, the way on stays on the site.
    let path = format!(
        "/.skep/authorize?host=photos.home.lan&state={state}&next=https%3A%2F%2Fevil.example%2F"
    );
    let response = browser.get(&server.url("home.lan", &path)).await;
    let location = response.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(&server.url("photos.home.lan", "/.skep/callback?code=")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_on_another_site_finds_the_login_that_the_browser_keeps_back_at_first() {
    let server = start().await;
    let mut browser = Browser::new(&server.client);
    log_in(&server, &mut browser, "ada").await;
    let asked = server.url("photos.home.lan", "/");
    let to_apex = target(&asked, &browser.get(&asked).await).unwrap();
    // The whole chain of redirects counts as cross-site: no strict cookie is sent.
    let mut without = Browser::new(&server.client);
    let held = without.send(reqwest::Method::GET, &to_apex, "cross-site", String::new()).await;
    assert_eq!(held.status(), 200);
    let refresh = held.headers()["refresh"].to_str().unwrap().to_owned();
    let path = refresh.strip_prefix("0; url=").unwrap();
    assert_eq!(server.url("home.lan", path), to_apex);
    assert_eq!(browser.open(&to_apex).await.text().await.unwrap(), "photos.home.lan");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_outside_the_domain_logs_in_on_its_own_name() {
    let server = start().await;
    let mut browser = Browser::new(&server.client);
    let url = server.url("elsewhere.example", "/deep?q=1");
    let form = browser.open(&url).await;
    assert_eq!(form.url().path(), "/.skep/login");
    assert!(form.text().await.unwrap().contains("action=\"/.skep/login\""));
    let sent = format!("user=guest&password={}&next=/deep?q=1", PASSWORD.replace(' ', "+"));
    let login = server.url("elsewhere.example", "/.skep/login");
    let response = browser.post(&login, &sent).await;
    assert_eq!(response.headers()["location"], "/deep?q=1");
    assert_eq!(browser.get(&url).await.text().await.unwrap(), "elsewhere.example");
    assert_eq!(browser.get(&server.url("home.lan", "/")).await.status(), 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_refuses_who_lacks_its_role_and_answers_scripts_and_tokens_without_a_form() {
    let server = start().await;
    let mut browser = Browser::new(&server.client);
    log_in(&server, &mut browser, "guest").await;
    let refused = browser.open(&server.url("x.home.lan", "/")).await;
    assert_eq!(refused.status(), 403);
    let text = refused.text().await.unwrap();
    assert!(text.contains("\"guest\" lacks the scope admin"), "{text}");

    let get = |host: &str| server.client.get(server.url(host, "/"));
    let script = get("photos.home.lan").header("sec-fetch-mode", "cors").send().await.unwrap();
    assert_eq!(script.status(), 401);
    let token = get("photos.home.lan").bearer_auth(READER).send().await.unwrap();
    assert_eq!(token.status(), 200);
    // A cookie of one name opens no other.
    browser.open(&server.url("photos.home.lan", "/")).await;
    let stolen = browser.cookie("photos.home.lan", SESSION).unwrap();
    let request = get("home.lan").header("cookie", format!("{SESSION}={stolen}"));
    assert_eq!(request.send().await.unwrap().status(), 303);
}
