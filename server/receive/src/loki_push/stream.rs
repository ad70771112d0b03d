//! One stream on its way into the rows: its labels and entries are checked here, for both
//! spellings. Texts are Loki's.

use skep_proto::LogRow;

use super::{
    Decoded,
    labels::{LabelsError, Pair},
};
use crate::{Limits, Reason, TooLarge, reason::Fault};

/// What is wrong with a whole stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamFault<'t> {
    #[error("error parsing labels '{stream}' with error: {error}")]
    Labels { stream: &'t str, error: LabelsError },
    #[error("error parsing labels: they are not valid UTF-8")]
    Utf8,
    #[error("error at least one label pair is required per stream")]
    Missing,
    #[error("stream '{stream}' has an empty label name")]
    EmptyName { stream: &'t str },
    #[error("entry for stream '{stream}' has {n} label names; limit {n_max}")]
    TooMany { stream: &'t str, n: usize, n_max: usize },
    #[error("stream '{stream}' has label name too long: '{name}'")]
    NameTooLong { stream: &'t str, name: String },
    #[error("stream '{stream}' has label value too long: '{value}'")]
    ValueTooLong { stream: &'t str, value: String },
    #[error("stream '{stream}' has duplicate label name: '{name}'")]
    Duplicate { stream: &'t str, name: String },
}

/// What is wrong with one entry.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryFault<'t> {
    #[error(
        "max entry size '{size_bytes_max}' bytes exceeded for stream '{stream}' while adding an \
         entry with length '{size_bytes}' bytes"
    )]
    LineTooLong { stream: &'t str, size_bytes: usize, size_bytes_max: usize },
    #[error(
        "stream '{stream}' has structured metadata too large: '{size_bytes}' bytes, limit: \
         '{size_bytes_max}' bytes"
    )]
    MetadataTooLarge { stream: &'t str, size_bytes: usize, size_bytes_max: usize },
    #[error("stream '{stream}' has too many structured metadata labels: '{n}', limit: '{n_max}'")]
    MetadataTooMany { stream: &'t str, n: usize, n_max: usize },
    #[error("entry for stream '{stream}' has a timestamp outside the years 1678 to 2262")]
    Timestamp { stream: &'t str },
}

impl Fault for StreamFault<'_> {
    fn reason(&self) -> Reason {
        match self {
            Self::Labels { .. } | Self::Utf8 | Self::EmptyName { .. } => Reason::InvalidLabels,
            Self::Missing => Reason::MissingLabels,
            Self::TooMany { .. } => Reason::TooManyLabels,
            Self::NameTooLong { .. } => Reason::LabelNameTooLong,
            Self::ValueTooLong { .. } => Reason::LabelValueTooLong,
            Self::Duplicate { .. } => Reason::DuplicateLabels,
        }
    }
}

impl Fault for EntryFault<'_> {
    fn reason(&self) -> Reason {
        match self {
            Self::LineTooLong { .. } => Reason::LineTooLong,
            Self::MetadataTooLarge { .. } => Reason::MetadataTooLarge,
            Self::MetadataTooMany { .. } => Reason::MetadataTooMany,
            Self::Timestamp { .. } => Reason::Timestamp,
        }
    }
}

/// Puts a stream into the rows, or what is wrong with it or its entries into `refused`. An entry
/// of which even the timestamp could not be kept is `None`.
pub(super) fn finish<'a>(
    decoded: &mut Decoded<'a>,
    stream: &str,
    labels: Result<Vec<Pair<'a>>, StreamFault<'_>>,
    entries: Vec<Option<LogRow<'a>>>,
    limits: &Limits,
) {
    let n_entries = entries.len();
    match labels.and_then(|labels| check_labels(labels, stream, limits)) {
        Err(fault) => decoded.refused.series(n_entries, &fault),
        Ok(labels) => {
            let refused = &mut decoded.refused;
            // Collected in place: a request's entries are not in memory twice.
            let kept: Vec<_> = entries
                .into_iter()
                .filter_map(|entry| {
                    entry
                        .ok_or(EntryFault::Timestamp { stream })
                        .and_then(|it| check_entry(it, stream, limits))
                        .map_err(|fault| refused.values(1, &fault))
                        .ok()
                })
                .collect();
            if !kept.is_empty() {
                decoded.rows.streams.push((labels, kept));
            }
        }
    }
}

/// Counts a request while it is read, and refuses it once it has more than it may.
pub(super) struct Counts<'l> {
    n_streams: usize,
    n_entries: usize,
    n_pairs: usize,
    limits: &'l Limits,
}

