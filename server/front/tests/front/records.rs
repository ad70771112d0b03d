//! Users, tokens, agents and logins that come and go while the server runs.

use std::time::Duration;

use serde_json::{Value, json};
use skep_front::{Clock as _, Records, Role, Scope, SystemClock, TokenHash};

use crate::browser::Browser;
use crate::server::{ADMIN, PASSWORD, READER, Server, config};

const HOUR: Duration = Duration::from_secs(3600);

fn records(server: &Server) -> Records {
    Records::open(&config(server.dir.path())).unwrap()
}

async fn status(server: &Server, path: &str, token: &str) -> u16 {
    server.get(path).bearer_auth(token).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_and_a_token_of_the_command_line_work_at_once_and_end_at_once() {
    let server = Server::start().await;
    let records = records(&server);
    records.add_user("bob", Role::Viewer, "long enough", SystemClock.now()).unwrap();
    let mut browser = Browser::new(&server.client);
    let login = server.url("home.lan", "/login");
    let sent = browser.post(&login, "user=bob&password=long+enough").await;
    assert_eq!(sent.status(), 303);
    let home = server.url("home.lan", "/");
    assert_eq!(browser.get(&home).await.status(), 200);
    records.remove_user("bob").unwrap();
    assert_eq!(browser.get(&home).await.status(), 303);

    let token = records.new_token("ci", &[Scope::Query], Some(HOUR), SystemClock.now()).unwrap();
    assert_eq!(status(&server, "/api/v1/query", &token).await, 200);
    assert_eq!(status(&server, "/-/flush", &token).await, 403);
    records.revoke("ci").unwrap();
    assert_eq!(status(&server, "/api/v1/query", &token).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_shown_and_revoked_over_http_by_admins_alone() {
    let server = Server::start().await;
    let path = "/-/skep/v1/tokens";
    let new = json!({"name": "grafana", "scopes": ["query"], "expires_in_s": 3600}).to_string();
    for token in [READER, "nonsense"] {
        let refused = server.post(path).bearer_auth(token).body(new.clone()).send().await.unwrap();
        assert!([401, 403].contains(&refused.status().as_u16()));
        assert_ne!(status(&server, path, token).await, 200);
    }
    let made = server.post(path).bearer_auth(ADMIN).body(new.clone()).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    let token = made["data"]["token"].as_str().unwrap();
    assert_eq!(status(&server, "/api/v1/query", token).await, 200);
    let again = server.post(path).bearer_auth(ADMIN).body(new).send().await.unwrap();
    assert_eq!(again.status(), 409);

    let list = server.get(path).bearer_auth(ADMIN).send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    let all = list["data"].as_array().unwrap();
    let shown = all.iter().find(|it| it["name"] == "grafana").unwrap();
    assert_eq!(shown["source"], "file");
    let of_config = all.iter().find(|it| it["name"] == "admin").unwrap();
    assert_eq!((&of_config["source"], &of_config["scopes"]), (&json!("config"), &json!(["admin"])));
    assert!(of_config["last_used_unix_s"].is_i64(), "{of_config}");
    assert_eq!((&shown["name"], &shown["scopes"]), (&json!("grafana"), &json!(["query"])));
    assert!(shown["last_used_unix_s"].is_i64(), "{shown}");
    assert!(!list.to_string().contains(token));

    let url = server.url("home.lan", "/-/skep/v1/tokens/grafana");
    let gone = server.client.delete(url).bearer_auth(ADMIN).send().await.unwrap();
    assert_eq!(gone.status(), 200);
    assert_eq!(status(&server, "/api/v1/query", token).await, 401);
    let url = server.url("home.lan", "/-/skep/v1/tokens/reader");
    let kept = server.client.delete(url).bearer_auth(ADMIN).send().await.unwrap();
    assert_eq!(kept.status(), 409);
    let text = kept.text().await.unwrap();
    assert!(text.contains("in the configuration; remove the [[tokens]] entry"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_see_who_may_log_in_wherever_it_is_written() {
    let server = Server::start().await;
    records(&server).add_user("bob", Role::Viewer, "long enough", SystemClock.now()).unwrap();
    let path = "/-/skep/v1/users";
    assert_eq!(status(&server, path, READER).await, 403);
    let list: Value =
        server.get(path).bearer_auth(ADMIN).send().await.unwrap().json().await.unwrap();
    let users = list["data"].as_array().unwrap();
    let shown: Vec<_> = users.iter().map(|it| (&it["name"], &it["source"], &it["role"])).collect();
    let (config, file) = (json!("config"), json!("file"));
    let (ada, guest, bob) = (json!("ada"), json!("guest"), json!("bob"));
    // Of the three scopes ada lacks one, so that she has no role.
    let (none, viewer) = (Value::Null, json!("viewer"));
    let expected = [(&ada, &config, &none), (&guest, &config, &viewer), (&bob, &file, &viewer)];
    assert_eq!(shown, expected);
    assert_eq!(users[0]["scopes"], json!(["query", "admin"]));
    assert!(!list.to_string().contains("argon2"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_in_the_browser_makes_and_revokes_nothing() {
    let server = Server::start().await;
    let cookie = server.login().await;
    let new = json!({"name": "evil", "scopes": ["admin"]}).to_string();
    for from in ["cross-site", "same-site"] {
        let request = server.post("/-/skep/v1/tokens").header("cookie", &cookie);
        let request = request.header("sec-fetch-site", from).body(new.clone());
        assert_eq!(request.send().await.unwrap().status(), 403, "{from}");
    }
    assert!(records(&server).tokens().iter().all(|it| it.name != "evil"));
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_and_end_their_own_logins_and_admins_those_of_all() {
    let server = Server::start().await;
    let ada = server.login().await;
    let guest = crate::server::cookie_of(&server.send_login("guest", PASSWORD).await);
    let sessions = async |path: &str, cookie: &str| -> Value {
        let request = server.get(path).header("cookie", cookie);
        request.send().await.unwrap().json().await.unwrap()
    };
    let path = "/-/skep/v1/sessions";
    assert_eq!(sessions(path, &guest).await["data"].as_array().unwrap().len(), 1);
    assert_eq!(sessions("/-/skep/v1/sessions?user=*", &guest).await["status"], "error");
    let all = sessions("/-/skep/v1/sessions?user=*", &ada).await;
    let all = all["data"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    let of_ada = all.iter().find(|it| it["user"] == "ada").unwrap()["id"].as_str().unwrap();

    let end = async |path: &str, cookie: &str| {
        let request = server.client.delete(server.url("home.lan", path)).header("cookie", cookie);
        let request = request.header("sec-fetch-site", "same-origin");
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(end(&format!("{path}/{of_ada}"), &guest).await, 404);
    assert_eq!(end(path, &guest).await, 200);
    let home = async |cookie: &str| {
        server.get("/").header("cookie", cookie).send().await.unwrap().status().as_u16()
    };
    assert_eq!((home(&ada).await, home(&guest).await), (200, 303));
    assert_eq!(end(&format!("{path}/{of_ada}"), &ada).await, 200);
    assert_eq!(home(&ada).await, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_never_takes_over_a_session_that_the_browser_brings_along() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server.client);
    let planted = "A".repeat(43);
    let form = format!("user=ada&password={}", PASSWORD.replace(' ', "+"));
    let request = server.post("/login").header("cookie", format!("__Host-skep={planted}"));
    let response =
        request.header("sec-fetch-site", "same-origin").body(form.clone()).send().await.unwrap();
    let cookie = crate::server::cookie_of(&response);
    assert!(!cookie.contains(&planted));
    // A second login ends the first of the same browser.
    let login = server.url("home.lan", "/login");
    browser.post(&login, &form).await;
    let first = browser.cookie("home.lan", "__Host-skep").unwrap().clone();
    browser.post(&login, &form).await;
    let old = server.get("/").header("cookie", format!("__Host-skep={first}"));
    assert_eq!(old.send().await.unwrap().status(), 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_enrols_once_for_a_credential_that_can_only_push() {
    let server = Server::start().await;
    let enrolment = records(&server).new_enrolment("bee-1", HOUR, SystemClock.now()).unwrap();
    let enrol = async |token: &str, credential: &str| {
        let sha256 = TokenHash::of(credential).to_hex();
        let body = json!({"token": token, "credential_sha256": sha256}).to_string();
        server.post("/-/skep/v1/enrol").body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!(enrol(&enrolment, "agent's own").await, 200);
    assert_eq!(enrol(&enrolment, "agent's own").await, 200, "the first answer was lost");
    assert_eq!(enrol(&enrolment, "thief's").await, 403);
    let push = async |credential: &str| {
        let request = server.post("/api/v1/write").bearer_auth(credential);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(push("agent's own").await, 200);
    assert_eq!(push("thief's").await, 401);
    assert_eq!(status(&server, "/api/v1/query", "agent's own").await, 403);
    records(&server).revoke("bee-1").unwrap();
    assert_eq!(push("agent's own").await, 401);
    assert_eq!(enrol(&enrolment, "agent's own").await, 403, "revoked is revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolment_tokens_cannot_be_guessed() {
    let server = Server::start().await;
    let mut statuses = Vec::new();
    for i in 0..4 {
        let sha256 = TokenHash::of("x").to_hex();
        let body = json!({"token": format!("guess{i}"), "credential_sha256": sha256}).to_string();
        let response = server.post("/-/skep/v1/enrol").body(body).send().await.unwrap();
        statuses.push(response.status().as_u16());
    }
    assert_eq!(statuses, [403, 403, 403, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_tokens_of_another_configuration_count_at_once() {
    let server = Server::start().await;
    let cookie = server.login().await;
    let mut next = config(server.dir.path());
    next.https = vec![server.https()];
    next.tokens.retain(|token| token.name != "reader");
    server.reloads.apply(next.clone()).await.unwrap();
    assert_eq!(status(&server, "/api/v1/query", READER).await, 401);
    let home = || server.get("/").header("cookie", &cookie).send();
    assert_eq!(home().await.unwrap().status(), 200);
    next.users.retain(|user| user.name != "ada");
    server.reloads.apply(next).await.unwrap();
    assert_eq!(home().await.unwrap().status(), 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_comes_with_the_line_to_paste_where_it_leads_here() {
    let server = Server::start().await;
    let cookie = server.login().await;
    let request = server.post("/-/skep/v1/enrolments").header("cookie", &cookie);
    let request = request.header("origin", server.url("home.lan", ""));
    let answer = request.body(r#"{"host":"bee-1"}"#).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let made: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let command = made["data"]["command"].as_str().unwrap();
    let script = format!("'{}?ca=local'", server.url("home.lan", "/-/skep/v1/enrol/install.sh"));
    let header = format!("'Authorization: Bearer {}'", made["data"]["token"].as_str().unwrap());
    for part in ["sha256sum -c", &script, &header] {
        assert!(command.contains(part), "{part} is not in {command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_enrol_gets_the_script_and_the_agent_and_nobody_else() {
    let server = Server::start().await;
    let programs = server.dir.path().join("agents");
    std::fs::create_dir(&programs).unwrap();
    std::fs::write(programs.join("skep-agent-riscv64"), "a program").unwrap();
    let enrolment = records(&server).new_enrolment("bee-1", HOUR, SystemClock.now()).unwrap();
    let get = async |path: &str, token: &str| {
        let answer = server.get(&format!("/-/skep/v1/enrol/{path}")).bearer_auth(token);
        let answer = answer.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, script) = get("install.sh?ca=local", &enrolment).await;
    assert_eq!(status, 200, "{script}");
    let url = format!("url='{}'", server.url("home.lan", ""));
    for part in ["host='bee-1'", url.as_str(), &format!("token='{enrolment}'"), "BEGIN CERTIFICATE"]
    {
        assert!(script.contains(part), "{part} is not in {script}");
    }
    let (_, public) = get("install.sh", &enrolment).await;
    assert!(public.contains("\nca=''\n"), "{public}");
    assert_eq!(get("agent/riscv64", &enrolment).await, (200, "a program".to_owned()));
    let (status, missing) = get("agent/vax", &enrolment).await;
    assert_eq!(status, 404);
    assert!(missing.contains("agents/skep-agent-vax"), "{missing}");
    assert_eq!(get("agent/..%2fsecret", &enrolment).await.0, 404);
    // Admins have tokens of their own; these ways are for hosts.
    for (path, status) in [("install.sh", 403), ("agent/riscv64", 403), ("install.sh", 403)] {
        assert_eq!(get(path, ADMIN).await.0, status);
    }
    assert_eq!(get("install.sh", ADMIN).await.0, 429, "guessing has an end");
}
