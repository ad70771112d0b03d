//! `skep-agent convert`: a Promtail configuration as this agent's own.
//!
//! The text is read field by field ([`config`]), each job becomes a `[journal]` or `[[files]]`
//! ([`job`]), and what is made is checked as any configuration of the agent is. What has no
//! counterpart is refused by name, or left out with a note where nothing is lost by it.

mod config;
mod job;

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;
use serde_json::Value as Json;

use self::config::RawPromtail;
use crate::sources::{journal::RawJournal, log_files::RawFiles};

/// Why a configuration cannot be converted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConvertError {
    #[error("{0}")]
    Yaml(String),
    #[error("{at}: {what}")]
    Refused { at: String, what: String },
    #[error("there are no scrape_configs: nothing to convert")]
    Empty,
    #[error("cannot write it as TOML")]
    Toml(#[from] toml::ser::Error),
}

/// What this agent reads.
#[derive(Debug, Default, Serialize)]
struct Converted {
    server: Server,
    journal: RawJournal,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<RawFiles>,
}

#[derive(Debug, Default, Serialize)]
struct Server {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
}

/// The configuration as TOML; what was left out stands in comments above it.
pub(crate) fn convert(path: &Path, yaml: &str) -> Result<String, ConvertError> {
    let raw: RawPromtail = config::parse(yaml)?;
    let mut notes = Vec::new();
    let mut converted =
        Converted { server: raw.server_of_clients(&mut notes)?, ..Converted::default() };
    converted.labels = raw.external_labels();
    raw.note_ignored(&mut notes);
    let limits = raw.line_limits()?;
    if raw.scrape_configs.is_empty() {
        return Err(ConvertError::Empty);
    }
    let mut journal = None;
    for job in raw.scrape_configs {
        let at = format!("scrape_configs {:?}", job.job_name);
        match job.converted(&limits, &mut notes)? {
            job::Job::Journal(raw) if journal.is_none() => journal = Some(*raw),
            job::Job::Journal(_) => {
                return Err(refused(at, "this agent reads one journal; make one job of the two"));
            }
            job::Job::Files(raw) => converted.files.extend(raw),
        }
    }
    let off = RawJournal { enabled: Some(false), ..RawJournal::default() };
    converted.journal = journal.unwrap_or(off);
    let mut out = format!("# Made from {} by skep-agent convert.\n", path.display());
    for note in notes {
        out.push_str(&format!("# {note}\n"));
    }
    out.push('\n');
    out.push_str(&toml::to_string(&without_nulls(serde_json::to_value(&converted)))?);
    Ok(out)
}

fn refused(at: impl Into<String>, what: impl Into<String>) -> ConvertError {
    ConvertError::Refused { at: at.into(), what: what.into() }
}

/// TOML has no null: in a stage it says the same as an empty text.
fn without_nulls(json: Result<Json, serde_json::Error>) -> Json {
    fn walk(json: Json) -> Json {
        match json {
            Json::Null => Json::String(String::new()),
            Json::Array(list) => list.into_iter().map(walk).collect(),
            Json::Object(map) => map.into_iter().map(|(key, it)| (key, walk(it))).collect(),
            other => other,
        }
    }
    walk(json.unwrap_or_default())
}

#[cfg(test)]
mod tests;
