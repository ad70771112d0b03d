//! The server's configuration: TOML as it was written, then made valid once.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use skep_front::{
    Domain, LoopbackAddr, PasswordHash, PlainAuth, PlainListener, Scope, Scopes, Token, TokenHash,
    User,
};
use skep_store::Durability;

/// Valid settings of every stage.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) front: skep_front::Config,
    pub(crate) store: skep_store::StoreConfig,
    pub(crate) query: skep_query::Limits,
}

impl Config {
    /// # Errors
    /// The key that is wrong, and what to write instead.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let raw: Raw = toml::from_str(text)?;
        if !raw.data_dir.is_absolute() {
            bail!("data_dir {:?} is relative; write an absolute path", raw.data_dir);
        }
        Ok(Self {
            front: front(&raw)?,
            store: store(&raw)?,
            query: query(&raw.query)?,
            data_dir: raw.data_dir,
        })
    }
}

/// What a file may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default = "default_data_dir")]
    data_dir: PathBuf,
    #[serde(default)]
    front: RawFront,
    #[serde(default)]
    store: RawStore,
    #[serde(default)]
    query: RawQuery,
    #[serde(default)]
    users: Vec<RawUser>,
    #[serde(default)]
    tokens: Vec<RawToken>,
}

fn default_data_dir() -> PathBuf {
    "/var/lib/skep".into()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFront {
    domain: String,
    extra_names: Vec<String>,
    https: Vec<SocketAddr>,
    https_port_public: Option<u16>,
    redirect: Option<SocketAddr>,
    plain: Option<RawPlain>,
}

impl Default for RawFront {
    fn default() -> Self {
        Self {
            domain: "skep.localhost".to_owned(),
            extra_names: Vec::new(),
            https: vec![SocketAddr::from(([127, 0, 0, 1], 8443))],
            https_port_public: None,
            redirect: None,
            plain: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlain {
    listen: SocketAddr,
    #[serde(default = "yes")]
    require_auth: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawStore {
    /// A duration, or "off": keep everything, whatever its age.
    retention: Option<String>,
    /// "fsync": a write is on the disk before it is acknowledged; "interval": soon after.
    durability: Option<RawDurability>,
    sync_interval: Option<String>,
    group_interval: Option<String>,
    memory_max: Option<String>,
    flush_bytes: Option<String>,
    flush_age: Option<String>,
    future_max: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawDurability {
    Fsync,
    Interval,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawQuery {
    series_max: Option<usize>,
    samples_max: Option<u64>,
    memory_max: Option<String>,
    memory_total: Option<String>,
    timeout: Option<String>,
    lines_max: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUser {
    name: String,
    password_hash: String,
    #[serde(default = "all_scopes")]
    scopes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    name: String,
    sha256: String,
    scopes: Vec<String>,
}

fn all_scopes() -> Vec<String> {
    Scope::ALL.iter().map(|it| it.as_str().to_owned()).collect()
}

fn front(raw: &Raw) -> anyhow::Result<skep_front::Config> {
    let RawFront { domain, extra_names, https, https_port_public, redirect, plain } = &raw.front;
    let plain = match plain {
        None => None,
        Some(RawPlain { listen, require_auth }) => Some(PlainListener {
            addr: LoopbackAddr::new(*listen).context("front.plain.listen")?,
            require_auth: if *require_auth { PlainAuth::Required } else { PlainAuth::Open },
        }),
    };
    Ok(skep_front::Config {
        domain: Domain::parse(domain).context("front.domain")?,
        extra_names: extra_names.clone(),
        host: host_name(),
        https: https.clone(),
        http_redirect: *redirect,
        https_port_public: *https_port_public,
        plain,
        data_dir: raw.data_dir.clone(),
        tokens: raw.tokens.iter().map(token).collect::<anyhow::Result<_>>()?,
        users: raw.users.iter().map(user).collect::<anyhow::Result<_>>()?,
        limits: skep_front::Limits::default(),
    })
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn token(raw: &RawToken) -> anyhow::Result<Token> {
    let what = || format!("token {:?}", raw.name);
    Ok(Token {
        name: raw.name.clone(),
        sha256: TokenHash::from_hex(&raw.sha256).with_context(what)?,
        scopes: scopes(&raw.scopes).with_context(what)?,
    })
}

fn user(raw: &RawUser) -> anyhow::Result<User> {
    let what = || format!("user {:?}", raw.name);
    Ok(User {
        name: raw.name.clone(),
        password: PasswordHash::parse(&raw.password_hash).with_context(what)?,
        scopes: scopes(&raw.scopes).with_context(what)?,
    })
}

fn scopes(names: &[String]) -> anyhow::Result<Scopes> {
    let scopes: Vec<Scope> = names.iter().map(|it| it.parse()).collect::<Result<_, _>>()?;
    Ok(scopes.into_iter().collect())
}

/// "90s", "5m", "30d": a number and a unit, as in Prometheus' flags; several may follow each other.
fn duration(key: &str, text: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(text).with_context(|| {
        format!(
            "{key} {text:?} is not a duration; write a number and a unit, like \"30d\" or \"15s\""
        )
    })
}

/// "200MB", "1GiB".
fn bytes(key: &str, text: &str) -> anyhow::Result<usize> {
    let size: bytesize::ByteSize = text.parse().map_err(|why: String| {
        anyhow::anyhow!("{key} {text:?} is not a size ({why}); write one like \"512MiB\"")
    })?;
    usize::try_from(size.as_u64()).with_context(|| format!("{key} {text:?} is too large"))
}

/// A season: disks of homes are small.
const RETENTION_DEFAULT: Duration = Duration::from_hours(24 * 90);
const KEEP_ALL: &str = "off";
/// What a power cut may cost who asked for `durability = "interval"`.
const SYNC_INTERVAL_DEFAULT: &str = "1s";

fn store(raw: &Raw) -> anyhow::Result<skep_store::StoreConfig> {
    let mut config = skep_store::StoreConfig::new(&raw.data_dir);
    let raw = &raw.store;
    config.retention = match raw.retention.as_deref() {
        None => Some(RETENTION_DEFAULT),
        Some(KEEP_ALL) => None,
        Some(it) => Some(duration("store.retention", it)?),
    };
    match raw.durability {
        Some(RawDurability::Fsync) => config.durability = Durability::Fsync,
        Some(RawDurability::Interval) => {
            let every = raw.sync_interval.as_deref().unwrap_or(SYNC_INTERVAL_DEFAULT);
            config.durability = Durability::Interval(duration("store.sync_interval", every)?);
        }
        None => {}
    }
    if let Some(it) = &raw.group_interval {
        config.group_interval = duration("store.group_interval", it)?;
    }
    if let Some(it) = &raw.memory_max {
        config.memory_bytes_max = bytes("store.memory_max", it)?;
    }
    if let Some(it) = &raw.flush_bytes {
        config.flush_bytes = bytes("store.flush_bytes", it)?;
    }
    if let Some(it) = &raw.flush_age {
        config.flush_age = duration("store.flush_age", it)?;
    }
    if let Some(it) = &raw.future_max {
        config.future_max = duration("store.future_max", it)?;
    }
    if config.flush_bytes >= config.memory_bytes_max {
        bail!(
            "store.flush_bytes is {}, not below store.memory_max, {}: every write would be refused \
             before the first flush",
            config.flush_bytes,
            config.memory_bytes_max
        );
    }
    Ok(config)
}

fn query(raw: &RawQuery) -> anyhow::Result<skep_query::Limits> {
    let mut limits = skep_query::Limits::default();
    if let Some(it) = raw.series_max {
        limits.n_series_max = it;
    }
    if let Some(it) = raw.samples_max {
        limits.n_samples_max = it;
    }
    if let Some(it) = &raw.memory_max {
        limits.memory_bytes_max = bytes("query.memory_max", it)?;
    }
    if let Some(it) = &raw.memory_total {
        limits.memory_bytes_total = bytes("query.memory_total", it)?;
    }
    if let Some(it) = &raw.timeout {
        limits.timeout = duration("query.timeout", it)?;
    }
    if let Some(it) = raw.lines_max {
        limits.n_lines_max = it;
    }
    Ok(limits)
}
