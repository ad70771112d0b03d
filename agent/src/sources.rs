//! What the agent collects: one file a source, one line a source in [`SOURCES`].

pub(crate) mod ebpf;
pub(crate) mod journal;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use skep_proto::{Labels, LogEntry, MetricKind};

use crate::exposition::Exposition;

/// A source of metrics read anew at each tick.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: &'static str,
    pub(crate) collect: fn(&Context<'_>, &mut Exposition) -> Result<(), SourceError>,
}

/// Every source of metrics, in the order of the collection.
pub(crate) const SOURCES: &[Source] = &[];

/// What a collector may look at.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) roots: &'a Roots,
    pub(crate) settings: &'a Settings,
}

/// Where the host's file systems are mounted, as seen from this process.
#[derive(Debug, Clone)]
pub(crate) struct Roots {
    pub(crate) proc: PathBuf,
    pub(crate) sys: PathBuf,
    pub(crate) udev: PathBuf,
    pub(crate) root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            udev: "/run/udev/data".into(),
            root: "/".into(),
        }
    }
}

impl Roots {
    /// A whole file below the proc root, as text.
    pub(crate) fn read_proc(&self, file: &str) -> Result<String, SourceError> {
        read(&self.proc.join(file))
    }
}

/// What the collectors can be told; the defaults are node_exporter's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// Where `*.prom` files of other programs lie.
    pub(crate) textfile_directory: Option<PathBuf>,
}

/// A log line on its way to the spool.
#[derive(Debug, Clone)]
pub(crate) struct LogRecord {
    pub(crate) stream: Labels,
    pub(crate) entry: LogEntry,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{file}: {what} is missing")]
    Missing { file: &'static str, what: &'static str },
    #[error("{file}: {what} is not a number: {text:?}")]
    Number { file: &'static str, what: &'static str, text: String },
}

pub(crate) fn read(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|source| SourceError::Read { path: path.to_owned(), source })
}

/// Runs every source; one that fails reports itself and the others go on.
pub(crate) fn collect_all(
    sources: &[Source],
    context: &Context<'_>,
    out: &mut Exposition,
) -> Vec<(&'static str, SourceError)> {
    let mut errors = Vec::new();
    for source in sources {
        let started = tokio::time::Instant::now();
        let result = (source.collect)(context, out);
        let seconds = started.elapsed().as_secs_f64();
        out.family(
            "node_scrape_collector_duration_seconds",
            "node_exporter: Duration of a collector scrape.",
            MetricKind::Gauge,
        )
        .point([("collector", source.name)], seconds);
        out.family(
            "node_scrape_collector_success",
            "node_exporter: Whether a collector succeeded.",
            MetricKind::Gauge,
        )
        .point([("collector", source.name)], f64::from(u8::from(result.is_ok())));
        if let Err(error) = result {
            errors.push((source.name, error));
        }
    }
    errors
}
