//! `files`, `redirect` and `respond`: what a route can answer by itself.

use std::path::PathBuf;

use anyhow::Context as _;
use axum::http::StatusCode;
use serde::Deserialize;
use skep_front::{Browse, FilesConfig, Hidden, Links, Precompressed, RedirectConfig, Respond};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFiles {
    root: PathBuf,
    index: Option<Vec<String>>,
    fallback: Option<String>,
    #[serde(default)]
    browse: bool,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    links: RawLinks,
    #[serde(default)]
    precompressed: bool,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawLinks {
    #[default]
    Inside,
    Anywhere,
    Refused,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRedirect {
    to: String,
    status: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRespond {
    status: u16,
    #[serde(default)]
    body: String,
}

impl RawFiles {
    pub(super) fn config(&self) -> anyhow::Result<FilesConfig> {
        let mut config = FilesConfig::new(self.root.clone())?;
        if let Some(index) = &self.index {
            config = config.with_index(index).context("index")?;
        }
        if let Some(fallback) = &self.fallback {
            config = config.with_fallback(fallback).context("fallback")?;
        }
        config.browse = if self.browse { Browse::List } else { Browse::Off };
        config.hidden = if self.hidden { Hidden::Served } else { Hidden::Refused };
        config.links = match self.links {
            RawLinks::Inside => Links::Inside,
            RawLinks::Anywhere => Links::Anywhere,
            RawLinks::Refused => Links::Refused,
        };
        config.precompressed =
            if self.precompressed { Precompressed::Used } else { Precompressed::Off };
        Ok(config)
    }
}

impl RawRedirect {
    pub(super) fn config(&self) -> anyhow::Result<RedirectConfig> {
        Ok(RedirectConfig::new(&self.to, self.status.unwrap_or(RedirectConfig::STATUS))?)
    }
}

impl RawRespond {
    pub(super) fn config(&self) -> anyhow::Result<Respond> {
        let status = StatusCode::from_u16(self.status).ok().filter(|it| it.as_u16() >= 200);
        let status = status.with_context(|| {
            format!("status {} is no final one; write one from 200 to 599", self.status)
        })?;
        Ok(Respond { status, body: self.body.clone() })
    }
}
