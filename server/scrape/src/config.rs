//! Prometheus' configuration file: what of it is about scraping, made valid once.
//!
//! Source: Prometheus' "Configuration", sections `global`, `scrape_configs`, `http_config`,
//! `file_sd_config`, `http_sd_config`.

mod discovery;
mod global;
mod http;
mod job;
mod raw;
mod values;
mod yaml;

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use discovery::{Discovery, FileSd, Group, HttpSd, RawGroup, file_pattern, files_of};
pub use http::{Authorization, Credential, HttpConfig, Proxy, TlsConfig, TlsVersion};
pub use job::Job;
pub(crate) use values::Span;
pub(crate) use yaml::read as read_yaml;

use global::Global;
use skep_proto::relabel::RuleError;

/// All that is scraped.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    pub jobs: Vec<Arc<Job>>,
    /// What the file says and this server does not do, a sentence each.
    pub warnings: Vec<String>,
    /// Of the `global` section; this server sends nothing elsewhere, so no sample gets them.
    pub external_labels: Vec<(String, String)>,
}

/// More would not fit a small server.
const JOBS_MAX: usize = 10_000;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: {text}")]
    Yaml { path: PathBuf, text: String },
    #[error(
        "{path}: {service} is not supported; targets are found by static_configs, file_sd_configs and http_sd_configs (at {at})"
    )]
    Discovery { path: PathBuf, service: String, at: String },
    #[error("{path}: job {job:?}: {field}")]
    Job { path: PathBuf, job: String, field: &'static str, source: Box<FieldError> },
    #[error("{path}: {field}")]
    Field { path: PathBuf, field: &'static str, source: Box<FieldError> },
    #[error("found multiple scrape configs with job name {0:?}")]
    Twice(String),
    #[error("there are more than {JOBS_MAX} jobs")]
    TooMany,
}

/// What is wrong with a field, in Prometheus' words where it has some.
#[derive(Debug, thiserror::Error)]
pub enum FieldError {
    #[error("{0}")]
    Invalid(String),
    #[error("rule {number}")]
    Rule { number: usize, source: RuleError },
}

impl FieldError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

/// A field's name and what is wrong with it.
pub(crate) type Fault = (&'static str, FieldError);

impl Config {
    /// Reads a file and those it names in `scrape_config_files`.
    ///
    /// # Errors
    /// The file, the job, the field, and what is wrong there.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::read(path, &read(path)?)
    }

    /// A text that names no files but from where the process runs.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::read(Path::new(""), text)
    }

    fn read(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let dir = path.parent().unwrap_or(Path::new(""));
        let raw: raw::RawConfig = yaml::read_config(path, text)?;
        let warnings = raw.warnings();
        let global = Global::new(raw.global.unwrap_or_default()).map_err(|(field, source)| {
            ConfigError::Field { path: path.to_owned(), field, source: Box::new(source) }
        })?;
        let mut config = Self { warnings, ..Self::default() };
        config.warnings.extend(global.warnings());
        let mut names = HashSet::new();
        config.add(path, dir, &global, raw.scrape_configs.unwrap_or_default(), &mut names)?;
        for pattern in raw.scrape_config_files.unwrap_or_default() {
            let is_valid = file_pattern(&pattern, &["yml", "yaml"]);
            let files = is_valid.and_then(|()| {
                files_of(&dir.join(&pattern)).map_err(|it| FieldError::new(it.to_string()))
            });
            let files = files.map_err(|source| ConfigError::Field {
                path: path.to_owned(),
                field: "scrape_config_files",
                source: Box::new(source),
            })?;
            for file in files {
                let text = read(&file)?;
                let raw: raw::RawScrapeFile = yaml::read_config(&file, &text)?;
                let dir = file.parent().unwrap_or(Path::new(""));
                let jobs = raw.scrape_configs.unwrap_or_default();
                config.add(&file, dir, &global, jobs, &mut names)?;
            }
        }
        config.external_labels = global.external_labels;
        Ok(config)
    }

    fn add(
        &mut self,
        path: &Path,
        dir: &Path,
        global: &Global,
        jobs: Vec<raw::RawJob>,
        names: &mut HashSet<String>,
    ) -> Result<(), ConfigError> {
        for raw in jobs {
            let name = raw.job_name.clone();
            let job = Job::new(raw, global, dir).map_err(|(field, source)| ConfigError::Job {
                path: path.to_owned(),
                job: name.clone(),
                field,
                source: Box::new(source),
            })?;
            if !names.insert(name.clone()) {
                return Err(ConfigError::Twice(name));
            }
            if names.len() > JOBS_MAX {
                return Err(ConfigError::TooMany);
            }
            self.warnings.extend(job.warnings());
            self.jobs.push(Arc::new(job));
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
