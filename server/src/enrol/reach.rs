//! By which address hosts reach this server, and who vouches for it: asked of the running server,
//! since only its answer is proof.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Certificate, Client, ClientBuilder, Url};
use skep_front::ServerTrust;

use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(10);
const HTTPS_PORT: u16 = 443;

/// # Errors
/// No name that others can use, or no answer under it that can be trusted.
pub(super) fn find(config: &Config, url: Option<&str>) -> anyhow::Result<(String, ServerTrust)> {
    let (url, at) = match url {
        Some(url) => (url.trim_end_matches('/').to_owned(), None),
        None => of_config(config)?,
    };
    let parsed: Url =
        url.parse().with_context(|| format!("{url:?} is no address; write https://NAME[:PORT]"))?;
    if parsed.scheme() != "https" || !matches!(parsed.path(), "" | "/") {
        bail!("{url:?} is no address for agents; write https://NAME[:PORT]");
    }
    let ca_file = skep_front::ca_file(&config.front.data_dir);
    let ca_pem = std::fs::read_to_string(&ca_file).with_context(|| {
        format!("reading the local CA {}; has the server been started once?", ca_file.display())
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let trust = runtime.block_on(trust(&parsed, at, &ca_pem))?;
    Ok((url, trust))
}

/// The address by the configuration, and where this machine finds it whatever DNS says.
fn of_config(config: &Config) -> anyhow::Result<(String, Option<SocketAddr>)> {
    let front = &config.front;
    let domain = front.domain.as_str();
    if skep_front::is_of_this_machine(domain) {
        bail!(
            "front.domain {domain:?} is a name that only this machine knows: set a name that other hosts know, or give one of front.extra_names by --url https://NAME:PORT"
        );
    }
    let bound = front.https.first().context("front.https is empty: agents have no way in")?;
    let port = front.https_port_public.unwrap_or(bound.port());
    let port_text = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    // Whatever forwards the public port is on the way of hosts, and so of this question.
    let at = front.https_port_public.is_none().then(|| {
        let ip = match bound.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, bound.port())
    });
    Ok((format!("https://{domain}{port_text}"), at))
}

async fn trust(url: &Url, at: Option<SocketAddr>, ca_pem: &str) -> anyhow::Result<ServerTrust> {
    // Another crate may have set it first; it is the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = || {
        let client = Client::builder().timeout(TIMEOUT).no_proxy();
        match (at, url.host_str()) {
            (Some(at), Some(host)) => client.resolve(host, at),
            _ => client,
        }
    };
    // Without this machine's authorities, which another crate has reqwest know.
    let local = client().tls_built_in_root_certs(false);
    let local = local.add_root_certificate(Certificate::from_pem(ca_pem.as_bytes())?);
    let by_local = ask(local, url, ca_pem).await;
    let Err(error) = by_local else { return Ok(ServerTrust::LocalCa(ca_pem.to_owned())) };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(skep_trust::system_roots().roots)
        .with_no_client_auth();
    let system = client().use_preconfigured_tls(tls);
    match ask(system, url, ca_pem).await {
        Ok(()) => Ok(ServerTrust::System),
        Err(_the_same) => Err(error).with_context(|| {
            format!(
                "this server does not answer at {url} with a certificate of its local CA or of an authority that this machine knows; is it running, and is the name right? --url gives another"
            )
        }),
    }
}

/// Whether it is this server that answers, vouched for.
async fn ask(client: ClientBuilder, url: &Url, ca_pem: &str) -> anyhow::Result<()> {
    let answer = client.build()?.get(url.join("/ca.pem")?).send().await?.error_for_status()?;
    let text = answer.text().await?;
    if text != ca_pem {
        bail!("{url} is another server: its /ca.pem is not that of this data folder");
    }
    Ok(())
}
