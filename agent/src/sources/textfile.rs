//! Metrics of other programs, from `*.prom` files they leave in a folder.

pub(super) mod glob;
mod parse;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use skep_proto::{
    MetricKind,
    names::{BUCKET_LE, QUANTILE},
};
use tracing::warn;

use self::{
    glob::expand,
    parse::{Family, Group, TextError, parse},
};
use super::{Context, SourceError, sorted_dir};
use crate::exposition::{Exposition, Number, as_f64};

/// A file is held in memory; node_exporter's users write kilobytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files of one collection.
const FILES_MAX: usize = 1000;

/// Never fails as a whole: a file that cannot be used is told by `node_textfile_scrape_error` and
/// in the log, the others count.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let mut merged = BTreeMap::new();
    let mut has_failed = false;
    let mut note = |result: Result<(), FileError>| {
        if let Err(error) = result {
            has_failed = true;
            let error = anyhow::Error::new(error);
            warn!("Could not use a text file, its metrics are missing: {error:#}.");
        }
    };
    let mut n_files = 0;
    let directories = context.settings.textfile.directories.iter().flat_map(|it| expand(it));
    for directory in directories {
        let directory = directory.as_path();
        note(check_directory(directory));
        for name in sorted_dir(directory).iter().filter(|it| it.ends_with(".prom")) {
            n_files += 1;
            if n_files > FILES_MAX {
                note(Err(FileError::TooMany { directory: directory.to_owned() }));
                break;
            }
            let path = directory.join(name);
            match read_file(&path) {
                Ok((families, mtime_seconds)) => {
                    out.family(
                        "node_textfile_mtime_seconds",
                        "When the text file was last written, in seconds since 1970.",
                        MetricKind::Gauge,
                    )
                    .point([("file", &path.to_string_lossy())], as_f64(mtime_seconds));
                    note(merge(&mut merged, families, &path));
                }
                Err(error) => note(Err(error)),
            }
        }
    }
    for (name, family) in merged {
        write(out, name, family);
    }
    out.gauge(
        "node_textfile_scrape_error",
        "1 if a text file or folder could not be used as it is, else 0.",
        f64::from(u8::from(has_failed)),
    );
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} has more than {FILES_MAX} files", directory.display())]
    TooMany { directory: PathBuf },
    #[error("{}", path.display())]
    Text { path: PathBuf, source: TextError },
    #[error("{}: {metric} has another HELP or TYPE in another file", path.display())]
    Conflict { path: PathBuf, metric: String },
}

fn check_directory(directory: &Path) -> Result<(), FileError> {
    match fs::read_dir(directory) {
        Ok(_) => Ok(()),
        Err(source) => Err(FileError::Read { path: directory.to_owned(), source }),
    }
}

/// The file's families and when it was written last.
fn read_file(path: &Path) -> Result<(BTreeMap<String, Family>, u64), FileError> {
    let unread = |source| FileError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(unread)?;
    let metadata = file.metadata().map_err(unread)?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unread)?;
    let families =
        parse(&text).map_err(|source| FileError::Text { path: path.to_owned(), source })?;
    let modified = metadata.modified().map_err(unread)?;
    let mtime_seconds = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok((families, mtime_seconds))
}

/// A family of all files together, and the files it came from.
struct Merged {
    family: Family,
    paths: Vec<String>,
}

/// A family that is described otherwise in an earlier file is left out.
fn merge(
    merged: &mut BTreeMap<String, Merged>,
    families: BTreeMap<String, Family>,
    path: &Path,
) -> Result<(), FileError> {
    let text = path.to_string_lossy();
    let mut result = Ok(());
    for (name, family) in families {
        let Some(there) = merged.get_mut(&name) else {
            merged.insert(name, Merged { family, paths: vec![text.to_string()] });
            continue;
        };
        if there.family.kind == family.kind && there.family.help == family.help {
            there.paths.push(text.to_string());
            there.family.groups.extend(family.groups);
        } else {
            result = Err(FileError::Conflict { path: path.to_owned(), metric: name });
        }
    }
    result
}

fn write(out: &mut Exposition, name: String, merged: Merged) {
    let Merged { family: Family { kind, help, groups }, paths } = merged;
    let help = help.unwrap_or_else(|| format!("Not described in {}.", paths.join(", ")));
    let family = out.family(name, help, kind);
    let bound_label = if kind == MetricKind::Histogram { BUCKET_LE } else { QUANTILE };
    for Group { labels, value, mut bounds, sum, count } in groups {
        let labels: Vec<(Cow<'static, str>, String)> =
            labels.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect();
        if !matches!(kind, MetricKind::Histogram | MetricKind::Summary) {
            family.labelled(labels, value);
            continue;
        }
        bounds.sort_by(|(left, _), (right, _)| left.total_cmp(right));
        if kind == MetricKind::Histogram && bounds.last().is_none_or(|(it, _)| it.is_finite()) {
            bounds.push((f64::INFINITY, count));
        }
        let suffix = if kind == MetricKind::Histogram { "_bucket" } else { "" };
        for (bound, value) in bounds {
            let mut labels = labels.clone();
            labels.push((Cow::Borrowed(bound_label), Number(bound).to_string()));
            family.suffixed(suffix, labels, value);
        }
        family.suffixed("_sum", labels.clone(), sum);
        family.suffixed("_count", labels, count);
    }
}

#[cfg(test)]
mod tests;
