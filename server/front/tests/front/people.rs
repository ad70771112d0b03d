//! Login, session, logout, and what another site in the same browser can not do.

use crate::server::{PASSWORD, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_login_gives_a_strict_cookie_that_opens_the_page_and_the_apis() {
    let server = Server::start().await;
    let form = server.get("/login?next=/explore").send().await.unwrap();
    assert_eq!(form.status(), 200);
    let policy = form.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(form.text().await.unwrap().contains("data-testid=\"login-submit\""));

    let response = server.send_login("ada", PASSWORD).await;
    assert_eq!(response.status(), 303);
    assert_eq!(response.headers()["location"], "/explore");
    let set = response.headers()["set-cookie"].to_str().unwrap();
    for attribute in ["__Host-skep=", "Path=/", "Secure", "HttpOnly", "SameSite=Strict", "Max-Age="]
    {
        assert!(set.contains(attribute), "{attribute} is not in {set}");
    }

    let cookie = crate::server::cookie_of(&response);
    for (path, expected) in
        [("/", "page / ada 127.0.0.1"), ("/api/v1/query", "metrics /api/v1/query ada 127.0.0.1")]
    {
        let response = server.get(path).header("cookie", &cookie).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), expected);
    }
    let again = server.get("/login").header("cookie", &cookie).send().await.unwrap();
    assert_eq!(again.status(), 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_get_the_form_again_and_then_have_to_wait() {
    let server = Server::start().await;
    for user in ["ada", "nobody", "ada"] {
        let response = server.send_login(user, "wrong").await;
        assert_eq!(response.status(), 401);
        assert!(response.text().await.unwrap().contains("Wrong user name or password."));
    }
    let limited = server.send_login("ada", PASSWORD).await;
    assert_eq!(limited.status(), 429);
    assert!(limited.headers().contains_key("retry-after"));
    assert!(!limited.headers().contains_key("set-cookie"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_a_restart_and_ends_with_logout() {
    let server = Server::start().await;
    let cookie = server.login().await;
    let (dir, stopped) = server.stop().await;
    stopped.unwrap();
    let server = Server::start_in(dir, |_config| {}).await;
    let home = || server.get("/").header("cookie", &cookie).send();
    assert_eq!(home().await.unwrap().status(), 200);

    let logout = server.post("/logout").header("cookie", &cookie);
    let logout = logout.header("sec-fetch-site", "same-origin").send().await.unwrap();
    assert_eq!(logout.status(), 303);
    assert!(logout.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(home().await.unwrap().status(), 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_can_not_use_the_login_of_this_browser() {
    let server = Server::start().await;
    let cookie = server.login().await;
    let ours = format!("https://home.lan:{}", server.https().port());
    for (header, value, expected) in [
        ("sec-fetch-site", "same-origin", 200),
        ("origin", ours.as_str(), 200),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("x-nothing", "said", 403),
    ] {
        let request = server.post("/-/flush").header("cookie", &cookie).header(header, value);
        assert_eq!(request.send().await.unwrap().status(), expected, "{header}: {value}");
    }
    // A websocket starts as a GET that browsers send across origins with cookies.
    let socket = server.get("/loki/api/v1/tail").header("cookie", &cookie);
    let socket = socket.header("upgrade", "websocket").header("connection", "upgrade");
    let status = socket.header("origin", "https://evil.example").send().await.unwrap().status();
    assert_eq!(status, 403);
    for path in ["/login", "/logout"] {
        let request = server.post(path).header("sec-fetch-site", "cross-site");
        let request = request.body(format!("user=ada&password={PASSWORD}"));
        assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_may_read_but_not_administrate() {
    let server = Server::start().await;
    let response = server.send_login("guest", PASSWORD).await;
    let cookie = crate::server::cookie_of(&response);
    let flush = server.post("/-/flush").header("cookie", &cookie);
    let flush = flush.header("sec-fetch-site", "same-origin").send().await.unwrap();
    assert_eq!(flush.status(), 403);
    let text = flush.text().await.unwrap();
    assert!(text.contains("\\\"guest\\\" lacks the scope admin"), "{text}");
    assert_eq!(server.get("/").header("cookie", &cookie).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_too_long_or_no_form_is_refused() {
    let server = Server::start().await;
    for body in ["x".repeat(8193), "nonsense".to_owned(), String::new()] {
        let response = server.post("/login").body(body).send().await.unwrap();
        assert_eq!(response.status(), 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_home_pages_data_is_for_who_may_query() {
    let server = Server::start().await;
    let stranger = server.get("/-/skep/v1/home").send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let cookie = server.login().await;
    for path in ["/-/skep/v1/home", "/-/skep/v1/home/icons/a.png"] {
        let answer = server.get(path).header("cookie", &cookie).send().await.unwrap();
        let text = answer.text().await.unwrap();
        assert!(text.starts_with(&format!("metrics {path} ada")), "{text}");
    }
}
