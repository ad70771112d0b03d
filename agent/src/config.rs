//! The configuration file: read raw, then made valid once; the rest of the agent takes [`Config`].

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use skep_proto::{is_label_name, names::METRIC_NAME};

use crate::sources::{
    Roots, Settings,
    ebpf::EventSettings,
    journal::{Boot, MatchError, RawJournal, Select, Shape, parse_matches},
    log_files::{FilesJob, JobError, RawFiles},
};

/// Where the file is looked for.
pub(crate) const DEFAULT_PATH: &str = "/etc/skep/agent.toml";

/// Below it the collection itself would be most of what the host does.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(3600);
const INTERVAL_DEFAULT: Duration = Duration::from_secs(15);
/// What the two spools need to hold a few batches each.
const SPOOL_BYTES_MIN: u64 = 16 << 20;
const SPOOL_BYTES_DEFAULT: u64 = 1 << 30;
const SPOOL_AGE_DEFAULT: Duration = Duration::from_secs(7 * 86_400);
/// As in Promtail: far enough for a reboot, near enough that old entries are not refused.
const JOURNAL_AGE_DEFAULT: Duration = Duration::from_secs(7 * 3600);
/// Each unit has about 30 series.
pub(crate) const UNITS_MAX_DEFAULT: usize = 1_000;
/// The kernel programs have a place for so many control groups.
const UNITS_MAX_LIMIT: usize = 2_048;
/// In `data_dir`: what the agent got for its enrolment token.
const CREDENTIAL_FILE: &str = "credential";
/// Where distributions keep the roots of public certificate authorities.
const SYSTEM_CA_FILES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Everything the agent is told; valid.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) host: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) interval: Duration,
    pub(crate) server: ServerConfig,
    pub(crate) remote_write: RemoteWriteVersion,
    pub(crate) journal: JournalConfig,
    /// Log files to follow; found right by [`FilesJob::all`].
    pub(crate) files: Vec<RawFiles>,
    pub(crate) spool_bytes_max: u64,
    pub(crate) spool_age_max: Duration,
    /// What the collectors of metrics are told, by collector.
    pub(crate) collectors: Settings,
    /// Where `/metrics` is served, if anywhere.
    pub(crate) expose: Option<SocketAddr>,
    pub(crate) is_ebpf_enabled: bool,
    pub(crate) ebpf_events: EventSettings,
    /// How many units kernel programs tell apart; the others are counted together.
    pub(crate) units_max: usize,
    pub(crate) roots: Roots,
    /// Labels of every sample: `instance`, `job` and the configured ones.
    pub(crate) labels: Vec<(String, String)>,
    /// Labels of every log stream: the configured ones but `instance` and `job`.
    pub(crate) stream_labels: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerConfig {
    /// Without a slash at its end.
    pub(crate) url: String,
    pub(crate) credential: CredentialConfig,
    /// PEM file of the authorities to trust; always there for https.
    pub(crate) ca_file: Option<PathBuf>,
}

