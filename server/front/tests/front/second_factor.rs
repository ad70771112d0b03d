//! Passwords with a code: what a code is good for, and what cannot go around it.

use skep_front::{Clock as _, CodeSecret, NewFactor, Records, Role, SystemClock};
use totp_rs::TOTP;

use crate::browser::Browser;
use crate::server::{Server, config};

const PASSWORD: &str = "long enough";

fn records(server: &Server) -> Records {
    Records::open(&config(server.dir.path())).unwrap()
}

fn code(factor: &NewFactor, steps_ago: u64) -> String {
    let totp = TOTP::from_url(factor.url()).unwrap();
    let now = u64::try_from(SystemClock.now().unix_timestamp()).unwrap();
    totp.generate(now - 30 * steps_ago)
}

/// Somebody whose app has shown the code of the step before this one.
fn add_bob(server: &Server) -> NewFactor {
    let records = records(server);
    records.add_user("bob", Role::Admin, PASSWORD, SystemClock.now()).unwrap();
    let mut factor = NewFactor::generate("bob", "home.lan").unwrap();
    factor.confirm(&code(&factor, 1), SystemClock.now()).unwrap();
    records.set_factor("bob", Some(&factor)).unwrap();
    factor
}

/// The hidden field of the form that asks for a code.
async fn step(server: &Server, browser: &mut Browser) -> String {
    let form = format!("user=bob&password={}&next=/explore", PASSWORD.replace(' ', "+"));
    let response = browser.post(&server.url("home.lan", "/login"), &form).await;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("set-cookie"));
    step_of(&response.text().await.unwrap())
}

fn step_of(html: &str) -> String {
    let (_, rest) = html.split_once("name=\"step\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

async fn send_code(
    server: &Server,
    browser: &mut Browser,
    step: &str,
    code: &str,
) -> reqwest::Response {
    let form = format!("step={step}&code={}&next=/explore", code.replace(' ', "+"));
    browser.post(&server.url("home.lan", "/login"), &form).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_finishes_a_login_once_and_is_refused_when_it_is_replayed() {
    let server = Server::start().await;
    let factor = add_bob(&server);
    let mut browser = Browser::new(&server.client);
    let first = step(&server, &mut browser).await;
    let code = code(&factor, 0);
    let response = send_code(&server, &mut browser, &first, &code).await;
    assert_eq!(response.status(), 303);
    assert_eq!(response.headers()["location"], "/explore");
    assert_eq!(browser.get(&server.url("home.lan", "/")).await.status(), 200);

    let mut thief = Browser::new(&server.client);
    let used = send_code(&server, &mut thief, &first, &code).await;
    assert_eq!(used.status(), 401, "the step was used");
    let second = step(&server, &mut thief).await;
    let replayed = send_code(&server, &mut thief, &second, &code).await;
    assert_eq!(replayed.status(), 401, "the code was used");
    assert!(!replayed.headers().contains_key("set-cookie"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_code_stands_in_for_a_lost_phone_once() {
    let server = Server::start().await;
    let factor = add_bob(&server);
    let recovery = &factor.recovery_codes()[0];
    let mut browser = Browser::new(&server.client);
    let first = step(&server, &mut browser).await;
    let response = send_code(&server, &mut browser, &first, recovery).await;
    assert_eq!(response.status(), 303);
    let second = step(&server, &mut browser).await;
    assert_eq!(send_code(&server, &mut browser, &second, recovery).await.status(), 401);
    assert_eq!(records(&server).users().iter().map(|it| it.recovery_codes_left).max().unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_cannot_be_guessed() {
    let server = Server::start().await;
    add_bob(&server);
    let mut browser = Browser::new(&server.client);
    let mut at = step(&server, &mut browser).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let response = send_code(&server, &mut browser, &at, "000000").await;
        statuses.push(response.status().as_u16());
        at = step_of(&response.text().await.unwrap());
    }
    // The test server's burst is three wrong tries.
    assert_eq!(statuses, [401, 401, 401, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_basic_does_not_go_around_the_code() {
    let server = Server::start().await;
    add_bob(&server);
    let request = server.get("/api/v1/query").basic_auth("bob", Some(PASSWORD));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 401);
    let text = response.text().await.unwrap();
    assert!(text.contains("use an API token"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_configuration_is_asked_for_a_code_that_is_good_once_even_after_a_restart() {
    let factor = NewFactor::generate("ada", "home.lan").unwrap();
    let secret = CodeSecret::parse(factor.secret_text()).unwrap();
    let ask = |config: &mut skep_front::Config| config.users[0].code_secret = Some(secret.clone());
    let server = Server::start_with(ask).await;
    let first = |server: &Server| {
        let password = crate::server::PASSWORD.replace(' ', "+");
        (server.url("home.lan", "/login"), format!("user=ada&password={password}"))
    };
    let mut browser = Browser::new(&server.client);
    let (login, form) = first(&server);
    let shown = browser.post(&login, &form).await;
    assert_eq!(shown.status(), 200);
    let step = step_of(&shown.text().await.unwrap());
    let code = code(&factor, 0);
    let entered = send_code(&server, &mut browser, &step, &code).await;
    assert_eq!(entered.status(), 303);
    assert_eq!(browser.get(&server.url("home.lan", "/")).await.status(), 200);
    let basic = server.get("/api/v1/query").basic_auth("ada", Some(crate::server::PASSWORD));
    assert_eq!(basic.send().await.unwrap().status(), 401);

    let (dir, stopped) = server.stop().await;
    stopped.unwrap();
    let server = Server::start_in(dir, ask).await;
    let mut thief = Browser::new(&server.client);
    let (login, form) = first(&server);
    let step = step_of(&thief.post(&login, &form).await.text().await.unwrap());
    assert_eq!(send_code(&server, &mut thief, &step, &code).await.status(), 401);
}
