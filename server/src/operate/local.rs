//! A running server of this machine, asked as its owner.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use skep_front::{Clock as _, Records, Scope, SystemClock};
use tracing::warn;

use crate::{config::Config, tool::Target};

/// A backup of much data takes its time; the token ends with us, this is for one that is killed.
const TOKEN_LIFETIME: Duration = Duration::from_hours(2);
/// In the certificate of every server, signed by its own CA.
const NAME: &str = "localhost";

pub(crate) struct Local {
    pub(crate) config: Config,
    records: Records,
    token_name: String,
    target: Target,
}

impl Local {
    /// Makes a token; the server is not asked yet.
    ///
    /// # Errors
    /// A bad configuration, a data folder that is not ours, no HTTPS port.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let config = Config::load(path)?;
        let ca_file = skep_front::ca_file(&config.data_dir);
        let ca = std::fs::read(&ca_file).with_context(|| {
            format!("reading {}; has the server been started, and are you root?", ca_file.display())
        })?;
        let ca = reqwest::Certificate::from_pem(&ca)
            .with_context(|| format!("{} is no certificate", ca_file.display()))?;
        let address = reachable(&config.front.https)?;
        // Fails if it was done before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .tls_built_in_root_certs(false)
            .add_root_certificate(ca)
            .resolve(NAME, address)
            .build()?;
        let records = Records::open(&config.front).with_context(|| {
            format!("opening the list of tokens in {}", config.data_dir.display())
        })?;
        let token_name = format!("command-{}", std::process::id());
        let token = records.new_token(
            &token_name,
            &[Scope::Query, Scope::Admin],
            Some(TOKEN_LIFETIME),
            SystemClock.now(),
        )?;
        let url = format!("https://{NAME}:{}", address.port());
        let target = Target::Server { http, url, token: Some(token) };
        Ok(Self { config, records, token_name, target })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<String> {
        self.ask(http::Method::GET, path).await
    }

    pub(crate) async fn post(&self, path: &str) -> anyhow::Result<String> {
        self.ask(http::Method::POST, path).await
    }

    async fn ask(&self, method: http::Method, path: &str) -> anyhow::Result<String> {
        let asked = self.target.ask_whole(method, path, "text/plain", String::new()).await;
        asked.map_err(|error| {
            let is_away = error.downcast_ref::<reqwest::Error>().is_some_and(|it| it.is_connect());
            if is_away {
                error.context("the server does not run; `systemctl status skep-server` says why")
            } else {
                error
            }
        })
    }
}

/// Nobody else is to use it.
impl Drop for Local {
    fn drop(&mut self) {
        if let Err(error) = self.records.revoke(&self.token_name) {
            warn!(%error, name = self.token_name, "A token is left behind, which ends by itself.");
        }
    }
}

/// Where a listener is reached from this machine.
fn reachable(https: &[SocketAddr]) -> anyhow::Result<SocketAddr> {
    let Some(&listen) = https.iter().find(|it| it.port() != 0) else {
        bail!("front.https names no port, so the running server cannot be found");
    };
    let mut address = listen;
    if listen.ip().is_unspecified() {
        let loopback = std::net::Ipv4Addr::LOCALHOST;
        // An IPv6 listener takes both versions.
        address.set_ip(loopback.into());
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_for_everybody_is_reached_on_loopback() {
        let reach = |text: &str| reachable(&[text.parse().unwrap()]).map(|it| it.to_string()).ok();
        assert_eq!(reach("[::]:443").as_deref(), Some("127.0.0.1:443"));
        assert_eq!(reach("0.0.0.0:443").as_deref(), Some("127.0.0.1:443"));
        assert_eq!(reach("192.168.1.5:8443").as_deref(), Some("192.168.1.5:8443"));
        assert_eq!(reach("127.0.0.1:0"), None);
    }
}