/// What the agent shows the server to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CredentialConfig {
    None,
    TokenFile(PathBuf),
    /// A token that is good once, and where what it is traded for is kept.
    Enrolment {
        token_file: PathBuf,
        credential_file: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(crate) enum RemoteWriteVersion {
    /// 2.0, and 1.0 once the server turns out not to know it.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "1")]
    V1,
    #[serde(rename = "2")]
    V2,
}

#[derive(Debug, Clone)]
pub(crate) struct JournalConfig {
    pub(crate) is_enabled: bool,
    /// Without the boot, which is not known here.
    pub(crate) select: Select,
    pub(crate) boot: Boot,
    pub(crate) max_age: Duration,
    /// Found right by [`Shape::new`], which makes it again with the running agent's metrics.
    pub(crate) raw: RawJournal,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}", path.display())]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{key} {text:?} is no duration; write a number with ms, s, m, h or d, as in \"15s\"")]
    Duration { key: &'static str, text: String },
    #[error("{key} {text:?} is out of range; it must be {range}")]
    Range { key: &'static str, text: String, range: String },
    #[error("server.url {url:?} is no address; write \"https://HOST[:PORT]\"")]
    Url { url: String },
    #[error(
        "server.ca_file is missing, and this system has no list of authorities: name the PEM file of the server's authority"
    )]
    NoCaFile,
    #[error(
        "server.token_file and server.enrolment_token_file are both there; the agent has one credential, so leave one out"
    )]
    TwoCredentials,
    #[error("label name {name:?} is not allowed; use letters, digits and _, not {METRIC_NAME}")]
    Label { name: String },
    #[error("journal.namespace reads the host's own journal; leave journal.directory out")]
    Namespace,
    #[error("journal.matches")]
    Matches(#[source] MatchError),
    #[error("journal")]
    Journal(#[source] JobError),
    #[error("files[{idx}]")]
    Files { idx: usize, source: JobError },
    #[error("the host has no name; set `host`")]
    NoHost,
    #[error(
        "expose.listen {0} is reachable from outside; set expose.public = true if that is meant"
    )]
    Public(SocketAddr),
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let raw = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        Self::from_raw(raw, &host_name())
    }

    /// Whether a text is a configuration of this agent.
    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> anyhow::Result<Self> {
        Ok(Self::from_raw(toml::from_str(text)?, "lab1")?)
    }

    fn from_raw(raw: RawConfig, host_name: &str) -> Result<Self, ConfigError> {
        let host = raw.host.unwrap_or_else(|| host_name.to_owned());
        if host.is_empty() {
            return Err(ConfigError::NoHost);
        }
        let interval = within(
            "interval",
            duration_or("interval", raw.interval, INTERVAL_DEFAULT)?,
            INTERVAL_MIN,
            INTERVAL_MAX,
        )?;
        let spool_bytes_max = raw.spool.max_bytes.unwrap_or(SPOOL_BYTES_DEFAULT);
        if spool_bytes_max < SPOOL_BYTES_MIN {
            return Err(ConfigError::Range {
                key: "spool.max_bytes",
                text: spool_bytes_max.to_string(),
                range: format!("at least {SPOOL_BYTES_MIN}"),
            });
        }
        let expose = raw.expose.listen;
        if let Some(address) = expose
            && !address.ip().is_loopback()
            && !raw.expose.public
        {
            return Err(ConfigError::Public(address));
        }
        let (labels, stream_labels) = labels(&host, &raw.labels)?;
        let defaults = Roots::default();
        let data_dir = raw.data_dir.unwrap_or_else(|| "/var/lib/skep-agent".into());
        Ok(Self {
            interval,
            server: server(raw.server, &data_dir)?,
            data_dir,
            remote_write: raw.remote_write.version,
            journal: journal(raw.journal)?,
            files: files(raw.files)?,
            spool_bytes_max,
            spool_age_max: duration_or("spool.max_age", raw.spool.max_age, SPOOL_AGE_DEFAULT)?,
            collectors: raw.collectors,
            expose,
            is_ebpf_enabled: raw.ebpf.enabled.unwrap_or(true),
            ebpf_events: raw.ebpf.events,
            units_max: units_max(raw.ebpf.units_max)?,
            roots: Roots {
                proc: raw.roots.proc.unwrap_or(defaults.proc),
                sys: raw.roots.sys.unwrap_or(defaults.sys),
                udev: raw.roots.udev.unwrap_or(defaults.udev),
                root: raw.roots.root.unwrap_or(defaults.root),
            },
            host,
            labels,
            stream_labels,
        })
    }
}

fn units_max(raw: Option<usize>) -> Result<usize, ConfigError> {
    let units_max = raw.unwrap_or(UNITS_MAX_DEFAULT);
    if (1..=UNITS_MAX_LIMIT).contains(&units_max) {
        return Ok(units_max);
    }
    let range = format!("1 to {UNITS_MAX_LIMIT}");
    Err(ConfigError::Range { key: "ebpf.units_max", text: units_max.to_string(), range })
}

fn journal(raw: RawJournal) -> Result<JournalConfig, ConfigError> {
    if raw.namespace.is_some() && raw.directory.is_some() {
        return Err(ConfigError::Namespace);
    }
    Shape::new(raw.clone(), &Arc::default()).map_err(ConfigError::Journal)?;
    let max_age = duration_or("journal.max_age", raw.max_age.clone(), JOURNAL_AGE_DEFAULT)?;
    Ok(JournalConfig {
        is_enabled: raw.enabled.unwrap_or(true),
        select: Select {
            directory: raw.directory.clone(),
            namespace: raw.namespace.clone(),
            matches: parse_matches(&raw.matches).map_err(ConfigError::Matches)?,
            boot_id: None,
        },
        boot: raw.boot.unwrap_or_default(),
        max_age,
        raw,
    })
}

