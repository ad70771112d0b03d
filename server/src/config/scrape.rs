//! `[scrape]`: which file says what is scraped.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawScrape {
    /// From the folder of the server's own file.
    pub(super) config_file: Option<PathBuf>,
}

/// A file and what it says.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) file: PathBuf,
    pub(crate) jobs: skep_scrape::Config,
}

impl RawScrape {
    pub(super) fn load(&self, dir: &Path) -> anyhow::Result<Option<Scrape>> {
        let Some(file) = &self.config_file else { return Ok(None) };
        let file = dir.join(file);
        let jobs = skep_scrape::Config::load(&file).context("scrape.config_file")?;
        Ok(Some(Scrape { file, jobs }))
    }
}
