//! The small file of what metrics are: kind, help, unit.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use skep_proto::MetricKind;
use skep_wal::Fs;

use crate::view::Metadata;

pub(crate) const METADATA_FILE: &str = "metadata.json";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    metrics: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    help: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    unit: String,
}

const KINDS: [MetricKind; 8] = [
    MetricKind::Unknown,
    MetricKind::Counter,
    MetricKind::Gauge,
    MetricKind::Histogram,
    MetricKind::GaugeHistogram,
    MetricKind::Summary,
    MetricKind::Info,
    MetricKind::StateSet,
];

/// Replaces the file. The error names it.
pub(crate) fn save(
    dir: &Path,
    metrics: &BTreeMap<String, Metadata>,
    fs: &dyn Fs,
) -> Result<(), (PathBuf, io::Error)> {
    let metrics = metrics
        .iter()
        .map(|(name, it)| {
            let kind = it.kind.as_str().to_owned();
            (name.clone(), Entry { kind, help: it.help.clone(), unit: it.unit.clone() })
        })
        .collect();
    let path = dir.join(METADATA_FILE);
    let unfinished = dir.join(format!("{METADATA_FILE}.unfinished"));
    let saved = serde_json::to_vec_pretty(&Document { version: VERSION, metrics })
        .map_err(io::Error::other)
        .and_then(|bytes| {
            let mut file = fs.create(&unfinished)?;
            file.append(&bytes)?;
            file.sync()?;
            fs.rename(&unfinished, &path)?;
            fs.sync_dir(dir)
        });
    saved.map_err(|error| (path, error))
}

/// What the file holds. Senders repeat their metadata, so a file that is missing or unreadable is
/// no reason not to start.
pub(crate) fn load(dir: &Path, fs: &dyn Fs) -> BTreeMap<String, Metadata> {
    let path = dir.join(METADATA_FILE);
    let document = fs
        .read(&path)
        .and_then(|bytes| serde_json::from_slice::<Document>(&bytes).map_err(io::Error::other));
    match document {
        Ok(document) => document
            .metrics
            .into_iter()
            .map(|(name, it)| {
                let kind = KINDS.into_iter().find(|kind| kind.as_str() == it.kind);
                let kind = kind.unwrap_or_default();
                (name, Metadata { kind, help: it.help, unit: it.unit })
            })
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "Could not read the metrics' metadata.");
            BTreeMap::new()
        }
    }
}
