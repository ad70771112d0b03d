//! `[home]`: which files say what the home page shows, who may see it, and what it may cost.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use skep_home::{HomeFile, Limits, Settings, Source, Visitors};

use super::values::{bytes, count, positive_duration};

/// A check is a connection.
const CHECKS_MAX: usize = 1_000;
const ENTRIES_MAX: usize = 100_000;
const REDIRECTS_MAX: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawHome {
    /// From the folder of the server's own file, as the others.
    file: Option<PathBuf>,
    gethomepage: Option<PathBuf>,
    icons_dir: Option<PathBuf>,
    public: bool,
    checks_at_once: Option<usize>,
    entries_max: Option<usize>,
    file_max: Option<String>,
    interval: Option<String>,
    timeout: Option<String>,
    check_body_max: Option<String>,
    widget_body_max: Option<String>,
    redirects_max: Option<usize>,
}

/// What the files say now: they are read by themselves, so that what is wrong with them stops
/// nothing else.
///
/// # Errors
/// File and line of what cannot be shown.
pub(super) fn read(settings: &Settings) -> anyhow::Result<HomeFile> {
    HomeFile::load(settings, &|name| std::env::var(name).ok()).context("home")
}

impl RawHome {
    pub(super) fn settings(&self, dir: &Path) -> anyhow::Result<Settings> {
        let source = match (&self.file, &self.gethomepage) {
            (None, None) => None,
            (Some(file), None) => Some(Source::File(dir.join(file))),
            (None, Some(folder)) => Some(Source::Gethomepage(dir.join(folder))),
            (Some(_), Some(_)) => {
                bail!("home.file and home.gethomepage are both there; leave out one of them")
            }
        };
        let icons_dir = self.icons_dir.as_ref().map(|it| dir.join(it));
        let visitors = if self.public { Visitors::Anybody } else { Visitors::LoggedIn };
        Ok(Settings { source, icons_dir, visitors, limits: self.limits()? })
    }

    fn limits(&self) -> anyhow::Result<Limits> {
        let mut limits = Limits::default();
        let size = |key: &str, text: &str| anyhow::Ok(u64::try_from(bytes(key, text)?)?);
        if let Some(n) = self.checks_at_once {
            limits.checks_at_once = count("home.checks_at_once", n, 1..=CHECKS_MAX)?;
        }
        if let Some(n) = self.entries_max {
            limits.entries_max = count("home.entries_max", n, 1..=ENTRIES_MAX)?;
        }
        if let Some(n) = self.redirects_max {
            limits.redirects_max = count("home.redirects_max", n, 0..=REDIRECTS_MAX)?;
        }
        if let Some(text) = &self.file_max {
            limits.file_bytes_max = size("home.file_max", text)?;
        }
        if let Some(text) = &self.check_body_max {
            limits.check_bytes_max = size("home.check_body_max", text)?;
        }
        if let Some(text) = &self.widget_body_max {
            limits.widget_bytes_max = size("home.widget_body_max", text)?;
        }
        if let Some(text) = &self.interval {
            limits.interval = positive_duration("home.interval", text)?;
        }
        if let Some(text) = &self.timeout {
            limits.timeout = positive_duration("home.timeout", text)?;
        }
        Ok(limits)
    }
}
