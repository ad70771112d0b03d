//! Where targets come from: the file itself, other files, an HTTP server.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{Fault, FieldError, HttpConfig, http::http_fields, values::Span};

/// One way to find targets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Discovery {
    Static(Vec<Group>),
    File(FileSd),
    Http(Box<HttpSd>),
}

/// Addresses with the labels they share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Group {
    pub(crate) targets: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FileSd {
    /// With a `*` in the last part at most.
    pub(crate) patterns: Vec<PathBuf>,
    pub(crate) refresh: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpSd {
    pub(crate) url: String,
    pub(crate) refresh: Duration,
    pub(crate) http: HttpConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawGroup {
    targets: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFileSd {
    files: Vec<String>,
    refresh_interval: Option<Span>,
}

http_fields! {
    pub(super) struct RawHttpSd {
        url: String,
        refresh_interval: Option<Span>,
    }
}

/// As there.
const FILE_REFRESH: Duration = Duration::from_mins(5);
const HTTP_REFRESH: Duration = Duration::from_mins(1);

impl RawGroup {
    /// # Errors
    /// A label whose name is none.
    pub(crate) fn group(self) -> Result<Group, String> {
        let labels = self.labels.unwrap_or_default();
        if labels.contains_key("") {
            return Err("\"\" is not a valid label name".to_owned());
        }
        Ok(Group { targets: self.targets.unwrap_or_default(), labels })
    }
}

pub(super) fn static_groups(raw: Vec<RawGroup>) -> Result<Discovery, Fault> {
    let fault = |text: String| ("static_configs", FieldError::new(text));
    let groups = raw.into_iter().map(RawGroup::group).collect::<Result<Vec<_>, _>>();
    let groups = groups.map_err(fault)?;
    match groups.iter().flat_map(|it| &it.targets).find(|it| it.contains('/')) {
        Some(target) => Err(fault(format!("{target:?} is not a valid hostname"))),
        None => Ok(Discovery::Static(groups)),
    }
}

impl RawFileSd {
    pub(super) fn discovery(self, dir: &Path) -> Result<Discovery, Fault> {
        let fault = |it| ("file_sd_configs", it);
        if self.files.is_empty() {
            let text = "file service discovery config must contain at least one path name";
            return Err(fault(FieldError::new(text)));
        }
        for pattern in &self.files {
            file_pattern(pattern, &["json", "yml", "yaml", "JSON", "YML", "YAML"])
                .map_err(fault)?;
        }
        Ok(Discovery::File(FileSd {
            patterns: self.files.iter().map(|it| dir.join(it)).collect(),
            refresh: positive(self.refresh_interval, FILE_REFRESH),
        }))
    }
}

impl RawHttpSd {
    pub(super) fn discovery(mut self, dir: &Path) -> Result<Discovery, Fault> {
        let fault = |text| ("http_sd_configs.url", FieldError::new(text));
        let host = match self.url.split_once("://") {
            _ if self.url.is_empty() => return Err(fault("URL is missing")),
            Some(("http" | "https", behind)) => behind,
            _ => return Err(fault("URL scheme must be 'http' or 'https'")),
        };
        if host.is_empty() || host.starts_with('/') {
            return Err(fault("host is missing in URL"));
        }
        let http = self.http(dir)?;
        let refresh = positive(self.refresh_interval, HTTP_REFRESH);
        Ok(Discovery::Http(Box::new(HttpSd { url: self.url, refresh, http })))
    }
}

fn positive(span: Option<Span>, default: Duration) -> Duration {
    span.map(|it| it.0).filter(|it| !it.is_zero()).unwrap_or(default)
}

/// Whether a path has one of these endings, and a `*` in its last part only, at most once.
///
/// # Errors
/// It has not.
pub(crate) fn file_pattern(pattern: &str, endings: &[&str]) -> Result<(), FieldError> {
    let ending = pattern.rsplit_once('.').map_or("", |(_, it)| it);
    let (dirs, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let is_good =
        endings.contains(&ending) && !dirs.contains('*') && name.matches('*').count() <= 1;
    if is_good {
        return Ok(());
    }
    let endings = endings.join(", ");
    Err(FieldError::new(format!(
        "path name {pattern:?} is not valid; it must end with one of {endings} and may have one * in its last part"
    )))
}

/// The files a pattern stands for, sorted; a path without `*` stands for itself, there or not.
///
/// # Errors
/// A folder that cannot be read; one that is not there has no files.
pub(crate) fn files_of(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    let Some((start, end)) = name.split_once('*') else { return Ok(vec![pattern.to_owned()]) };
    let dir = pattern.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_match =
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end);
        if is_match {
            files.push(dir.join(name));
        }
    }
    files.sort();
    Ok(files)
}
