//! `[front]`, `[[users]]` and `[[tokens]]`: where to listen, for whom, and what peers may cost.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use skep_front::{
    CodeSecret, Config, Domain, Limits, LoopbackAddr, MetricNames, Networks, PasswordHash,
    PlainAuth, PlainListener, Role, Scope, Scopes, SiteConfig, Token, TokenHash, User,
};

use super::{
    Raw,
    own::RawAccessLog,
    values::{address, bytes, count, duration, positive, positive_duration},
};

/// A process may not open more files than about this.
const CONNECTIONS_MAX: usize = 1_000_000;
/// Requests of one connection; each may be a query.
const STREAMS_MAX: u32 = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFront {
    domain: String,
    extra_names: Vec<String>,
    trusted_proxies: Vec<String>,
    proxy_protocol: Vec<String>,
    https: Vec<String>,
    https_port_public: Option<u16>,
    redirect: Option<String>,
    plain: Option<RawPlain>,
    connections_max: Option<usize>,
    streams_max: Option<u32>,
    header_max: Option<String>,
    handshake_timeout: Option<String>,
    header_timeout: Option<String>,
    body_timeout: Option<String>,
    drain: Option<String>,
    session_lifetime: Option<String>,
    login_burst: Option<u32>,
    login_refill: Option<String>,
    caddy_metric_names: bool,
    access_log: RawAccessLog,
}

impl Default for RawFront {
    fn default() -> Self {
        Self {
            domain: "skep.localhost".to_owned(),
            extra_names: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: Vec::new(),
            https: vec!["127.0.0.1:8443".to_owned()],
            https_port_public: None,
            redirect: None,
            plain: None,
            connections_max: None,
            streams_max: None,
            header_max: None,
            handshake_timeout: None,
            header_timeout: None,
            body_timeout: None,
            drain: None,
            session_lifetime: None,
            login_burst: None,
            login_refill: None,
            caddy_metric_names: false,
            access_log: RawAccessLog::default(),
        }
    }
}

