//! Logins at a provider: the browser's way there and back, and every token that lets nobody in.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use skep_front::{Clock, Config, Issuer, OidcConfig, OidcLogout, OidcRoles, Scope, SecretFile};

use crate::browser::{Browser, target};
use crate::provider::{Provider, SECRET};
use crate::server::{ADMIN, ManualClock, Server, config};
use crate::site_logins::site;

fn oidc(provider: &Provider, config: &Config) -> OidcConfig {
    std::fs::create_dir_all(&config.data_dir).unwrap();
    let secret = config.data_dir.join("oidc-secret");
    std::fs::write(&secret, SECRET).unwrap();
    OidcConfig {
        name: "Home <ID>".to_owned(),
        issuer: Issuer::parse(&provider.issuer()).unwrap(),
        client_id: "skep".to_owned(),
        client_secret_file: Some(SecretFile::open(&secret).unwrap()),
        token_auth: None,
        scopes: ["openid", "profile"].map(str::to_owned).to_vec(),
        name_claim: "preferred_username".to_owned(),
        roles: OidcRoles {
            claim: "groups".to_owned(),
            admin_groups: vec!["admins".to_owned()],
            viewer_groups: vec!["family".to_owned()],
            admin_emails: Vec::new(),
            viewer_emails: Vec::new(),
        },
        ca_file: None,
        session_lifetime: Duration::from_secs(3600),
        logout: OidcLogout::Here,
    }
}

async fn start(change: impl FnOnce(&mut OidcConfig)) -> (Provider, Server) {
    let provider = Provider::start().await;
    let server = Server::start_with(|config| {
        let mut oidc = oidc(&provider, config);
        change(&mut oidc);
        config.oidc = Some(oidc);
    })
    .await;
    (provider, server)
}

/// Where the provider sends the browser back to.
async fn to_return(server: &Server, browser: &mut Browser, next: &str) -> String {
    let begin = server.url("home.lan", &format!("/.skep/oidc?next={next}"));
    let to_provider = target(&begin, &browser.get(&begin).await).unwrap();
    let back = target(&to_provider, &browser.get(&to_provider).await).unwrap();
    assert!(back.starts_with(&server.url("home.lan", "/.skep/oidc/callback?code=")), "{back}");
    back
}

async fn come_back(server: &Server, browser: &mut Browser) -> Response {
    let back = to_return(server, browser, "/explore").await;
    browser.get(&back).await
}

async fn is_in(server: &Server, browser: &mut Browser) -> bool {
    browser.get(&server.url("home.lan", "/")).await.status() == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_at_the_provider_opens_the_page_with_the_role_of_its_groups() {
    let (provider, server) = start(|_| {}).await;
    for (alg, groups, scopes) in [
        ("ES256", json!(["family"]), json!(["query"])),
        ("RS256", json!(["x", "admins"]), json!(["ingest", "query", "admin"])),
    ] {
        provider.behave(|it| {
            it.alg = alg;
            it.claims["groups"] = groups;
        });
        let mut browser = Browser::new(&server.client);
        let form = browser.open(&server.url("home.lan", "/explore?q=up")).await;
        let html = form.text().await.unwrap();
        let button = "href=\"/.skep/oidc?next=/explore%3Fq%3Dup\" data-testid=\"login-oidc\">Log in with Home &lt;ID&gt;</a>";
        assert!(html.contains(button), "{html}");

        let back = to_return(&server, &mut browser, "/explore%3Fq%3Dup").await;
        let shown = browser.get(&back).await;
        // Not a redirect, or the browser would keep back the strict cookie.
        assert_eq!(shown.status(), 200);
        assert_eq!(shown.headers()["refresh"], "0; url=/explore?q=up");
        let set: Vec<_> = shown.headers().get_all("set-cookie").iter().collect();
        let session = set[0].to_str().unwrap();
        assert!(session.starts_with("__Host-skep=") && session.contains("Max-Age=3600;"));
        assert!(session.contains("SameSite=Strict"), "{session}");
        let page = browser.get(&server.url("home.lan", "/explore")).await;
        assert!(page.text().await.unwrap().starts_with("page /explore eva"));
        let me = browser.get(&server.url("home.lan", "/-/skep/v1/me")).await;
        let me: Value = me.json().await.unwrap();
        assert_eq!((&me["data"]["name"], &me["data"]["scopes"]), (&json!("eva"), &scopes));
    }
}

/// What the provider does wrong, and what is said about it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_wrong_lets_nobody_in() {
    type Twist = fn(&mut crate::provider::Behaviour);
    let other = |text: String| {
        let (head, signature) = text.rsplit_once('.').unwrap();
        let first = if signature.starts_with('A') { 'B' } else { 'A' };
        format!("{head}.{first}{}", &signature[1..])
    };
    let twists: [(Twist, &str); 9] = [
        (|it| it.claims["nonce"] = json!("other"), "from another login than this one"),
        (|it| it.claims["aud"] = json!("other"), "for another client than &quot;skep&quot;"),
        (|it| it.claims["iss"] = json!("https://evil.example"), "from &quot;https://evil.example"),
        (|it| it.now -= Duration::from_secs(3600), "is the clock right"),
        (|it| it.now += Duration::from_secs(3600), "begins in"),
        (|it| it.alg = "none", "signs with &quot;none&quot;"),
        (|it| it.alg = "HS256", "signs with &quot;HS256&quot;"),
        (|it| it.kid = "k9".to_owned(), "none that is called &quot;k9&quot;"),
        (|it| it.claims["groups"] = json!(["guests"]), "has no role here"),
    ];
    for (twist, expected) in twists {
        let (provider, server) = start(|_| {}).await;
        provider.behave(twist);
        check_refused(&server, expected).await;
    }
    let (provider, server) = start(|_| {}).await;
    provider.behave(|it| it.tamper = other);
    check_refused(&server, "not signed by a key of the provider").await;
}

