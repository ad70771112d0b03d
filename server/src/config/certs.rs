//! `[[certificates]]` and `[[acme]]`: where certificates come from before the local CA signs one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use reqwest::Url;
use serde::Deserialize;
use skep_front::{
    AcmeConfig, AcmeDns, CertificateFiles, CertificatesConfig, Cloudflare, Directory, Dns01,
    DnsProviderConfig, DnsTransport, Domain, Exec, ExternalAccount, HostPattern, Proof,
    Propagation, PropagationCheck, Retry, Rfc2136, SecretFile, Webhook,
};

use super::values::{address, duration, positive_duration};

/// A program that sets a record has this long, as lego's default.
const EXEC_TIMEOUT: &str = "60s";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCertificate {
    cert_file: PathBuf,
    key_file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAcme {
    #[serde(default = "letsencrypt")]
    directory: String,
    email: Option<String>,
    #[serde(default)]
    terms_agreed: bool,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    zones: Vec<String>,
    challenge: Option<RawChallenge>,
    dns: Option<RawDns>,
    propagation: Option<RawPropagation>,
    external_account: Option<RawExternalAccount>,
    ca_file: Option<PathBuf>,
    profile: Option<String>,
}

fn letsencrypt() -> String {
    "letsencrypt".to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum RawChallenge {
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    #[serde(rename = "dns-01")]
    Dns01,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExternalAccount {
    kid: String,
    hmac_key_file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "provider", rename_all = "lowercase", deny_unknown_fields)]
enum RawDns {
    Cloudflare {
        token_file: PathBuf,
        api_base: Option<String>,
    },
    Rfc2136 {
        server: String,
        #[serde(default)]
        transport: RawTransport,
        zone: Option<String>,
        key_name: String,
        #[serde(default = "hmac_sha256")]
        algorithm: String,
        key_file: PathBuf,
        #[serde(default = "minute")]
        ttl: u32,
    },
    #[serde(rename = "acme-dns")]
    AcmeDns {
        url: String,
        credentials_file: PathBuf,
    },
    Exec {
        program: PathBuf,
        timeout: Option<String>,
    },
    Webhook {
        url: String,
        username: Option<String>,
        password_file: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawTransport {
    #[default]
    Tcp,
    Udp,
}

fn hmac_sha256() -> String {
    "hmac-sha256".to_owned()
}

fn minute() -> u32 {
    60
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPropagation {
    check: Option<bool>,
    resolvers: Vec<String>,
    delay: Option<String>,
    timeout: Option<String>,
    interval: Option<String>,
}

/// `dir`: where relative paths are meant from.
pub(super) fn config(
    files: &[RawCertificate],
    acme: &[RawAcme],
    dir: &Path,
) -> anyhow::Result<CertificatesConfig> {
    let files = files.iter().map(|it| CertificateFiles {
        cert_file: dir.join(&it.cert_file),
        key_file: dir.join(&it.key_file),
    });
    let acme = acme.iter().enumerate();
    let acme = acme.map(|(i, it)| one_acme(it, dir).with_context(|| format!("acme[{i}]")));
    Ok(CertificatesConfig { files: files.collect(), acme: acme.collect::<anyhow::Result<_>>()? })
}

fn one_acme(raw: &RawAcme, dir: &Path) -> anyhow::Result<AcmeConfig> {
    let directory = Directory::parse(&raw.directory)?;
    if !raw.terms_agreed {
        bail!(
            "terms_agreed is not true; read the terms of {directory} and write terms_agreed = true"
        );
    }
    let names = raw.names.iter().map(|it| HostPattern::parse(it));
    let zones = raw.zones.iter().map(|it| Domain::parse(it));
    let acme = AcmeConfig {
        directory,
        email: raw.email.clone(),
        names: names.collect::<Result<_, _>>().context("names")?,
        zones: zones.collect::<Result<_, _>>().context("zones")?,
        proof: proof(raw, dir)?,
        external_account: raw
            .external_account
            .as_ref()
            .map(|it| external_account(it, dir))
            .transpose()
            .context("external_account.hmac_key_file")?,
        ca_file: raw.ca_file.as_ref().map(|it| dir.join(it)),
        profile: raw.profile.clone(),
        retry: Retry::default(),
    };
    acme.check()?;
    Ok(acme)
}

fn proof(raw: &RawAcme, dir: &Path) -> anyhow::Result<Proof> {
    match (raw.challenge, &raw.dns) {
        (Some(RawChallenge::TlsAlpn01), Some(_)) => {
            bail!("challenge is \"tls-alpn-01\", which needs no [acme.dns]; leave one of them out")
        }
        (Some(RawChallenge::Dns01), None) => {
            bail!("challenge is \"dns-01\", but there is no [acme.dns] to say who sets the records")
        }
        (_tls_alpn, None) if raw.propagation.is_some() => {
            bail!("propagation is about DNS, but there is no [acme.dns]")
        }
        (_tls_alpn, None) => Ok(Proof::TlsAlpn01),
        (_dns, Some(dns)) => {
            let default = RawPropagation::default();
            let propagation = raw.propagation.as_ref().unwrap_or(&default);
            Ok(Proof::Dns01(Box::new(Dns01 {
                provider: provider(dns, dir).context("dns")?,
                propagation: propagation.config()?,
            })))
        }
    }
}

fn external_account(raw: &RawExternalAccount, dir: &Path) -> anyhow::Result<ExternalAccount> {
    let hmac_key_file = SecretFile::open_base64(&dir.join(&raw.hmac_key_file))?;
    Ok(ExternalAccount { kid: raw.kid.clone(), hmac_key_file })
}

fn provider(raw: &RawDns, dir: &Path) -> anyhow::Result<DnsProviderConfig> {
    Ok(match raw {
        RawDns::Cloudflare { token_file, api_base } => DnsProviderConfig::Cloudflare(Cloudflare {
            token_file: secret("token_file", dir, token_file)?,
            api_base: url("api_base", api_base.as_deref().unwrap_or(Cloudflare::API_BASE))?,
        }),
        RawDns::Rfc2136 { server, transport, zone, key_name, algorithm, key_file, ttl } => {
            DnsProviderConfig::Rfc2136(Rfc2136 {
                server: dns_server("dns.server", server)?,
                transport: match transport {
                    RawTransport::Tcp => DnsTransport::Tcp,
                    RawTransport::Udp => DnsTransport::Udp,
                },
                zone: zone.as_deref().map(Rfc2136::name).transpose().context("zone")?,
                key_name: Rfc2136::name(key_name).context("key_name")?,
                algorithm: Rfc2136::algorithm(algorithm)?,
                key_file: SecretFile::open_base64(&dir.join(key_file)).context("key_file")?,
                ttl: *ttl,
            })
        }
        RawDns::AcmeDns { url: it, credentials_file } => DnsProviderConfig::AcmeDns(AcmeDns {
            url: url("url", it)?,
            credentials_file: secret("credentials_file", dir, credentials_file)?,
        }),
        RawDns::Exec { program, timeout } => {
            let program = dir.join(program);
            if !program.is_file() {
                bail!("program {} is no file", program.display());
            }
            let timeout = timeout.as_deref().unwrap_or(EXEC_TIMEOUT);
            let timeout = positive_duration("dns.timeout", timeout)?;
            DnsProviderConfig::Exec(Exec { program, timeout })
        }
        RawDns::Webhook { url: it, username, password_file } => {
            if username.is_some() != password_file.is_some() {
                bail!("username and password_file belong together; write both or neither");
            }
            let password = password_file.as_ref().map(|it| secret("password_file", dir, it));
            DnsProviderConfig::Webhook(Webhook {
                url: url("url", it)?,
                username: username.clone(),
                password_file: password.transpose()?,
            })
        }
    })
}

fn secret(key: &str, dir: &Path, path: &Path) -> anyhow::Result<SecretFile> {
    SecretFile::open(&dir.join(path)).with_context(|| key.to_owned())
}

fn url(key: &str, text: &str) -> anyhow::Result<Url> {
    match Url::parse(text) {
        Ok(url) if url.has_host() && ["http", "https"].contains(&url.scheme()) => Ok(url),
        _no_url => bail!("{key} {text:?} is not an address; write one like \"https://dns.lan\""),
    }
}

/// An address whose port may be left out.
fn dns_server(key: &str, text: &str) -> anyhow::Result<SocketAddr> {
    match text.parse::<std::net::IpAddr>() {
        Ok(ip) => Ok(SocketAddr::new(ip, 53)),
        Err(_with_port) => address(key, text),
    }
}

impl RawPropagation {
    fn config(&self) -> anyhow::Result<Propagation> {
        let mut propagation = Propagation::default();
        let resolvers = self.resolvers.iter().map(|it| dns_server("propagation.resolvers", it));
        let resolvers = resolvers.collect::<anyhow::Result<Vec<_>>>()?;
        propagation.check = match (self.check, resolvers.is_empty()) {
            (Some(false), true) => PropagationCheck::Off,
            (Some(false), false) => {
                bail!(
                    "propagation.resolvers are asked by the check that propagation.check = false switches off; leave one of them out"
                )
            }
            (_on, true) => PropagationCheck::Authoritative,
            (_on, false) => PropagationCheck::Resolvers(resolvers),
        };
        if let Some(it) = &self.delay {
            propagation.delay = duration("propagation.delay", it)?;
        }
        if let Some(it) = &self.timeout {
            propagation.timeout = positive_duration("propagation.timeout", it)?;
        }
        if let Some(it) = &self.interval {
            propagation.interval = positive_duration("propagation.interval", it)?;
        }
        Ok(propagation)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    const GUIDE: &str = include_str!("../../../docs/guide/certificates.md");

    /// A folder with every file that the guide's examples name.
    fn dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("cloudflare-token", "t0ken"),
            ("tsig-key", "c2VjcmV0"),
            ("acme-dns.json", "{}"),
            ("dns-hook", "#!/bin/sh"),
            ("webhook-password", "hunter2"),
            ("eab-key", "c2VjcmV0"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn parse(text: &str) -> anyhow::Result<Config> {
        let dir = dir();
        let text = text.replace("/etc/skep", &dir.path().display().to_string());
        Config::parse_in(dir.path(), &text).map_err(|it| crate::config::Faults::new("", it).into())
    }

    fn error(text: &str) -> String {
        format!("{:#}", parse(text).unwrap_err())
    }

    fn examples() -> impl Iterator<Item = &'static str> {
        GUIDE.split("```toml\n").skip(1).filter_map(|it| it.split("```").next())
    }

    #[test]
    fn every_example_of_the_guide_is_right() {
        let mut providers = std::collections::HashSet::new();
        for example in examples() {
            let config = parse(example).map_err(|it| format!("{it:#}\n{example}")).unwrap();
            for acme in config.front.certificates.acme {
                let proof = format!("{:?}", acme.proof);
                providers.insert(proof.split(['(', ' ']).nth(4).map(str::to_owned));
            }
        }
        assert!(providers.len() >= 5, "a provider has no example: {providers:?}");
    }

    #[test]
    fn the_guide_knows_every_setting() {
        let guide: String = examples().collect();
        for head in [
            "[[certificates]]\n",
            "[[acme]]\n",
            "[[acme]]\n[acme.propagation]\n",
            "[[acme]]\n[acme.external_account]\n",
            "[[acme]]\n[acme.dns]\nprovider = \"cloudflare\"\n",
            "[[acme]]\n[acme.dns]\nprovider = \"rfc2136\"\n",
            "[[acme]]\n[acme.dns]\nprovider = \"acme-dns\"\n",
            "[[acme]]\n[acme.dns]\nprovider = \"exec\"\n",
            "[[acme]]\n[acme.dns]\nprovider = \"webhook\"\n",
        ] {
            let error = Config::parse(&format!("{head}nosuch = 1")).unwrap_err().to_string();
            let (_, keys) = error.split_once("expected ").expect("the keys are listed");
            for key in keys.split('`').skip(1).step_by(2) {
                let is_there = guide.lines().map(|it| it.trim_start_matches("# ")).any(|it| {
                    it.starts_with(&format!("{key} = ")) || it == format!("[acme.{key}]")
                });
                assert!(is_there, "{head}{key} is not in docs/guide/certificates.md");
            }
        }
    }

    #[test]
    fn what_would_only_fail_at_the_ca_fails_here() {
        let agreed = "[[acme]]\nterms_agreed = true\n";
        for (text, expected) in [
            ("[[acme]]\nnames = [\"a.lan\"]", "acme[0]: terms_agreed is not true"),
            (agreed, "acme[0]: names and zones are both empty"),
            (&format!("{agreed}names = [\"*.a.lan\"]"), "is a wildcard, which only DNS can prove"),
            (&format!("{agreed}names = [\"a b\"]"), "acme[0].names: host \"a b\""),
            (
                &format!("{agreed}names = [\"a.lan\"]\nchallenge = \"dns-01\""),
                "there is no [acme.dns]",
            ),
            (
                &format!(
                    "{agreed}names = [\"a.lan\"]\n[acme.dns]\nprovider = \"cloudflare\"\ntoken_file = \"nosuch\""
                ),
                "acme[0].dns.token_file: cannot read",
            ),
            (
                &format!("{agreed}names = [\"a.lan\"]\n[acme.dns]\nprovider = \"route53\""),
                "unknown variant `route53`",
            ),
        ] {
            let error = error(text);
            assert!(error.contains(expected), "{error}");
        }
    }
}
