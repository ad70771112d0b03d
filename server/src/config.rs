//! The server's configuration: TOML as it was written, then made valid once.

mod agents;
mod certs;
mod document;
mod flags;
mod front;
mod home;
mod memory;
mod object_store;
mod oidc;
mod own;
mod query;
mod receive;
mod retention;
mod scrape;
mod sites;
mod store;
mod values;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use skep_api::ApiConfig;
use skep_query::Limits;
use skep_store::StoreConfig;

use self::document::{Document, Fault};

pub(crate) use document::Faults;
pub(crate) use own::{AccessLog, Own};
pub(crate) use scrape::Scrape;

/// Valid settings of every stage.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) front: skep_front::Config,
    pub(crate) store: StoreConfig,
    pub(crate) query: Limits,
    pub(crate) api: ApiConfig,
    pub(crate) own: Own,
    /// Nothing is scraped without it.
    pub(crate) scrape: Option<Scrape>,
    /// The file as it was written, to tell what a reload changes.
    pub(crate) settings: toml::Table,
    pub(crate) home: skep_home::Settings,
}

impl Config {
    /// Reads a file and those it names.
    ///
    /// # Errors
    /// The file cannot be read, or [`Faults`].
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = text(path)?;
        let dir = path.parent().unwrap_or(Path::new(""));
        let config = Self::parse_in(dir, &text)
            .map_err(|faults| Faults::new(&path.display().to_string(), faults))?;
        let certificates = config.front.certificates.files.iter().enumerate();
        let unusable: Vec<_> = certificates
            .filter_map(|(i, it)| {
                let error = anyhow::Error::new(it.check().err()?);
                Some(error.context(format!("certificates[{i}]")))
            })
            .collect();
        if unusable.is_empty() { Ok(config) } else { Err(located(path, &unusable)?.into()) }
    }

    /// What the home page's files say now.
    ///
    /// # Errors
    /// File and line of what cannot be shown.
    pub(crate) fn home_file(&self) -> anyhow::Result<skep_home::HomeFile> {
        home::read(&self.home)
    }

    /// A file that names no others.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Result<Self, Faults> {
        Self::parse_in(Path::new(""), text).map_err(|faults| Faults::new("", faults))
    }

    /// `dir`: where files are meant from.
    ///
    /// # Errors
    /// Each key that is wrong, its value, and what to write instead; all that can be found at once.
    pub(crate) fn parse_in(dir: &Path, text: &str) -> Result<Self, Vec<Fault>> {
        let document = Document::parse(text)?;
        let raw: Raw = document.read()?;
        let settings: toml::Table = document.read()?;
        raw.valid(dir, settings)
            .map_err(|errors| errors.iter().map(|error| document.fault(error)).collect::<Vec<_>>())
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| {
        format!("cannot read the configuration {} (--config names another)", path.display())
    })
}

/// Where in its file each of these is: for what is found out once it was read.
///
/// # Errors
/// The file is gone, or is no TOML any more.
pub(crate) fn located(path: &Path, errors: &[anyhow::Error]) -> anyhow::Result<Faults> {
    let text = text(path)?;
    let name = path.display().to_string();
    let document = Document::parse(&text).map_err(|faults| Faults::new(&name, faults))?;
    Ok(Faults::new(&name, errors.iter().map(|it| document.fault(it)).collect()))
}

/// What is left of a result: the value, or an error more in the list.
fn take<T>(errors: &mut Vec<anyhow::Error>, result: anyhow::Result<T>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

impl Raw {
    fn valid(self, dir: &Path, settings: toml::Table) -> Result<Config, Vec<anyhow::Error>> {
        let mut errors = Vec::new();
        if !self.data_dir.is_absolute() {
            errors.push(anyhow!(
                "data_dir {:?} is relative; write an absolute path, like \"/var/lib/skep\"",
                self.data_dir
            ));
        }
        let memory = take(&mut errors, self.memory.shares());
        let stored = memory.as_ref().and_then(|it| take(&mut errors, self.stored(it)));
        let api = memory
            .as_ref()
            .zip(stored.as_ref())
            .and_then(|(memory, (store, query))| take(&mut errors, self.api(memory, store, query)));
        let sites = sites::config(&self.sites, &mut errors);
        let mut front = take(&mut errors, front::config(&self, sites, dir));
        let oidc = self.oidc.as_ref().map(|it| it.config(dir)).transpose();
        if let (Some(oidc), Some(front)) = (take(&mut errors, oidc), &mut front) {
            front.oidc = oidc;
        }
        let certificates = take(&mut errors, certs::config(&self.certificates, &self.acme, dir));
        if let (Some(front), Some(certificates)) = (&mut front, certificates) {
            front.certificates = certificates;
        }
        take(&mut errors, front.as_ref().map_or(Ok(()), |it| Ok(it.check()?)));
        let scrape = take(&mut errors, self.scrape.load(dir));
        let own = take(&mut errors, own::own(&self.own, self.front.access_log()));
        let home = take(&mut errors, self.home.settings(dir));
        match (stored, api, front, scrape, own, home) {
            (Some((store, query)), Some(api), Some(front), Some(scrape), Some(own), Some(home))
                if errors.is_empty() =>
            {
                let data_dir = self.data_dir;
                Ok(Config { data_dir, front, store, query, api, own, scrape, settings, home })
            }
            _wrong => Err(errors),
        }
    }

    /// What shares the memory out.
    fn stored(&self, memory: &memory::Shares) -> anyhow::Result<(StoreConfig, Limits)> {
        let mut store = self.store.config(&self.data_dir, memory)?;
        store.object_store = self.object_store.config()?;
        store.retention_rules = retention::rules(&self.retention)?;
        let query = self.query.limits(memory)?;
        memory.check(&store, &query)?;
        Ok((store, query))
    }

    fn api(
        &self,
        memory: &memory::Shares,
        store: &StoreConfig,
        query: &Limits,
    ) -> anyhow::Result<ApiConfig> {
        let defaults = ApiConfig::default();
        let mut api = ApiConfig {
            n_queries_max: self.query.concurrency(defaults.n_queries_max)?,
            n_writes_max: self.receive.concurrency(memory.n_writes(defaults.n_writes_max))?,
            receive: self.receive.limits()?,
            push: self.receive.rules()?,
            ingestion_rate: self.receive.ingestion_rate()?,
            is_admin_enabled: self.admin.enabled,
            query_log: self.query.log()?,
            n_queries_kept: self.query.history(defaults.n_queries_kept)?,
            tails: self.query.tails()?,
            memory: memory.figures(store, query),
            ..defaults
        };
        api.flags = flags::flags(store, query, &api);
        Ok(api)
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
    #[serde(default)]
    agents: agents::RawAgents,
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
    home: home::RawHome,
    #[serde(default)]
    admin: RawAdmin,
    #[serde(default, rename = "self")]
    own: own::RawSelf,
    #[serde(default)]
    users: Vec<front::RawUser>,
    #[serde(default)]
    tokens: Vec<front::RawToken>,
    oidc: Option<oidc::RawOidc>,
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
