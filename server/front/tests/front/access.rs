//! What each kind of credential may do, and how a refusal looks to each kind of caller.

use skep_front::PlainAuth;

use crate::server::{ADMIN, AGENT, PASSWORD, READER, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_what_its_scope_says_and_nothing_else() {
    let server = Server::start().await;
    for (method, path, scope) in [
        ("POST", "/api/v1/write", AGENT),
        ("POST", "/loki/api/v1/push", AGENT),
        ("POST", "/api/prom/push", AGENT),
        ("GET", "/api/v1/query", READER),
        ("POST", "/api/v1/query_range", READER),
        ("GET", "/loki/api/v1/query_range", READER),
        ("GET", "/", READER),
        ("POST", "/-/flush", ADMIN),
    ] {
        for token in [AGENT, READER, ADMIN] {
            let url = server.url("home.lan", path);
            let request = server.client.request(method.parse().unwrap(), url).bearer_auth(token);
            let status = request.send().await.unwrap().status();
            let expected = if token == scope { 200 } else { 403 };
            assert_eq!(status, expected, "{method} {path} with {token}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_an_api_says_401_in_its_own_format_and_a_page_leads_to_the_login() {
    let server = Server::start().await;
    let api = server.get("/api/v1/query").send().await.unwrap();
    assert_eq!(api.status(), 401);
    assert_eq!(api.headers()["content-type"], "application/json");
    let ways: Vec<_> = api.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(ways, ["Bearer realm=\"skep\"", "Basic realm=\"skep\", charset=\"UTF-8\""]);
    let expected = r#"{"error":"log in, or send \"Authorization: Bearer <token>\"","errorType":"unauthorized","status":"error"}"#;
    assert_eq!(api.text().await.unwrap(), expected);

    let logs = server.get("/loki/api/v1/labels").send().await.unwrap();
    assert_eq!(logs.status(), 401);
    assert!(logs.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));

    let page = server.get("/explore?q=up").send().await.unwrap();
    assert_eq!(page.status(), 303);
    assert_eq!(page.headers()["location"], "/login?next=/explore%3Fq%3Dup");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_of_the_page_is_not_made_to_pop_up_the_browsers_own_password_box() {
    let server = Server::start().await;
    let request = server.get("/api/v1/query").header("sec-fetch-site", "same-origin");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers().get_all("www-authenticate").iter().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_open_and_only_that() {
    let server = Server::start().await;
    for path in ["/-/healthy", "/-/ready", "/ready"] {
        assert_eq!(server.get(path).send().await.unwrap().status(), 200, "{path}");
    }
    for path in ["/-/healthy/", "/-/healthyx", "/-//healthy", "/-/%68ealthy", "/metrics"] {
        assert_eq!(server.get(path).send().await.unwrap().status(), 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_auth_works_for_tools_and_wrong_passwords_run_out() {
    let server = Server::start().await;
    let ask = |password: &'static str| {
        server.get("/api/v1/query").basic_auth("ada", Some(password)).send()
    };
    assert_eq!(ask(PASSWORD).await.unwrap().status(), 200);
    for _ in 0..3 {
        assert_eq!(ask("wrong").await.unwrap().status(), 401);
    }
    let limited = ask("wrong").await.unwrap();
    assert_eq!(limited.status(), 429);
    assert!(limited.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 3000);
    // A tool with the right password is not locked out by somebody's guesses beside it.
    assert_eq!(ask(PASSWORD).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_and_unknown_credentials_are_401_even_beside_a_good_cookie() {
    let server = Server::start().await;
    let cookie = server.login().await;
    for authorization in ["Bearer nope", "Bearer ", "Basic !!!", "Basic YWRh", "Digest x", "x"] {
        let request = server.get("/api/v1/query").header("authorization", authorization);
        let response = request.header("cookie", &cookie).send().await.unwrap();
        assert_eq!(response.status(), 401, "{authorization:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_listener_asks_for_credentials_unless_it_is_told_not_to() {
    let asking = Server::start().await;
    let url = format!("http://{}/api/v1/query", asking.bound.plain.unwrap());
    assert_eq!(asking.client.get(&url).send().await.unwrap().status(), 401);
    let with_token = asking.client.get(&url).bearer_auth(READER).send().await.unwrap();
    assert_eq!(with_token.status(), 200);

    let open = Server::start_with(|config| {
        config.plain.as_mut().unwrap().require_auth = PlainAuth::Open;
    })
    .await;
    let url = format!("http://{}/-/flush", open.bound.plain.unwrap());
    assert_eq!(open.client.post(&url).send().await.unwrap().status(), 200);
    // A web page that the same user has open must not reach it.
    let rebound = open.client.get(&url).header("host", "evil.example");
    assert_eq!(rebound.send().await.unwrap().status(), 421);
    let cross = open.client.post(&url).header("origin", "https://evil.example");
    assert_eq!(cross.send().await.unwrap().status(), 403);
}