impl<'l> Counts<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self { n_streams: 0, n_entries: 0, n_pairs: 0, limits }
    }

    pub(super) fn stream(&mut self) -> Result<(), TooLarge> {
        self.n_streams += 1;
        let n_max = self.limits.series_max;
        if self.n_streams > n_max { Err(TooLarge::Series { n_max }) } else { Ok(()) }
    }

    pub(super) fn entry(&mut self) -> Result<(), TooLarge> {
        self.n_entries += 1;
        let n_max = self.limits.values_max;
        if self.n_entries > n_max { Err(TooLarge::Values { n_max }) } else { Ok(()) }
    }

    /// A label, or a field of structured metadata.
    pub(super) fn pair(&mut self) -> Result<(), TooLarge> {
        self.n_pairs += 1;
        let n_max = self.limits.pairs_max;
        if self.n_pairs > n_max { Err(TooLarge::Pairs { n_max }) } else { Ok(()) }
    }
}

/// Sorted by name, none empty.
fn check_labels<'a, 't>(
    mut labels: Vec<Pair<'a>>,
    stream: &'t str,
    limits: &Limits,
) -> Result<Vec<Pair<'a>>, StreamFault<'t>> {
    labels.sort_unstable();
    if let Some([(name, _), _]) =
        labels.array_windows::<2>().find(|[(left, _), (right, _)]| left == right)
    {
        return Err(StreamFault::Duplicate { stream, name: name.to_string() });
    }
    labels.retain(|(_, value)| !value.is_empty());
    if labels.is_empty() {
        return Err(StreamFault::Missing);
    }
    if labels.len() > limits.labels_max {
        let (n, n_max) = (labels.len(), limits.labels_max);
        return Err(StreamFault::TooMany { stream, n, n_max });
    }
    for (name, value) in &labels {
        if name.is_empty() {
            return Err(StreamFault::EmptyName { stream });
        }
        if name.len() > limits.label_name_bytes_max {
            return Err(StreamFault::NameTooLong { stream, name: name.to_string() });
        }
        if value.len() > limits.label_value_bytes_max {
            return Err(StreamFault::ValueTooLong { stream, value: value.to_string() });
        }
    }
    Ok(labels)
}

/// By name, each once: of two with one name the later one stays.
pub(super) fn sort_keeping_last(pairs: &mut Vec<Pair<'_>>) {
    if pairs.is_sorted_by(|(left, _), (right, _)| left < right) {
        return;
    }
    // Stable: the later one stays behind the earlier one.
    pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
    pairs.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
}

/// Metadata sorted by name, each name once (the last one wins, as in Loki), none empty.
fn check_entry<'a, 't>(
    mut entry: LogRow<'a>,
    stream: &'t str,
    limits: &Limits,
) -> Result<LogRow<'a>, EntryFault<'t>> {
    if entry.line.len() > limits.line_bytes_max {
        return Err(EntryFault::LineTooLong {
            stream,
            size_bytes: entry.line.len(),
            size_bytes_max: limits.line_bytes_max,
        });
    }
    let metadata = &mut entry.metadata;
    metadata.retain(|(name, _)| !name.is_empty());
    sort_keeping_last(metadata);
    let (n, n_max) = (metadata.len(), limits.metadata_fields_max);
    if n > n_max {
        return Err(EntryFault::MetadataTooMany { stream, n, n_max });
    }
    let size_bytes = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size_bytes > limits.metadata_bytes_max {
        let size_bytes_max = limits.metadata_bytes_max;
        return Err(EntryFault::MetadataTooLarge { stream, size_bytes, size_bytes_max });
    }
    Ok(entry)
}
