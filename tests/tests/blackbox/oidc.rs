//! Logins at an OpenID Connect provider, from the server's configuration file to its page; the
//! provider and the browser are those of the front door's own tests.

use std::{fs, time::Duration};

use reqwest::StatusCode;
use skep_tests::{Deadline, Server};
use tokio::process::Command;

use crate::{
    login_browser::{Browser, target},
    provider::{Provider, SECRET},
};

const SOON: Duration = Duration::from_secs(60);

fn browser(server: &Server) -> anyhow::Result<Browser> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .tls_built_in_root_certs(false)
        .add_root_certificate(reqwest::Certificate::from_pem(&fs::read(server.ca_file())?)?)
        .build()?;
    Ok(Browser::new(&client))
}

/// To the provider and back; what the server says then.
async fn log_in(server: &Server, browser: &mut Browser) -> anyhow::Result<(StatusCode, String)> {
    let form = browser.open(&format!("{}/explore", server.url())).await.text().await?;
    assert!(form.contains("Log in with Home"), "{form}");
    let begin = format!("{}/.skep/oidc?next=/explore", server.url());
    let to_provider = target(&begin, &browser.get(&begin).await).unwrap_or_default();
    let back = target(&to_provider, &browser.get(&to_provider).await).unwrap_or_default();
    let answer = browser.get(&back).await;
    Ok((answer.status(), answer.text().await?))
}

async fn status(server: &Server, browser: &mut Browser, path: &str) -> u16 {
    browser.get(&format!("{}{path}", server.url())).await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_at_a_provider_opens_the_page_until_the_provider_is_taken_out() -> anyhow::Result<()>
{
    let provider = Provider::start().await;
    let dir = tempfile::tempdir()?;
    let secret = dir.path().join("oidc-secret");
    fs::write(&secret, SECRET)?;
    let settings = format!(
        "[oidc]\nname = \"Home\"\nissuer = {:?}\nclient_id = \"skep\"\nclient_secret_file = {:?}\n\
         role_claim = \"groups\"\nadmin_groups = [\"admins\"]\nviewer_groups = [\"family\"]\n",
        provider.issuer(),
        secret.display().to_string(),
    );
    let server = Server::start(dir.path(), &settings).await?;

    let mut viewer = browser(&server)?;
    assert_ne!(status(&server, &mut viewer, "/api/v1/query?query=1").await, 200);
    let (code, text) = log_in(&server, &mut viewer).await?;
    assert_eq!(code, 200, "{text}");
    assert_eq!(status(&server, &mut viewer, "/api/v1/query?query=1").await, 200);
    assert_eq!(status(&server, &mut viewer, "/-/skep/v1/tokens").await, 403, "family looks only");

    provider.behave(|it| it.claims["groups"] = "admins".into());
    let mut admin = browser(&server)?;
    assert_eq!(log_in(&server, &mut admin).await?.0, 200);
    assert_eq!(status(&server, &mut admin, "/-/skep/v1/tokens").await, 200);

    provider.behave(|it| it.tamper = |token| token.replacen('.', ".e", 1));
    let mut stranger = browser(&server)?;
    let (code, text) = log_in(&server, &mut stranger).await?;
    assert_eq!(code, 403, "{text}");
    assert_ne!(status(&server, &mut stranger, "/api/v1/query?query=1").await, 200);

    let config = dir.path().join("server.toml");
    fs::write(&config, fs::read_to_string(&config)?.replace(&settings, ""))?;
    let pid = server.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().await?.success());
    let admin = tokio::sync::Mutex::new(admin);
    Deadline::within(SOON)
        .until("the logins to end", || async {
            let mut admin = admin.lock().await;
            let seen = status(&server, &mut admin, "/-/skep/v1/tokens").await;
            Ok((seen != 200).then_some(()))
        })
        .await
}