impl RawFront {
    pub(super) fn access_log(&self) -> &RawAccessLog {
        &self.access_log
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlain {
    listen: String,
    #[serde(default = "yes")]
    require_auth: bool,
}

pub(super) fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUser {
    name: String,
    password_hash: String,
    role: Option<String>,
    scopes: Option<Vec<String>>,
    totp_secret_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawToken {
    name: String,
    sha256: String,
    scopes: Vec<String>,
}

/// `dir`: where relative paths are meant from.
pub(super) fn config(raw: &Raw, sites: Vec<SiteConfig>, dir: &Path) -> anyhow::Result<Config> {
    let front = &raw.front;
    unique("user", raw.users.iter().map(|it| it.name.as_str()))?;
    unique("token", raw.tokens.iter().map(|it| it.name.as_str()))?;
    Ok(Config {
        domain: Domain::parse(&front.domain).context("front.domain")?,
        extra_names: front.extra_names.clone(),
        host: host_name(),
        https: front.https.iter().map(|it| address("front.https", it)).collect::<Result<_, _>>()?,
        http_redirect: front.redirect.as_deref().map(redirect).transpose()?,
        https_port_public: front.https_port_public,
        plain: front.plain.as_ref().map(plain).transpose()?,
        data_dir: raw.data_dir.clone(),
        tokens: each("tokens", &raw.tokens, token)?,
        users: each("users", &raw.users, |it| user(it, dir))?,
        agents: raw.agents.certificates(),
        oidc: None,
        trusted_proxies: networks("front.trusted_proxies", &front.trusted_proxies)?,
        proxy_protocol: networks("front.proxy_protocol", &front.proxy_protocol)?,
        sites,
        metric_names: match front.caddy_metric_names {
            true => MetricNames::Caddy,
            false => MetricNames::Skep,
        },
        certificates: skep_front::CertificatesConfig::default(),
        agent_programs: raw.agents.programs(),
        limits: limits(front)?,
    })
}

pub(super) fn networks(key: &'static str, texts: &[String]) -> anyhow::Result<Networks> {
    Networks::parse(texts.iter().map(String::as_str)).context(key)
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn redirect(text: &str) -> anyhow::Result<SocketAddr> {
    address("front.redirect", text)
}

fn plain(raw: &RawPlain) -> anyhow::Result<PlainListener> {
    let listen = address("front.plain.listen", &raw.listen)?;
    Ok(PlainListener {
        addr: LoopbackAddr::new(listen).context("front.plain.listen")?,
        require_auth: if raw.require_auth { PlainAuth::Required } else { PlainAuth::Open },
    })
}

fn limits(raw: &RawFront) -> anyhow::Result<Limits> {
    let mut limits = Limits::default();
    if let Some(n) = raw.connections_max {
        limits.connections_max = count("front.connections_max", n, 1..=CONNECTIONS_MAX)?;
    }
    if let Some(n) = raw.streams_max {
        limits.streams_max = count("front.streams_max", n, 1..=STREAMS_MAX)?;
    }
    if let Some(n) = raw.login_burst {
        limits.login_burst = positive("front.login_burst", n)?;
    }
    if let Some(it) = &raw.header_max {
        let Ok(size) = u32::try_from(bytes("front.header_max", it)?) else {
            bail!("front.header_max {it:?} is too large; write one like \"32KiB\"");
        };
        limits.header_bytes_max = size;
    }
    for (key, text, limit) in [
        ("front.handshake_timeout", &raw.handshake_timeout, &mut limits.handshake_timeout),
        ("front.header_timeout", &raw.header_timeout, &mut limits.header_timeout),
        ("front.body_timeout", &raw.body_timeout, &mut limits.body_timeout),
        ("front.session_lifetime", &raw.session_lifetime, &mut limits.session_lifetime),
        ("front.login_refill", &raw.login_refill, &mut limits.login_refill),
    ] {
        if let Some(text) = text {
            *limit = positive_duration(key, text)?;
        }
    }
    if let Some(it) = &raw.drain {
        limits.drain_deadline = duration("front.drain", it)?;
    }
    Ok(limits)
}

/// Logs tell callers by name.
fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            bail!("{what} {name:?} is there twice; give each a name of its own");
        }
    }
    Ok(())
}

/// Of a list of tables, told by the number of the one that is wrong.
fn each<R, V>(
    key: &str,
    raw: &[R],
    valid: impl Fn(&R) -> anyhow::Result<V>,
) -> anyhow::Result<Vec<V>> {
    let all = raw.iter().enumerate();
    all.map(|(i, it)| valid(it).with_context(|| format!("{key}[{i}]"))).collect()
}

fn token(raw: &RawToken) -> anyhow::Result<Token> {
    let what = || format!("token {:?}", raw.name);
    Ok(Token {
        name: raw.name.clone(),
        sha256: TokenHash::from_hex(&raw.sha256)
            .with_context(|| format!("sha256 of {}; `skep-server hash-token` makes one", what()))?,
        scopes: scopes(&raw.scopes).with_context(|| format!("scopes of {}", what()))?,
    })
}

fn user(raw: &RawUser, dir: &Path) -> anyhow::Result<User> {
    let what = || format!("user {:?}", raw.name);
    let scopes = match (&raw.role, &raw.scopes) {
        (Some(_), Some(_)) => {
            bail!("role and scopes of {} are both there; leave one of them out", what())
        }
        (Some(role), None) => {
            role.parse::<Role>().with_context(|| format!("role of {}", what()))?.scopes()
        }
        (None, Some(names)) => scopes(names).with_context(|| format!("scopes of {}", what()))?,
        // As it was before there were roles.
        (None, None) => Scopes::ALL,
    };
    let code_secret = raw.totp_secret_file.as_ref().map(|it| code_secret(&dir.join(it)));
    Ok(User {
        name: raw.name.clone(),
        // The value is not shown: it may be the password itself.
        password: PasswordHash::parse(&raw.password_hash).with_context(|| {
            format!("password_hash of {}; `skep-server hash-password` makes one", what())
        })?,
        scopes,
        code_secret: code_secret
            .transpose()
            .with_context(|| format!("totp_secret_file of {}", what()))?,
    })
}

fn code_secret(path: &Path) -> anyhow::Result<CodeSecret> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    CodeSecret::parse(&text).with_context(|| path.display().to_string())
}

fn scopes(names: &[String]) -> anyhow::Result<Scopes> {
    let scopes: Vec<Scope> = names.iter().map(|it| it.parse()).collect::<Result<_, _>>()?;
    Ok(scopes.into_iter().collect())
}
