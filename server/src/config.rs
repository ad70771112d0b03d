//! The server's configuration: TOML as it was written, then made valid once.

mod certs;
mod flags;
mod front;
mod memory;
mod object_store;
mod own;
mod query;
mod receive;
mod retention;
mod scrape;
mod sites;
mod store;
mod values;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use skep_api::ApiConfig;

pub(crate) use own::{AccessLog, Own};
pub(crate) use scrape::Scrape;

/// Valid settings of every stage.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) front: skep_front::Config,
    pub(crate) store: skep_store::StoreConfig,
    pub(crate) query: skep_query::Limits,
    pub(crate) api: ApiConfig,
    pub(crate) own: Own,
    /// Nothing is scraped without it.
    pub(crate) scrape: Option<Scrape>,
}

impl Config {
    /// Reads a file and those it names.
    ///
    /// # Errors
    /// As [`Self::parse_in`], and what is wrong with the other files.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| {
            format!("cannot read the configuration {} (--config names another)", path.display())
        })?;
        Self::parse_in(path.parent().unwrap_or(Path::new("")), &text)
            .with_context(|| format!("{}", path.display()))
    }

    /// A file that names no others.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        Self::parse_in(Path::new(""), text)
    }

    /// `dir`: where files are meant from.
    ///
    /// # Errors
    /// The key that is wrong, its value, and what to write instead.
    fn parse_in(dir: &Path, text: &str) -> anyhow::Result<Self> {
        let raw: Raw = toml::from_str(text)?;
        if !raw.data_dir.is_absolute() {
            bail!(
                "data_dir {:?} is relative; write an absolute path, like \"/var/lib/skep\"",
                raw.data_dir
            );
        }
        let memory = raw.memory.shares()?;
        let mut store = raw.store.config(&raw.data_dir, &memory)?;
        store.object_store = raw.object_store.config()?;
        store.retention_rules = retention::rules(&raw.retention)?;
        let query = raw.query.limits(&memory)?;
        memory.check(&store, &query)?;
        let defaults = ApiConfig::default();
        let mut api = ApiConfig {
            n_queries_max: raw.query.concurrency(defaults.n_queries_max)?,
            n_writes_max: raw.receive.concurrency(memory.n_writes(defaults.n_writes_max))?,
            receive: raw.receive.limits()?,
            push: raw.receive.rules()?,
            ingestion_rate: raw.receive.ingestion_rate()?,
            is_admin_enabled: raw.admin.enabled,
            query_log: raw.query.log()?,
            tails: raw.query.tails()?,
            memory: memory.figures(&store, &query),
            ..defaults
        };
        api.flags = flags::flags(&store, &query, &api);
        let (mut front, scrape) = (front::config(&raw)?, raw.scrape.load(dir)?);
        let own = own::own(&raw.own, raw.front.access_log())?;
        front.certificates = certs::config(&raw.certificates, &raw.acme, dir)?;
        Ok(Self { front, store, query, api, own, scrape, data_dir: raw.data_dir })
    }
}

/// What a file may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default = "default_data_dir")]
    data_dir: PathBuf,
    #[serde(default)]
    front: front::RawFront,
    #[serde(default, alias = "storage")]
    store: store::RawStore,
    #[serde(default)]
    object_store: object_store::RawObjectStore,
    #[serde(default)]
    memory: memory::RawMemory,
    #[serde(default)]
    retention: Vec<retention::RawRule>,
    #[serde(default)]
    query: query::RawQuery,
    #[serde(default)]
    receive: receive::RawReceive,
    #[serde(default)]
    scrape: scrape::RawScrape,
    #[serde(default)]
    admin: RawAdmin,
    #[serde(default, rename = "self")]
    own: own::RawSelf,
    #[serde(default)]
    users: Vec<front::RawUser>,
    #[serde(default)]
    tokens: Vec<front::RawToken>,
    #[serde(default)]
    sites: Vec<sites::RawSite>,
    #[serde(default)]
    certificates: Vec<certs::RawCertificate>,
    #[serde(default)]
    acme: Vec<certs::RawAcme>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawAdmin {
    enabled: bool,
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self { enabled: true }
    }
}

fn default_data_dir() -> PathBuf {
    "/var/lib/skep".into()
}

#[cfg(test)]
mod tests;