fn files(raw: Vec<RawFiles>) -> Result<Vec<RawFiles>, ConfigError> {
    FilesJob::all(raw.clone(), &[], &Arc::default())
        .map_err(|(idx, source)| ConfigError::Files { idx, source })?;
    Ok(raw)
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn server(raw: RawServer, data_dir: &Path) -> Result<ServerConfig, ConfigError> {
    let url = raw.url.trim_end_matches('/').to_owned();
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if rest.is_none_or(|it| it.is_empty() || it.starts_with('/') || it.contains(['?', '#', ' '])) {
        return Err(ConfigError::Url { url: raw.url });
    }
    let ca_file = match raw.ca_file {
        None if url.starts_with("https:") => {
            let found = SYSTEM_CA_FILES.into_iter().map(PathBuf::from).find(|it| it.exists());
            Some(found.ok_or(ConfigError::NoCaFile)?)
        }
        given => given,
    };
    let credential = match (raw.token_file, raw.enrolment_token_file) {
        (None, None) => CredentialConfig::None,
        (Some(token_file), None) => CredentialConfig::TokenFile(token_file),
        (None, Some(token_file)) => CredentialConfig::Enrolment {
            token_file,
            credential_file: data_dir.join(CREDENTIAL_FILE),
        },
        (Some(_), Some(_)) => return Err(ConfigError::TwoCredentials),
    };
    Ok(ServerConfig { url, credential, ca_file })
}

type LabelPairs = Vec<(String, String)>;

fn labels(
    host: &str,
    configured: &BTreeMap<String, String>,
) -> Result<(LabelPairs, LabelPairs), ConfigError> {
    if let Some(name) =
        configured.keys().find(|it| !is_label_name(it) || it.as_str() == METRIC_NAME)
    {
        return Err(ConfigError::Label { name: name.clone() });
    }
    let mut labels = BTreeMap::from([
        ("instance".to_owned(), host.to_owned()),
        ("job".to_owned(), "node".to_owned()),
    ]);
    labels.extend(configured.clone());
    let stream_labels = configured
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "instance" | "job"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Ok((labels.into_iter().collect(), stream_labels))
}

fn duration_or(
    key: &'static str,
    text: Option<String>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    match text {
        None => Ok(default),
        Some(text) => parse_duration(&text).ok_or(ConfigError::Duration { key, text }),
    }
}

/// A whole number and its unit: `15s`, `500ms`, `7d`.
fn parse_duration(text: &str) -> Option<Duration> {
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at_checked(n_digits)?;
    let number: u64 = digits.parse().ok()?;
    let seconds = |per_unit: u64| number.checked_mul(per_unit).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(86_400),
        _ => None,
    }
}

fn within(
    key: &'static str,
    value: Duration,
    min: Duration,
    max: Duration,
) -> Result<Duration, ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    let range = format!("{min:?} to {max:?}");
    Err(ConfigError::Range { key, text: format!("{value:?}"), range })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    host: Option<String>,
    data_dir: Option<PathBuf>,
    interval: Option<String>,
    server: RawServer,
    #[serde(default)]
    remote_write: RawRemoteWrite,
    #[serde(default)]
    journal: RawJournal,
    #[serde(default)]
    files: Vec<RawFiles>,
    #[serde(default)]
    spool: RawSpool,
    #[serde(default)]
    collectors: Settings,
    #[serde(default)]
    expose: RawExpose,
    #[serde(default)]
    ebpf: RawEbpf,
    #[serde(default)]
    roots: RawRoots,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    url: String,
    token_file: Option<PathBuf>,
    enrolment_token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRemoteWrite {
    version: RemoteWriteVersion,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSpool {
    max_bytes: Option<u64>,
    max_age: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawExpose {
    listen: Option<SocketAddr>,
    public: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawEbpf {
    events: EventSettings,
    enabled: Option<bool>,
    units_max: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRoots {
    proc: Option<PathBuf>,
    sys: Option<PathBuf>,
    udev: Option<PathBuf>,
    root: Option<PathBuf>,
}

#[cfg(test)]
#[path = "../../tests/shared/settings_page.rs"]
mod settings_page;

#[cfg(test)]
mod tests;