async fn check_refused(server: &Server, expected: &str) {
    let mut browser = Browser::new(&server.client);
    let refused = come_back(server, &mut browser).await;
    assert_eq!(refused.status(), 403, "{expected}");
    let text = refused.text().await.unwrap();
    assert!(text.contains(expected), "{expected} is not in {text}");
    assert!(browser.cookie("home.lan", "__Host-skep").is_none());
    assert!(!is_in(server, &mut browser).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_is_good_once_and_in_the_browser_that_went() {
    let (_provider, server) = start(|_| {}).await;
    let mut browser = Browser::new(&server.client);
    let back = to_return(&server, &mut browser, "/").await;
    let mut thief = Browser::new(&server.client);
    assert_eq!(thief.get(&back).await.status(), 403);
    // One that has begun a login of its own.
    to_return(&server, &mut thief, "/").await;
    assert_eq!(thief.get(&back).await.status(), 403);
    assert!(!is_in(&server, &mut thief).await);

    assert_eq!(browser.get(&back).await.status(), 200);
    assert!(is_in(&server, &mut browser).await);
    let again = browser.get(&back).await;
    assert_eq!(again.status(), 403);
    assert!(again.text().await.unwrap().contains("took too long, or began in another browser"));

    let mut twice = Browser::new(&server.client);
    let back = to_return(&server, &mut twice, "/").await;
    let url = back.replace("code=", "error=access_denied&error_description=%3Cb%3E&code=");
    let text = twice.get(&url).await.text().await.unwrap();
    assert!(text.contains("The login provider says: access_denied &lt;b&gt;"), "{text}");
    let elsewhere = format!("{back}&iss=https://evil.example");
    assert_eq!(twice.get(&elsewhere).await.status(), 403);
    assert_eq!(twice.get(&back.replace("code=code", "code=x")).await.status(), 403);
    assert!(twice.cookie("home.lan", "__Host-skep").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_provider_becomes_a_user_of_this_server() {
    let (provider, server) = start(|_| {}).await;
    provider.behave(|it| it.claims["preferred_username"] = json!("ada"));
    let mut browser = Browser::new(&server.client);
    let refused = come_back(&server, &mut browser).await;
    assert_eq!(refused.status(), 403);
    let text = refused.text().await.unwrap();
    assert!(text.contains("There is a user &quot;ada&quot; of this server, too"), "{text}");
    assert!(browser.cookie("home.lan", "__Host-skep").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_provider_is_told() {
    let (provider, server) = start(|it| {
        it.client_secret_file = None;
    })
    .await;
    let refused = come_back(&server, &mut Browser::new(&server.client)).await;
    assert_eq!(refused.status(), 502);
    let text = refused.text().await.unwrap();
    assert!(text.contains("does not know this server or its secret (invalid_client)"), "{text}");

    provider.behave(|it| it.issuer += "/");
    let (_, other) = (provider, Server::start_with(|_| {}).await);
    let none = other.get("/.skep/oidc").send().await.unwrap();
    assert_eq!(none.status(), 404);

    let (provider, server) = start(|_| {}).await;
    provider.behave(|it| it.issuer += "/");
    let begun = server.get("/.skep/oidc").send().await.unwrap();
    assert_eq!(begun.status(), 502);
    let text = begun.text().await.unwrap();
    assert!(text.contains("write oidc.issuer as it does"), "{text}");

    let away = Server::start_with(|config| {
        let mut oidc = oidc(&provider, config);
        // Nobody listens on the port of time.
        oidc.issuer = Issuer::parse("http://127.0.0.1:9").unwrap();
        config.oidc = Some(oidc);
    })
    .await;
    let begun = away.get("/.skep/oidc").send().await.unwrap();
    assert_eq!(begun.status(), 502);
    assert!(begun.text().await.unwrap().contains("cannot be asked; does it run"));
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_may_be_told_elsewhere_and_the_secret_shown_in_the_body() {
    let post = skep_front::TokenAuth::Post;
    let (provider, server) = start(|it| it.token_auth = Some(post)).await;
    provider.behave(|it| {
        it.claims = json!({"preferred_username": "eva"});
        it.userinfo = json!({"sub": "1", "groups": ["admins"]});
    });
    let mut browser = Browser::new(&server.client);
    assert_eq!(come_back(&server, &mut browser).await.status(), 200);
    assert!(is_in(&server, &mut browser).await);
    provider.behave(|it| it.userinfo["sub"] = json!("2"));
    assert_eq!(come_back(&server, &mut Browser::new(&server.client)).await.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_of_the_provider_is_fetched_and_a_login_ends_in_its_time() {
    let provider = Provider::start().await;
    let clock = ManualClock::new();
    let server = Server::start_by(Arc::clone(&clock) as Arc<dyn Clock>, |config| {
        config.oidc = Some(oidc(&provider, config));
    })
    .await;
    let mut browser = Browser::new(&server.client);
    assert_eq!(come_back(&server, &mut browser).await.status(), 200);
    provider.behave(|it| {
        (it.kid, it.published_kid) = ("k2".to_owned(), "k2".to_owned());
    });
    clock.advance(Duration::from_secs(10));
    let mut second = Browser::new(&server.client);
    assert_eq!(come_back(&server, &mut second).await.status(), 200);
    assert!(is_in(&server, &mut browser).await);
    clock.advance(Duration::from_secs(3600));
    assert!(!is_in(&server, &mut browser).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_login_at_the_provider_opens_every_site_until_the_provider_is_taken_out() {
    let provider = Provider::start().await;
    let server = Server::start_with(|config| {
        config.oidc = Some(oidc(&provider, config));
        config.sites =
            vec![site("photos.home.lan", Scope::Query), site("elsewhere.example", Scope::Query)];
    })
    .await;
    let mut browser = Browser::new(&server.client);
    let photos = server.url("photos.home.lan", "/album");
    let form = browser.open(&photos).await;
    assert_eq!(form.url().path(), "/login");
    let html = form.text().await.unwrap();
    let (_, rest) = html.split_once("href=\"/.skep/oidc?").unwrap();
    let begin = format!("/.skep/oidc?{}", rest.split_once('"').unwrap().0);
    let shown = browser.open(&server.url("home.lan", &begin)).await;
    let next = shown.headers()["refresh"].to_str().unwrap().strip_prefix("0; url=").unwrap();
    let album = browser.open(&server.url("home.lan", next)).await;
    assert_eq!(album.text().await.unwrap(), "photos.home.lan");
    // Its own name has no login but the one at the domain's.
    let wrong = server.url("photos.home.lan", "/.skep/oidc");
    assert_eq!(browser.get(&wrong).await.status(), 404);
    let shown = browser.open(&server.url("elsewhere.example", "/.skep/oidc?next=/x")).await;
    assert_eq!(shown.headers()["refresh"], "0; url=/x");
    let elsewhere = browser.get(&server.url("elsewhere.example", "/x")).await;
    assert_eq!(elsewhere.text().await.unwrap(), "elsewhere.example");

    let sessions = server.get("/-/skep/v1/sessions?user=eva").bearer_auth(ADMIN);
    let sessions: Value = sessions.send().await.unwrap().json().await.unwrap();
    assert_eq!(sessions["data"].as_array().unwrap().len(), 3);
    assert_eq!(sessions["data"][0]["provider"], provider.issuer());

    let mut next = config(server.dir.path());
    next.https = vec![server.https()];
    server.reloads.apply(next).await.unwrap();
    assert!(!is_in(&server, &mut browser).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_can_end_the_login_at_the_provider_too() {
    let (provider, server) = start(|it| it.logout = OidcLogout::AtProvider).await;
    let mut browser = Browser::new(&server.client);
    come_back(&server, &mut browser).await;
    let logout = server.url("home.lan", "/logout");
    let form = browser.get(&logout).await;
    let policy = form.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains(&format!("form-action 'self' {};", provider.issuer())), "{policy}");
    let out = browser.post(&logout, "").await;
    let location = out.headers()["location"].to_str().unwrap();
    let expected =
        format!("{}/logout?x=1&client_id=skep&post_logout_redirect_uri=", provider.issuer());
    assert!(location.starts_with(&expected), "{location}");
    assert!(!is_in(&server, &mut browser).await);
    // Who logged in with a password has nothing to end there.
    let login = format!("user=ada&password={}", crate::server::PASSWORD.replace(' ', "+"));
    browser.post(&server.url("home.lan", "/login"), &login).await;
    let out = browser.post(&logout, "").await;
    assert_eq!(out.headers()["location"], "/login");
}
